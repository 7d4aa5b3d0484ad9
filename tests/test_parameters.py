"""All parameters of operators and sensors: none hides what Airflow calls so, and all can be templated."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from airflow_provider_fdi.compat import BaseOperator, BaseSensorOperator
from tests.operators.contract import CLASSES, REQUIRED, make, own_parameters

NOT_TEMPLATED = {
    "deferrable": "decided before anything is rendered",
    "durable": "says whether the state store is read at all",
    "terminate_on_kill": "read inside a signal handler",
    "wait_for_completion": "decides the shape of the task",
}


def test_all_classes_are_held_against_the_base_classes() -> None:
    assert {cls.__name__ for cls in CLASSES} >= {
        "FdiApplyOperator",
        "FdiBatchOperator",
        "FdiCreateCompositeTaskOperator",
        "FdiCreateScheduleOperator",
        "FdiCreateTaskOperator",
        "FdiDeleteTaskOperator",
        "FdiResetCompositeTaskOperator",
        "FdiRunTaskOperator",
        "FdiTaskSensor",
        "FdiTerminateRunOperator",
        "FdiTestDatasourceOperator",
        "FdiUpdateTaskOperator",
    }


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_no_parameter_hides_an_attribute_of_airflow_s(cls: Any) -> None:
    base = BaseSensorOperator if issubclass(cls, BaseSensorOperator) else BaseOperator
    taken = set(dir(base)) | set(vars(base(task_id="plain")))
    # Airflow's own switch, which its own classes read under this name.
    clash = (own_parameters(cls) & taken) - {"deferrable"}
    assert not clash
    for name in inspect.signature(inspect.unwrap(base.__init__)).parameters:
        assert name not in own_parameters(cls) - {"self", "kwargs"}, name


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_template_field_is_a_parameter_and_an_attribute(cls: Any) -> None:
    made = make(cls)
    for field in cls.template_fields:
        assert field in own_parameters(cls), field
        assert hasattr(made, field), field
    assert len(set(cls.template_fields)) == len(cls.template_fields)
    assert set(cls.template_fields_renderers) <= set(cls.template_fields)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_parameter_can_be_templated_or_has_a_reason_not_to(cls: Any) -> None:
    assert own_parameters(cls) - set(cls.template_fields) - set(NOT_TEMPLATED) == set()


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_parameter_is_kept_under_its_own_name(cls: Any) -> None:
    """Airflow maps, copies and serialises operators by the names of their parameters."""
    made = make(cls)
    for name in own_parameters(cls):
        assert hasattr(made, name), name
    for name, value in REQUIRED.get(cls.__name__, {}).items():
        assert getattr(made, name) == value


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_class_can_be_mapped(cls: Any) -> None:
    mapped = cls.partial(task_id="t", **REQUIRED.get(cls.__name__, {})).expand(project_id=["a", "b"])
    assert mapped.task_id == "t"


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_parameter_is_documented(cls: Any) -> None:
    text = "".join(
        base.__doc__ or "" for base in cls.__mro__ if base.__module__.startswith("airflow_provider")
    )
    connection = {"fdi_conn_id", "project_id", "instance_id"}
    missing = {name for name in own_parameters(cls) - connection if f":param {name}:" not in text}
    assert not missing
