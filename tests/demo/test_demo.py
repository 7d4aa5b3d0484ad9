"""What `make demo` and `make ui` do before Airflow is there, and what they print meanwhile."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from demo import narrator
from demo.airflow_api import StackError, wait_until
from demo.narrator import Narrator
from demo.scene import Scene
from demo.stack import PortInUse
from tools.uv import install


def test_silence_is_broken_by_what_is_being_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(narrator, "SILENCE", 0.1)
    printed = ""

    def broken() -> bool:
        nonlocal printed
        printed += capsys.readouterr().out
        return "(still: Airflow: loading)" in printed

    with Narrator() as say:
        say("Airflow: loading")
        wait_until(broken, 10, "a line")


def test_second_start_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    first, second = (Scene(tmp_path / "ui", sample=1) for _ in range(2))
    first.lock()
    try:
        with pytest.raises(StackError, match=f"process {os.getpid()}"):
            second.start(print)
    finally:
        first.stop()
    second.lock()
    second.stop()


def test_install_prints_the_steps_but_not_every_package(capfd: pytest.CaptureFixture[str]) -> None:
    lines = "Resolved 3 packages in 5ms\\n + airflow==3.3.2\\nInstalled 3 packages in 1ms\\n"
    command = [sys.executable, "-c", f"import sys; sys.stderr.write('{lines}'); sys.exit(3)"]

    assert install(command, dict(os.environ)) == 3

    printed = capfd.readouterr().err
    assert "Resolved 3 packages" in printed
    assert "Installed 3 packages" in printed
    assert "airflow==3.3.2" not in printed


def test_install_is_not_silent_for_long(capfd: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(2)"]

    install(command, dict(os.environ), silence=0.1)

    assert "still downloading and installing" in capfd.readouterr().err


def test_taken_port_is_named_before_anything_is_started(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        scene = Scene(tmp_path / "ui", airflow_port=port, sample=1)
        try:
            with pytest.raises(PortInUse, match=f"Port {port} for Airflow cannot be used"):
                scene.start(print)
        finally:
            scene.stop()

    assert not (tmp_path / "ui").exists()
