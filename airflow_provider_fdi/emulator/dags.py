"""Running DAGs in tests: an Airflow of the session's own, DAGs run to their end, and why one failed.

Airflow reads its settings when it is first imported, so nothing here imports it before it is needed.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_fdi.emulator.handle import FdiEmulator

# In a failed test, pytest shows the test's own line instead of this module's.
__tracebackhide__ = True

# What would lead to another database than the session's own.
_OTHER_DATABASE = ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC", "AIRFLOW__DATABASE__SQL_ALCHEMY_SCHEMA")
# What a task instance is known by: DAG, run, task, map index.
_Key = tuple[str, str, str, int]


class AirflowHome:
    """A folder and a database for Airflow, so that no Airflow that somebody uses is changed by tests."""

    def __init__(self, root: Path) -> None:
        self.too_late = "airflow.configuration" in sys.modules
        self._folder = tempfile.mkdtemp(prefix="fdi-airflow-")
        self._owner = os.getpid()
        self._environment = pytest.MonkeyPatch()
        for name in _OTHER_DATABASE:
            self._environment.delenv(name, raising=False)
        dags = root / "dags"
        settings = {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self._folder}/airflow.db",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            # It would be asked first for the connection, and might know the real service.
            "AIRFLOW__SECRETS__BACKEND": "",
            "AIRFLOW__WORKERS__SECRETS_BACKEND": "",
        }
        usual = {
            "AIRFLOW_HOME": self._folder,
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags if dags.is_dir() else Path(self._folder, "dags")),
            # The default may wait for a name server.
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
            "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }
        if "AIRFLOW_HOME" not in os.environ:
            settings |= {name: value for name, value in usual.items() if name not in os.environ}
        for name, value in settings.items():
            self._environment.setenv(name, value)

    def migrate(self) -> None:
        """Create Airflow's tables. Raises RuntimeError if Airflow was imported before it had this home."""
        if self.too_late:
            raise RuntimeError(
                "Airflow was imported before the FDI plugin, so tests would use its usual database."
                " Load the plugin in conftest.py:"
                ' pytest_plugins = ["airflow_provider_fdi.emulator.pytest_plugin"]'
            )
        from airflow.utils.db import initdb

        initdb()

    def remove(self) -> None:
        """Put the environment back, and delete the folder."""
        self._environment.undo()
        # A process that a test forked ends here too.
        if os.getpid() == self._owner:
            shutil.rmtree(self._folder, ignore_errors=True)


class Failures:
    """A listener of Airflow that keeps the exceptions of failed tasks."""

    def __init__(self) -> None:
        self.errors: dict[_Key, object] = {}

    @contextmanager
    def listening(self) -> Iterator[Failures]:
        """Listen to the tasks that run meanwhile."""
        from airflow.listeners import hookimpl

        try:
            from airflow.sdk.listener import get_listener_manager
        except ImportError:  # before Airflow 3.2
            from airflow.listeners.listener import get_listener_manager  # type: ignore[assignment]

        class Listener:
            @hookimpl
            def on_task_instance_failed(listener, task_instance: Any, error: object) -> None:
                self.errors[_key(task_instance)] = error

        listener = Listener()
        manager: Any = get_listener_manager()
        manager.add_listener(listener)
        try:
            yield self
        finally:
            manager.pm.unregister(listener)

    def of(self, task_instance: Any) -> str:
        """Why a task failed, if that is known."""
        error = self.errors.get(_key(task_instance))
        return f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(error or "")


def _key(task_instance: Any) -> _Key:
    return (
        task_instance.dag_id,
        task_instance.run_id,
        task_instance.task_id,
        -1 if task_instance.map_index is None else task_instance.map_index,
    )


