"""A plan, and what became of it, as lines for people: for a terminal, and for the log of a task."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from airflow_provider_fdi.client.errors import clean_text, counted
from airflow_provider_fdi.declarations.apply import Applied
from airflow_provider_fdi.declarations.plan import FieldChange, Plan, TaskChange

Tone = Literal["", "create", "update", "delete", "problem", "muted"]
Line = tuple[tuple[str, Tone], ...]
"""A line in parts, each with what it is about; a terminal makes a colour of that."""

SIGNS: dict[str, str] = {"create": "+", "update": "~", "delete": "-", "none": "!"}
PAST: dict[str, str] = {
    "create": "created",
    "update": "updated",
    "delete": "deleted",
    "none": "left as it is",
}
LONGEST_VALUE = 72


def text_of(line: Line) -> str:
    """The line without its parts."""
    return "".join(text for text, _ in line)


def plan_lines(plan: Plan) -> Iterator[Line]:
    """A plan, change by change and field by field; the last line counts."""
    for change in plan.changes:
        yield from _change_lines(change)
    if any(change.action == "update" for change in plan.changes):
        yield (
            ("The files are right: applied, they set back what FDI has (left) to theirs (right).", "muted"),
        )
    for note in plan.notes:
        yield ((f"Note: {clean_text(note)}", "muted"),)
    if plan.not_declared and not any(change.action == "delete" for change in plan.changes):
        names = ", ".join(clean_text(name, 100) for name in plan.not_declared)
        tag = plan.declarations.managed_tag
        yield (
            (f"In no file, but with the tag {tag!r}, so that pruning would delete them: {names}", "muted"),
        )
    yield ((plan_summary(plan), "problem" if plan.problems else ""),)


def plan_summary(plan: Plan) -> str:
    """How many changes there are, in one line."""
    unchanged = f"{counted(len(plan.unchanged), 'task')} unchanged"
    if plan.is_empty:
        return f"No changes: {counted(len(plan.unchanged), 'task')} as the files say."
    counts = Counter("problem" if change.problem else change.action for change in plan.changes)
    parts = [f"{counts[action]:,} to {action}" for action in ("create", "update", "delete") if counts[action]]
    if counts["problem"]:
        parts.append(f"{counts['problem']:,} that cannot be made")
    return f"Plan: {', '.join(parts)}; {unchanged}."


def _change_lines(change: TaskChange) -> Iterator[Line]:
    tone: Tone = "problem" if change.problem or change.action == "none" else change.action
    verb = "" if change.action == "none" else f"{change.action} "
    place = f"{change.file}:{change.line}" if change.file and change.line else change.file
    where: Line = ((f"  {place}", "muted"),) if place else ()
    name = clean_text(change.task_name, 100)
    yield ((f"{SIGNS[change.action]} {verb}{name}", tone), (f" ({change.kind})", ""), *where)
    for field in change.fields:
        yield _field_line(field, change.action)
    for path in change.secrets:
        yield ((f"    {path}: a secret, written without being compared", "muted"),)
    if change.problem:
        yield ((f"    cannot be made: {clean_text(change.problem, 1000)}", "problem"),)
    elif change.steps and change.action != "delete":
        yield ((f"    steps: {', '.join(change.steps)}", "muted"),)
    for note in change.notes:
        yield ((f"    note: {clean_text(note, 1000)}", "muted"),)


def _field_line(field: FieldChange, action: str) -> Line:
    head = (f"    {field.path}: ", "")
    if action == "create":
        return (head, (_shown(field.declared), "create"))  # type: ignore[return-value]
    left, right = _beside(_shown_whole(field.actual), _shown_whole(field.declared))
    return (head, (left, "delete"), (" -> ", ""), (right, "create"))  # type: ignore[return-value]


def _shown_whole(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    return clean_text(text, 100_000)


def _shown(value: Any) -> str:
    return clean_text(_shown_whole(value), LONGEST_VALUE)


def _beside(left: str, right: str) -> tuple[str, str]:
    """Two texts, so cut that one sees where they differ."""
    same = next((i for i, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1]), 0)
    skipped = max(0, same - LONGEST_VALUE // 2) if max(len(left), len(right)) > LONGEST_VALUE else 0
    head = "…" if skipped else ""
    cut = [clean_text(head + text[skipped:], LONGEST_VALUE) for text in (left, right)]
    return cut[0], cut[1]


def applied_lines(applied: Applied) -> Iterator[Line]:
    """What became of one change; if it failed, why, and what to do."""
    change = applied.change
    name = clean_text(change.task_name, 100)
    if not applied.failure:
        tone: Tone = "problem" if change.action == "none" else change.action
        yield ((f"{PAST[change.action]} {name}", tone),)
        return
    done = f" (done before that: {', '.join(applied.done)})" if applied.done else ""
    cause, *more = applied.failure.splitlines()
    yield ((f"failed {name}", "problem"), (f": {clean_text(cause, 1000)}{done}", ""))
    for words in more:
        yield ((f"    {clean_text(words, 1000)}", "muted"),)


def outcome_lines(changes: Sequence[TaskChange], applied: Iterable[Applied]) -> Iterator[Line]:
    """What was done of a plan, and what is left, also when it was interrupted."""
    done = list(applied)
    failed = [each for each in done if each.failure]
    reached = {id(each.change) for each in done}
    left = [change for change in changes if id(change) not in reached]
    made = len(done) - len(failed)
    counts = Counter(each.change.action for each in done if not each.failure)
    parts = [
        f"{counts[action]:,} {PAST[action]}" for action in ("create", "update", "delete") if counts[action]
    ]
    summary = f"Applied {made:,} of {counted(len(changes), 'change')}"
    yield ((summary + (f": {', '.join(parts)}." if parts else "."), "problem" if failed or left else ""),)
    if failed:
        yield (("Failed: " + _names(each.change for each in failed), "problem"),)
    if left:
        yield (("Not begun: " + _names(left), "problem"),)


def _names(changes: Iterable[TaskChange]) -> str:
    return ", ".join(clean_text(change.task_name, 100) for change in changes)
