"""Names and numbers that several parts of the package share. Imports nothing."""

from __future__ import annotations

CONN_TYPE = "fdi"
HOOK_NAME = "Huawei Cloud FDI"
AUTH_TYPES = ("aksk", "password", "token", "sdk")
"""Kinds of authentication of a connection; the first is the default."""

TROUBLESHOOTING = "docs/troubleshooting.md"
"""Where messages of errors lead, followed by ``#`` and the service's code or the name of our exception."""

CONNECT_TIMEOUT = 10
"""Seconds to make a connection."""
READ_TIMEOUT = 60
"""Seconds to wait for an answer."""

CONSOLE_URL = "https://console-intl.huaweicloud.com/roma"

MAX_BATCH = 10
"""Most tasks that one request starts or stops."""
PAGE_SIZE = 999
"""Most rows of one page of tasks, runs, mappings and monitors."""
DATASOURCE_PAGE_SIZE = 200
"""Most rows of one page of data sources."""
MAX_PAGES = 1100
"""Bound of any listing, whatever the service says: its offsets end at a million rows."""

TASK_TYPES = ("TIMING", "REALTIME")
PERIODS = ("MIN", "HOUR", "DAY", "WEEK", "MON")
"""Units of an interval schedule."""
IF_RUNNING = ("wait", "join", "fail", "skip")
"""What a task does about a run in progress that is not its own."""
OPERATION_TYPES = ("INSERT", "UPDATE", "DELETE")
"""Changes that a composite task can follow."""

START_TIME_MIN = 946_684_800_000
START_TIME_MAX = 2_147_512_447_000
"""Bounds of a schedule's start, in epoch milliseconds."""

READY = "ready"
"""Status of a trigger's event: what was waited for has come about; the operator checks for itself."""
TIMEOUT = "timeout"
ERROR = "error"

SHORTEST_INTERVAL = 0.01
"""Seconds: the shortest ``poll_interval``."""

AIRFLOW_RUNS_KEY = "fdi_airflow_runs."
"""Key in an asset's state store, followed by the FDI task's id: the runs that Airflow tasks report."""
