"""Checking the address of a service."""

from __future__ import annotations

import ipaddress
from typing import NoReturn
from urllib.parse import urlsplit

from airflow_provider_fdi.client.errors import HIDDEN, FdiArgumentError

__all__ = ["base_url", "is_loopback"]


def is_loopback(host: str) -> bool:
    """Whether traffic to this host stays on the machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def base_url(field: str, value: object, *, allow_http: bool = False) -> str:
    """``scheme://host[:port]`` of an endpoint.

    :raises FdiArgumentError: it is anything more or less than that.
    """

    def refuse(rule: str, shown: object = value) -> NoReturn:
        raise FdiArgumentError(field, shown, rule)

    if not isinstance(value, str) or not value.strip():
        refuse("must be a host or a URL\nFor instance https://roma.cn-north-4.myhuaweicloud.com.")
    text = value.strip()
    if not text.isprintable() or " " in text:
        refuse("must not contain spaces or control characters")
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        refuse("is not a valid URL", HIDDEN if "@" in text else text)
    if "@" in parts.netloc:
        refuse("must not hold credentials", HIDDEN)
    if parts.scheme not in ("http", "https"):
        refuse("must begin with https://\nhttp:// is for loopback addresses.")
    if not host:
        refuse("has no host")
    if parts.path not in ("", "/") or parts.query or parts.fragment or "?" in text or "#" in text:
        refuse("must be a host with an optional port\nWithout path, query or fragment.")
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            refuse("has no valid host name")
    if not all(c.isalnum() or c in "-._" for c in host):
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            refuse("has no valid host name")
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        refuse("plain http shows the credentials\nTo everyone on the way: use https, or set allow_http.")
    shown_host = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{shown_host}" + (f":{port}" if port not in (None, default) else "")
