"""From what was seen without writing to a verdict: one pure function for each assumption."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_fdi.client.enums import ExecuteStatus, TaskStatus, TaskType
from airflow_provider_fdi.constants import PAGE_SIZE
from airflow_provider_fdi.doctor.evidence import Evidence, NotSeen, Reply
from airflow_provider_fdi.doctor.operations import ACTIONS
from airflow_provider_fdi.doctor.verdict import Verdict, either, other, same

CLOCK_SECONDS = 300
LATENCY_SECONDS = 0.1
DAY_SECONDS = 86400
_WORD = re.compile(r"[A-Z][A-Z0-9_]{0,31}")


# Connection and access


def connection(e: Evidence) -> Verdict:
    layer = e.figure("layer")
    if not layer:
        return same("every layer answered")
    return other(f"the layer {layer} failed ({e.figure('layer_said')})")


def permissions(e: Evidence) -> Verdict:
    tried: dict[str, bool] = {}
    for reply in e.replies.values():
        if reply.by_service or reply.status == 403:
            tried[reply.operation] = tried.get(reply.operation, False) or reply.status != 403
    if not tried:
        raise NotSeen("no operation was answered by the service")
    refused = sorted(name for name, allowed in tried.items() if not allowed)
    if not refused:
        return same(f"{len(tried)} of {len(tried)} operations that were tried are permitted")
    permitted = {ACTIONS[name] for name, allowed in tried.items() if allowed and name in ACTIONS}
    lost = {ACTIONS[name] for name in refused if name in ACTIONS} - permitted
    seen = f"{len(refused)} of {len(tried)} operations were refused with HTTP 403: {', '.join(refused)}"
    return other(seen, sorted(set(ACTIONS.values()) - lost) if lost else None)


def clock(e: Evidence) -> Verdict:
    seconds = e.figure("clock")
    return either(abs(seconds) <= CLOCK_SECONDS, f"the service's clock is {seconds:+.1f} s from this one's")


def latency(e: Evidence) -> Verdict:
    times: list[float] = e.figure("times")
    fastest, median = min(times), statistics.median(times)
    seen = f"{len(times)} answers took {fastest * 1000:.0f} ms at least, {median * 1000:.0f} ms in the median"
    return either(fastest <= LATENCY_SECONDS, seen, round(fastest * 100) * 10)


def throttling(e: Evidence) -> Verdict:
    e.figure("times")
    if "throttled" not in e.figures:
        return same(f"none of {e.figure('requests')} requests was answered with HTTP 429")
    limit = e.figure("throttle_limit")
    seen = f"{e.figure('throttled')} of {e.figure('requests')} requests were answered with HTTP 429"
    return other(f"{seen}; the limit is some {limit} a second", max(1, limit))


def retry_after(e: Evidence) -> Verdict:
    if "throttled" not in e.figures:
        raise NotSeen("no request was answered with HTTP 429, and the doctor does not provoke that")
    pause = e.figure("throttle_pause")
    if pause is None:
        return other("HTTP 429 came without Retry-After")
    return either(pause == 1, f"Retry-After: {pause:g}", round(pause))


def token_life(e: Evidence) -> Verdict:
    seconds = e.figure("token_seconds")
    # The Date of IAM has whole seconds.
    return either(abs(seconds - DAY_SECONDS) <= 2, f"the token lives {seconds} s", seconds)


def stale_signature(e: Evidence) -> Verdict:
    reply = e.reply("stale_signature")
    if reply.status == 401:
        return same(f"a signature 20 minutes old was refused ({reply.said})")
    return other(f"a signature 20 minutes old was accepted ({reply.said})", False)


# Listings


def page_size(e: Evidence) -> Verdict:
    reply = e.good("tasks")
    rows, total = len(reply.rows), reply.total
    if total is None or rows == total:
        raise NotSeen(f"the instance shows {rows} tasks, and a limit shows only with more than fit on a page")
    return either(rows == PAGE_SIZE, f"limit=1000 brought {rows} of {total} rows", rows)


def offset_of_tasks(e: Evidence) -> Verdict:
    ids = _ids(e.good("tasks"), "task_id")
    found = _position(ids, _ids(e.good("tasks_shifted"), "task_id"))
    if found is None:
        return other("offset=1 with limit=2 brought no row of the first page")
    return either(found == 1, f"offset=1 with limit=2 begins at row {found} (counted from 0)")


def offset_of_monitors(e: Evidence) -> Verdict:
    if e.present("log_unshifted") and e.present("log_shifted") and not e.present("monitors_shifted"):
        return _offset(e.good("log_unshifted"), e.good("log_shifted"), "id")
    return _offset(e.good("monitors"), e.good("monitors_shifted"), "task_id")


def _offset(whole: Reply, shifted: Reply, key: str) -> Verdict:
    ids = _ids(whole, key)
    if whole.total is not None and len(ids) == whole.total - 1:
        return other("offset=1 leaves out the first row: rows are counted from 0")
    found = _position(ids, _ids(shifted, key))
    seen = "offset=2 with limit=3 begins at row " + ("4 or later" if found is None else str(found + 1))
    return either(found == 1, seen, True if found is None or found == 3 else None)


def name_filters(e: Evidence) -> Verdict:
    total = e.good("tasks").total
    counts = {name: e.good(f"by_{name}").total for name in ("name", "task_name")}
    if total is None or None in counts.values():
        raise NotSeen("the answers of ListTasks have no total")
    seen = f"of {total} tasks, name= left {counts['name']} and task_name= left {counts['task_name']}"
    if min(count for count in counts.values() if count is not None) == total and total > 1:
        return other(seen)
    return either(all(count is not None and count < total for count in counts.values()), seen)


def log_order(e: Evidence) -> Verdict:
    order = e.figure("log_order")
    words = {"desc": "the newest run is first", "asc": "the oldest run is first"}
    seen = words.get(order, "the runs are in no order of their planned times")
    return either(order == "desc", seen, order if order == "asc" else None)


def begin_time(e: Evidence) -> Verdict:
    after_start = e.figures.get("begin_after_start")
    if after_start:
        seen = f"a run was found by a time {e.figure('begin_after_start_ms')} ms or less before its end"
        return other(seen, "end_time")
    if not e.figure("begin_after_plan"):
        ms = e.figure("begin_after_plan_ms")
        return same(f"a run that was planned before the time and started up to {ms} ms later was left out")
    if after_start is None:
        raise NotSeen(e.why_not("begin_after_start"))
    seen = "a run was found by a time after its planned one, and not by one after its start"
    return other(seen, "start_time")


def _ids(reply: Reply, key: str) -> list[Any]:
    return [row.get(key) for row in reply.rows]


def _position(ids: list[Any], page: list[Any]) -> int | None:
    """Where in the whole listing the page begins."""
    return ids.index(page[0]) if page and page[0] in ids else None


# Shapes of answers

FIELDS: Mapping[str, Iterable[str]] = {
    "tasks": ("task_id", "task_name", "task_type", "status", "execute_status", "last_modified_time"),
    "monitors": ("task_id", "task_name", "task_type", "status", "execute_status", "last_execute_time"),
    "log_with_rows": (
        "id", "dispatch_time", "start_time", "end_time", "execute_status", "position", "status",
        "data_count", "dirty_data_count", "remarks", "detail_logs",
    ),
}  # fmt: skip
"""Fields that the provider reads, by the listing that has them."""
NUMBERS = (
    "status", "last_modified_time", "last_execute_time", "dispatch_time", "start_time", "end_time",
    "data_count", "dirty_data_count", "data_size", "spend_time",
)  # fmt: skip
_KNOWN: Mapping[str, Any] = {
    "execute_status": lambda value: ExecuteStatus.from_wire(value) is not ExecuteStatus.UNKNOWN,
    "task_type": lambda value: TaskType.from_wire(value) is not TaskType.UNKNOWN,
    "position": lambda value: value in ("ADAPTER", "READER", "WRITER"),
    "position_status": lambda value: (
        value in ("NORMAL", "NODE_END", "TASK_END", "RUNTIME_CANCEL", "RUNTIME_ERR", "INTERNAL_ERR")
    ),
}


def listings(e: Evidence) -> Verdict:
    replies = e.present("tasks", "monitors", "log", "datasources")
    if not replies:
        raise NotSeen("no listing was answered")
    wrong = sorted(
        f"{reply.operation} without {key}"
        for reply in replies
        for key, kind in (("total", int), ("size", int), ("entities", list))
        if not isinstance(reply.data, dict) or not isinstance(reply.data.get(key), kind)
    )
    return either(not wrong, "; ".join(wrong) or f"{len(replies)} listings have total, size and entities")


def fields(e: Evidence) -> Verdict:
    rows = [(name, row) for name in FIELDS for reply in e.present(name) for row in reply.rows]
    if not rows:
        raise NotSeen("no listing has a row")
    missing = sorted(
        {f"{key} of {_OF[name]}" for name, row in rows for key in FIELDS[name] if key not in row}
    )
    seen = f"missing: {', '.join(missing)}" if missing else f"{len(rows)} rows have them all"
    return either(not missing, seen)


_OF = {"tasks": "tasks", "monitors": "tasks monitored", "log_with_rows": "runs"}


def numbers(e: Evidence) -> Verdict:
    rows = [row for reply in e.present("tasks", "monitors", "log_with_rows", "own_row") for row in reply.rows]
    values = [(key, row[key]) for row in rows for key in NUMBERS if row.get(key) is not None]
    if not values:
        raise NotSeen("no listing has a row")
    texts = sorted({key for key, value in values if not isinstance(value, int | float)})
    return either(
        not texts, f"as text: {', '.join(texts)}" if texts else f"{len(values)} of {len(values)} are"
    )


def known_values(e: Evidence) -> Verdict:
    rows = [row for reply in e.present("tasks", "monitors", "log_with_rows", "own_row") for row in reply.rows]
    values = [(key, row[key]) for row in rows for key in _KNOWN if row.get(key) is not None]
    tasks = [row for reply in e.present("tasks", "own_row") for row in reply.rows]
    values += [("status", row["status"]) for row in tasks if "status" in row]
    if not values:
        raise NotSeen("no listing has a row")
    strange = sorted({f"{key} {_shown(value)}" for key, value in values if not _is_known(key, value)})
    seen = f"unknown: {', '.join(strange)}" if strange else f"{len(values)} of {len(values)} values are known"
    return either(not strange, seen)


def _is_known(key: str, value: Any) -> bool:
    if key == "status":
        return TaskStatus.from_wire(value) is not TaskStatus.UNKNOWN
    return bool(_KNOWN[key](value))


def _shown(value: Any) -> str:
    """A word of the service's vocabulary; anything else could be somebody's."""
    if isinstance(value, int):
        return str(value)
    return value if isinstance(value, str) and _WORD.fullmatch(value) else "(not shown)"


def created_date(e: Evidence) -> Verdict:
    rows = [row for reply in e.present("own_row", "tasks") for row in reply.rows if row.get("created_date")]
    if not rows:
        raise NotSeen("ListTasks shows no task with a created_date")
    date = rows[0]["created_date"]
    return either(isinstance(date, int), f"it is a {'number' if isinstance(date, int) else 'text'}", "iso")


def stopped_word(e: Evidence) -> Verdict:
    status = e.good("stopped_task").part("task").get("status")
    if status is None:
        raise NotSeen("ShowTask answered no status")
    return either(
        status == "stop", f"it is {_status_word(status)}", "stopped" if status == "stopped" else None
    )


def _status_word(status: Any) -> str:
    known = TaskStatus.from_wire(status) is not TaskStatus.UNKNOWN
    return json.dumps(status) if known else "a word that is not known"


def task_detail(e: Evidence) -> Verdict:
    replies = e.present("stopped_task", "started_task", "own_task")
    if not replies:
        raise NotSeen(e.why_not("stopped_task"))
    details = [reply.data.get("task_detail") for reply in replies if isinstance(reply.data, dict)]
    if not all(isinstance(detail, str) for detail in details):
        return other("it is not always a text")
    keys = {key for detail in details for key in _keys(detail)}
    if "source_selected_datasource" in keys:
        return other("its keys are in snake_case (source_selected_datasource)")
    if "sourceSelectedDatasource" not in keys:
        raise NotSeen("no task that was shown has source settings")
    return same("it is a text of JSON whose keys are in camelCase (sourceSelectedDatasource)")


def _keys(text: Any) -> list[str]:
    try:
        detail = json.loads(text)
    except (TypeError, ValueError):
        return []
    return list(detail) if isinstance(detail, dict) else []


def missing_task(e: Evidence) -> Verdict:
    reply = e.reply("missing_task")
    _refuse_gateway(reply)
    return either((reply.status, reply.code) == (404, "FDI.3081"), f"ShowTask of no task: {reply.said}")


def schedule_errors(e: Evidence) -> Verdict:
    reply = e.reply("missing_schedule")
    _refuse_gateway(reply)
    if reply.ok:
        raise NotSeen(f"ShowDispatches of no task was answered with {reply.said}")
    where = "nested in `reason`" if reply.nested else "at the top"
    return either(reply.nested, f"the error stands {where} ({reply.said})", False)


def no_schedule(e: Evidence) -> Verdict:
    reply = e.reply("no_schedule")
    if reply.ok:
        answer = "null"
        if reply.form == "empty":
            answer = "empty"
        elif isinstance(reply.data, dict):
            answer = "object"
        return either(answer == "null" and reply.form == "json", f"{reply.said}, body: {answer}", answer)
    _refuse_gateway(reply)
    if reply.status == 404:
        return other(reply.said, "404")
    raise NotSeen(f"ShowDispatches was refused ({reply.said})")


def _refuse_gateway(reply: Reply) -> None:
    if not reply.by_service:
        raise NotSeen(f"{reply.operation} was refused by the gateway ({reply.said})")
