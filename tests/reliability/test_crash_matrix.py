"""The process dies anywhere in a try, and the next try finishes: one run, nothing lost, in every cell."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airflow_provider_fdi.emulator.handle import FdiEmulator

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)
def test_a_process_that_dies_anywhere_starts_one_run_and_loses_none(
    emulator: FdiEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability.matrix", emulator.url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])

    with capsys.disabled():
        print("", *result["table"], f"({time.monotonic() - began:.0f} s)", sep="\n")
    assert result["cells"] > 100
    assert not result["wrong"], "\n".join(result["wrong"])
    assert not result["unreached"], "these points were not reached, so that nothing died there"
