"""All operators and the sensor: arguments with which each can be made, and wrong ones with what is said."""

from __future__ import annotations

import datetime as dt
import inspect
from pathlib import Path
from typing import Any

from airflow_provider_fdi.compat import BaseOperator
from airflow_provider_fdi.operators import fdi as operators
from airflow_provider_fdi.sensors.fdi import FdiTaskSensor

CLASSES: list[Any] = [
    *(getattr(operators, name) for name in operators.__all__ if name != "FdiBaseOperator"),
    FdiTaskSensor,
]
BY_NAME: dict[str, Any] = {cls.__name__: cls for cls in CLASSES}

TABLES = {"source_table": "a.b", "target_table": "a.b"}
SIDES = {"source_datasource_id": "source", "target_datasource_id": "target"}
# The least that every class needs.
REQUIRED: dict[str, dict[str, Any]] = {
    "FdiApplyOperator": {"path": "fdi"},
    "FdiBatchOperator": {"action": "start", "fdi_task_ids": ["a-task"]},
    "FdiCreateCompositeTaskOperator": {"fdi_task_name": "nightly", **SIDES},
    "FdiCreateScheduleOperator": {"fdi_task_id": "a-task", "cron": "@daily"},
    "FdiCreateTaskOperator": {"fdi_task_name": "nightly", "task_detail": {}, **SIDES},
    "FdiDeleteTaskOperator": {"fdi_task_id": "a-task"},
    "FdiResetCompositeTaskOperator": {"fdi_task_id": "a-task"},
    "FdiRunTaskOperator": {"fdi_task_id": "a-task"},
    "FdiTaskSensor": {"fdi_task_id": "a-task", "completed_after": None},
    "FdiTerminateRunOperator": {"fdi_task_id": "a-task"},
    "FdiTestDatasourceOperator": {"datasource_id": "source"},
    "FdiUpdateTaskOperator": {"fdi_task_id": "a-task", "task_detail": {}},
}


def own_parameters(cls: Any) -> set[str]:
    """Parameters that are ours, not Airflow's."""
    found: set[str] = set()
    for base in cls.__mro__:
        if base.__module__.startswith("airflow_provider_fdi") and "__init__" in vars(base):
            init = inspect.unwrap(vars(base)["__init__"])
            found |= {
                name
                for name, parameter in inspect.signature(init).parameters.items()
                if name != "self" and parameter.kind is not parameter.VAR_KEYWORD
            }
    return found


def make(cls: Any, **changes: Any) -> BaseOperator:
    """An operator as a DAG file makes it."""
    made: BaseOperator = cls(**{"task_id": "load", **REQUIRED[cls.__name__], **changes})
    return made


def make_where_it_runs(cls: Any, **changes: Any) -> BaseOperator:
    """An operator as Airflow makes it from a mapped one, with values that came from other tasks."""
    return make(cls, _airflow_from_mapped=True, **changes)


Refusals = list[tuple[dict[str, Any], str]]

NONE = "is what an empty XCom renders to"
BOOLEAN = "must be True or False"

