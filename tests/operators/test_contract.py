"""What all operators and the sensor promise: wrong arguments are refused, by the same words, before anything
is sent, as soon as they are known; templates and references are rendered first; events only wake."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_fdi.client.errors import FdiArgumentError
from airflow_provider_fdi.compat import AIRFLOW_2, AirflowFailException
from airflow_provider_fdi.emulator.dags import dag_bag
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.exceptions import FdiTriggerEventError
from airflow_provider_fdi.operators.fdi import (
    FdiBatchOperator,
    FdiCreateTaskOperator,
    FdiRunTaskOperator,
)
from airflow_provider_fdi.sensors.fdi import FdiTaskSensor
from tests.operators.contract import (
    BY_NAME,
    CLASSES,
    REFUSALS,
    REQUIRED,
    make,
    make_where_it_runs,
    own_parameters,
)
from tests.taskinstance import Store, context

each_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
each_refusal = pytest.mark.parametrize(
    ("cls", "changes", "words"),
    [
        pytest.param(BY_NAME[name], changes, words, id=f"{name}-{number}")
        for name, refusals in REFUSALS.items()
        for number, (changes, words) in enumerate(refusals)
    ],
)
LONGEST_LINE = 80


def dag(dag_id: str, **arguments: Any) -> Any:
    from airflow.providers.common.compat.sdk import DAG

    return DAG(dag_id, schedule=None, **arguments)


# --- wrong arguments ----------------------------------------------------------------------------------------


@each_class
def test_every_parameter_has_a_check_and_a_refusal(cls: Any) -> None:
    assert own_parameters(cls) == set(cls._checks)
    refused = {parameter for changes, _ in REFUSALS[cls.__name__] for parameter in changes}
    assert own_parameters(cls) - refused == set()


@each_refusal
def test_a_wrong_literal_is_refused_when_the_dag_is_parsed(
    cls: Any, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(FdiArgumentError) as caught:
        make(cls, **changes)
    message = str(caught.value)
    assert words in message
    assert len(message.splitlines()[0]) <= LONGEST_LINE
    assert re.search(rf"\nIn {cls.__name__}\(task_id='load'\), contract.py line \d+\.\nSee ", message)


@each_class
def test_a_wrong_value_of_a_template_is_refused_by_the_same_words_before_anything_is_sent(
    cls: Any, fdi_emulator: FdiEmulator, fdi_connection: str
) -> None:
    for changes, words in REFUSALS[cls.__name__]:
        for deferrable in ({}, {"deferrable": True}) if "deferrable" in cls._checks else ({},):
            operator = make_where_it_runs(cls, **deferrable | changes)
            with pytest.raises(AirflowFailException) as caught:
                operator.execute(context(Store()))  # type: ignore[arg-type]
            assert words in str(caught.value)
    assert fdi_emulator.journal() == []


def test_a_sensor_must_be_told_since_when_a_run_counts() -> None:
    with pytest.raises(FdiArgumentError, match=r"(?s)^completed_after: must be given\n.*data_interval_end"):
        FdiTaskSensor(task_id="check", fdi_task_id="a-task")
    assert FdiTaskSensor(task_id="check", fdi_task_id="a-task", fdi_run_id="a-run").completed_after is None


def test_a_task_in_the_place_of_its_result_is_refused() -> None:
    with dag("task_for_result"):
        create = make(FdiCreateTaskOperator, task_id="create")
        with pytest.raises(FdiArgumentError, match=r"is a task, not its result\nGive its result: .*\.output"):
            FdiRunTaskOperator(task_id="run", fdi_task_id=create)  # type: ignore[arg-type]


def test_a_refusal_does_not_show_what_task_detail_holds() -> None:
    with pytest.raises(FdiArgumentError) as caught:
        make(FdiCreateTaskOperator, task_detail='{"password": "hunter2"')
    assert "hunter2" not in str(caught.value)


def test_default_args_are_checked_like_arguments() -> None:
    with dag("defaults", default_args={"if_running": "restart"}):
        with pytest.raises(FdiArgumentError, match="if_running='restart'"):
            make(FdiRunTaskOperator)


def test_a_mapped_operator_is_checked_where_it_runs_and_is_not_retried(
    fdi_emulator: FdiEmulator, fdi_connection: str, run_dag: Callable[..., Any]
) -> None:
    task = fdi_emulator.add_task()
    with dag("mapped_literals") as made:
        FdiRunTaskOperator.partial(task_id="run", retries=2, poll_interval=0.1, fdi_task_id=task).expand(
            if_running=["wait", "restart"]
        )

    run = run_dag(made)

    states = {ti.map_index: (str(ti.state), ti.try_number) for ti in run.get_task_instances()}
    assert states == {0: ("success", 1), 1: ("failed", 1)}
    assert len(fdi_emulator.runs_started(task)) == 1


def test_an_import_error_names_the_parameter_the_task_and_the_line(tmp_path: Path, airflow_db: None) -> None:
    file = tmp_path / "flights.py"
    file.write_text(
        "from airflow.providers.common.compat.sdk import DAG\n"
        "from airflow_provider_fdi.operators.fdi import FdiRunTaskOperator\n"
        "with DAG('flights', schedule=None):\n"
        "    FdiRunTaskOperator(\n"
        "        task_id='run', fdi_task_name='flights', if_running='restart'\n"
        "    )\n"
    )

    bag = dag_bag(tmp_path)

    assert bag.dags == {}
    (error,) = bag.import_errors.values()
    assert (
        "FdiArgumentError: if_running='restart': must be one of wait, join, fail, skip\n"
        "Did you mean 'wait'?\n"
        "In FdiRunTaskOperator(task_id='run'), flights.py line 4."
    ) in error


# --- what is known only later -------------------------------------------------------------------------------


def references(made: Any) -> dict[str, Any]:
    """What is resolved later, of every kind, in the DAG ``made``."""
    from jinja2.nativetypes import NativeTemplate

    create = make(FdiCreateTaskOperator, task_id="create")
    found = {
        "expression": "{{ params.x }}",
        "statement": "{% if params.x %}a{% endif %}",
        "comment": "{# not yet #}",
        "XComArg": create.output,
        "mapped XComArg": create.output.map(lambda value: value),
        "nested": ["a", {"key": ("{{ params.x }}",)}],
        "nested XComArg": [{"key": create.output}],
        "DagParam": made.param("x", "a"),
        "NativeTemplate": NativeTemplate("{{ x }}"),
    }
    if AIRFLOW_2:
        from airflow.template.templater import LiteralValue  # type: ignore[import-not-found]
        from airflow.utils.types import NOTSET as SET_DURING_EXECUTION  # type: ignore[attr-defined]
    else:
        from airflow.sdk.definitions._internal.templater import LiteralValue
        from airflow.sdk.definitions._internal.types import SET_DURING_EXECUTION

    return {**found, "literal": LiteralValue("a"), "SetDuringExecution": SET_DURING_EXECUTION}


@each_class
def test_what_airflow_resolves_later_is_not_checked_and_not_changed(cls: Any) -> None:
    with dag("references", params={"x": "a"}) as made:
        for number, (name, reference) in enumerate(references(made).items()):
            for parameter in cls.template_fields:
                operator = make(cls, task_id=f"{parameter}_{number}", **{parameter: reference})
                assert getattr(operator, parameter) is reference, (name, parameter)


@each_class
def test_every_template_field_is_rendered(cls: Any) -> None:
    with dag("rendered"):
        made = make(cls, **dict.fromkeys(cls.template_fields, "{{ x }}"))
    made.render_template_fields({"x": "rendered"})  # type: ignore[arg-type]
    assert {getattr(made, parameter) for parameter in cls.template_fields} == {"rendered"}


@pytest.mark.parametrize("name", [name for name in REQUIRED if "task_detail" in REQUIRED[name]])
def test_the_path_of_a_json_file_is_read_later(name: str) -> None:
    assert make(BY_NAME[name], task_detail="no/such/file.json").task_detail == "no/such/file.json"  # type: ignore[attr-defined]


@each_class
def test_a_good_literal_stays_as_it_was_given(cls: Any) -> None:
    given = {
        "fdi_task_ids": ("b", "a", "b"),
        "poll_interval": "5",
        "fdi_task_type": "timing",
        "operation_types": "insert,delete",
        "target_statuses": {"success"},
        "completed_after": dt.datetime(2026, 1, 1),
        "date_from": "2026-01-01",
        "start_time": "2026-01-01T00:00:00Z",
        "min_rows": "1",
        "stop_first": "true",
        "server_id": 7,
    }
    mine = {name: value for name, value in given.items() if name in own_parameters(cls)}
    made = make(cls, **mine)
    for name, value in mine.items():
        assert getattr(made, name) is value


# --- events -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [FdiBatchOperator, FdiRunTaskOperator, FdiTaskSensor])
@pytest.mark.parametrize(
    "event", [None, "success", "failed", [], {}, {"status": "done"}, {"status": "error", "message": "x"}]
)
def test_an_event_that_is_not_known_is_no_success(cls: Any, event: Any, fdi_emulator: FdiEmulator) -> None:
    with pytest.raises(FdiTriggerEventError):
        make(cls).execute_complete(context(Store()), event=event)  # type: ignore[attr-defined]
    assert fdi_emulator.journal() == []
