"""Simulates FDI, Airbyte and dbt Cloud with as little CPU as possible, and counts the requests.

    python -m benchmarks.service      prints the port it listens on, then serves until its stdin is closed

Jobs are numbered 0 … n-1; each runs until its time in ``ends``. FDI's rows are as long as the real ones.
Answers are sent after ``latency`` seconds, however many are in flight. Settings and counters: ``/bench``.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import sys
import time
from collections import Counter
from email.utils import formatdate
from urllib.parse import parse_qs

PAGE_SIZE = 999
FDI = re.compile(r"/v2/[^/]+/fdi/instances/[^/]+/(.*)")
TASK = re.compile(r"tasks/job-(\d+)(/monitor-logs)?")
AIRBYTE = re.compile(r"(?:/api/public)?/v1/jobs/(\d+)")
DBT = re.compile(r"/api/v2/accounts/1/runs/(\d+)/")


class Jobs:
    """The state that all answers are built from."""

    def __init__(self) -> None:
        self.started = int(time.time()) - 60
        """Start time of all jobs, in seconds since the epoch."""
        self.set_up(1, 0.0)

    def set_up(self, count: int, latency: float) -> None:
        self.count = count
        self.latency = latency
        self.ends = [math.inf] * count
        self.rows = [(self._monitor(i, "RUNNING"), self._monitor(i, "SUCCESS")) for i in range(count)]
        self.clear()

    def clear(self) -> None:
        self.requests: Counter[str] = Counter()
        self.by_second: Counter[int] = Counter()
        self.in_flight = self.most_in_flight = 0
        self.last = time.time()

    def is_over(self, i: int) -> bool:
        return self.ends[i] <= time.time()

    def _monitor(self, i: int, status: str) -> str:
        return json.dumps(
            {
                "task_id": f"job-{i}",
                "task_name": f"orders-to-warehouse-{i}",
                "task_type": "TIMING",
                "status": 1,
                "last_execute_time": self.started * 1000,
                "position": "WRITER",
                "execute_status": status,
                "source_app_id": "d5afd9af-a8fe-47f6-a98c-edbcba11a0da",
                "source_app_name": "orders",
                "source_instance_id": "fae7ff6c-8e07-4cf8-9e67-589cab2f017c",
                "target_app_id": "d5afd9af-a8fe-47f6-a98c-edbcba11a0da",
                "target_app_name": "orders",
                "target_instance_id": "fae7ff6c-8e07-4cf8-9e67-589cab2f017c",
                "ext_type": None,
                "enterprise_project_id": "0",
                "task_tag": "nightly",
                "use_quartz_cron": True,
                "cron": "0 0 3 * * ?",
            }
        )

    def page(self, first: int, limit: int) -> str:
        now = time.time()
        rows = [self.rows[i][self.ends[i] <= now] for i in range(first, min(first + limit, self.count))]
        return f'{{"total":{self.count},"size":{len(rows)},"entities":[{",".join(rows)}]}}'

    def log(self, i: int) -> str:
        over = self.is_over(i)
        start = self.started * 1000
        row = {
            "id": f"run-{i}",
            "start_time": start,
            "dispatch_time": start,
            "end_time": int(self.ends[i] * 1000) if over else None,
            "execute_status": "SUCCESS" if over else "RUNNING",
            "position": "WRITER",
            "position_status": "TASK_END" if over else "NORMAL",
            "status": 504 if over else 502,
            "data_count": 1000,
            "dirty_data_count": 0,
            "data_size": 12.5,
            "data_size_unit": "KB",
            "spend_time": 60_000,
            "remarks": "",
            "detail_logs": [],
        }
        return json.dumps({"total": 1, "size": 1, "entities": [row]})

    def task(self, i: int) -> str:
        row = {"task_id": f"job-{i}", "task_name": f"orders-to-warehouse-{i}", "task_type": "TIMING"}
        row |= {"status": "running", "created_date": 1_700_000_000_000, "source_datasource_name": "orders"}
        return json.dumps({"task": row, "task_detail": json.dumps({"mapping": ["a column"] * 20})})


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, reduced to what the measured clients use."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].decode("latin-1")
            length = re.search(r"(?i)\r\ncontent-length: *(\d+)", head)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self.buffer) < size:
                return
            body, self.buffer = self.buffer[end + 4 : size], self.buffer[size:]
            method, target, _ = head.split("\r\n", 1)[0].split(" ", 2)
            self.handle(method, target, body)

    def handle(self, method: str, target: str, body: bytes) -> None:
        jobs = self.jobs
        path, _, query = target.partition("?")
        if path == "/bench":
            self.answer(control(jobs, json.loads(body)))
            return
        jobs.in_flight += 1
        jobs.most_in_flight = max(jobs.most_in_flight, jobs.in_flight)
        jobs.last = time.time()
        jobs.by_second[int(jobs.last)] += 1
        kind, text = reply(jobs, path, query, body)
        jobs.requests[kind] += 1
        if jobs.latency:
            asyncio.get_running_loop().call_later(jobs.latency, self.deliver, text)
        else:
            self.deliver(text)

    def deliver(self, text: str) -> None:
        self.jobs.in_flight -= 1
        self.answer(text)

    def answer(self, text: str) -> None:
        body = text.encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        head += f"Date: {formatdate(usegmt=True)}\r\n\r\n"
        if not self.transport.is_closing():
            self.transport.write(head.encode() + body)


def reply(jobs: Jobs, path: str, query: str, body: bytes) -> tuple[str, str]:
    """Returns the kind of a request, as it is counted, and the answer."""
    if found := AIRBYTE.fullmatch(path):
        i = int(found[1])
        state = "succeeded" if jobs.is_over(i) else "running"
        job = {"jobId": i, "status": state, "jobType": "sync", "startTime": "2026-01-01T00:00:00Z"}
        return "airbyte", json.dumps(job | {"connectionId": "c", "duration": "PT1M"})
    if found := DBT.fullmatch(path):
        i = int(found[1])
        return "dbt", json.dumps({"data": {"id": i, "status": 10 if jobs.is_over(i) else 3}})
    if path == "/v1/applications/token":
        return "token", json.dumps({"access_token": "x", "token_type": "Bearer", "expires_in": 100_000})
    fdi = FDI.fullmatch(path)
    rest = fdi[1] if fdi else ""
    if rest == "task-monitors":
        fields = parse_qs(query)
        return "pages", jobs.page(int(fields["offset"][0]) - 1, min(int(fields["limit"][0]), PAGE_SIZE))
    if rest == "batch-operation/tasks":
        ids = [item["task_id"] for item in json.loads(body)["list"]]
        done = [{"task_id": task_id, "task_name": task_id} for task_id in ids]
        return "batches", json.dumps({"success": done, "failure": []})
    if found := TASK.fullmatch(rest):
        i = int(found[1])
        return ("logs", jobs.log(i)) if found[2] else ("tasks", jobs.task(i))
    return "other", "{}"


def control(jobs: Jobs, order: dict[str, object]) -> str:
    """Obeys ``{"set_up": [count, latency]}``, ``{"ends": […]}`` or ``{"clear": true}``; returns counters."""
    if "set_up" in order:
        jobs.set_up(*order["set_up"])  # type: ignore[misc]
    if "ends" in order:
        jobs.ends = list(order["ends"])  # type: ignore[call-overload]
    counted = {
        "started": jobs.started,
        "last": jobs.last,
        "requests": dict(jobs.requests),
        "most_in_one_second": max(jobs.by_second.values(), default=0),
        "most_in_flight": jobs.most_in_flight,
    }
    if order.get("clear"):
        jobs.clear()
    return json.dumps(counted)


async def serve() -> None:
    loop = asyncio.get_running_loop()
    jobs = Jobs()
    server = await loop.create_server(lambda: Connection(jobs), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Until standard input is closed, at the latest by the end of the process that started this one.
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
