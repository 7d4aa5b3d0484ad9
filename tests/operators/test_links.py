"""Links to the console while a task waits, and the steps of a run in the task's log, once each."""

from __future__ import annotations

import logging
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from airflow_provider_fdi.compat import AirflowFailException
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.hooks.fdi import FdiHook
from airflow_provider_fdi.links import FdiRunLink, FdiTaskLink
from airflow_provider_fdi.operators.fdi import FdiRunTaskOperator
from airflow_provider_fdi.sensors.fdi import FdiTaskSensor
from tests import taskinstance
from tests.waiting import eventually

LINKS = {FdiTaskLink.key, FdiRunLink.key}

pytestmark = pytest.mark.usefixtures("fdi_connection")


@contextmanager
def executing(operator: Any, given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The task instance's XComs while the operator executes in another thread."""
    failures: list[BaseException] = []

    def execute() -> None:
        try:
            operator.execute(given)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=execute)
    thread.start()
    try:
        yield given["ti"].xcoms
    finally:
        thread.join(20)
    assert not thread.is_alive()
    assert not failures, failures


def held_task(fdi: FdiEmulator, **script: Any) -> str:
    return fdi.add_task(name="orders", script={"hold": True, **script})


def run_operator(fdi_task_id: str, *, deferrable: bool = False) -> FdiRunTaskOperator:
    return FdiRunTaskOperator(
        task_id="run", fdi_task_id=fdi_task_id, deferrable=deferrable, poll_interval=0.05
    )


def test_a_synchronous_task_has_both_links_while_it_waits(fdi_emulator: FdiEmulator) -> None:
    task = held_task(fdi_emulator)
    with executing(run_operator(task), taskinstance.context(taskinstance.Store())) as xcoms:
        eventually(lambda: xcoms.keys() >= LINKS)
        active = fdi_emulator.task(task)["active_run"]
        fdi_emulator.release(task)

    assert active
    assert task in xcoms[FdiTaskLink.key]
    assert xcoms["fdi_run_id"] in xcoms[FdiRunLink.key]


def test_no_link_is_asked_for_that_was_not_pushed(fdi_emulator: FdiEmulator) -> None:
    """Airflow 3 asks for all links at the end of a task, and logs an error for an XCom that is not there."""
    operator = FdiRunTaskOperator(task_id="run", fdi_task_name="orders")
    with pytest.raises(AirflowFailException, match="fdi_task_name='orders'"):
        operator.execute(taskinstance.context(taskinstance.Store()))

    # A task instance that cannot be asked: the XCom would be read by its fields.
    assert [link.get_link(operator, ti_key=None) for link in (FdiTaskLink(), FdiRunLink())] == ["", ""]


def test_a_link_that_was_pushed_is_known_at_the_end_of_the_task(fdi_emulator: FdiEmulator) -> None:
    task = fdi_emulator.add_task(name="orders", script={"duration_ms": 10})
    operator = run_operator(task)
    operator.execute(taskinstance.context(taskinstance.Store()))
    assert task in FdiTaskLink().get_link(operator, ti_key=None)


def test_a_deferred_task_has_both_links_while_it_waits(fdi_emulator: FdiEmulator) -> None:
    task = held_task(fdi_emulator)
    given = taskinstance.context(taskinstance.Store())

    taskinstance.deferral(run_operator(task, deferrable=True), given)

    assert given["ti"].xcoms.keys() >= LINKS
    assert fdi_emulator.task(task)["active_run"]


def test_the_task_link_is_there_while_another_run_is_in_the_way(fdi_emulator: FdiEmulator) -> None:
    task = held_task(fdi_emulator)
    fdi_emulator.request("POST", f"tasks/{task}/run")
    given = taskinstance.context(taskinstance.Store())

    taskinstance.deferral(run_operator(task, deferrable=True), given)

    assert FdiTaskLink.key in given["ti"].xcoms
    assert FdiRunLink.key not in given["ti"].xcoms


@pytest.mark.parametrize("deferrable", [False, True], ids=["synchronous", "deferrable"])
def test_a_sensor_that_waits_has_the_link_to_its_task(fdi_emulator: FdiEmulator, deferrable: bool) -> None:
    task = fdi_emulator.add_task()
    sensor = FdiTaskSensor(
        task_id="wait", fdi_task_id=task, completed_after=0, deferrable=deferrable, poke_interval=0.05
    )
    given = taskinstance.context()
    if deferrable:
        taskinstance.deferral(sensor, given)
    else:
        sensor.poke(given)  # type: ignore[arg-type]

    assert task in given["ti"].xcoms[FdiTaskLink.key]


