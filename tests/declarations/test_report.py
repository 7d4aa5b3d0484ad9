"""A plan, and what became of it, as people read them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_fdi.declarations.apply import Applied
from airflow_provider_fdi.declarations.model import Declarations
from airflow_provider_fdi.declarations.plan import FieldChange, Plan, TaskChange
from airflow_provider_fdi.declarations.report import (
    LONGEST_VALUE,
    applied_lines,
    outcome_lines,
    plan_lines,
    text_of,
)

CREATE = TaskChange(
    "create", "orders", "timing", fields=(FieldChange("tag", None, "team-a"),), steps=("create", "start")
)
UPDATE = TaskChange(
    "update",
    "customers",
    "timing",
    "0123",
    fields=(FieldChange("description", "Kunden", "Customers"),),
    steps=("stop", "update", "start"),
    file="tasks/customers.yaml",
    line=3,
)
DELETE = TaskChange("delete", "old", "composite", "4567", steps=("delete",))
REFUSED = TaskChange("update", "secret", "timing", "89ab", problem="The file has no reference to a secret")


def lines(**fields: Any) -> list[str]:
    return [text_of(line) for line in plan_lines(Plan(**fields))]


def test_an_empty_plan_is_one_line() -> None:
    assert lines(unchanged=("a", "b")) == ["No changes: 2 tasks as the files say."]


def test_a_change_names_file_and_line_both_values_and_the_steps() -> None:
    assert lines(changes=(UPDATE,), unchanged=("a",)) == [
        "~ update customers (timing)  tasks/customers.yaml:3",
        '    description: "Kunden" -> "Customers"',
        "    steps: stop, update, start",
        "The files are right: applied, they set back what FDI has (left) to theirs (right).",
        "Plan: 1 to update; 1 task unchanged.",
    ]


def test_the_last_line_counts_what_is_to_be_done() -> None:
    assert lines(changes=(CREATE, UPDATE, REFUSED, DELETE))[-1] == (
        "Plan: 1 to create, 1 to update, 1 to delete, 1 that cannot be made; 0 tasks unchanged."
    )


def test_a_change_that_cannot_be_made_says_why() -> None:
    assert "    cannot be made: The file has no reference to a secret" in lines(changes=(REFUSED,))


def test_a_task_that_could_not_be_compared_is_no_update() -> None:
    change = TaskChange("none", "odd", "timing", problem="Two tasks have this name")
    assert lines(changes=(change,)) == [
        "! odd (timing)",
        "    cannot be made: Two tasks have this name",
        "Plan: 1 that cannot be made; 0 tasks unchanged.",
    ]


def test_what_pruning_would_delete_is_said_without_it() -> None:
    declared = Declarations(managed_tag="team-a")
    assert lines(not_declared=("old",), declarations=declared)[0] == (
        "In no file, but with the tag 'team-a', so that pruning would delete them: old"
    )
    assert len(lines(changes=(DELETE,), not_declared=("old",), declarations=declared)) == 2


@pytest.mark.parametrize("common", [0, 40, 500])
def test_long_values_are_cut_where_they_differ(common: int) -> None:
    texts = [f"{'x' * common}{word}{'y' * 500}" for word in ("before", "after")]
    change = TaskChange("update", "a", "timing", fields=(FieldChange("detail.sql", *texts),))

    left, right = lines(changes=(change,))[1].removeprefix("    detail.sql: ").split(" -> ")

    assert len(left) <= LONGEST_VALUE
    assert len(right) <= LONGEST_VALUE
    assert "before" in left
    assert "after" in right


def test_what_the_service_sends_cannot_control_a_terminal() -> None:
    change = TaskChange("update", "a\x1b[2J", "timing", fields=(FieldChange("tag", "\x1b[2J", None),))
    assert "\x1b" not in "".join(lines(changes=(change,)))


def test_the_outcome_says_what_failed_and_what_is_left() -> None:
    done = Applied(CREATE, ("create", "start"))
    failed = Applied(UPDATE, ("stop",), "The task is running (FDI.3027)\nStop it first.")

    assert [text_of(line) for line in applied_lines(done)] == ["created orders"]
    assert [text_of(line) for line in applied_lines(failed)] == [
        "failed customers: The task is running (FDI.3027) (done before that: stop)",
        "    Stop it first.",
    ]
    assert [text_of(line) for line in outcome_lines((CREATE, UPDATE, DELETE), [done, failed])] == [
        "Applied 1 of 3 changes: 1 created.",
        "Failed: customers",
        "Not begun: old",
    ]