CONNECTION: Refusals = [
    ({"fdi_conn_id": ""}, "fdi_conn_id='': must have 1 to 255 characters, has 0"),
    ({"fdi_conn_id": None}, "fdi_conn_id=None: must be a string"),
    ({"fdi_conn_id": "fdi "}, "fdi_conn_id='fdi ': must not begin or end with white space"),
    ({"project_id": "None"}, f"project_id='None': {NONE}"),
    ({"project_id": " "}, "project_id=' ': must not be empty"),
    ({"project_id": 5}, "project_id=5: must be a string"),
    ({"instance_id": "None"}, f"instance_id='None': {NONE}"),
    ({"instance_id": "a/b"}, "instance_id='a/b': must not contain / "),
]
ONE_TASK: Refusals = [
    ({"fdi_task_id": None}, "fdi_task_id=None: give either fdi_task_id or fdi_task_name"),
    ({"fdi_task_id": ""}, "fdi_task_id='': must not be empty\n"),
    ({"fdi_task_id": " "}, "fdi_task_id=' ': must not be empty"),
    ({"fdi_task_id": "None"}, f"fdi_task_id='None': {NONE}"),
    ({"fdi_task_id": 7}, "fdi_task_id=7: must be a string"),
    ({"fdi_task_id": ["a-task"]}, "fdi_task_id=['a-task']: must be a string"),
    ({"fdi_task_id": Path("a-task")}, "must be a string\nGive the path as text."),
    ({"fdi_task_id": "../x"}, "fdi_task_id='../x': must not contain / \\ ? # or control characters"),
    ({"fdi_task_id": "x" * 65}, "must have at most 64 characters, has 65"),
    (
        {"fdi_task_name": "b"},
        "fdi_task_id='a-task': give this or fdi_task_name, not both\nfdi_task_name is 'b'.",
    ),
    ({"fdi_task_id": None, "fdi_task_name": ""}, "fdi_task_name='': must not be empty\nIf it is a template"),
    ({"fdi_task_id": None, "fdi_task_name": "None"}, f"fdi_task_name='None': {NONE}"),
    ({"fdi_task_id": None, "fdi_task_name": 7}, "fdi_task_name=7: must be a string"),
    (
        {"fdi_task_id": None, "fdi_task_name": "b "},
        "fdi_task_name='b ': must not begin or end with white space",
    ),
]
NEW_NAME: Refusals = [
    ({"fdi_task_name": "ab"}, "fdi_task_name='ab': must have 3 to 100 characters, has 2"),
    ({"fdi_task_name": "a" * 101}, "must have 3 to 100 characters, has 101"),
    ({"fdi_task_name": "-abc"}, "fdi_task_name='-abc': must begin with a letter or digit"),
    ({"fdi_task_name": "mit Raum"}, "fdi_task_name='mit Raum': must not contain ' '\nAllowed are letters"),
    ({"fdi_task_name": "日报任务"}, "fdi_task_name='日报任务': must not contain '日'"),
    ({"fdi_task_name": None}, "fdi_task_name=None: must be a string"),
    ({"fdi_task_name": "None"}, f"fdi_task_name='None': {NONE}"),
]
WORDS: Refusals = [
    ({"description": "d" * 1025}, "must have 0 to 1024 characters, has 1025"),
    ({"description": 5}, "description=5: must be a string"),
    ({"task_tag": "abc"}, "task_tag='abc': must be 4 to 64 letters, digits, '-' or '_'"),
    ({"task_tag": "with space"}, "task_tag='with space': must be 4 to 64"),
]
DETAIL: Refusals = [
    ({"task_detail": "{not json"}, "task_detail: is text, but not JSON\n"),
    ({"task_detail": "detail.yaml"}, "The path of a file must end in .json."),
    ({"task_detail": ""}, "task_detail: is text, but not JSON\n"),
    ({"task_detail": "[1]"}, "task_detail: must be a JSON object, is a list"),
    ({"task_detail": [1]}, "task_detail: is a list, not a dict or JSON text\nGive a dict"),
    ({"task_detail": 7}, "task_detail: is a number, not a dict or JSON text"),
    ({"task_detail": None}, "task_detail: is null, not a dict or JSON text"),
    ({"task_detail": Path("detail.json")}, "task_detail: is of type PosixPath, not a dict or JSON text"),
    ({"task_detail": {"when": dt.date(2026, 1, 1)}}, "task_detail: cannot be written as JSON"),
]
IF_EXISTS: Refusals = [
    ({"if_exists": "replace"}, "must be one of fail, reuse, update\nDid you mean 'update'?"),
    ({"if_exists": "Reuse"}, "must be one of fail, reuse, update\nDid you mean 'reuse'?"),
    ({"if_exists": ["reuse"]}, "if_exists=['reuse']: must be one of fail, reuse, update"),
    ({"if_exists": None}, "if_exists=None: must be one of"),
]
STOP_FIRST: Refusals = [({"stop_first": "yes"}, f"stop_first='yes': {BOOLEAN}"), ({"stop_first": 1}, BOOLEAN)]
WAITING: Refusals = [
    ({"poll_failure_timeout": -1}, "poll_failure_timeout=-1: must be a number of at least 0"),
    ({"poll_failure_timeout": "x"}, "poll_failure_timeout='x': must be a number"),
    ({"deferrable": "no"}, f"deferrable='no': {BOOLEAN}\nIt cannot be a template"),
    ({"deferrable": "{{ params.deferrable }}"}, f"{BOOLEAN}\nIt cannot be a template"),
]
POLLING: Refusals = [
    *WAITING,
    ({"poll_interval": -1}, "poll_interval=-1: must be a number of at least 0.01"),
    ({"poll_interval": 0}, "poll_interval=0: must be a number of at least"),
    ({"poll_interval": "soon"}, "poll_interval='soon': must be a number"),
    ({"poll_interval": None}, "poll_interval=None: must be a number"),
    ({"poll_interval": dt.timedelta(seconds=5)}, ": must be a number"),
]

