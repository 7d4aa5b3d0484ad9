"""A DAG file imports the operators and the sensor: that must cost next to nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import json, sys
try:
    from airflow.sdk import BaseOperator, BaseOperatorLink, BaseSensorOperator, PokeReturnValue
    from airflow.sdk.configuration import conf
except ImportError:
    from airflow.providers.common.compat.sdk import (
        BaseOperator, BaseOperatorLink, BaseSensorOperator, PokeReturnValue, conf
    )
before = set(sys.modules)
import airflow_provider_fdi.operators.fdi
import airflow_provider_fdi.sensors.fdi
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_importing_operators_and_sensor_loads_neither_requests_nor_the_orm() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=root, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert [name for name in loaded if not name.startswith("airflow_provider_fdi")] == []
    assert not any(name.startswith("airflow_provider_fdi.client") for name in loaded)
