"""The emulator's OpenAPI document, and answers checked against it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import requests
from jsonschema import Draft202012Validator


class Document:
    """What the document says of requests, and which operations have been checked so far."""

    def __init__(self, url: str) -> None:
        self.content: dict[str, Any] = requests.get(f"{url}/openapi.json", timeout=30).json()
        self.checked: set[str] = set()
        self._paths = [
            (re.compile(re.sub(r"{\w+}", "[^/]+", path)), item)
            for path, item in self.content["paths"].items()
        ]
        for schema in self.content["components"]["schemas"].values():
            # An answer may hold only what the document names.
            if "properties" in schema:
                schema.setdefault("additionalProperties", False)

    def operation(self, method: str, url: str) -> dict[str, Any] | None:
        """The operation that a request asks for."""
        for pattern, item in self._paths:
            if pattern.fullmatch(urlsplit(url).path) and method.lower() in item:
                found: dict[str, Any] = item[method.lower()]
                return found
        return None

    def check(self, answer: requests.Response) -> None:
        """Fail unless status and body of an answer are those that the document announces."""
        operation = self.operation(str(answer.request.method), str(answer.request.url))
        if operation is None:
            return
        name, responses = operation["operationId"], operation["responses"]
        declared = responses.get(str(answer.status_code), responses["default"])
        schema = declared.get("content", {}).get("application/json", {}).get("schema")
        if not answer.content:
            assert schema is None or name == "ShowDispatches", f"{name}: an empty body"
        else:
            assert schema is not None, f"{name} {answer.status_code}: a body that the document lacks"
            root = {**schema, "components": self.content["components"]}
            wrong = [
                f"{error.json_path}: {error.message}"
                for error in Draft202012Validator(root).iter_errors(answer.json())
            ]
            assert wrong == [], f"{name} {answer.status_code}: {wrong[:3]}"
        if answer.ok:
            self.checked.add(name)
