"""The emulator as a process: starting, configuring, ending."""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pytest
import requests

from airflow_provider_fdi.emulator.handle import EmulatorError, FdiEmulator


def test_a_configuration_file_says_who_and_what_there_is(tmp_path):
    config = tmp_path / "emulator.toml"
    config.write_text(
        """
        projects = [{ id = "p1", name = "region-1" }]
        instances = ["i1"]
        [credentials]
        tokens = ["other-token"]
        users = [{ name = "u", password = "p", domain = "d" }]
        [[datasources]]
        id = "ds1"
        name = "orders"
        type = "postgresql"
        url = "sqlite:////nowhere.db"
        [switches]
        log_order = "asc"
        """
    )
    with FdiEmulator.start(config=config) as emulator:
        base = f"{emulator.url}/v2/p1/fdi/instances/i1"
        rows = requests.get(f"{base}/datasources", headers={"X-Auth-Token": "other-token"}).json()["entities"]
        assert [(row["datasource_id"], row["datasource_type"]) for row in rows] == [("ds1", "POSTGRESQL")]
        assert requests.get(f"{base}/tasks", headers={"X-Auth-Token": emulator.token}).status_code == 401
        assert emulator.switch()["log_order"] == "asc"
        emulator.reset()
        assert emulator.switch()["log_order"] == "asc"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"swiches": {}}, "unknown keys"),
        ({"switches": {"log_order": "up"}}, "log_order"),
        ({"datasources": [{"id": "x"}]}, "datasources"),
    ],
)
def test_a_wrong_configuration_is_refused_with_the_reason(config, words):
    with pytest.raises(EmulatorError, match=words):
        FdiEmulator.start(config=config)


def test_nothing_is_left_of_an_emulator_that_did_not_start(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gc.collect()  # sockets of earlier tests
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(EmulatorError):
        FdiEmulator.start(config={"swiches": {"password": "secret"}})
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_port_in_use_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EmulatorError, match=f"cannot listen on 127.0.0.1:{port}"):
            FdiEmulator.start(port)


def test_it_ends_on_sigterm_even_with_a_connection_open(tmp_path):
    command = [sys.executable, "-m", "airflow_provider_fdi.emulator", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        assert line.startswith("fdi-emulator listening on http://127.0.0.1:")
        with requests.Session() as session:
            session.get(line.split()[-1] + "/_emulator/health").raise_for_status()
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) in (0, -signal.SIGTERM)


def test_it_ends_with_the_process_that_started_it():
    program = (
        "import os, sys; from airflow_provider_fdi.emulator.handle import FdiEmulator;"
        "e = FdiEmulator.start(); print(e.url, flush=True); os.kill(os.getpid(), 9)"
    )
    url = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, timeout=60, check=False
    ).stdout.strip()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            requests.get(url + "/_emulator/health", timeout=1)
        except requests.ConnectionError:
            return
        time.sleep(0.05)
    pytest.fail("the emulator outlived its starter")


def test_faults_work_with_the_plain_event_loop_and_parser_too(tmp_path):
    """uvloop and httptools are optional: uvicorn falls back to asyncio and h11."""
    for name in ("uvloop", "httptools"):
        (tmp_path / f"{name}.py").write_text("raise ImportError")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    before, os.environ["PYTHONPATH"] = os.environ.get("PYTHONPATH"), path
    try:
        emulator = FdiEmulator.start()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    with emulator:
        for kind in ("reset_before", "reset_after", "truncate_body"):
            emulator.fault(kind)
            with pytest.raises(requests.RequestException):
                requests.get(f"{emulator.api}/tasks", headers={"X-Auth-Token": emulator.token})
        assert emulator.request("GET", "tasks")[0] == 200


def test_the_connection_text_fits_each_kind_of_authentication(fdi_emulator):
    token = json.loads(fdi_emulator.connection_json())
    assert (token["conn_type"], token["password"]) == ("fdi", fdi_emulator.token)
    assert token["extra"]["auth_type"] == "token"
    assert json.loads(fdi_emulator.connection_json("aksk"))["login"] == fdi_emulator.access_key
    assert json.loads(fdi_emulator.connection_json("password"))["extra"]["iam_endpoint"] == fdi_emulator.url


def test_importing_the_handle_needs_the_standard_library_only():
    program = (
        "import sys; import airflow_provider_fdi.emulator.handle;"
        "print([n for n in ('fastapi', 'uvicorn', 'sqlalchemy', 'airflow', 'requests') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.strip() == "[]"
