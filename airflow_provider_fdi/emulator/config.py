"""Configuration: who may call, which projects and instances exist, data sources, and the behaviour switches.

A configuration file is JSON or TOML. Everything in it is optional; the defaults make a service that answers
one user, one project and one instance.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEFAULT_APP_ID = "d5afd9af-a8fe-47f6-a98c-edbcba11a0da"


@dataclass
class Switches:
    """Behaviour that the vendor documents in two ways, or not at all, and a few aids for tests."""

    # Shapes of answers
    init_as_dict: bool = False
    create_returns_null: bool = False
    status_style: str = "stop"
    created_date_style: str = "int"
    nested_errors_for_dispatch: bool = True
    no_schedule_answer: str = "null"
    show_cron_timezone: bool = True
    batch_counts: bool = True
    # Lists
    clamp_limit: int = 999
    offset_is_page_index: bool = False
    log_order: str = "desc"
    begin_time_filters: str = "dispatch_time"
    # Runs
    run_log_delay_ms: int = 0
    run_requires_started: bool = False
    overlap_style: str = "http"
    refused_code: int = 914
    stop_kills_run: bool = False
    max_parallel_runs: int = 4
    stream_poll_ms: int = 500
    # Rules
    batch_errors: str = "item"
    stop_stopped: str = "error"
    allow_duplicate_names: bool = False
    second_schedule: str = "refuse"
    check_datasources: bool = False
    default_timezone: str = "GMT+08:00"
    # Access
    token_ttl_s: int = 86400
    check_sdk_date: bool = True
    # Load
    latency_ms: int = 0
    rate_limit: int = 0
    retry_after_s: int = 1

    _CHOICES = {
        "status_style": ("stop", "stopped"),
        "created_date_style": ("int", "iso"),
        "no_schedule_answer": ("null", "empty", "object", "404"),
        "log_order": ("asc", "desc"),
        "begin_time_filters": ("dispatch_time", "start_time", "end_time"),
        "overlap_style": ("http", "row"),
        "batch_errors": ("item", "request"),
        "stop_stopped": ("error", "ok"),
        "second_schedule": ("refuse", "replace"),
    }

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def change(self, changes: dict[str, Any]) -> None:
        """Set several switches at once, or none of them.

        Raises ValueError for an unknown name or a value of the wrong kind.
        """
        current = self.as_dict()
        for name, value in changes.items():
            if name not in current:
                raise ValueError(f"unknown switch {name!r}; known: {', '.join(sorted(current))}")
            choices = self._CHOICES.get(name)
            if choices is not None and value not in choices:
                raise ValueError(f"switch {name}={value!r}: must be one of {', '.join(choices)}")
            expected = type(current[name])
            if type(value) is not expected:
                raise ValueError(f"switch {name}={value!r}: must be of type {expected.__name__}")
            if expected is int and value < 0:
                raise ValueError(f"switch {name}={value!r}: must not be negative")
        for name, value in changes.items():
            setattr(self, name, value)


@dataclass
class User:
    name: str = "fdi-user"
    password: str = field(default="fdi-password", repr=False)
    domain: str = "fdi-domain"


@dataclass
class AccessKey:
    access: str = "AKEMULATOR0000000001"
    secret: str = field(default="SKemulator0000000000000000000000000000001", repr=False)


@dataclass
class Project:
    id: str = "0123456789abcdef0123456789abcdef"
    name: str = "cn-north-4"


@dataclass
class DatasourceConfig:
    id: str
    name: str
    type: str
    url: str = field(repr=False)
    app_id: str = DEFAULT_APP_ID


@dataclass
class Config:
    users: list[User] = field(default_factory=lambda: [User()])
    access_keys: list[AccessKey] = field(default_factory=lambda: [AccessKey()])
    tokens: list[str] = field(default_factory=lambda: ["emulator-token"], repr=False)
    projects: list[Project] = field(default_factory=lambda: [Project()])
    instances: list[str] = field(default_factory=lambda: ["fae7ff6c-8e07-4cf8-9e67-589cab2f017c"])
    datasources: list[DatasourceConfig] = field(default_factory=list)
    switches: dict[str, Any] = field(default_factory=dict)


def config_from_dict(raw: dict[str, Any]) -> Config:
    """Read a configuration. Raises ValueError naming what is wrong."""
    config = Config()
    unknown = set(raw) - {
        "credentials",
        "projects",
        "instances",
        "datasources",
        "switches",
    }
    if unknown:
        raise ValueError(f"unknown keys in the configuration: {', '.join(sorted(unknown))}")
    credentials = raw.get("credentials") or {}
    if "users" in credentials:
        config.users = [_build(User, row, "credentials.users") for row in credentials["users"]]
    if "access_keys" in credentials:
        config.access_keys = [
            _build(AccessKey, row, "credentials.access_keys") for row in credentials["access_keys"]
        ]
    if "tokens" in credentials:
        config.tokens = [str(token) for token in credentials["tokens"]]
    if "projects" in raw:
        config.projects = [
            Project(id=row, name=row) if isinstance(row, str) else _build(Project, row, "projects")
            for row in raw["projects"]
        ]
    if "instances" in raw:
        config.instances = [row if isinstance(row, str) else str(row["id"]) for row in raw["instances"]]
    config.datasources = [
        _build(DatasourceConfig, row, "datasources") for row in raw.get("datasources") or []
    ]
    config.switches = dict(raw.get("switches") or {})
    Switches().change(config.switches)
    for label, rows in (("projects", config.projects), ("instances", config.instances)):
        if not rows:
            raise ValueError(f"the configuration lists no {label}")
    return config


def load_config(path: str | os.PathLike[str]) -> Config:
    """Read a JSON or TOML file (by its suffix). Raises ValueError or OSError."""
    file = Path(path)
    text = file.read_text(encoding="utf-8")
    if file.suffix.lower() == ".toml":
        try:
            import tomllib
        except ImportError:
            # Python 3.10 has no TOML reader of its own.
            try:
                import tomli as tomllib  # type: ignore[no-redef,import-not-found,unused-ignore]
            except ImportError as error:
                raise ValueError("TOML needs Python 3.11 or the package tomli; use JSON instead") from error

        raw = tomllib.loads(text)
    else:
        raw = json.loads(text)
    if not isinstance(raw, dict):
        raise ValueError("the configuration must be an object")
    return config_from_dict(raw)


def _build(kind: Any, row: Any, where: str) -> Any:
    if not isinstance(row, dict):
        raise ValueError(f"{where}: {row!r} must be an object")
    try:
        return kind(**row)
    except TypeError as error:
        names = ", ".join(item.name for item in dataclasses.fields(kind))
        raise ValueError(f"{where}: an entry has the keys {names} ({error})") from error
