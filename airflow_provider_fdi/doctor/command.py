"""The command ``airflow fdi doctor``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from airflow_provider_fdi.client.backoff import Backoff
from airflow_provider_fdi.client.client import FdiClient
from airflow_provider_fdi.client.errors import FdiArgumentError, FdiError, FdiNotFoundError
from airflow_provider_fdi.doctor.evidence import Evidence
from airflow_provider_fdi.doctor.own_task import TaskPlan
from airflow_provider_fdi.doctor.probe import Limits, Probe
from airflow_provider_fdi.doctor.reading import look
from airflow_provider_fdi.doctor.report import Report, as_json, as_markdown, make_report
from airflow_provider_fdi.doctor.trying import NAMES, try_out
from airflow_provider_fdi.doctor.verdict import DIFFERENT
from airflow_provider_fdi.hooks.fdi import FdiHook, failed_layer, make_client
from airflow_provider_fdi.hooks.settings import FdiSettings

ALL_AS_ASSUMED, FAILED, SOMETHING_DIFFERENT = 0, 1, 2
DEFAULTS = Limits()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the doctor's arguments; those that choose the connection are added by the command itself."""
    parser.add_argument(
        "--write", action="store_true", help="also try out, on a task that it makes and deletes again"
    )
    parser.add_argument(
        "-o",
        "--output",
        choices=("text", "json"),
        default="text",
        help="text, which is Markdown (the default), or json, a configuration for fdi-emulator --config",
    )
    parser.add_argument(
        "--source", metavar="ID", help="with --write: the id of the task's source data source"
    )
    parser.add_argument(
        "--target", metavar="ID", help="with --write: the id of the task's target data source"
    )
    parser.add_argument(
        "--detail",
        metavar="FILE",
        type=Path,
        help="with --write: task_detail of a task whose runs take some seconds and do no harm (JSON)",
    )
    parser.add_argument(
        "--max-requests",
        metavar="N",
        type=_positive,
        default=DEFAULTS.requests,
        help="most requests (%(default)s)",
    )
    parser.add_argument(
        "--max-seconds",
        metavar="N",
        type=_positive,
        default=int(DEFAULTS.seconds),
        help="longest time (%(default)s)",
    )


def run(hook: FdiHook, args: argparse.Namespace) -> int:
    """Examine the hook's instance and print the report.

    :return: 0: all that was checked is as assumed; 1: the arguments or the connection do not work;
        2: something is different.
    """
    if bool(args.source) != bool(args.target):
        return _refuse("--source and --target belong together")
    if not args.write and (args.source or args.detail):
        return _refuse("--source, --target and --detail go with --write")
    try:
        detail = _read_detail(args.detail)
    except (OSError, ValueError) as error:
        return _refuse(f"--detail: {error}")
    limits = replace(DEFAULTS, requests=args.max_requests, seconds=float(args.max_seconds))
    plan = TaskPlan(args.source or "", args.target or "", detail) if args.write else None
    report = examine(hook, limits, plan)
    sys.stdout.write(as_json(report) + "\n" if args.output == "json" else as_markdown(report))
    if report.trouble:
        print(f"error: {report.trouble}", file=sys.stderr)
    if report.finding("connection").verdict.outcome == DIFFERENT:
        return FAILED
    return SOMETHING_DIFFERENT if report.of(DIFFERENT) else ALL_AS_ASSUMED


def examine(hook: FdiHook, limits: Limits = DEFAULTS, plan: TaskPlan | None = None) -> Report:
    """Everything that can be seen of the hook's instance; with a plan of a task, also by writing.

    :raises AirflowNotFoundException: there is no such connection.
    """
    try:
        settings = hook.settings
        client = make_client(settings, hook.project_id, hook.instance_id, retry=Backoff(attempts=1))
    except FdiError as error:
        return _no_client(error)
    with client:
        return _examine(client, settings, limits, plan)


def _examine(client: FdiClient, settings: FdiSettings, limits: Limits, plan: TaskPlan | None) -> Report:
    probe = Probe(client, limits)
    look(probe, client, settings)
    if plan is None:
        for name in (*NAMES, "create_nowhere", "init", "left"):
            probe.reasons.setdefault(name, "it needs --write")
    else:
        try_out(probe, client, plan)
    if probe.times:
        probe.figures["times"] = tuple(probe.times)
    probe.figures["requests"] = probe.sent
    return make_report(
        probe.evidence,
        wrote=plan is not None,
        requests=probe.sent,
        seconds=probe.elapsed,
        trouble=probe.trouble,
    )


def _no_client(error: FdiError) -> Report:
    """The report where the settings do not suffice for a single request."""
    layer = "Project" if isinstance(error, FdiNotFoundError) else failed_layer(error)
    figures = {"layer": layer, "layer_said": "a setting is missing or wrong"}
    if not isinstance(error, FdiArgumentError):
        figures["layer_said"] = "the login failed"
    reasons = {"": "the connection does not work"}
    evidence = Evidence(figures=figures, reasons=reasons)
    return make_report(evidence, wrote=False, requests=0, seconds=0.0, trouble=str(error))


def _read_detail(path: Path | None) -> Mapping[str, Any] | None:
    if path is None:
        return None
    detail = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(detail, dict):
        raise ValueError("it must hold a JSON object")
    return detail


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def _refuse(words: str) -> int:
    print(f"error: {words}", file=sys.stderr)
    return FAILED
