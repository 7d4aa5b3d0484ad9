"""A griffe extension that makes the package's docstrings fit the site."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|meth|func|mod|data|attr|exc):`(?:~[\w.]*\.|\.)?([\w.]+)`")


class Docstrings(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Show ``:class:`~package.module.Name``` as ``Name``."""
        if obj.docstring is not None:
            obj.docstring.value = _ROLE.sub(r"`\1`", obj.docstring.value)

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Add a table of the fields to what the client returns: they have no docstrings of their own."""
        if cls.docstring is None or not cls.path.startswith(
            ("airflow_provider_fdi.client.models.", "airflow_provider_fdi.client.enums.")
        ):
            return
        fields = [
            griffe.DocstringAttribute(
                name,
                annotation=member.annotation or member.value,
                description=member.docstring.value if member.docstring else "",
            )
            for name, member in cls.members.items()
            if isinstance(member, griffe.Attribute) and not name.startswith("_")
        ]
        cls.docstring.parsed.append(griffe.DocstringSectionAttributes(fields))
