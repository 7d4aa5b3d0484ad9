"""Verification of the vendor's request signature, ``SDK-HMAC-SHA256``."""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import datetime, timezone
from urllib.parse import quote, unquote, unquote_plus

ALGORITHM = "SDK-HMAC-SHA256"
_AUTHORIZATION = re.compile(
    r"SDK-HMAC-SHA256\s+Access=([^,\s]+),\s*SignedHeaders=([^,\s]*),\s*Signature=([0-9a-fA-F]+)\s*"
)


class BadSignature(Exception):
    """The request is not signed as its Authorization header says; the text is the service's own message."""


def parse_authorization(value: str) -> tuple[str, list[str], str]:
    """Access key, signed header names, signature. Raises BadSignature."""
    match = _AUTHORIZATION.fullmatch(value.strip())
    if match is None:
        raise BadSignature("verify aksk signature fail, the Authorization header is malformed")
    return match[1], [name for name in match[2].lower().split(";") if name], match[3].lower()


def canonical_uri(raw_path: str) -> str:
    parts = (quote(unquote(part), safe="-_.~") for part in raw_path.split("/"))
    path = "/".join(parts)
    return path if path.endswith("/") else path + "/"


def canonical_query(raw_query: str) -> str:
    pairs = []
    for item in raw_query.split("&"):
        if item:
            key, _, value = item.partition("=")
            pairs.append((unquote_plus(key), unquote_plus(value)))
    return "&".join(f"{quote(key, safe='-_.~')}={quote(value, safe='-_.~')}" for key, value in sorted(pairs))


def canonical_request(
    method: str, raw_path: str, raw_query: str, headers: dict[str, str], signed: list[str], body: bytes
) -> str:
    """`headers`: lower-case names. The list of signed headers is taken from the request, in sorted order."""
    names = sorted(signed)
    lines = "".join(f"{name}:{headers.get(name, '').strip()}\n" for name in names)
    unsigned = headers.get("x-sdk-content-sha256", "")
    payload = unsigned if unsigned == "UNSIGNED-PAYLOAD" and body else hashlib.sha256(body).hexdigest()
    return "\n".join(
        (method.upper(), canonical_uri(raw_path), canonical_query(raw_query), lines, ";".join(names), payload)
    )


def expected_signature(secret: str, date: str, canonical: str) -> str:
    digest = hashlib.sha256(canonical.encode("utf-8")).hexdigest()
    to_sign = f"{ALGORITHM}\n{date}\n{digest}"
    return hmac.new(secret.encode("utf-8"), to_sign.encode("utf-8"), hashlib.sha256).hexdigest()


def check_date(text: str, now_ms: int, tolerance_s: int = 900) -> None:
    """Raises BadSignature for a date that is malformed or further than 15 minutes from the server's."""
    try:
        moment = datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        raise BadSignature("verify aksk signature fail, X-Sdk-Date is missing or malformed") from None
    if abs(moment.timestamp() - now_ms / 1000) > tolerance_s:
        raise BadSignature("verify aksk signature fail, the request time differs too much from the server's")


def same(left: str, right: str) -> bool:
    return hmac.compare_digest(left, right)
