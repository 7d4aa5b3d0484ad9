"""Assets of FDI: their URIs, and the run record that asset events carry."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from airflow_provider_fdi.compat import Asset
from airflow_provider_fdi.constants import AIRFLOW_RUNS_KEY
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.get_provider_info import get_provider_info
from airflow_provider_fdi.lineage.assets import create_asset, report_run, report_to_outlets, sanitize_uri
from airflow_provider_fdi.operators.fdi import FdiRunTaskOperator
from airflow_provider_fdi.sensors.fdi import FdiTaskSensor

INSTANCE = "fae7ff6c-8e07-4cf8-9e67-589cab2f017c"


def normal(uri: str) -> str:
    return urlunsplit(sanitize_uri(urlsplit(uri)))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (f"fdi://{INSTANCE}/t1", f"fdi://{INSTANCE}/t1"),
        (f"fdi://{INSTANCE.upper()}/t1", f"fdi://{INSTANCE}/t1"),
        (f"fdi://{INSTANCE}/t1/", f"fdi://{INSTANCE}/t1"),
        (f"fdi://{INSTANCE}//t1", f"fdi://{INSTANCE}/t1"),
        (f"fdi://{INSTANCE}/%74ask%201", f"fdi://{INSTANCE}/task%201"),
    ],
)
def test_a_uri_has_one_normal_form(given: str, expected: str) -> None:
    assert normal(given) == expected
    assert normal(expected) == expected


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("fdi:///t1", "names no instance"),
        (f"fdi://{INSTANCE}", "must name one task"),
        (f"fdi://{INSTANCE}/", "must name one task"),
        (f"fdi://{INSTANCE}/t1/run", "must name one task"),
        (f"fdi://{INSTANCE}/t1%2Frun", "must name one task"),
        (f"fdi://{INSTANCE}:443/t1", "no user, password or port"),
        (f"fdi://user@{INSTANCE}/t1", "no user, password or port"),
        (f"fdi://{INSTANCE}/t1?a=b", "no query"),
    ],
)
def test_a_wrong_uri_is_refused_with_the_right_form(uri: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        normal(uri)
    assert "fdi://<instance id>/<task id>" in str(refused.value)


def test_a_refusal_shows_no_password() -> None:
    with pytest.raises(ValueError) as refused:
        normal(f"fdi://user:secret@{INSTANCE}/t1")
    assert "secret" not in str(refused.value)


def test_airflow_normalises_the_uris_of_assets_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # Airflow 2 only warns of a wrong one unless reported otherwise.
    monkeypatch.setenv("AIRFLOW__CORE__STRICT_DATASET_URI_VALIDATION", "True")
    assert create_asset(instance_id=INSTANCE.upper(), fdi_task_id="t1").uri == f"fdi://{INSTANCE}/t1"
    with pytest.raises(ValueError, match="must name one task"):
        Asset(uri=f"fdi://{INSTANCE}/a/b")


def test_what_the_provider_info_names_is_there() -> None:
    info = get_provider_info()["asset-uris"][0]

    for path in (info["handler"], info["factory"], info["to_openlineage_converter"]):
        module, name = path.rsplit(".", 1)
        assert callable(getattr(importlib.import_module(module), name))


class OutletEvent:
    def __init__(self, extra: dict[str, Any]) -> None:
        self.extra = extra


class OutletEvents:
    """`context["outlet_events"]`: by asset, which Airflow 3.1 cannot hash."""

    def __init__(self, **extras: dict[str, Any]) -> None:
        self.by_uri = {f"x-a://{name}": OutletEvent(extra) for name, extra in extras.items()}

    def __getitem__(self, asset: Any) -> OutletEvent:
        return self.by_uri[asset.uri]


def test_the_events_of_all_outlets_carry_the_record_and_keep_what_is_there() -> None:
    one, two = Asset(uri="x-a://one"), Asset(uri="x-a://two")
    events = OutletEvents(one={}, two={"by": "the author"})

    report_to_outlets({"outlet_events": events}, [one, two, {"no": "asset"}], {"rows": 3})  # type: ignore[arg-type]

    assert events[one].extra == {"rows": 3}
    assert events[two].extra == {"by": "the author", "rows": 3}


@pytest.fixture
def asset_extra(run_dag: Callable[..., Any]) -> Callable[[Any, str], dict[str, Any]]:
    """Runs a DAG and returns the extra of the last event of an asset."""

    def run(dag: Any, uri: str) -> dict[str, Any]:
        from airflow.utils.session import create_session
        from sqlalchemy import select

        try:
            from airflow.models.asset import AssetEvent, AssetModel
        except ImportError:
            from airflow.models.dataset import DatasetEvent as AssetEvent
            from airflow.models.dataset import DatasetModel as AssetModel

        dag_run = run_dag(dag)
        assert str(dag_run.state) == "success"
        column = getattr(AssetEvent, "asset_id", None) or AssetEvent.dataset_id
        with create_session() as session:
            query = select(AssetEvent).join(AssetModel, AssetModel.id == column).where(AssetModel.uri == uri)
            events = session.scalars(query.order_by(AssetEvent.id)).all()
            assert len(events) == 1
            return dict(events[0].extra)

    return run


@pytest.mark.parametrize("deferrable", [False, True], ids=["synchronous", "deferrable"])
def test_the_asset_event_of_a_run_carries_its_record(
    fdi_emulator: FdiEmulator,
    fdi_connection: str,
    asset_extra: Callable[[Any, str], dict[str, Any]],
    deferrable: bool,
) -> None:
    from airflow.providers.common.compat.sdk import DAG

    task = fdi_emulator.add_task(script={"rows": 42, "duration_ms": 200})
    uri = f"fdi://{fdi_emulator.instance_id}/{task}"
    with DAG(f"outlet_{deferrable}".lower(), schedule=None) as dag:
        FdiRunTaskOperator(
            task_id="run",
            fdi_task_id=task,
            deferrable=deferrable,
            poll_interval=0.1,
            outlets=[Asset(uri=uri)],
        )

    extra = asset_extra(dag, uri)

    assert extra["rows"] == 42
    assert extra["fdi_run_id"] == fdi_emulator.runs_started(task)[0]["run_id"]


@pytest.mark.parametrize("deferrable", [False, True], ids=["synchronous", "deferrable"])
def test_the_asset_event_of_a_sensor_carries_the_record_of_the_run(
    fdi_emulator: FdiEmulator,
    fdi_connection: str,
    asset_extra: Callable[[Any, str], dict[str, Any]],
    deferrable: bool,
) -> None:
    from airflow.providers.common.compat.sdk import DAG

    task = fdi_emulator.add_task()
    run = fdi_emulator.add_run(task, data_count=7)
    uri = f"fdi://{fdi_emulator.instance_id}/{task}"
    with DAG(f"sensor_outlet_{deferrable}".lower(), schedule=None) as dag:
        FdiTaskSensor(
            task_id="wait",
            fdi_task_id=task,
            completed_after=None,
            deferrable=deferrable,
            outlets=[Asset(uri=uri)],
        )

    extra = asset_extra(dag, uri)

    assert (extra["fdi_run_id"], extra["rows"]) == (run, 7)


class AssetStores:
    """`context["asset_state_store"]`: a store for each asset of the task."""

    def __init__(self, broken: bool = False) -> None:
        self.kept: dict[str, dict[str, str]] = {}
        self.broken = broken

    def __getitem__(self, asset: Any) -> Any:
        if self.broken:
            raise RuntimeError("no such asset")
        stores, uri = self, asset.uri

        class One:
            def get(self, key: str) -> Any:
                text = stores.kept.get(uri, {}).get(key)
                return None if text is None else json.loads(text)

            def set(self, key: str, value: Any) -> None:
                stores.kept.setdefault(uri, {})[key] = json.dumps(value)

        return One()


def operator(**arguments: Any) -> FdiRunTaskOperator:
    return FdiRunTaskOperator(task_id="run", fdi_task_id="t1", **arguments)


def test_a_run_is_recorded_once_with_every_asset_of_its_task() -> None:
    stores = AssetStores()
    runs = operator(outlets=[Asset(uri="x-a://one")], inlets=[Asset(uri="x-a://two")])

    for run_id in ("r1", "r1", "r2"):
        report_run({"asset_state_store": stores}, runs, "t1", run_id)  # type: ignore[arg-type]

    assert [json.loads(kept[AIRFLOW_RUNS_KEY + "t1"]) for kept in stores.kept.values()] == [["r1", "r2"]] * 2


def test_only_the_last_hundred_runs_are_recorded() -> None:
    stores = AssetStores()
    runs = operator(outlets=[Asset(uri="x-a://one")])

    for number in range(120):
        report_run({"asset_state_store": stores}, runs, "t1", f"r{number}")  # type: ignore[arg-type]

    noted = json.loads(stores.kept["x-a://one"][AIRFLOW_RUNS_KEY + "t1"])
    assert noted == [f"r{number}" for number in range(20, 120)]


def test_a_store_that_fails_does_not_fail_the_run(caplog: pytest.LogCaptureFixture) -> None:
    report_run(
        {"asset_state_store": AssetStores(broken=True)},
        operator(outlets=[Asset(uri="x-a://one")]),
        "t1",
        "r1",
    )  # type: ignore[typeddict-item]

    assert "could not be stored with asset x-a://one" in caplog.text


def test_without_a_store_nothing_is_recorded() -> None:
    report_run({}, operator(outlets=[Asset(uri="x-a://one")]), "t1", "r1")  # type: ignore[typeddict-item]
