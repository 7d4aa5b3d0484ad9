"""Measures one triggerer under load: Airflow's real TriggerRunner, without its database.

    python -m benchmarks.triggerer '{"kind": "fdi", "waits": 1000, …}'      prints one JSON object

``kind``: ``fdi`` (this provider), ``airbyte``, ``dbt``, or ``idle``, a trigger that does nothing and serves
as the baseline. All waits start together, wait for some intervals, and then end, all at once or spread over
one interval.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import random
import sys
import tempfile
import time
import urllib.request
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

WARM_UP = 3
"""Waits that run first, so that memory needed only once per process is not counted as that of the waits."""
BEAT = 0.005

_out = os.dup(1)


def prepare_environment(url: str) -> None:
    for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
        del os.environ[name]
    home = tempfile.mkdtemp(prefix="fdi-bench-")
    fdi = {"conn_type": "fdi", "host": url, "password": "token"}
    fdi["extra"] = json.dumps({"auth_type": "token", "project_id": "p" * 32, "instance_id": "i" * 32})
    os.environ |= {
        "AIRFLOW_HOME": home,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW_CONN_FDI_DEFAULT": json.dumps(fdi),
        "AIRFLOW_CONN_AIRBYTE_DEFAULT": json.dumps({"conn_type": "airbyte", "host": f"{url}/v1"}),
        "AIRFLOW_CONN_DBT_CLOUD_DEFAULT": json.dumps(
            {"conn_type": "dbt_cloud", "host": url.removeprefix("http://"), "login": "1", "password": "token"}
        ),
        "_AIRFLOW_PROCESS_CONTEXT": "client",
    }
    # Log output is discarded for all providers alike.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def trigger_factory(kind: str, since: int) -> Callable[[int, float], Any]:
    """Returns a function that creates the trigger for job ``i``, polling every ``interval`` seconds."""
    if kind == "fdi":
        from airflow_provider_fdi.triggers.fdi import FdiWaitTrigger

        def fdi(i: int, interval: float) -> Any:
            job = {"fdi_task_id": f"job-{i}", "run_id": f"run-{i}"}
            arguments = {
                "fdi_conn_id": "fdi_default",
                "project_id": "p" * 32,
                "instance_id": "i" * 32,
                "waits": [job | {"kind": "run_ends", "started": since}],
                "poll_interval": interval,
                "poll_failure_timeout": 600.0,
                "deadline": None,
                "record": job | {"run_time": since, "clear_generation": 0, "try_number": 1},
                "terminate_on_kill": True,
            }
            # Through JSON, so that triggers share no strings: as if they came from the database.
            return FdiWaitTrigger(**json.loads(json.dumps(arguments)))

        return fdi
    if kind == "airbyte":
        from airflow.providers.airbyte.triggers.airbyte import AirbyteSyncTrigger

        return lambda i, interval: AirbyteSyncTrigger(
            job_id=i, conn_id="airbyte_default", end_time=time.time() + 86_400, poll_interval=interval
        )
    if kind == "dbt":
        from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger

        take_tls_from_dbt()
        return lambda i, interval: DbtCloudRunJobTrigger(
            conn_id="dbt_cloud_default",
            run_id=i,
            end_time=time.time() + 86_400,
            poll_interval=interval,
            account_id=1,
        )
    from airflow.triggers.base import BaseTrigger, TriggerEvent

    class IdleTrigger(BaseTrigger):
        def serialize(self) -> tuple[str, dict[str, Any]]:
            return "benchmarks.IdleTrigger", {}

        async def run(self) -> AsyncIterator[TriggerEvent]:
            await asyncio.get_running_loop().create_future()
            yield TriggerEvent({})

    return lambda i, interval: IdleTrigger()


def take_tls_from_dbt() -> None:
    """Makes dbt Cloud's hook use HTTP: the simulated service has no TLS. Its polls get cheaper by that."""
    from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook

    original = DbtCloudHook.get_request_url_params

    def plain(*args: Any, **kwargs: Any) -> tuple[str, dict[str, Any]]:
        url, data = original(*args, **kwargs)
        return url.replace("https://", "http://"), data

    DbtCloudHook.get_request_url_params = staticmethod(plain)


