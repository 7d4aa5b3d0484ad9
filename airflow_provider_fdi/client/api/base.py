"""What the operations of all resources have in common: sending, deleting, and reading listings."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from airflow_provider_fdi.client.errors import HIDDEN, FdiArgumentError, FdiNotFoundError
from airflow_provider_fdi.client.models import Listing, Page
from airflow_provider_fdi.client.responses import Answer
from airflow_provider_fdi.client.signing import canonical_query
from airflow_provider_fdi.client.transport import Resend, Transport
from airflow_provider_fdi.constants import MAX_PAGES
from airflow_provider_fdi.validation import path_id

T = TypeVar("T")

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Api:
    """The operations below one instance; each names itself, its address and the ids it is about, once."""

    _transport: Transport
    _project_path: str
    _instance_path: str

    def _call(
        self,
        operation: str,
        method: str,
        path: str,
        ids: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        resend: Resend = Resend.ALWAYS,
        opaque: bool = False,
        secrets: Iterable[str] = (),
    ) -> Answer:
        """The successful answer to one operation.

        :param path: below the instance; ``{…}`` stands for one of ``ids``, checked and encoded
        :param ids: what the operation is about, for messages; what is None is left out
        """
        known = dropped(**ids or {})
        address = _PLACEHOLDER.sub(lambda found: path_id(found[1], (ids or {})[found[1]]), path)
        return self._transport.call(
            operation,
            method,
            self._instance_path + address,
            ids=known,
            query=canonical_query(dropped(**query).items()) if query else "",
            body=None if body is None else json_bytes(body),
            resend=resend,
            opaque=opaque,
            secrets=secrets,
        )

    def _delete(self, operation: str, path: str, ids: Mapping[str, Any]) -> None:
        try:
            answer = self._call(operation, "DELETE", path, ids)
        except FdiNotFoundError as error:
            # An earlier attempt, whose answer was lost, has deleted it.
            if error.unsettled and error.said_by_fdi:
                return
            raise
        answer.parse(nothing)

    def _pages(
        self,
        operation: str,
        path: str,
        query: Mapping[str, Any],
        ids: Mapping[str, Any],
        parse: Callable[[Any], T],
        key: Callable[[T], str],
        *,
        first: int,
        limit: int,
        max_pages: int | None = None,
        read: Callable[[Any], Page] = Page.from_wire,
    ) -> Iterator[Listing[T]]:
        """Pages of a listing, each row once.

        Tasks and data sources count rows from 0 (``first``). The monitoring pages count from 1, and the
        documentation leaves open whether rows or pages: rows are tried first, then pages. It ends when
        as many rows have come as there are said to be; where that is not said, when a page brings no new one.
        """
        seen: set[str] = set()
        received = number = 0
        offset = first
        by_page = False
        most = MAX_PAGES if max_pages is None else max(1, min(max_pages, MAX_PAGES))

        def rows_of(data: Any) -> tuple[Page, list[T]]:
            page = read(data)
            return page, [parse(row) for row in page.entities]

        while True:
            answer = self._call(
                operation, "GET", path, ids, query={**query, "limit": limit, "offset": offset}
            )
            page, rows = answer.parse(rows_of)
            number += 1
            fresh = []
            for row in rows:
                name = key(row)
                if name not in seen:
                    seen.add(name)
                    fresh.append(row)
            total, size, news = page.total, page.size, bool(fresh)
            listing = Listing(tuple(fresh), total, answer.server_time) if fresh or number == 1 else None
            # A page is megabytes, as text and as objects: never held twice, nor two of them at once.
            del answer, page, rows, fresh
            if listing is not None:
                yield listing
            del listing
            received += size
            if number >= most or (total is not None and len(seen) >= total):
                return
            if news:
                offset = offset + 1 if by_page else first + received
            elif by_page or total is None or number == 1:
                return
            else:
                # Nothing new at this row, and yet there should be more: offset may be the number of a page.
                by_page, offset = True, first + 1


def joined(pages: Iterator[Listing[T]]) -> Listing[T]:
    """All pages of a listing as one."""
    items: list[T] = []
    total: int | None = None
    server_time: int | None = None
    for number, page in enumerate(pages):
        items += page.items
        if number == 0:
            server_time = page.server_time
        total = page.total if page.total is not None else total
    return Listing(tuple(items), len(items) if total is None else total, server_time)


def dropped(**fields: Any) -> dict[str, Any]:
    """The fields that are not None."""
    return {k: v for k, v in fields.items() if v is not None}


def json_bytes(body: Mapping[str, Any]) -> bytes:
    """The bytes of a JSON body."""
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        rule = f"cannot be written as JSON ({type(error).__name__})"
        raise FdiArgumentError("body", HIDDEN, rule) from None


def nothing(_: Any) -> None:
    """Reads an answer of which nothing is needed, but that it is not an error."""
