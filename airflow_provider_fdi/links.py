"""Links from a task instance to the console of ROMA Connect.

The operators push the address under the link's XCom key as soon as it is known, so that the link works while
the task still waits. Airflow 3 reads that key itself, and asks :meth:`get_link` at the end of the task; so
does Airflow 2's webserver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_fdi.compat import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator


class FdiConsoleLink(BaseOperatorLink):
    """A link whose address was pushed to XCom under ``key``."""

    key: ClassVar[str]

    @property
    def xcom_key(self) -> str:
        return self.key

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        # Airflow 3 asks at the end of each task, and logs an error for a link that was never pushed.
        pushed: dict[str, str] | None = getattr(operator, "pushed_links", None)
        if pushed is not None:
            return pushed.get(self.key, "")
        # Deferred: XCom loads airflow.models in Airflow 2's webserver.
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
