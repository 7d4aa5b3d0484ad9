"""Writing the tasks of an instance to files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from airflow_provider_fdi import validation
from airflow_provider_fdi.client.client import FdiClient
from airflow_provider_fdi.client.enums import TaskStatus
from airflow_provider_fdi.client.errors import FdiArgumentError
from airflow_provider_fdi.client.models import Schedule, Task
from airflow_provider_fdi.client.secrets import is_secret_name, mask_urls
from airflow_provider_fdi.constants import OPERATION_TYPES
from airflow_provider_fdi.declarations.actual import (
    MAX_PARALLEL_REQUESTS,
    Actual,
    ActualTask,
    OnProgress,
    read_all,
)
from airflow_provider_fdi.declarations.differences import actual_columns, detail_of, time_text
from airflow_provider_fdi.declarations.ids import with_names
from airflow_provider_fdi.declarations.leaves import (
    SERVICES_OWN,
    holds_secret,
    is_masked,
    is_secret_text,
    plain_key,
)
from airflow_provider_fdi.declarations.model import Problem
from airflow_provider_fdi.declarations.references import escape_all, json_inside
from airflow_provider_fdi.declarations.text import write
from airflow_provider_fdi.exceptions import FdiDeclarationError

_REQUEST_KEYS = (
    "sourceSelectedDatasource",
    "targetSelectedDatasource",
    "mappingTable",
    "mappingTableProperties",
    "mappingSourceTextOrNot",
    "mappingInput",
    "mappingRequired",
    "error_handler",
    "afterImplementation",
)
"""The keys at the top of a ``task_detail`` as requests have them; answers may spell them differently."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    :param tasks: names of the tasks
    :param variables: the variables that the files refer to, because secrets are left out
    :param notes: what somebody should look at, a sentence each
    """

    files: tuple[Path, ...] = ()
    tasks: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def export(
    client: FdiClient,
    directory: Path,
    *,
    name_pattern: str | None = None,
    overwrite: bool = False,
    max_parallel_requests: int = MAX_PARALLEL_REQUESTS,
    on_progress: OnProgress | None = None,
) -> Exported:
    """Write a file for each task, ``tasks/NAME.yaml`` in ``directory``.

    :param name_pattern: only tasks whose name matches it, as in a shell: ``orders-*``
    :param overwrite: replace files that are there

    :raises FdiDeclarationError: a file is there, and ``overwrite`` is not set; nothing is written.
    :raises FdiError: a request failed; nothing is written.
    """

    def is_meant(task: Task) -> bool:
        return name_pattern is None or fnmatchcase(task.task_name or "", name_pattern)

    actual = read_all(client, is_meant, max_parallel_requests=max_parallel_requests, on_progress=on_progress)
    writing = _Writing(actual)
    for name, tasks in sorted(actual.tasks.items()):
        if tasks[0].shown is not None:
            writing.add(name, tasks)
    folder = directory / "tasks"
    files = {folder / f"{name}.yaml": text for name, text in writing.texts.items()}
    there = [path for path in files if path.exists()]
    if there and not overwrite:
        rule = "is there already, and would be replaced"
        raise FdiDeclarationError.of(Problem(str(path), None, "", rule) for path in there)
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    return Exported(
        tuple(files), tuple(writing.texts), tuple(sorted(writing.variables)), tuple(writing.notes)
    )


@dataclass
class _Writing:
    """The texts of the files, by the names of the tasks."""

    actual: Actual
    texts: dict[str, str] = field(default_factory=dict)
    variables: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, tasks: tuple[ActualTask, ...]) -> None:
        """Write down the task of this name, or say why that is not possible."""
        if len(tasks) > 1:
            self.notes.append(f"{name}: {len(tasks)} tasks have this name, and none of them is exported.")
            return
        task = tasks[0]
        try:
            validation.task_name("name", name)
        except FdiArgumentError as error:
            self.notes.append(f"{name}: not exported, because its name {error.rule.splitlines()[0]}.")
            return
        detail = detail_of(task)
        if task.kind != "composite" and not isinstance(detail, dict):
            self.notes.append(f"{name}: not exported, because its task_detail is not a JSON object.")
            return
        self.texts[name] = write({"tasks": [self._task(name, task, detail)]})

    def _task(self, name: str, task: ActualTask, detail: Any) -> dict[str, Any]:
        shown = task.shown or task.listed
        found: dict[str, Any] = {"name": name, "kind": task.kind}
        for side in ("source", "target"):
            found[side] = self._datasource(name, side, shown)
        if shown.description:
            found["description"] = shown.description
        if shown.task_tag:
            found["tag"] = shown.task_tag
        if task.kind == "composite":
            found |= self._composite(name, task)
        else:
            found["detail"] = self._detail(name, detail)
        if task.schedule is not None:
            found["schedule"] = _schedule(task.schedule)
        found["started"] = task.listed.status == TaskStatus.RUNNING
        if found["started"] and task.kind == "timing" and task.schedule is None:
            self.notes.append(f"{name}: it is started without a schedule; give it one, or started: false.")
        return _escaped_texts(found)

    def _datasource(self, name: str, side: str, shown: Task) -> str:
        known = getattr(shown, f"{side}_datasource_id")
        found = self.actual.datasource_name(known)
        if not found:
            self.notes.append(f"{name}: its {side} is not among the data sources of the instance.")
        return found or getattr(shown, f"{side}_datasource_name") or known or "unknown"

    def _composite(self, name: str, task: ActualTask) -> dict[str, Any]:
        self.notes.append(
            f"{name}: FDI does not tell the operation_types of a composite task; all three are in the file."
        )
        found: dict[str, Any] = {"operation_types": list(OPERATION_TYPES)}
        server_id = next((row.server_id for row in task.mappings if row.server_id), None)
        if server_id:
            found["server_id"] = server_id
        found["mappings"] = [
            {"source_table": row.source_table, "target_table": row.target_table, **actual_columns(row)}
            for row in task.mappings
        ]
        return found

    # What task_detail holds

    def _detail(self, name: str, detail: Mapping[str, Any]) -> dict[str, Any]:
        spelled = {plain_key(key): key for key in _REQUEST_KEYS}
        kept = {
            spelled.get(plain_key(key), key): value
            for key, value in detail.items()
            if plain_key(key) not in SERVICES_OWN
        }
        before = len(self.variables)
        found: dict[str, Any] = self._without_secrets(name, with_names(kept, self.actual), (), False)
        if len(self.variables) > before:
            self.notes.append(f"{name}: its secrets are left out; the file has references to variables.")
        return found

    def _without_secrets(self, name: str, value: Any, path: tuple[str, ...], secret: bool) -> Any:
        """``value``, which is a template, with references in the place of its secrets."""
        if isinstance(value, dict):
            named = (str(value["keys"]),) if value.get("keys") else ()
            return {
                key: self._without_secrets(
                    name, item, (*path, *named, key), secret or holds_secret(value, key)
                )
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._without_secrets(name, item, path, secret) for item in value]
        if isinstance(value, str):
            if is_masked(value) or (secret and is_secret_text(value)):
                return self._reference(name, path)
            inside = json_inside(value)
            if inside is not None:
                clean = self._without_secrets(name, inside, path, secret)
                return value if clean == inside else json.dumps(clean, ensure_ascii=False)
            if mask_urls(value, "") != value:
                return mask_urls(value, self._reference(name, path))
            return value
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return self._reference(name, path) if secret and number else value

    def _reference(self, name: str, path: tuple[str, ...]) -> str:
        words = [name, *([path[-2]] if path[-1:] == ("value",) and len(path) > 1 else path[-1:])]
        variable = re.sub(r"[^A-Z0-9]+", "_", "_".join(words).upper()).strip("_")
        if not is_secret_name(variable):
            variable += "_SECRET"
        number = 2
        unique = variable
        while unique in self.variables:
            unique, number = f"{variable}_{number}", number + 1
        self.variables.add(unique)
        return f"${{{unique}}}"


def _schedule(found: Schedule) -> dict[str, Any]:
    by_cron = found.use_quartz_cron or (found.use_quartz_cron is None and found.cron)
    fields: dict[str, Any] = (
        {"cron": found.cron, "timezone": found.cron_timezone}
        if by_cron
        else {"every": found.dispatch_interval, "period": found.period}
    )
    fields["start"] = None if found.start_time is None else time_text(found.start_time)
    fields["remark"] = found.remark or None
    return {key: value for key, value in fields.items() if value is not None}


def _escaped_texts(task: dict[str, Any]) -> dict[str, Any]:
    """The task with its texts as templates; the detail is one already."""
    return {key: value if key == "detail" else escape_all(value) for key, value in task.items()}
