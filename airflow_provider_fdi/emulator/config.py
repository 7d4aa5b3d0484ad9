"""The configuration: who may call, projects and instances, data sources, and the behaviour switches.

A configuration file is JSON or TOML. Everything in it is optional; the defaults describe a service with one
user, one project and one instance.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    StringConstraints,
    ValidationError,
)

from airflow_provider_fdi.emulator import constants
from airflow_provider_fdi.emulator.validation import DatabaseUrl, DatasourceType, Strict, explain

try:
    import tomllib
except ImportError:  # Python 3.10
    try:
        import tomli as tomllib  # type: ignore[no-redef,import-not-found,unused-ignore]
    except ImportError:
        tomllib = None  # type: ignore[assignment,unused-ignore]


Actions = list[Annotated[str, StringConstraints(pattern=r"^[\w*-]+(:[\w*-]+){2}$|^\*$")]]
"""Actions of IAM such as ``roma:tasks:get``, as in a policy; ``*`` stands for any text."""


class Switches(Strict):
    """Behaviour that the vendor documents in two ways or not at all, and a few aids for tests."""

    model_config = ConfigDict(strict=True)
    noun: ClassVar[str] = "switch"

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
    task_quota: NonNegativeInt = 1000
    datasource_quota: NonNegativeInt = 500
    # Access
    token_ttl_s: NonNegativeInt = 86400
    check_sdk_date: bool = True
    iam_actions: Actions | None = None
    # Load
    latency_ms: NonNegativeInt = 0
    rate_limit: NonNegativeInt = 0
    retry_after_s: NonNegativeInt = 1

    def change(self, changes: dict[str, Any]) -> None:
        """Set several switches at once, or none of them. Raises ValueError naming the wrong one."""
        try:
            Switches.model_validate({**self.model_dump(), **changes})
        except ValidationError as error:
            raise ValueError(explain(error.errors(), noun="switch ")) from None
        for name, value in changes.items():
            setattr(self, name, value)


class _Credential(Strict):
    # What the credential may do; None: what the switch `iam_actions` says.
    actions: Actions | None = None


class User(_Credential):
    """A user of IAM."""

    name: str = constants.USER_NAME
    password: str = Field(default=constants.PASSWORD, repr=False)
    domain: str = constants.DOMAIN_NAME


class AccessKey(_Credential):
    """A permanent access key."""

    access: str = constants.ACCESS_KEY
    secret: str = Field(default=constants.SECRET_KEY, repr=False)


class StaticToken(_Credential):
    """A token that is valid from the start and never expires."""

    token: str = Field(repr=False)


class Project(Strict):
    """A project of IAM."""

    id: str = constants.PROJECT_ID
    name: str = constants.PROJECT_NAME


class DatasourceConfig(Strict):
    """A data source that exists from the start."""

    id: str
    name: str
    type: DatasourceType
    url: DatabaseUrl = Field(repr=False)
    app_id: str = constants.APP_ID


class Config(BaseModel):
    """A whole configuration."""

    users: list[User] = [User()]
    access_keys: list[AccessKey] = [AccessKey()]
    tokens: list[StaticToken] = [StaticToken(token=constants.TOKEN)]
    projects: list[Project] = [Project()]
    instances: list[str] = [constants.INSTANCE_ID]
    datasources: list[DatasourceConfig] = []
    switches: dict[str, Any] = {}


def _token(value: Any) -> Any:
    return {"token": value} if isinstance(value, str) else value


def _project(value: Any) -> Any:
    return {"id": value, "name": value} if isinstance(value, str) else value


class _Credentials(Strict):
    users: list[User] = [User()]
    access_keys: list[AccessKey] = [AccessKey()]
    tokens: list[Annotated[StaticToken, BeforeValidator(_token)]] = [StaticToken(token=constants.TOKEN)]


class _File(Strict):
    """A configuration as it is written."""

    credentials: _Credentials = _Credentials()
    projects: list[Annotated[Project, BeforeValidator(_project)]] = Field([Project()], min_length=1)
    instances: list[str] = Field([constants.INSTANCE_ID], min_length=1)
    datasources: list[DatasourceConfig] = []
    switches: Switches = Switches()
    # For people, and not read: `airflow fdi doctor` writes its findings beside the switches.
    report: Any = None


def config_from_dict(raw: dict[str, Any]) -> Config:
    """Read a configuration. Raises ValueError naming what is wrong."""
    try:
        file = _File.model_validate(raw)
    except ValidationError as error:
        raise ValueError(explain(error.errors())) from None
    return Config(
        **dict(file.credentials),
        projects=file.projects,
        instances=file.instances,
        datasources=file.datasources,
        switches=file.switches.model_dump(exclude_unset=True),
    )


def load_config(path: str | os.PathLike[str]) -> Config:
    """Read a JSON or TOML file (by its suffix). Raises ValueError or OSError."""
    file = Path(path)
    text = file.read_text(encoding="utf-8")
    toml = file.suffix.lower() == ".toml"
    if toml and tomllib is None:
        raise ValueError("TOML needs Python 3.11 or the package tomli; use JSON instead")
    try:
        raw = tomllib.loads(text) if toml else json.loads(text)
    except ValueError as error:
        raise ValueError(f"this is not {'TOML' if toml else 'JSON'}: {error}") from None
    if not isinstance(raw, dict):
        raise ValueError("the configuration must be an object")
    return config_from_dict(raw)