def dag_bag(path: Path) -> Any:
    """What Airflow finds in a file or a folder of DAGs."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # before Airflow 3.2
        from airflow.models.dagbag import DagBag  # type: ignore[no-redef]

    return DagBag(dag_folder=str(path), safe_mode=False)


def load_dag(file: str | os.PathLike[str], dag_id: str | None = None) -> Any:
    """The DAG of a file, loaded as Airflow loads it. Raises ValueError saying what is wrong with the file."""
    path = Path(file).resolve()
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    bag = dag_bag(path)
    for words in bag.import_errors.values():
        raise ValueError(f"{path} cannot be loaded:\n{words}")
    if dag_id is None and len(bag.dags) == 1:
        return next(iter(bag.dags.values()))
    if dag_id not in bag.dags:
        names = ", ".join(sorted(bag.dags)) or "none"
        wanted = f"no DAG {dag_id!r}" if dag_id else "not exactly one DAG: give dag_id"
        raise ValueError(f"{path} has {wanted}. Its DAGs: {names}")
    return bag.dags[dag_id]


def run_dag(dag: Any, **kwargs: Any) -> Any:
    """Run a DAG to its end with ``dag.test()``, wherever it comes from, and return its DAG run."""
    if hasattr(dag, "sync_to_db"):  # Airflow 2
        dag.sync_to_db()
        if "logical_date" in kwargs:
            kwargs["execution_date"] = kwargs.pop("logical_date")
    else:
        _register(dag)
    return dag.test(**kwargs)


def _register(dag: Any) -> None:
    """Store a DAG in the database: ``dag.test()`` of Airflow 3 knows only the DAGs of its bundles."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization import serialized_objects

    manager: Any = DagBundlesManager()  # type: ignore[no-untyped-call]
    manager.sync_bundles_to_db()
    bundle = next(iter(manager.get_all_dag_bundles())).name
    lazy = serialized_objects.LazyDeserializedDAG.from_dag(dag)
    serialized_objects.SerializedDAG.bulk_write_to_db(bundle, None, [lazy])  # type: ignore[attr-defined]
    SerializedDagModel.write_dag(lazy, bundle_name=bundle)


def why_not_succeeded(run: Any, emulator: FdiEmulator, failures: Failures) -> str:
    """Why a DAG run, or a run of FDI, did not succeed; empty if it did."""
    if hasattr(run, "get_task_instances"):
        return _why_dag_run(run, emulator, failures)
    return _why_fdi_run(_fdi_run_id(run), emulator)


def _why_dag_run(run: Any, emulator: FdiEmulator, failures: Failures) -> str:
    if str(run.state) == "success":
        return ""
    lines = [f"DAG {run.dag_id} {run.state}."]
    for ti in sorted(run.get_task_instances(), key=lambda ti: (ti.start_date is None, str(ti.start_date))):
        if str(ti.state) != "success":
            index = f"[{ti.map_index}]" if (ti.map_index or 0) >= 0 else ""
            lines.append(f"Task {ti.task_id}{index}: {ti.state or 'not run'}")
            lines += [f"    {line}" for line in failures.of(ti).splitlines()]
    runs = emulator.runs()
    if not runs:
        lines.append("FDI has started no run.")
    told = "\n".join(lines)
    # An exception that names the run has said the rest as well.
    lines += [_fdi_run(row) for row in runs if row["execute_status"] != "SUCCESS" and row["id"] not in told]
    return "\n".join(lines)


def _fdi_run_id(run: object) -> str:
    """The id of a run of FDI: given as such, in a run record of an operator, or in a row of the emulator."""
    if isinstance(run, str):
        return run
    for name in ("fdi_run_id", "run_id", "id"):
        found = run.get(name) if isinstance(run, Mapping) else getattr(run, name, None)
        if isinstance(found, str):
            return found
    raise TypeError(f"neither a DAG run nor a run of FDI: {run!r}")


def _why_fdi_run(run_id: str, emulator: FdiEmulator) -> str:
    for row in emulator.runs():
        if row["id"] == run_id:
            return "" if row["execute_status"] == "SUCCESS" else _fdi_run(row)
    return f"FDI knows no run {run_id!r}."


def _fdi_run(row: Mapping[str, Any]) -> str:
    """A run of FDI that did not succeed: how it ended, what FDI says, and the steps that went wrong."""
    lines = [
        f"FDI run of task {row['task_name']!r}: {row['execute_status']}, {row['data_count']:,} rows,"
        f" {row['dirty_data_count']:,} dirty rows (run {row['id']})"
    ]
    if row["remarks"]:
        lines.append(f"    {row['remarks']}")
    lines += [
        f"    step {step['position']} {step['status']}: {step['remarks']}"
        for step in row["detail_logs"]
        if step["position_status"] in ("RUNTIME_ERR", "RUNTIME_CANCEL")
    ]
    return "\n".join(lines)