REFUSALS: dict[str, Refusals] = {
    "FdiApplyOperator": [
        ({"path": ""}, "path='': must have 1 to 4096 characters, has 0"),
        ({"path": " "}, "path=' ': must not be empty"),
        ({"path": None}, "path=None: must be a string"),
        ({"path": "None"}, f"path='None': {NONE}"),
        ({"path": 5}, "path=5: must be a string"),
        ({"path": []}, "path=[]: must not be empty"),
        ({"path": ["fdi", ""]}, "path[1]='': must have 1 to 4096 characters, has 0"),
        ({"path": Path("fdi")}, "path=PosixPath('fdi'): must be a string\nGive the path as text."),
        ({"variables": ["a"]}, "variables: must be a dict, is of type list"),
        ({"variables": "{not json"}, "variables: is text, but not JSON\nGive a dict."),
        ({"variables": "None"}, f"variables='None': {NONE}"),
        ({"variables": {"PORT": 5}}, "variables: must be a dict of texts\nThat of 'PORT' is of type int."),
        ({"prune": "yes"}, f"prune='yes': {BOOLEAN}"),
        ({"plan_only": 1}, f"plan_only=1: {BOOLEAN}"),
        ({"on_drift": "ignore"}, "must be one of fail, warn\nDid you mean 'warn'?"),
        ({"on_drift": None}, "on_drift=None: must be one of fail, warn"),
        ({"interrupt": "maybe"}, f"interrupt='maybe': {BOOLEAN}"),
        ({"write_secrets": None}, f"write_secrets=None: {BOOLEAN}"),
    ],
    "FdiBatchOperator": [
        *POLLING,
        ({"action": "begin"}, "action='begin': must be one of start, stop\nDid you mean 'start'?"),
        ({"action": "START"}, "action='START': must be one of start, stop\nDid you mean 'start'?"),
        ({"action": None}, "action=None: must be one of start, stop"),
        ({"fdi_task_ids": []}, "fdi_task_ids=[]: must not be empty"),
        ({"fdi_task_ids": ""}, "fdi_task_ids=[]: must not be empty"),
        ({"fdi_task_ids": "[]"}, "fdi_task_ids=[]: must not be empty"),
        ({"fdi_task_ids": None}, "fdi_task_ids=None: give either fdi_task_ids or fdi_task_names"),
        ({"fdi_task_names": ["b"]}, "fdi_task_ids=['a-task']: give this or fdi_task_names, not both"),
        ({"fdi_task_ids": "None"}, f"fdi_task_ids='None': {NONE}"),
        ({"fdi_task_ids": ["a", None]}, "fdi_task_ids[1]=None: must be a string"),
        ({"fdi_task_ids": "['a', None]"}, "fdi_task_ids[1]=None: must be a string"),
        ({"fdi_task_ids": ["a", ""]}, "fdi_task_ids[1]='': must not be empty"),
        ({"fdi_task_ids": [["a"]]}, "fdi_task_ids[0]=['a']: must be a string"),
        ({"fdi_task_ids": {"a": 1}}, "fdi_task_ids={'a': 1}: must be a list"),
        ({"fdi_task_ids": 7}, "fdi_task_ids=7: must be a list"),
        ({"fdi_task_ids": "['a"}, "is not a list"),
        ({"fdi_task_ids": ["a/b"]}, "fdi_task_ids='a/b': must not contain /"),
        ({"fdi_task_ids": ["x" * 65]}, "must have at most 64 characters, has 65"),
        ({"fdi_task_ids": None, "fdi_task_names": "None"}, f"fdi_task_names='None': {NONE}"),
        ({"fdi_task_ids": None, "fdi_task_names": []}, "fdi_task_names=[]: must not be empty"),
        ({"on_partial_failure": "ignore"}, "must be one of fail, warn\nDid you mean 'warn'?"),
        ({"max_parallel_requests": 0}, "max_parallel_requests=0: must be a number of at least 1"),
        ({"max_parallel_requests": "many"}, "max_parallel_requests='many': must be a number"),
        ({"wait_for_status": "yes"}, f"wait_for_status='yes': {BOOLEAN}"),
    ],
    "FdiCreateCompositeTaskOperator": [
        *NEW_NAME,
        *WORDS,
        *IF_EXISTS,
        *STOP_FIRST,
        ({"operation_types": []}, "operation_types=[]: must be of INSERT, UPDATE, DELETE"),
        ({"operation_types": None}, "operation_types=[]: must be of INSERT, UPDATE, DELETE"),
        ({"operation_types": ["REMOVE"]}, "must be of INSERT, UPDATE, DELETE\nDid you mean 'DELETE'?"),
        ({"source_datasource_id": None}, "source_datasource_id=None: must be a string"),
        ({"target_datasource_id": "None"}, f"target_datasource_id='None': {NONE}"),
        ({"source_app_id": ""}, "source_app_id='': must not be empty"),
        ({"target_app_id": 5}, "target_app_id=5: must be a string"),
        ({"server_id": "x" * 21}, "must have 1 to 20 characters, has 21"),
        ({"auto_mapping": "maybe"}, f"auto_mapping='maybe': {BOOLEAN}"),
        ({"repulling_snapshot": None}, f"repulling_snapshot=None: {BOOLEAN}"),
        ({"table_mappings": {"source_table": "a.b"}}, "must be a list of dicts"),
        ({"table_mappings": ["a.b"]}, "table_mappings[0]='a.b': must be a dict"),
        ({"table_mappings": [{"source_table": "a.b"}]}, "must have target_table"),
        (
            {"table_mappings": [TABLES | {"target_table": "a.b-c"}]},
            "table_mappings[0].target_table='a.b-c': must not contain '-' or '#'\n",
        ),
        (
            {"table_mappings": [TABLES | {"source_column": []}]},
            "table_mappings[0].source_column=[]: is unknown\nDid you mean 'source_columns'?",
        ),
        (
            {"table_mappings": [TABLES | {"source_columns": ["id"]}]},
            "table_mappings[0].source_columns[0]='id': must be a dict",
        ),
    ],
    "FdiCreateScheduleOperator": [
        *ONE_TASK,
        *IF_EXISTS,
        ({"cron": None}, "cron=None: give either cron, or period with dispatch_interval"),
        ({"period": "DAY"}, "cron='@daily': give this or period, not both\nperiod is 'DAY'."),
        ({"dispatch_interval": 5}, "dispatch_interval=5: goes with period, not with cron"),
        ({"cron": None, "period": "DAY"}, "dispatch_interval=None: is missing\nPeriod 'DAY' needs it"),
        (
            {"cron": None, "period": "MIN", "dispatch_interval": 60},
            "dispatch_interval=60: must be a whole number from 1 to 59",
        ),
        ({"cron": None, "period": "MIN", "dispatch_interval": 0}, "from 1 to 59"),
        ({"cron": None, "period": "MIN", "dispatch_interval": "often"}, "from 1 to 59"),
        (
            {"cron": None, "period": "MONTH", "dispatch_interval": 1},
            "must be one of MIN, HOUR, DAY, WEEK, MON\nDid you mean 'MON'?",
        ),
        (
            {"cron": None, "period": "DAY", "dispatch_interval": 1, "cron_timezone": "GMT+08:00"},
            "cron_timezone='GMT+08:00': goes with cron, not with period",
        ),
        ({"cron": "0 0 2 1 * 1"}, "cron='0 0 2 1 * 1': neither day nor weekday is '?'"),
        ({"cron": "0 2 1 * 1"}, "cron='0 2 1 * 1': sets both day and weekday, which FDI cannot do\n"),
        ({"cron": "0 2 31 * 8"}, "cron='0 2 31 * 8': "),
        ({"cron": "every day"}, "cron='every day': has 2 fields, not five or six\nFive are Unix cron"),
        ({"cron": "@once"}, "cron='@once': FDI cannot fire a schedule once\n"),
        ({"cron": "30 0 2 * * ?"}, "cron='30 0 2 * * ?': seconds must be 0, are '30'\n"),
        ({"cron": 5}, "cron=5: must be text, not int"),
        ({"cron": "None"}, f"cron='None': {NONE}"),
        ({"start_time": 946684799999}, "start_time=946684799999: must be from 2000 to January 2038\n"),
        ({"start_time": 2147512447001}, "must be from 2000 to January 2038"),
        ({"start_time": "1999-12-31"}, "must be from 2000 to January 2038"),
        ({"start_time": "tomorrow"}, "start_time='tomorrow': is not a time\nGive a datetime, ISO 8601 text"),
        ({"start_time": "None"}, f"start_time='None': {NONE}"),
        ({"start_time": dt.date(2026, 1, 1)}, ": is not a time\n"),
        ({"cron_timezone": 8}, "cron_timezone=8: must be a string"),
        ({"remark": "r" * 256}, "must have 0 to 255 characters, has 256"),
    ],
    "FdiCreateTaskOperator": [
        *NEW_NAME,
        *WORDS,
        *DETAIL,
        *IF_EXISTS,
        *STOP_FIRST,
        ({"fdi_task_type": "BATCH"}, "must be one of TIMING, REALTIME\nDid you mean 'TIMING'?"),
        ({"fdi_task_type": None}, "fdi_task_type=None: must be one of"),
        ({"source_datasource_id": ""}, "source_datasource_id='': must not be empty"),
        ({"source_datasource_id": None}, "source_datasource_id=None: must be a string"),
        ({"source_datasource_id": "None"}, f"source_datasource_id='None': {NONE}"),
        ({"target_datasource_id": "x" * 65}, "must have at most 64 characters, has 65"),
    ],
    "FdiDeleteTaskOperator": [
        *ONE_TASK,
        *STOP_FIRST,
        ({"missing_ok": "maybe"}, f"missing_ok='maybe': {BOOLEAN}"),
        ({"fdi_task_name": "b", "missing_ok": True}, "give this or fdi_task_name, not both"),
    ],
    "FdiResetCompositeTaskOperator": [
        *ONE_TASK,
        ({"date_from": "yesterday"}, "date_from='yesterday': is not a time\n"),
        ({"date_from": ""}, "date_from='': is not a time\n"),
        ({"date_from": "None"}, f"date_from='None': {NONE}"),
        ({"date_from": 20260101}, "date_from=20260101: looks like seconds or YYYYMMDD\n"),
    ],
    "FdiRunTaskOperator": [
        *ONE_TASK,
        *POLLING,
        ({"if_running": "restart"}, "must be one of wait, join, fail, skip\nDid you mean 'wait'?"),
        ({"if_running": "wiat"}, "must be one of wait, join, fail, skip\nDid you mean 'wait'?"),
        ({"if_running": None}, "if_running=None: must be one of wait, join, fail, skip"),
        ({"start_grace": -1}, "start_grace=-1: must be a number of at least 0"),
        ({"start_if_stopped": "yes"}, f"start_if_stopped='yes': {BOOLEAN}"),
        ({"min_rows": "one"}, "min_rows='one': must be a number"),
        ({"min_rows": "None"}, f"min_rows='None': {NONE}"),
        ({"min_rows": ""}, "min_rows='': must be a number"),
        ({"min_rows": "1.5"}, "min_rows='1.5': must be a whole number"),
        ({"min_rows": True}, "min_rows=True: must be a number"),
        ({"max_dirty_rows": -1}, "max_dirty_rows=-1: must be a number of at least 0"),
        ({"skip_if_empty": "maybe"}, f"skip_if_empty='maybe': {BOOLEAN}"),
        ({"wait_for_completion": "False"}, f"wait_for_completion='False': {BOOLEAN}\n"),
        ({"durable": None}, f"durable=None: {BOOLEAN}"),
        ({"terminate_on_kill": 0}, f"terminate_on_kill=0: {BOOLEAN}"),
        ({"wait_for_completion": False, "min_rows": 1}, "min_rows=1: needs wait_for_completion=True\n"),
        (
            {"wait_for_completion": False, "skip_if_empty": True},
            "skip_if_empty=True: needs wait_for_completion",
        ),
    ],
    "FdiTaskSensor": [
        *ONE_TASK,
        *WAITING,
        ({"completed_after": "yesterday"}, "completed_after='yesterday': is not a time\n"),
        ({"completed_after": ""}, "completed_after='': is not a time\n"),
        ({"completed_after": "None"}, f"completed_after='None': {NONE}"),
        ({"completed_after": 1795324815}, "looks like seconds or YYYYMMDD\n"),
        ({"fdi_run_id": ""}, "fdi_run_id='': must not be empty"),
        ({"fdi_run_id": 5}, "fdi_run_id=5: must be a string"),
        ({"target_statuses": "OK"}, "must be of SUCCESS, CANCELLED, ERROR\nDid you mean 'SUCCESS'?"),
        ({"target_statuses": ["RUNNING"]}, "target_statuses='RUNNING': must be of SUCCESS, CANCELLED, ERROR"),
        ({"target_statuses": []}, "target_statuses=[]: must not be empty"),
        ({"failure_statuses": ["FAILED"]}, "must be of SUCCESS, CANCELLED, ERROR\nDid you mean 'ERROR'?"),
    ],
    "FdiTerminateRunOperator": [*ONE_TASK],
    "FdiTestDatasourceOperator": [
        ({"datasource_id": "../tasks"}, "datasource_id='../tasks': must not contain /"),
        ({"datasource_id": ""}, "datasource_id='': must not be empty"),
        ({"datasource_id": None}, "datasource_id=None: must be a string"),
    ],
    "FdiUpdateTaskOperator": [
        *ONE_TASK,
        *WORDS,
        *DETAIL,
        *STOP_FIRST,
        ({"new_fdi_task_name": "-xy"}, "new_fdi_task_name='-xy': must begin with a letter or digit"),
        ({"fdi_task_type": "DAILY"}, "fdi_task_type='DAILY': must be one of TIMING, REALTIME"),
        ({"source_datasource_id": "a/b"}, "source_datasource_id='a/b': must not contain /"),
        ({"target_datasource_id": 5}, "target_datasource_id=5: must be a string"),
        ({"restart": "maybe"}, f"restart='maybe': {BOOLEAN}"),
    ],
}
for _refusals in REFUSALS.values():
    _refusals.extend(CONNECTION)
