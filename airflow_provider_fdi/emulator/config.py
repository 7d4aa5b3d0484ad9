"""The configuration: who may call, projects and instances, data sources, and the behaviour switches.

A configuration file is JSON or TOML. Everything in it is optional; the defaults describe a service with one
user, one project and one instance.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from airflow_provider_fdi.emulator import constants
from airflow_provider_fdi.emulator.validation import explain

try:
    import tomllib
except ImportError:  # Python 3.10
    try:
        import tomli as tomllib  # type: ignore[no-redef,import-not-found,unused-ignore]
    except ImportError:
        tomllib = None  # type: ignore[assignment,unused-ignore]


class Switches(BaseModel):
    """Behaviour that the vendor documents in two ways or not at all, and a few aids for tests."""

    model_config = ConfigDict(extra="forbid", strict=True)

    # Shapes of answers
    init_as_dict: bool = False
    create_returns_null: bool = False
    status_style: Literal["stop", "stopped"] = "stop"
    created_date_style: Literal["int", "iso"] = "int"
    nested_errors_for_dispatch: bool = True
    no_schedule_answer: Literal["null", "empty", "object", "404"] = "null"
    show_cron_timezone: bool = True
    batch_counts: bool = True
    # Lists
    clamp_limit: NonNegativeInt = 999
    offset_is_page_index: bool = False
    log_order: Literal["asc", "desc"] = "desc"
    begin_time_filters: Literal["dispatch_time", "start_time", "end_time"] = "dispatch_time"
    # Runs
    run_log_delay_ms: NonNegativeInt = 0
    run_requires_started: bool = False
    overlap_style: Literal["http", "row"] = "http"
    refused_code: NonNegativeInt = 914
    stop_kills_run: bool = False
    max_parallel_runs: NonNegativeInt = 4
    stream_poll_ms: NonNegativeInt = 500
    # Rules
    batch_errors: Literal["item", "request"] = "item"
    stop_stopped: Literal["error", "ok"] = "error"
    allow_duplicate_names: bool = False
    second_schedule: Literal["refuse", "replace"] = "refuse"
    check_datasources: bool = False
    default_timezone: str = "GMT+08:00"
    # Access
    token_ttl_s: NonNegativeInt = 86400
    check_sdk_date: bool = True
    # Load
    latency_ms: NonNegativeInt = 0
    rate_limit: NonNegativeInt = 0
    retry_after_s: NonNegativeInt = 1

    def change(self, changes: dict[str, Any]) -> None:
        """Set several switches at once, or none of them. Raises ValueError naming the wrong one."""
        try:
            Switches.model_validate({**self.model_dump(), **changes})
        except ValidationError as error:
            reason = explain(error.errors(), noun="switch ", known=Switches.model_fields)
            raise ValueError(reason) from None
        for name, value in changes.items():
            setattr(self, name, value)


class _Entry(BaseModel):
    # An error message must not quote a password.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class User(_Entry):
    """A user of IAM."""

    name: str = constants.USER_NAME
    password: str = Field(default=constants.PASSWORD, repr=False)
    domain: str = constants.DOMAIN_NAME


class AccessKey(_Entry):
    """A permanent access key."""

    access: str = constants.ACCESS_KEY
    secret: str = Field(default=constants.SECRET_KEY, repr=False)


class Project(_Entry):
    """A project of IAM."""

    id: str = constants.PROJECT_ID
    name: str = constants.PROJECT_NAME


class DatasourceConfig(_Entry):
    """A data source that exists from the start."""

    id: str
    name: str
    type: str
    url: str = Field(repr=False)
    app_id: str = constants.APP_ID


class Config(BaseModel):
    """A whole configuration."""

    users: list[User] = [User()]
    access_keys: list[AccessKey] = [AccessKey()]
    tokens: list[str] = Field(default=[constants.TOKEN], repr=False)
    projects: list[Project] = [Project()]
    instances: list[str] = [constants.INSTANCE_ID]
    datasources: list[DatasourceConfig] = []
    switches: dict[str, Any] = {}


def config_from_dict(raw: dict[str, Any]) -> Config:
    """Read a configuration. Raises ValueError naming what is wrong."""
    unknown = set(raw) - {"credentials", "projects", "instances", "datasources", "switches"}
    if unknown:
        raise ValueError(f"unknown keys in the configuration: {', '.join(sorted(unknown))}")
    credentials = raw.get("credentials") or {}
    config = Config()
    if "users" in credentials:
        config.users = _entries(User, credentials["users"], "credentials.users")
    if "access_keys" in credentials:
        config.access_keys = _entries(AccessKey, credentials["access_keys"], "credentials.access_keys")
    if "tokens" in credentials:
        config.tokens = [str(token) for token in credentials["tokens"]]
    if "projects" in raw:
        rows = [{"id": row, "name": row} if isinstance(row, str) else row for row in raw["projects"]]
        config.projects = _entries(Project, rows, "projects")
    if "instances" in raw:
        config.instances = [row if isinstance(row, str) else str(row["id"]) for row in raw["instances"]]
    config.datasources = _entries(DatasourceConfig, raw.get("datasources") or [], "datasources")
    config.switches = dict(raw.get("switches") or {})
    Switches().change(config.switches)
    for label, entries in (("projects", config.projects), ("instances", config.instances)):
        if not entries:
            raise ValueError(f"the configuration lists no {label}")
    return config


def load_config(path: str | os.PathLike[str]) -> Config:
    """Read a JSON or TOML file (by its suffix). Raises ValueError or OSError."""
    file = Path(path)
    text = file.read_text(encoding="utf-8")
    if file.suffix.lower() == ".toml":
        if tomllib is None:
            raise ValueError("TOML needs Python 3.11 or the package tomli; use JSON instead")
        raw = tomllib.loads(text)
    else:
        raw = json.loads(text)
    if not isinstance(raw, dict):
        raise ValueError("the configuration must be an object")
    return config_from_dict(raw)


_E = TypeVar("_E", bound=_Entry)


def _entries(kind: type[_E], rows: list[Any], where: str) -> list[_E]:
    try:
        return [kind.model_validate(row) for row in rows]
    except ValidationError as error:
        raise ValueError(f"{where}: {explain(error.errors(), known=kind.model_fields)}") from None