def test_the_address_is_that_of_the_connection(
    fdi_emulator: FdiEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "https://console.example/{region}/{instance_id}/{task_id}/{run_id}"
    extra = {"console_url": url, "region": "eu-west-9"}
    monkeypatch.setenv("AIRFLOW_CONN_FDI_DEFAULT", fdi_emulator.connection_json(**extra))

    hook = FdiHook(project_id="p", instance_id="i")
    assert hook.console_link("t", "r") == "https://console.example/eu-west-9/i/t/r"


@pytest.mark.parametrize("link", [FdiTaskLink, FdiRunLink])
def test_a_link_leads_where_the_task_has_pushed(link: Any, fdi_emulator: FdiEmulator, run_dag: Any) -> None:
    from airflow.providers.common.compat.sdk import DAG

    task = fdi_emulator.add_task()
    with DAG(f"links_{link.key}", schedule=None) as dag:
        operator = run_operator(task)
    dag_run = run_dag(dag)
    (ti,) = dag_run.get_task_instances()

    assert task in _address(link(), operator, ti)
    assert link().name in {"FDI task", "FDI run"}
    assert link().xcom_key == link.key
    assert {type(one) for one in operator.operator_extra_links} == {FdiTaskLink, FdiRunLink}


def _address(link: Any, operator: Any, ti: Any) -> str:
    """Where the UI leads: Airflow 3 reads what stands under the link's key, Airflow 2 asks the link."""
    try:
        from airflow.models.xcom import XComModel
    except ImportError:
        return str(link.get_link(operator, ti_key=ti.key))
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        query = select(XComModel).where(
            XComModel.key == link.xcom_key, XComModel.dag_id == ti.dag_id, XComModel.run_id == ti.run_id
        )
        return str(XComModel.deserialize_value(session.scalars(query).one()))


def test_a_task_that_has_pushed_nothing_has_an_empty_link(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.common.compat.sdk import XCom

    monkeypatch.setattr(XCom, "get_value", lambda **kwargs: None)

    assert FdiTaskLink().get_link(None, ti_key=None) == ""  # type: ignore[arg-type]


def test_get_link_reads_the_links_own_key(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.common.compat.sdk import XCom

    monkeypatch.setattr(XCom, "get_value", lambda key, ti_key: f"{key} of {ti_key}")

    assert FdiRunLink().get_link(None, ti_key="k") == "fdi_run_link of k"  # type: ignore[arg-type]


# --- the log ------------------------------------------------------------------------------------------------


@pytest.fixture
def task_log(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """The lines logged since the last call, whether Airflow logs by structlog or by `logging`."""
    caplog.set_level(logging.INFO)

    def lines() -> list[str]:
        found = [*capsys.readouterr().out.splitlines(), *(record.getMessage() for record in caplog.records)]
        caplog.clear()
        return found

    return lines


def test_a_synchronous_task_logs_each_step_once(
    fdi_emulator: FdiEmulator, task_log: Callable[[], list[str]]
) -> None:
    task = fdi_emulator.add_task(script={"rows": 5, "duration_ms": 500})

    run_operator(task).execute(taskinstance.context(taskinstance.Store()))  # type: ignore[arg-type]

    lines = task_log()
    assert _steps_once(lines)
    assert len([line for line in lines if "SUCCESS: 5 rows" in line]) == 1


def test_a_deferred_task_logs_each_step_once_and_the_outcome_in_the_worker(
    fdi_emulator: FdiEmulator, task_log: Callable[[], list[str]]
) -> None:
    task = fdi_emulator.add_task(script={"rows": 5, "duration_ms": 500})
    given = taskinstance.context(taskinstance.Store())
    deferred = taskinstance.deferral(run_operator(task, deferrable=True), given)
    event = taskinstance.event_of(deferred.trigger)
    before = task_log()
    run_operator(task, deferrable=True).execute_complete(given, event)  # type: ignore[arg-type]

    in_worker = task_log()
    assert _steps_once([*before, *in_worker])
    assert len([line for line in in_worker if "SUCCESS: 5 rows" in line]) == 1
    for announced in ("Run ", "Console: "):
        assert len([line for line in [*before, *in_worker] if announced in line]) == 1


def _steps_once(lines: list[str]) -> bool:
    found = [re.search(r"[A-Z]+ \d{3}: [^\[]*\w", line) for line in lines]
    counts = Counter(match[0] for match in found if match)
    assert len(counts) >= 4, lines
    assert set(counts.values()) == {1}, counts
    return True
