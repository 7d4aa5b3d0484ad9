"""Time zones as the service writes them: ``GMT+08:00``, ``UTC``, or an IANA name."""

from __future__ import annotations

import re
from datetime import timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

_OFFSET = re.compile(r"(?:GMT|UTC)?([+-])(\d{1,2})(?::?(\d{2}))?", re.IGNORECASE)


def parse_timezone(text: str) -> tzinfo:
    """Raises ValueError for a zone that is not known."""
    name = text.strip()
    if name.upper() in ("UTC", "GMT", "Z"):
        return timezone.utc
    match = _OFFSET.fullmatch(name)
    if match:
        hours, minutes = int(match[2]), int(match[3] or 0)
        if hours > 14 or minutes > 59:
            raise ValueError(f"time zone {text!r}: the offset is out of range")
        offset = timedelta(hours=hours, minutes=minutes)
        return timezone(-offset if match[1] == "-" else offset)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"time zone {text!r} is not known") from error
