"""Wrong files: each error names file, line, field and rule, and what was probably meant."""

# ruff: noqa: E501 - a mistake is a line of the table

from __future__ import annotations

import pytest

from airflow_provider_fdi.declarations.files import load
from airflow_provider_fdi.exceptions import FdiDeclarationError

HEAD = "tasks:\n  - name: orders\n    source: shop\n    target: dwh\n"
TASK = HEAD + "    detail: {a: b}\n"
SHORT = (
    HEAD + "    table_to_table:\n      source_table: a.b\n      target_table: c.d\n      columns: [id, x]\n"
)
MULTI = HEAD + "    kind: composite\n    operation_types: [INSERT]\n"
ENVIRONMENT = "environment:\n  managed_tag: team-a\n"

MISTAKES = {
    # name: (text, line, field, words of the rule, words of the suggestion)
    "nothing in it": ("", 1, "", "is empty", ""),
    "a list": ("- name: orders\n", 1, "", "must be an object with tasks", "Write 'tasks:'"),
    "a text": ("orders\n", 1, "", "must be an object with tasks", ""),
    "neither": ("{}\n", 1, "", "has neither tasks nor environment", ""),
    "no YAML": ("tasks: [a\nb: c\n", 2, "", "is not YAML", ""),
    "a tab": ("tasks:\n\t- name: a\n", 2, "", "is not YAML", ""),
    "a key twice": (TASK + "    target: other\n", 6, "", "has 'target' twice", ""),
    "an unknown top": ("taks: []\n", 1, "taks", "is not a known field", "Did you mean 'tasks'?"),
    "no list of tasks": ("tasks: {a: b}\n", 1, "tasks", "must be a list, is an object", "'- '"),
    "a task that is text": ("tasks:\n  - orders\n", 2, "tasks[0]", "must have fields, is text", ""),
    "no name": (TASK.replace("- name: orders\n   ", "-"), 2, "tasks[0].name", "is missing", ""),
    "a short name": (TASK.replace("orders", "ab"), 2, "tasks[0].name", "must have 3 to 100 characters", ""),
    "a blank in a name": (TASK.replace("orders", "my orders"), 2, "tasks[0].name", "must not contain ' '", "Allowed"),
    "a name that begins wrongly": (TASK.replace("orders", "-orders"), 2, "tasks[0].name", "must begin with", ""),
    "a name that is a number": (TASK.replace("orders", "12345"), 2, "tasks[0].name", "must be a string", ""),
    "no source": (TASK.replace("    source: shop\n", ""), 2, "tasks[0].source", "is missing", ""),
    "a misspelt field": (TASK + "    descripton: x\n", 6, "tasks[0].descripton", "is not a known field", "'description'"),
    "FDI's own name": (TASK + "    task_tag: abcd\n", 6, "tasks[0].task_tag", "is not a known field", "'tag'"),
    "something unknown": (TASK + "    zzzzzz: 1\n", 6, "tasks[0].zzzzzz", "is not a known field", "Known are name"),
    "a kind": (TASK + "    kind: cdc\n", 6, "tasks[0].kind", "must be one of timing, realtime, composite", "'realtime'"),
    "a misspelt kind": (TASK + "    kind: compositt\n", 6, "tasks[0].kind", "must be one of", "'composite'"),
    "a tag": (TASK + "    tag: a b\n", 6, "tasks[0].tag", "must be 4 to 64 letters", ""),
    "a tag beside the managed one": (
        TASK + "    tag: mine\n" + ENVIRONMENT, 6, "tasks[0].tag", "must not be set", "FDI has one tag",
    ),
    "a long description": (TASK + f"    description: {'x' * 1025}\n", 6, "tasks[0].description", "characters", ""),
    "yes": (TASK + "    started: yes\n", 6, "tasks[0].started", "must be True or False", ""),
    "started without a schedule": (TASK + "    started: true\n", 2, "tasks[0]", "must have a schedule", ""),
    "no detail": (HEAD, 2, "tasks[0]", "must have either detail or table_to_table", ""),
    "both details": (SHORT + "    detail: {}\n", 2, "tasks[0]", "must have either detail or table_to_table", ""),
    "a list as detail": (HEAD + "    detail: [a]\n", 5, "tasks[0].detail", "must be an object", ""),
    "a detail that is not there": (HEAD + "    detail: x.json\n", 5, "tasks[0].detail", "path of a file", "There is no"),
    "JSON text as detail": (HEAD + "    detail: '{}'\n", 5, "tasks[0].detail", "must be an object", ""),
    "a secret in clear": (
        HEAD + "    detail:\n      a:\n        password: hunter2\n", 7, "tasks[0].detail.a.password",
        "is a secret in clear", "Write a reference",
    ),
    "a header in clear": (
        HEAD + "    detail:\n      h:\n        - keys: Authorization\n          value: hunter2\n", 8,
        "tasks[0].detail.h[0].value", "is a secret in clear", "Write a reference",
    ),
    "a secret in an address": (
        HEAD + "    detail:\n      url: http://h/?token=hunter2\n", 6, "tasks[0].detail.url", "is a secret in clear", "",
    ),
    "a secret that is a number": (
        HEAD + "    detail: {pwd: 4711}\n", 5, "tasks[0].detail.pwd", "is a secret in clear", "",
    ),
    "a secret in a description": (
        TASK + "    description: ${API_TOKEN}\n", 6, "tasks[0].description", "refers to a secret", "",
    ),
    "an unknown variable": (
        TASK + "    description: ${SCHEMAA}\nenvironment:\n  variables: {SCHEMA: a}\n", 6, "tasks[0].description",
        "refers to ${SCHEMAA}, which is not set", "Did you mean ${SCHEMA}?",
    ),
    "an unknown variable in a detail": (
        HEAD + "    detail:\n      t: a.${NOTHING}\n", 6, "tasks[0].detail.t", "refers to ${NOTHING}", "$${",
    ),
    "no way of a schedule": (TASK + "    schedule: {remark: x}\n", 6, "tasks[0].schedule", "must have cron, or", ""),
    "two ways of a schedule": (
        TASK + "    schedule: {cron: '@daily', every: 1, period: DAY}\n", 6, "tasks[0].schedule", "not by both", "",
    ),
    "half a schedule": (TASK + "    schedule: {every: 1}\n", 6, "tasks[0].schedule", "must have period too", ""),
    "a zone without cron": (
        TASK + "    schedule: {every: 1, period: DAY, timezone: UTC}\n", 6, "tasks[0].schedule", "without cron", "",
    ),
    "an interval": (
        TASK + "    schedule:\n      every: 60\n      period: MIN\n", 7, "tasks[0].schedule.every", "from 1 to 59", "",
    ),
    "a period": (
        TASK + "    schedule:\n      every: 6\n      period: hourly\n", 8, "tasks[0].schedule.period",
        "must be one of MIN", "'HOUR'",
    ),
    "a cron": (TASK + "    schedule:\n      cron: 1 2 3\n", 7, "tasks[0].schedule.cron", "", ""),
    "a start": (TASK + "    schedule: {cron: '@daily', start: soon}\n", 6, "tasks[0].schedule.start", "is not a time", ""),
    "FDI's interval": (
        TASK + "    schedule: {dispatch_interval: 1, period: DAY}\n", 6, "tasks[0].schedule.dispatch_interval",
        "is not a known field", "'every'",
    ),
    "a schedule of a stream": (
        TASK + "    kind: realtime\n    schedule: {cron: '@daily'}\n", 2, "tasks[0]", "only a timing one has", "",
    ),
    "mappings of a common task": (TASK + "    mappings: []\n", 2, "tasks[0]", "only a composite one has", "composite?"),
    "a composite task with detail": (MULTI + "    detail: {}\n", 2, "tasks[0]", "has no detail", "Give mappings"),
    "a composite task without mappings": (MULTI, 2, "tasks[0]", "must have mappings or auto_mapping", ""),
    "no operations": (HEAD + "    kind: composite\n    mappings: []\n", 2, "tasks[0]", "must have operation_types", ""),
    "an operation": (
        MULTI.replace("INSERT", "ADD") + "    mappings: []\n", 6, "tasks[0].operation_types", "must be of INSERT", "'INSERT'",
    ),
    "a table": (
        MULTI + "    mappings:\n      - source_table: a.b-c\n        target_table: x.y\n", 8,
        "tasks[0].mappings[0].source_table", "must not contain '-' or '#'", "does not support",
    ),
    "half a mapping": (
        MULTI + "    mappings:\n      - source_table: a.b\n", 8, "tasks[0].mappings[0].target_table", "is missing", "",
    ),
    "no columns": (SHORT.replace("[id, x]", "[]"), 8, "tasks[0].table_to_table.columns", "must not be empty", ""),
    "a column that is not there": (
        SHORT + "      mapping: {idd: id}\n", 5, "tasks[0].table_to_table", "no such column", "Did you mean 'id'?",
    ),
    "a mapping that is text": (
        SHORT + "      mapping: id\n", 9, "tasks[0].table_to_table.mapping", "must map columns to columns", "",
    ),
    "an order": (
        SHORT + "      order_type: down\n", 9, "tasks[0].table_to_table.order_type", "must be one of ASC, DESC", "",
    ),
    "the same name twice": (TASK + TASK.removeprefix("tasks:\n"), 6, "name", "'orders' is declared already in", ""),
    "a secret of an environment": (
        "environment:\n  variables:\n    DB_PASSWORD: hunter2\n", 3, "environment.variables.DB_PASSWORD",
        "is a secret in clear", "variable of the process",
    ),
    "an unknown field of an environment": (
        "environment:\n  managed_tags: abcd\n", 2, "environment.managed_tags", "is not a known field", "'managed_tag'",
    ),
    "a list as variable": (
        "environment:\n  variables:\n    A: [1]\n", 3, "environment.variables.A", "must be text, a number", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_wrong_file_is_explained(tmp_path, name):
    text, line, field, rule, suggestion = MISTAKES[name]
    path = tmp_path / "tasks.yaml"
    path.write_text(text)
    with pytest.raises(FdiDeclarationError) as caught:
        load([tmp_path], environment={})
    found = caught.value.problems[0]
    assert (found.file, found.line, found.field) == (str(path), line, field)
    assert rule in found.rule and suggestion in found.suggestion
    assert found.rule
    assert "hunter2" not in str(caught.value)
    assert f"{path}:{line}" in str(caught.value)


def test_there_are_more_than_fifty_of_them():
    assert len(MISTAKES) > 50


def test_all_mistakes_of_all_files_are_reported_at_once(tmp_path):
    (tmp_path / "a.yaml").write_text(TASK + "    kind: timming\n    started: maybe\n")
    (tmp_path / "b.json").write_text('{\n\t"tasks": [\n\t\t{"nam": "x"}]}')
    (tmp_path / "c.yml").write_text("tasks: [a\nb: c\n")
    with pytest.raises(FdiDeclarationError) as caught:
        load([tmp_path, tmp_path / "gone.yaml"], environment={})
    found = {
        (problem.file.rsplit("/", 1)[1], problem.line, problem.field) for problem in caught.value.problems
    }
    assert found >= {
        ("a.yaml", 6, "tasks[0].kind"),
        ("a.yaml", 7, "tasks[0].started"),
        ("b.json", 3, "tasks[0].nam"),
        ("b.json", 3, "tasks[0].name"),
        ("c.yml", 2, ""),
        ("gone.yaml", None, ""),
    }


def test_two_environments_are_refused(tmp_path):
    for name in ("test", "production"):
        (tmp_path / f"{name}.yaml").write_text(ENVIRONMENT)
    with pytest.raises(FdiDeclarationError, match="is the second environment"):
        load([tmp_path], environment={})


def test_a_detail_may_stand_in_a_file_of_its_own(tmp_path):
    (tmp_path / "orders.json").write_text('{"a": "${SCHEMA}.b"}')
    (tmp_path / "tasks.yaml").write_text(HEAD + "    detail: orders.json\n")
    (task,) = load([tmp_path], {"SCHEMA": "shop"}, environment={}).tasks
    assert task.detail == {"a": "shop.b"}


def test_yaml_has_no_surprises(tmp_path):
    (tmp_path / "tasks.yaml").write_text(
        HEAD + "    detail: {a: no, b: 12:30, c: 2026-01-01, d: 010, e: 1e3, f: '$${x}', g: true, h: 7}\n"
    )
    (task,) = load([tmp_path], environment={}).tasks
    assert task.detail == {
        "a": "no", "b": "12:30", "c": "2026-01-01", "d": "010", "e": "1e3", "f": "$${x}", "g": True, "h": 7,
    }  # fmt: skip


def test_a_variable_of_the_call_comes_before_the_environments_and_the_process(tmp_path):
    (tmp_path / "e.yaml").write_text("environment:\n  variables: {A: file, B: file}\n")
    (tmp_path / "t.yaml").write_text(HEAD + "    detail: {x: '${A} ${B} ${C}'}\n")
    (task,) = load([tmp_path], {"A": "call"}, environment={"A": "p", "B": "p", "C": "p"}).tasks
    assert task.detail == {"x": "call file p"}


def test_the_json_schema_accepts_what_load_accepts():
    from jsonschema import Draft202012Validator
    from yaml import safe_load

    from airflow_provider_fdi.declarations.schema import json_schema

    Draft202012Validator.check_schema(json_schema())
    validator = Draft202012Validator(json_schema())
    multi = MULTI + "    mappings:\n      - {source_table: a.b, target_table: c.d}\n"
    for text in (TASK + ENVIRONMENT, SHORT, multi):
        assert list(validator.iter_errors(safe_load(text))) == []
    assert list(validator.iter_errors(safe_load(TASK + "    zzz: 1\n")))
