"""Reading declarations from YAML and JSON files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from airflow_provider_fdi.client.errors import FdiArgumentError
from airflow_provider_fdi.client.secrets import is_secret_name
from airflow_provider_fdi.declarations import schema
from airflow_provider_fdi.declarations.leaves import clear_secrets, is_secret_reference, template
from airflow_provider_fdi.declarations.mistakes import problem, problems_of
from airflow_provider_fdi.declarations.model import (
    Declarations,
    Problem,
    ScheduleDeclaration,
    TaskDeclaration,
)
from airflow_provider_fdi.declarations.references import escape_all, substitute_all
from airflow_provider_fdi.declarations.short_form import detail_of
from airflow_provider_fdi.declarations.text import Document, NotReadable, read
from airflow_provider_fdi.declarations.text import Path as Place
from airflow_provider_fdi.exceptions import FdiDeclarationError
from airflow_provider_fdi.validation import nearest

SUFFIXES = (".yaml", ".yml", ".json")


def load(
    paths: Sequence[Path],
    variables: Mapping[str, str] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
) -> Declarations:
    """The declarations in files and folders (``.yaml``, ``.yml``, ``.json``, at any depth).

    ``${NAME}`` is taken from ``variables``, else from the environment file (the one file with an
    ``environment``), else from ``environment``, which is the process's own by default. A secret may be
    missing: it is needed only when the task is written.

    :raises FdiDeclarationError: anything is wrong; names every mistake in all files.
    """
    reading = _Reading()
    for path in paths:
        reading.add(Path(path))
    process = os.environ if environment is None else environment
    declarations = reading.declarations(variables or {}, process)
    if reading.problems:
        raise FdiDeclarationError.of(sorted(set(reading.problems), key=_place))
    return declarations


def _place(found: Problem) -> tuple[str, int, str]:
    return found.file, found.line or 0, found.field


@dataclass
class _File:
    """A file that was read, before and after its references are replaced."""

    path: Path
    name: str
    document: Document
    # Found in a folder, not named itself.
    scanned: bool
    tasks: list[Any] = field(default_factory=list)
    # By the index of the task.
    details: dict[int, dict[str, Any]] = field(default_factory=dict)
    detail_files: set[Path] = field(default_factory=set)


@dataclass
class _Reading:
    """One call of ``load``."""

    files: dict[Path, _File] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, path: Path) -> None:
        """Read a file, or all files of a folder."""
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
            visible = [file for file in found if not _is_hidden(file.relative_to(path))]
            if not visible:
                self.problems.append(
                    Problem(str(path), None, "", f"is a folder without files ({', '.join(SUFFIXES)})")
                )
            for file in visible:
                self._add_file(file, scanned=True)
        elif not path.exists():
            others = [file.name for file in path.parent.glob("*")] if path.parent.is_dir() else []
            meant = nearest(path.name, others)
            suggestion = f"Did you mean {path.with_name(meant)}?" if meant else ""
            self.problems.append(Problem(str(path), None, "", "does not exist", suggestion))
        elif path.suffix not in SUFFIXES:
            rule = f"is not a file of declarations: its name must end in {', '.join(SUFFIXES)}"
            self.problems.append(Problem(str(path), None, "", rule))
        else:
            self._add_file(path, scanned=False)

    def _add_file(self, path: Path, *, scanned: bool) -> None:
        key = path.resolve()
        if key in self.files:
            self.files[key].scanned &= scanned
            return
        document = self._read(path)
        if document is not None:
            self.files[key] = _File(path, str(path), document, scanned)

    def _read(self, path: Path) -> Document | None:
        try:
            return read(path.read_text(encoding="utf-8"), is_json=path.suffix == ".json")
        except NotReadable as error:
            self.problems.append(Problem(str(path), error.line, "", error.rule))
        except UnicodeDecodeError:
            self.problems.append(Problem(str(path), None, "", "is not UTF-8"))
        except OSError as error:
            self.problems.append(Problem(str(path), None, "", f"cannot be read: {error.strerror}"))
        return None

    def declarations(self, variables: Mapping[str, str], process: Mapping[str, str]) -> Declarations:
        """What all files declare."""
        environment = self._environment()
        known = {**process, **environment.variables, **variables}
        for file in self.files.values():
            self._replace(file, known)
        self._leave_out_details()
        tasks: list[TaskDeclaration] = []
        for file in self.files.values():
            tasks += self._tasks(file, environment.managed_tag)
        self._refuse_twice(tasks)
        return Declarations(tuple(tasks), environment.managed_tag, tuple(environment.ignore), known)

    # The environment file

    def _environment(self) -> schema.Environment:
        found = schema.Environment()
        first = ""
        for file in self.files.values():
            data = file.document.data
            if not isinstance(data, dict) or data.get("environment") is None:
                continue
            if first:
                rule = f"is the second environment, after that of {first}"
                self._report(file, ("environment",), rule, "Give the file of one environment only.")
                continue
            first = file.name
            try:
                found = schema.Environment.model_validate(data["environment"])
            except ValidationError as error:
                self.problems += problems_of(error, file.name, file.document, ("environment",))
            for name in found.variables:
                if is_secret_name(name):
                    rule = "is a secret in clear"
                    advice = "Set it as a variable of the process, such as a secret of the CI."
                    self._report(file, ("environment", "variables", name), rule, advice)
        return found

    # References

    def _replace(self, file: _File, known: Mapping[str, str]) -> None:
        """Replace the references of a file's tasks, but those to secrets, and read the files of details."""
        data = file.document.data
        rows = data.get("tasks") if isinstance(data, dict) else None
        for index, row in enumerate(rows if isinstance(rows, list) else ()):
            at: Place = ("tasks", index)
            if not isinstance(row, dict):
                file.tasks.append(row)
                continue
            plain = {key: value for key, value in row.items() if key != "detail"}
            task = self._replaced(file, at, plain, known)
            detail = row.get("detail")
            if isinstance(detail, str):
                detail = self._replaced(file, (*at, "detail"), detail, known)
            if detail is not None:
                task["detail"] = detail
                self._note_detail(file, index, detail, known)
            file.tasks.append(task)

    def _replaced(self, file: _File, at: Place, value: Any, known: Mapping[str, str]) -> Any:
        if isinstance(value, dict):
            return {key: self._replaced(file, (*at, key), item, known) for key, item in value.items()}
        if isinstance(value, list):
            return [self._replaced(file, (*at, i), item, known) for i, item in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value

        def lookup(name: str) -> str:
            if is_secret_reference(name):
                rule = f"refers to a secret, ${{{name}}}, which is possible in detail only"
                self._report(file, at, rule)
            elif name not in known:
                self._report(file, at, *_unknown(name, known))
            return known.get(name, name)

        return substitute_all(value, lookup)

    def _note_detail(self, file: _File, index: int, detail: Any, known: Mapping[str, str]) -> None:
        """Find a task's detail, inline or in a file of its own; check it, and replace its references."""
        at: Place = ("tasks", index, "detail")
        name, document, start = file.name, file.document, at
        if isinstance(detail, str):
            path = file.path.parent / detail
            if path.suffix not in SUFFIXES or not path.is_file():
                rule = "must be an object, or the path of a file that exists beside this one"
                self._report(file, at, rule, f"There is no {path}." if path.suffix in SUFFIXES else "")
                return
            found = self._read(path)
            if found is None:
                return
            name, document, start, detail = str(path), found, (), found.data
            file.detail_files.add(path.resolve())
        if not isinstance(detail, dict):
            rule = "must be an object, FDI's task_detail, or the path of a file with it"
            self.problems.append(problem(name, document, start, rule))
            return
        for clear in clear_secrets(detail):
            rule = "is a secret in clear"
            advice = "Write a reference such as ${API_PASSWORD}, and set the variable where FDI is called."
            self.problems.append(problem(name, document, (*start, *clear), rule, advice))

        def unknown(path: Place, reference: str) -> None:
            found = problem(name, document, (*start, *path), *_unknown(reference, known))
            self.problems.append(found)

        file.details[index] = template(detail, known, unknown)

    def _leave_out_details(self) -> None:
        """Files that hold a detail declare nothing themselves, although they are in the folder."""
        used = set().union(*(file.detail_files for file in self.files.values()))
        for path in used:
            if path in self.files and self.files[path].scanned:
                del self.files[path]

    # Tasks

    def _tasks(self, file: _File, managed_tag: str | None) -> Iterator[TaskDeclaration]:
        data = file.document.data
        if not isinstance(data, dict):
            rule = "must be an object with tasks or environment"
            advice = "Write 'tasks:' above the list." if isinstance(data, list) else ""
            self._report(file, (), "is empty" if data is None else rule, advice)
            return
        if not isinstance(data.get("tasks"), list):
            self._validate(file, data)
            return
        self._validate(file, {**data, "tasks": file.tasks})
        # Although a file has mistakes, its other tasks are read, because they may have mistakes too.
        for index, row in enumerate(file.tasks):
            try:
                task = schema.Task.model_validate(row)
            except ValidationError:
                continue
            if managed_tag is not None and task.tag not in (None, managed_tag):
                rule = (
                    f"must not be set: the environment's managed_tag {managed_tag!r} is the tag of all tasks"
                )
                self._report(file, ("tasks", index, "tag"), rule, "FDI has one tag for each task.")
            detail = self._detail(file, index, task)
            if task.kind == "composite" or detail is not None:
                yield _declared(file, index, task, detail, managed_tag)

    def _validate(self, file: _File, data: dict[str, Any]) -> None:
        # The environment was checked already.
        rows = {key: value for key, value in data.items() if key != "environment" or "tasks" not in data}
        try:
            schema.File.model_validate(rows)
        except ValidationError as error:
            found = problems_of(error, file.name, file.document)
            self.problems += [one for one in found if not one.field.startswith("environment")]

    def _detail(self, file: _File, index: int, task: schema.Task) -> dict[str, Any] | None:
        if task.table_to_table is None:
            return file.details.get(index)
        try:
            found: dict[str, Any] = escape_all(detail_of(task.table_to_table))
            return found
        except FdiArgumentError as error:
            rule = f"{error.field}: {error.rule}"
            self._report(file, ("tasks", index, "table_to_table"), rule)
            return None

    def _refuse_twice(self, tasks: Sequence[TaskDeclaration]) -> None:
        first: dict[str, TaskDeclaration] = {}
        for task in tasks:
            other = first.setdefault(task.name, task)
            if other is not task:
                rule = f"is declared already in {other.file}, line {other.line}"
                self.problems.append(Problem(task.file, task.line, "name", f"{task.name!r} {rule}"))

    def _report(self, file: _File, path: Place, rule: str, suggestion: str = "") -> None:
        self.problems.append(problem(file.name, file.document, path, rule, suggestion))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _unknown(name: str, known: Mapping[str, str]) -> tuple[str, str]:
    """Rule and suggestion for a reference to nothing."""
    meant = nearest(name, known)
    advice = f"Did you mean ${{{meant}}}?" if meant else "Set it in the environment file or in the process."
    return f"refers to ${{{name}}}, which is not set", f"{advice} A plain ${{ is written $${{."


def _declared(
    file: _File, index: int, task: schema.Task, detail: dict[str, Any] | None, managed_tag: str | None
) -> TaskDeclaration:
    plan = task.schedule
    mappings = task.mappings
    return TaskDeclaration(
        name=task.name,
        kind=task.kind,
        source=task.source,
        target=task.target,
        description=task.description or "",
        tag=managed_tag or task.tag or "",
        detail=detail,
        mappings=None if mappings is None else tuple(m.model_dump(exclude_none=True) for m in mappings),
        operation_types=tuple(task.operation_types or ()),
        server_id=task.server_id,
        auto_mapping=task.auto_mapping,
        schedule=None
        if plan is None
        else ScheduleDeclaration(plan.cron, plan.timezone, plan.period, plan.every, plan.start, plan.remark),
        started=task.started,
        file=file.name,
        line=file.document.line(("tasks", index)),
    )