class Timed(deque[Any]):
    """Replaces the runner's queue of events and records when each event arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.times: dict[int, float] = {}

    def append(self, entry: Any) -> None:
        self.times[entry.trigger_id] = time.time()


class Stalls:
    """The longest time (s) for which the event loop was blocked."""

    def __init__(self) -> None:
        self.longest = 0.0

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        self.longest = 0.0
        beat = asyncio.get_running_loop().create_task(self._beat())
        try:
            yield
        finally:
            beat.cancel()

    async def _beat(self) -> None:
        while True:
            started = time.perf_counter()
            await asyncio.sleep(BEAT)
            self.longest = max(self.longest, time.perf_counter() - started - BEAT)


def memory() -> int:
    """Bytes of memory that belong to this process alone."""
    gc.collect()
    with open("/proc/self/smaps_rollup") as lines:
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) * 1024


async def measure(order: dict[str, Any]) -> dict[str, Any]:
    from airflow.jobs.triggerer_job_runner import TriggerRunner

    kind, waits, interval = order["kind"], order["waits"], order["interval"]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def service(**command: Any) -> dict[str, Any]:
        request = urllib.request.Request(order["url"] + "/bench", json.dumps(command).encode())
        return json.load(opener.open(request, timeout=60))  # type: ignore[no-any-return]

    runner = TriggerRunner()
    runner.events = events = Timed()
    since = (await asyncio.to_thread(service))["started"] * 1000

    make_trigger = trigger_factory(kind, since)

    async def begin(numbers: range, interval: float) -> None:
        # As TriggerRunner.create_triggers does.
        for i in numbers:
            await asyncio.sleep(0)
            trigger = make_trigger(i, interval)
            await asyncio.sleep(0)
            runner.triggers[i] = {"task": None, "is_watcher": False, "name": f"wait {i}", "events": 0}
            task = asyncio.create_task(runner.run_trigger(i, trigger))
            task.add_done_callback(lambda _, i=i: runner.triggers.pop(i, None))
            runner.triggers[i]["task"] = task

    async def drop(numbers: range) -> None:
        tasks = [runner.triggers[i]["task"] for i in numbers]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    stalls = Stalls()
    result: dict[str, Any] = dict(order)
    warm = range(waits, waits + WARM_UP)
    await asyncio.to_thread(service, set_up=[max(order["tasks"], waits + WARM_UP), order["latency"]])
    await begin(warm, 0.5)
    await asyncio.sleep(2)
    await drop(warm)
    before = memory()
    await asyncio.to_thread(service, set_up=[order["tasks"], order["latency"]])

    with stalls.measured():
        started = time.time()
        await begin(range(waits), interval)
        await asyncio.sleep(1.5 * interval)
    result["start_up"] = await asyncio.to_thread(service)
    result["start_up_took"] = time.time() - started - 1.5 * interval
    result["stall_start_up"] = stalls.longest

    # Start halfway between two polls, so that each measured interval contains exactly one.
    last = (await asyncio.to_thread(service))["last"]
    await asyncio.sleep((last + interval / 2 - time.time()) % interval)
    await asyncio.to_thread(service, clear=True)
    with stalls.measured():
        await asyncio.sleep(order["steady"] * interval)
    result["stall_steady"] = stalls.longest
    seen = await asyncio.to_thread(service, clear=True)
    result["requests_per_interval"] = sum(seen["requests"].values()) / order["steady"]

    # Not while stalls are measured: that alone uses as much CPU as an efficient trigger.
    cpu = time.process_time()
    await asyncio.sleep(order["steady"] * interval)
    result["cpu_per_interval"] = (time.process_time() - cpu) / order["steady"]
    result["memory"] = memory() - before
    await asyncio.to_thread(service, clear=True)

    if order["ending"] and kind != "idle":
        spread = interval if order["ending"] == "spread" else 0.0
        now = time.time() + 0.2
        ends = [now + spread * i / waits for i in range(waits)]
        random.Random(1).shuffle(ends)
        rest = [now + 1e9] * (order["tasks"] - waits)
        with stalls.measured():
            await asyncio.to_thread(service, ends=ends + rest)
            deadline = time.time() + order["patience"]
            while len(events.times) < waits and time.time() < deadline:
                await asyncio.sleep(0.05)
        result["stall_end"] = stalls.longest
        result["ended"] = len(events.times)
        result["requests_end"] = (await asyncio.to_thread(service))["requests"]
        late = sorted(events.times[i] - ends[i] for i in events.times)
        if late:
            result["latency_median"], result["latency_p95"] = (
                late[len(late) // 2],
                late[int(len(late) * 0.95)],
            )
            result["last_event_after"] = max(events.times.values()) - now
    return result


def main() -> None:
    order = json.loads(sys.argv[1])
    prepare_environment(order["url"])
    result = asyncio.run(measure(order))
    os.write(_out, json.dumps(result).encode() + b"\n")
    # Skips the clean-up of thousands of remaining waits.
    os._exit(0)


if __name__ == "__main__":
    main()
