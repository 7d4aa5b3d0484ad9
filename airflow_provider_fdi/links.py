"""Links from a task instance to the console of ROMA Connect.

The operators push the address under the link's XCom key as soon as it is known, so that the link works while
the task still waits. Airflow 3 reads that key itself; :meth:`get_link` serves Airflow 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_fdi.compat import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context


class FdiConsoleLink(BaseOperatorLink):
    """A link whose address was pushed to XCom under ``key``."""

    key: ClassVar[str]

    @property
    def xcom_key(self) -> str:
        return self.key

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        # Deferred: only Airflow 2's webserver calls this; XCom loads airflow.models there.
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


def push_link(context: Context, link: type[FdiConsoleLink], url: str) -> None:
    context["ti"].xcom_push(key=link.key, value=url)
