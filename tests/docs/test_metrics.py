"""The tables on the page about metrics, and the dashboard, are those of the code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_fdi import metrics
from airflow_provider_fdi.client.enums import ExecuteStatus
from airflow_provider_fdi.client.observer import Observer
from tests.docs.pages import ROOT
from tests.stats import RecordedStats

PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "fdi.json").read_text(encoding="utf-8"))

RECORD = {
    "fdi_task_id": "t",
    "status": "SUCCESS",
    "rows": 1,
    "dirty_rows": 0,
    "bytes": 1,
    "duration_ms": 1,
}
EVENTS: dict[str, Callable[[Observer], None]] = {
    "request_sent": lambda observer: observer.request_sent("list_runs", 200),
    "held_back": lambda observer: observer.held_back(1.0),
    "polled": lambda observer: observer.polled(failed=True),
    "waiting": lambda observer: observer.waiting("instance", 1),
    "run_noticed": lambda observer: observer.run_noticed(1.0),
    "run_ended": lambda observer: observer.run_ended(RECORD, "orders", "operator"),
}
Metric = tuple[str, str, frozenset[str]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> set[Metric]:
    """What the code sends when everything has happened once: name, type, tags."""
    stats = RecordedStats()
    monkeypatch.setattr(metrics, "Stats", stats)
    for report in EVENTS.values():
        report(metrics.FdiMetrics("fdi_default"))
    return {(one.name, one.type, frozenset(one.tags) - {"conn_id"}) for one in stats.sent}


def documented() -> set[Metric]:
    rows = re.findall(r"^\| `(fdi\.[a-z_.]+)` \| (\w+) \| [^|]+ \| ([^|]*) ?\|$", PAGE, re.MULTILINE)
    return {(name, kind, frozenset(re.findall(r"`(\w+)`", tags))) for name, kind, tags in rows}


def test_every_event_is_reported() -> None:
    events = {name for name in vars(Observer) if not name.startswith("_")}
    assert set(EVENTS) == events
    assert events <= set(vars(metrics.FdiMetrics))


def test_the_table_has_each_metric_with_its_type_and_tags(sent: set[Metric]) -> None:
    assert documented() == sent


def values(tag: str) -> set[str]:
    """The values of a tag in the table of tags."""
    (row,) = re.findall(rf"^\| {tag} \| (.+) \|$", PAGE, re.MULTILINE)
    return set(re.findall(r"`(\w+)`", row))


def test_the_table_has_each_outcome_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    stats = RecordedStats()
    monkeypatch.setattr(metrics, "Stats", stats)
    for status in (None, *range(200, 600)):
        metrics.FdiMetrics("fdi_default").request_sent("list_runs", status)
    assert values("`outcome` of a request") == {one.tags["outcome"] for one in stats.sent}


def test_the_table_has_each_outcome_of_a_run() -> None:
    over = {status for status in ExecuteStatus if status.is_terminal} | {ExecuteStatus.UNKNOWN}
    assert values("`outcome` of a run") == {status.value.lower() for status in over}


def queries() -> list[str]:
    found: list[str] = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    variables: list[dict[str, Any]] = DASHBOARD["templating"]["list"]
    return found + [v["query"]["query"] for v in variables if v["type"] == "query"]


def test_the_dashboard_shows_each_metric_and_no_other(sent: set[Metric]) -> None:
    used = {re.sub("_(sum|count)$", "", name) for q in queries() for name in re.findall(r"airflow_\w+", q)}
    assert used == {"airflow_" + name.replace(".", "_") for name, _, _ in sent}


def test_the_dashboard_groups_by_tags_that_the_metric_has(sent: set[Metric]) -> None:
    tags_of = {"airflow_" + name.replace(".", "_"): tags | {"conn_id", "quantile"} for name, _, tags in sent}
    for query in queries():
        (name,) = {re.sub("_(sum|count)$", "", name) for name in re.findall(r"airflow_\w+", query)}
        grouped = {tag.strip() for tags in re.findall(r"by \(([^)]+)\)", query) for tag in tags.split(",")}
        assert grouped <= tags_of[name], query


def test_no_two_panels_of_the_dashboard_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
