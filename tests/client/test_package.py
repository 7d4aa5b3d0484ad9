from __future__ import annotations

import subprocess
import sys

import pytest

import airflow_provider_fdi.client as package


@pytest.mark.parametrize(
    "module", ["errors", "enums", "models", "times", "cron", "task_detail", "secrets", "endpoint", "backoff"]
)
def test_light_modules_cost_no_http_library(module: str) -> None:
    code = (
        f"import sys, airflow_provider_fdi.client.{module}\n"
        "bad = {'requests', 'urllib3', 'airflow', 'pendulum'} & set(sys.modules)\n"
        "sys.exit(str(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_client_needs_no_airflow() -> None:
    code = (
        "import sys\n"
        "from airflow_provider_fdi.client import FdiClient, StaticTokenAuth\n"
        "FdiClient('https://x.example', 'p', 'i', StaticTokenAuth('t'))\n"
        "sys.exit('airflow' in sys.modules or 'huaweicloudsdkcore' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_is_there() -> None:
    for name in package.__all__:
        assert getattr(package, name).__name__ == name
        assert name in dir(package)
    with pytest.raises(AttributeError):
        package.nothing_like_this  # noqa: B018
