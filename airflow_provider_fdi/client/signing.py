"""The vendor's AK/SK signature, byte for byte as the official SDK makes it."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

from requests import PreparedRequest

from airflow_provider_fdi.client.errors import FdiArgumentError

__all__ = ["ALGORITHM", "canonical_query", "sign", "signature"]

ALGORITHM = "SDK-HMAC-SHA256"
_DATE = "%Y%m%dT%H%M%SZ"
_SIGNED = ("content-type", "host", "x-project-id", "x-sdk-content-sha256", "x-sdk-date", "x-security-token")
_UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"


def _encode(text: str) -> str:
    return quote(text, safe="~")


def canonical_query(pairs: Iterable[tuple[str, Any]]) -> str:
    """Query in the form that is signed and sent: sorted, percent-encoded, a space as ``%20``."""
    out = []
    for key, value in sorted(pairs):
        if isinstance(value, list):
            out += [f"{_encode(key)}={_encode(str(v))}" for v in sorted(value)]
        elif isinstance(value, bool):
            out.append(f"{_encode(key)}={str(value).lower()}")
        else:
            out.append(f"{_encode(key)}={_encode(str(value))}")
    return "&".join(out)


def signature(
    method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, secret_key: str
) -> tuple[str, str]:
    """Signed header names (joined by ``;``) and the signature in hex.

    ``query`` is in canonical form, ``headers`` are exactly those to be signed, ``X-Sdk-Date`` among them.
    """
    values = {name.lower(): str(value).strip() for name, value in headers.items()}
    names = sorted(values)
    signed = ";".join(names)
    uri = "/".join(_encode(part) for part in unquote(path).split("/"))
    payload = values.get("x-sdk-content-sha256") if body else None
    canonical = "\n".join(
        (
            method.upper(),
            uri if uri.endswith("/") else uri + "/",
            query,
            "".join(f"{name}:{values[name]}\n" for name in names),
            signed,
            payload or hashlib.sha256(body).hexdigest(),
        )
    )
    to_sign = f"{ALGORITHM}\n{values['x-sdk-date']}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    return signed, hmac.new(secret_key.encode(), to_sign.encode(), hashlib.sha256).hexdigest()


def sign(
    request: PreparedRequest, access_key: str, secret_key: str, *, now: dt.datetime | None = None
) -> None:
    """Sign a request in place; nothing about it may change afterwards.

    The query is brought into canonical form and the body into bytes, because what is signed is what is sent.
    ``Host``, ``X-Sdk-Date`` and ``Authorization`` are set.
    """
    parts = urlsplit(str(request.url))
    query = canonical_query(parse_qsl(parts.query, keep_blank_values=True))
    request.url = urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))
    body = request.body or b""
    if isinstance(body, str):
        request.body = body = body.encode()
        request.headers["Content-Length"] = str(len(body))
    if not isinstance(body, bytes):
        raise FdiArgumentError("body", type(body).__name__, "must be bytes or text", owner="AkSkAuth")
    headers = request.headers
    kind = headers.get("Content-Type") or ""
    if kind and not kind.startswith(("application/json", "application/bson")):
        headers["X-Sdk-Content-Sha256"] = _UNSIGNED_PAYLOAD
    headers["X-Sdk-Date"] = (now or dt.datetime.now(dt.timezone.utc)).strftime(_DATE)
    headers["Host"] = parts.netloc.rpartition("@")[2]
    signed_headers = {name: headers[name] for name in _SIGNED if name in headers}
    names, hexdigest = signature(
        str(request.method), parts.path or "/", query, signed_headers, body, secret_key
    )
    headers["Authorization"] = (
        f"{ALGORITHM} Access={access_key}, SignedHeaders={names}, Signature={hexdigest}"
    )
