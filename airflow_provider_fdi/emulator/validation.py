"""Checks of what users of the emulator write, and words for what pydantic refuses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from airflow_provider_fdi.emulator.suggest import nearest, suggestion

# The databases whose connections can refuse to write.
DATABASES = ("sqlite", "postgresql", "mysql", "mariadb")
# The service's types of data sources. It gains new ones, so they only serve to find misspelt ones.
_TYPES = """
    DWS MYSQL KAFKA API OBS SAP MRSHBASE MRSHDFS MRSHIVE WEBSOCKET SQLSERVER ORACLE POSTGRESQL REDIS
    MONGODB DIS HL7 RABBITMQ SNMP IBMMQ CUSTOMIZED ACTIVEMQ ARTEMISMQ FTP HIVE HANA FIKAFKA MRSKAFKA
    FIHDFS FIHIVE GAUSS200 GAUSS100 LDAP DB2 TAURUS MQS ROCKETMQ DM CLICKHOUSE AOMDP
""".split()


class Strict(BaseModel):
    """A model that refuses an unknown field and suggests the right one."""

    # A message must not quote a password.
    model_config = ConfigDict(hide_input_in_errors=True)

    noun: ClassVar[str] = "key"

    @model_validator(mode="before")
    @classmethod
    def _know_all_fields(cls, value: Any) -> Any:
        for name in value if isinstance(value, dict) else ():
            if name not in cls.model_fields:
                raise ValueError(f"unknown {cls.noun} {name!r}{suggestion(str(name), cls.model_fields)}")
        return value


def check_url(url: str) -> str:
    """The SQLAlchemy URL of a database that this emulator can connect to. Raises ValueError."""
    scheme, separator, _ = url.partition("://")
    if not separator:
        raise ValueError("must be an SQLAlchemy URL, such as sqlite:////data/orders.db")
    database = scheme.partition("+")[0]
    if database not in DATABASES:
        raise ValueError(f"the emulator does not connect to {database!r}{suggestion(database, DATABASES)}")
    return url


def _check_type(kind: str) -> str:
    kind = kind.upper()
    meant = nearest(kind, _TYPES, 0.8)
    if meant is not None and kind not in _TYPES and re.sub(r"\W", "", kind) != meant:
        raise ValueError(f"FDI has no type {kind!r}; did you mean {meant!r}?")
    return kind


DatabaseUrl = Annotated[str, AfterValidator(check_url)]
DatasourceType = Annotated[str, AfterValidator(_check_type)]


def explain(errors: Sequence[Any], noun: str = "") -> str:
    """What is wrong, by the first of pydantic's errors; `noun` says what its fields are."""
    first = errors[0]
    name = ".".join(part for part in first["loc"] if isinstance(part, str) and part not in ("body", "query"))
    kind = first["type"]
    if kind == "literal_error":
        expected = first["ctx"]["expected"]
        meant = nearest(str(first["input"]), re.findall(r"'([^']*)'", expected))
        head = f"{noun}{name} {first['input']!r}: "
        return head + (f"did you mean {meant!r}?\nIt must be" if meant else "must be") + f" one of {expected}"
    words = (str(first["ctx"]["error"]) or "is not valid") if kind == "value_error" else first["msg"]
    return f"{noun}{name}: {words}" if name else str(words)
