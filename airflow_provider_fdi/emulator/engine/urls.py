"""From the `content` of a data source to the SQLAlchemy URL of the database behind it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

# The types whose host, port and database name make a URL, and the SQLAlchemy dialect and driver for them.
DIALECTS = {
    "MYSQL": "mysql+pymysql",
    "TAURUS": "mysql+pymysql",
    "POSTGRESQL": "postgresql+psycopg",
    "DWS": "postgresql+psycopg",
    "GAUSS200": "postgresql+psycopg",
    "GAUSS100": "postgresql+psycopg",
}
_JDBC = re.compile(r"jdbc:(mysql|postgresql|mariadb)://(.+)", re.IGNORECASE)


def url_from_content(kind: str, content: dict[str, Any]) -> str | None:
    """The database's URL, or None if there is nothing that this emulator can connect to.

    `content.url` may be an SQLAlchemy URL (`sqlite:////data/orders.db`) or a JDBC URL of MySQL or PostgreSQL;
    without it, host, port and database name make the URL.
    """
    url = content.get("url")
    user, password = str(content.get("user_name") or ""), str(content.get("password") or "")
    if isinstance(url, str) and url:
        match = _JDBC.fullmatch(url)
        if match:
            dialect = DIALECTS["POSTGRESQL" if match[1].lower() == "postgresql" else "MYSQL"]
            return f"{dialect}://{_login(user, password)}{match[2]}"
        if re.match(r"https?://", url) or "://" not in url:
            return None
        return url
    dialect = DIALECTS.get(kind.upper().split("/")[0].replace(" ", ""), "")
    host, database = content.get("host"), content.get("database_name")
    if not dialect or not host or not database:
        return None
    port = f":{content['port']}" if content.get("port") else ""
    return f"{dialect}://{_login(user, password)}{host}{port}/{quote(str(database), safe='')}"


def _login(user: str, password: str) -> str:
    if not user:
        return ""
    return f"{quote(user, safe='')}:{quote(password, safe='')}@" if password else f"{quote(user, safe='')}@"
