"""When a task that failed because of FDI runs again: one decision for each failure and each known code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import pytest

from airflow_provider_fdi import exceptions
from airflow_provider_fdi.client.codes import CODES
from airflow_provider_fdi.client.errors import FdiError, is_permanent
from airflow_provider_fdi.client.responses import error_from_response
from airflow_provider_fdi.compat import RetryAction
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.operators.fdi import FdiRunTaskOperator
from airflow_provider_fdi.retry_policy import Cause, FdiRetryPolicy, cause_of
from airflow_provider_fdi.runs.start import FdiStartError
from airflow_provider_fdi.runs.state import RUN_KEY, RunRecord
from tests.docs.test_troubleshooting import BY_ANCHOR
from tests.taskinstance import Store, context

AIRFLOW = tuple(map(int, version("apache-airflow").split(".")[:2]))
needs_policies = pytest.mark.skipif(AIRFLOW < (3, 3), reason="Airflow has retry policies since 3.3")

DECISIONS = {
    Cause.THROTTLED: "APIGW.0308:429",
    Cause.BUSY: "FDI.3023 FDI.3026",
    Cause.OUTAGE: (
        "FDI.9999:500 APIGW.0106:500 APIGW.0201:500 APIGW.0201:502 APIGW.0201:504 APIGW.0601 APIGW.0613"
    ),
    # About the task or what it needs. After a start that may have worked, the next try looks.
    Cause.OTHER: "FDI.3016 FDI.3018 FDI.3019 FDI.3020 FDI.3027 FDI.3028",
}
"""Each known code that a retry can help, or each HTTP status with it, where that decides."""


def answers() -> Iterator[tuple[str, int]]:
    """Each known code with each status that it is documented with."""
    for code in CODES:
        for status in BY_ANCHOR[code]["HTTP"].split(", "):
            yield code, int(status)


def error(code: str, status: int, **headers: str) -> FdiError:
    body = json.dumps({"error_code": code, "error_msg": "words"}).encode()
    return error_from_response(
        operation="list_runs", ids={}, attempts=1, status=status, headers=headers, body=body
    )


def expected(code: str, status: int) -> Cause:
    for cause, words in DECISIONS.items():
        if {code, f"{code}:{status}"} & set(words.split()):
            return cause
    return Cause.PERMANENT


@pytest.mark.parametrize(("code", "status"), list(answers()))
def test_each_known_code_leads_to_one_decision(code: str, status: int) -> None:
    failure = error(code, status)

    assert cause_of(failure) is expected(code, status)
    assert (cause_of(failure) is Cause.PERMANENT) == is_permanent(failure)


def busy(running_for: float | None) -> exceptions.FdiTaskBusy:
    failure = exceptions.FdiTaskBusy("another run is in progress")
    failure.running_for = running_for
    return failure


@pytest.mark.parametrize(
    ("failure", "cause"),
    [
        (exceptions.FdiConnectionError("no answer", may_have_arrived=False), Cause.OUTAGE),
        (exceptions.FdiConnectionError("no answer"), Cause.OUTAGE),
        (exceptions.FdiProtocolError("a proxy's page"), Cause.OUTAGE),
        (exceptions.FdiServerError("out of order", status=503), Cause.OUTAGE),
        (exceptions.FdiTriggerEventError("polls have failed for too long"), Cause.OUTAGE),
        (exceptions.FdiThrottledError("fewer requests", status=429), Cause.THROTTLED),
        (busy(60.0), Cause.BUSY),
        (busy(None), Cause.OTHER),
        (exceptions.FdiConflictError("it exists", status=409), Cause.OTHER),
        (exceptions.FdiRunFailed("failed"), Cause.OTHER),
        (exceptions.FdiDataGateFailed("dirty"), Cause.OTHER),
        (exceptions.FdiTimeout("too late"), Cause.OTHER),
        (exceptions.FdiBatchFailed("some"), Cause.OTHER),
        (exceptions.FdiDatasourceUnreachable("away"), Cause.OTHER),
        (FdiStartError("no run appeared"), Cause.OTHER),
        (exceptions.FdiAuthError("who are you", status=401), Cause.PERMANENT),
        (exceptions.FdiArgumentError("rows", 1, "must be less"), Cause.PERMANENT),
        (RuntimeError("something else"), Cause.OTHER),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.name,
)
def test_each_kind_of_failure_has_its_cause(failure: Exception, cause: Cause) -> None:
    assert cause_of(failure) is cause


# --- what Airflow is told -----------------------------------------------------------------------------------


def decide(failure: Exception, store: Store | None = None, **arguments: Any) -> Any:
    policy = FdiRetryPolicy(**arguments)
    return policy.evaluate(failure, try_number=1, max_tries=3, context=context(store or Store()))


UNREACHABLE = exceptions.FdiConnectionError("no answer", may_have_arrived=False)
THROTTLED = error("APIGW.0308", 429, **{"Retry-After": "90"})


def again() -> Any:
    """What is decided where a later attempt may succeed: it uses up no retry, if Airflow can do that."""
    return RetryAction.RESCHEDULE if AIRFLOW >= (3, 4) else RetryAction.RETRY


@needs_policies
@pytest.mark.parametrize(
    "failure", [UNREACHABLE, THROTTLED, busy(5.0)], ids=lambda failure: cause_of(failure).name
)
def test_what_passes_by_itself_uses_up_no_retry_where_airflow_can_reschedule(failure: Exception) -> None:
    decision = decide(failure)

    assert decision.action is again()
    assert decision.reason.startswith(cause_of(failure).value)
    assert getattr(decision, "reschedule_timeout", None) == (
        timedelta(hours=1) if AIRFLOW >= (3, 4) else None
    )


@needs_policies
@pytest.mark.parametrize(
    ("failure", "arguments", "delay"),
    [
        (THROTTLED, {}, 90),
        (THROTTLED, {"delay": timedelta(minutes=5)}, 300),
        (THROTTLED, {"reschedule_timeout": timedelta(minutes=1)}, 60),
        (busy(600.0), {"delay": timedelta(minutes=5)}, 600),
        (busy(0.0), {"delay": timedelta(minutes=5)}, 300),
        (UNREACHABLE, {"delay": timedelta(minutes=5)}, 300),
        (UNREACHABLE, {}, None),
    ],
)
def test_the_delay_is_what_fdi_asks_for_or_as_long_as_the_run_in_the_way_has_lasted(
    failure: Exception, arguments: dict[str, Any], delay: float | None
) -> None:
    expected = None if delay is None else timedelta(seconds=delay)
    assert decide(failure, **arguments).retry_delay == expected


def remembered(**fields: Any) -> Store:
    store = Store()
    record = {"fdi_task_id": "t", "clear_generation": 3, "try_number": 1, "intent_time": 0, "deadline": 0}
    store.set(RUN_KEY, RunRecord(**(record | fields)).to_json())
    return store


@needs_policies
def test_an_outage_after_a_run_was_started_is_retried_as_the_task_says() -> None:
    assert decide(UNREACHABLE, remembered()).action is RetryAction.DEFAULT


@needs_policies
@pytest.mark.parametrize("fields", [{"is_open": False}, {"clear_generation": 1}], ids=["refused", "cleared"])
def test_a_start_that_was_refused_or_was_cleared_is_none(fields: dict[str, Any]) -> None:
    assert decide(UNREACHABLE, remembered(**fields)).action is again()


@needs_policies
def test_what_no_retry_can_mend_ends_the_task() -> None:
    assert decide(error("FDI.3081", 404)).action is RetryAction.FAIL


@needs_policies
def test_what_is_not_about_fdi_is_left_to_the_task_s_own_settings() -> None:
    assert decide(RuntimeError("something else")).action is RetryAction.DEFAULT


@needs_policies
def test_without_a_context_nothing_counts_as_started() -> None:
    decision = FdiRetryPolicy().evaluate(UNREACHABLE, try_number=1, max_tries=3)

    assert decision.action is again()


@needs_policies
def test_an_operator_takes_it_and_its_busy_task_says_for_how_long(
    fdi_emulator: FdiEmulator, fdi_connection: str
) -> None:
    fdi_task_id = fdi_emulator.add_task(script={"hold": True})
    fdi_emulator.request("POST", f"tasks/{fdi_task_id}/run", {"task_id": fdi_task_id})
    fdi_emulator.move_clock(660_000)
    operator = FdiRunTaskOperator(
        task_id="run", fdi_task_id=fdi_task_id, if_running="fail", retry_policy=FdiRetryPolicy()
    )
    with pytest.raises(exceptions.FdiTaskBusy) as failed:
        operator.execute(context(Store()))

    decision = operator.retry_policy.evaluate(failed.value, 1, 3, context(Store()))
    assert decision.action is again()
    assert decision.retry_delay >= timedelta(minutes=10)
    assert re.search("another run", decision.reason, re.IGNORECASE)


@pytest.mark.skipif(AIRFLOW >= (3, 3), reason="this Airflow has them")
def test_before_airflow_3_3_it_says_what_it_needs() -> None:
    with pytest.raises(Exception, match=r"needs Airflow 3\.3"):
        FdiRetryPolicy()
