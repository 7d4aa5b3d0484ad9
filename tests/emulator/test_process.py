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

from airflow_provider_fdi import __version__
from airflow_provider_fdi.emulator.config import config_from_dict
from airflow_provider_fdi.emulator.handle import EmulatorError, FdiEmulator
from airflow_provider_fdi.emulator.server.serve import bind


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
        ({"swiches": {}}, "config: unknown key 'swiches'; did you mean 'switches'?"),
        ({"switches": {"log_ordr": "asc"}}, "switches: unknown switch 'log_ordr'; did you mean 'log_order'?"),
        ({"switches": {"log_order": "acs"}}, "switches.log_order 'acs': did you mean 'asc'?"),
        ({"credentials": {"user": []}}, "credentials: unknown key 'user'; did you mean 'users'?"),
        (
            {"credentials": {"users": [{"pasword": "secret"}]}},
            "unknown key 'pasword'; did you mean 'password'?",
        ),
        ({"datasources": [{"id": "x"}]}, "datasources.name: Field required"),
        (
            {"datasources": [{"id": "x", "name": "x", "type": "MYSQL", "url": "mysqll://u:secret@h/d"}]},
            "'mysql'?",
        ),
        ({"projects": []}, "projects: List should have at least 1 item"),
    ],
)
def test_a_wrong_configuration_is_refused_with_the_reason(config, words):
    with pytest.raises(ValueError) as refused:
        config_from_dict(config)
    assert words.removeprefix("config: ") in str(refused.value)
    assert "secret" not in str(refused.value)


def test_the_reason_reaches_whoever_starts_it():
    with pytest.raises(EmulatorError, match=r"config: unknown key 'swiches'; did you mean 'switches'\?"):
        FdiEmulator.start(config={"swiches": {}})


def command(*arguments):
    """The exit code of the command, and what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "airflow_provider_fdi.emulator", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


def test_it_tells_its_version():
    assert command("--version") == (0, f"fdi-emulator {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prot", "8765"], "unknown argument --prot; did you mean --port?"),
        (["--confg=fdi.json"], "unknown argument --confg; did you mean --config?"),
        (["fdi.json"], "unknown argument fdi.json"),
        (["--port", "87650"], "argument --port: '87650' is not a number from 0 to 65535"),
        (["--config", "no-such.json"], "no-such.json: No such file or directory"),
        (["--host", "no-such-host.invalid"], "cannot listen on no-such-host.invalid:8765"),
    ],
)
def test_a_wrong_argument_is_refused_with_the_reason(arguments, words):
    code, output = command(*arguments)
    assert code == 2
    assert f"fdi-emulator: {words}" in output or f"fdi-emulator: error: {words}" in output
    assert "Traceback" not in output


def test_a_configuration_that_is_not_json_is_refused(tmp_path):
    config = tmp_path / "fdi.json"
    config.write_text("datasources: []")
    code, output = command("--config", config)
    assert (code, output.startswith(f"fdi-emulator: {config}: this is not JSON: ")) == (2, True)


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
        with pytest.raises(EmulatorError, match=f"cannot listen on 127.0.0.1:{port}.*0 takes a free one"):
            FdiEmulator.start(port)


def test_connections_send_small_answers_at_once():
    with bind("127.0.0.1", 0) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


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
