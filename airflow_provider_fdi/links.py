"""Links from a task instance to the console of ROMA Connect.

The operators push the address under the link's XCom key as soon as it is known, so that a link is there while
a task still waits. Airflow 3 reads that key itself; :meth:`get_link` serves Airflow 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from airflow_provider_fdi.version_compat import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context

    from airflow_provider_fdi.hooks.fdi import FdiSettings


class FdiConsoleLink(BaseOperatorLink):
    """A link whose address was pushed to XCom under ``key``."""

    key: ClassVar[str]

    @property
    def xcom_key(self) -> str:
        return self.key

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        from airflow.providers.common.compat.sdk import XCom

        return XCom.get_value(key=self.key, ti_key=ti_key) or ""


class FdiTaskLink(FdiConsoleLink):
    """The FDI task in the console."""

    name = "FDI task"
    key = "fdi_task_link"


class FdiRunLink(FdiConsoleLink):
    """The run's log in the console."""

    name = "FDI run"
    key = "fdi_run_link"


def console_link(
    settings: FdiSettings, project_id: str, instance_id: str, fdi_task_id: str, fdi_run_id: str | None = None
) -> str:
    """The console's address for a task or one of its runs.

    ``console_url`` of the connection may hold ``{region}``, ``{project_id}``, ``{instance_id}``,
    ``{task_id}`` and ``{run_id}``; without placeholders the usual query is appended.
    """
    values = {
        name: quote(value or "", safe="")
        for name, value in (
            ("region", settings.region),
            ("project_id", project_id),
            ("instance_id", instance_id),
            ("task_id", fdi_task_id),
            ("run_id", fdi_run_id),
        )
    }
    url = settings.console_url
    if "{" in url:
        for name, value in values.items():
            url = url.replace("{" + name + "}", value)
        return url
    region = f"region={values['region']}&" if settings.region else ""
    run = f"&runId={values['run_id']}" if fdi_run_id else ""
    return f"{url}/?{region}instanceId={values['instance_id']}#/fdi/tasks?taskId={values['task_id']}{run}"


def push_link(context: Context, link: type[FdiConsoleLink], url: str) -> None:
    context["ti"].xcom_push(key=link.key, value=url)
