"""Measures single calls and imports, each in a separate process.

python -m benchmarks.calls get_task URL            µs a call: this client, bare requests, the official SDK
python -m benchmarks.calls start URL PARALLEL      starting 1,000 tasks: seconds
python -m benchmarks.calls import MODULE …         ms to import them after airflow.sdk
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

PROJECT, INSTANCE = "p" * 32, "i" * 32
ROUNDS, CALLS = 15, 100


def client(url: str) -> Any:
    from airflow_provider_fdi.client import FdiClient, StaticTokenAuth

    return FdiClient(url, PROJECT, INSTANCE, StaticTokenAuth("token"))


def get_task(url: str) -> dict[str, float]:
    """Medians of alternating rounds, so that other load on the machine affects all clients alike."""
    import requests
    from huaweicloudsdkcore.auth.credentials import BasicCredentials
    from huaweicloudsdkroma.v2 import RomaClient, ShowTaskRequest

    ours = client(url)
    session = requests.Session()
    address = f"{url}/v2/{PROJECT}/fdi/instances/{INSTANCE}/tasks/job-0"
    headers = {"X-Auth-Token": "token"}
    credentials = BasicCredentials("AK", "SK", PROJECT)
    sdk = RomaClient.new_builder().with_credentials(credentials).with_endpoint(url).build()
    contestants: dict[str, Callable[[], Any]] = {
        "ours": lambda: ours.get_task("job-0"),
        "requests": lambda: session.get(address, headers=headers).json(),
        "sdk": lambda: sdk.show_task(ShowTaskRequest(instance_id=INSTANCE, task_id="job-0")),
    }
    rounds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(ROUNDS + 1):
        for name, call in contestants.items():
            started = time.perf_counter()
            for _ in range(CALLS if number else 5):
                call()
            if number:
                rounds[name].append((time.perf_counter() - started) / CALLS * 1e6)
    return {name: statistics.median(taken) for name, taken in rounds.items()}


def start(url: str, parallel: int) -> float:
    ids = [f"job-{i}" for i in range(1000)]
    with client(url) as ours:
        ours.start_tasks(ids[:1])
        started = time.perf_counter()
        result = ours.start_tasks(ids, max_parallel_requests=parallel)
        taken = time.perf_counter() - started
    assert len(result.succeeded) == 1000
    return taken


def imports(*modules: str) -> float:
    importlib.import_module("airflow.sdk")
    started = time.perf_counter()
    for module in modules:
        importlib.import_module(module)
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    if what == "start":
        print(json.dumps(start(arguments[0], int(arguments[1]))))
    else:
        print(json.dumps({"get_task": get_task, "import": imports}[what](*arguments)))
