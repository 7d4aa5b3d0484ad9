"""Testing data sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_fdi.client.codes import advice
from airflow_provider_fdi.client.errors import clean_text
from airflow_provider_fdi.client.secrets import secret_values
from airflow_provider_fdi.compat import mask_secrets
from airflow_provider_fdi.exceptions import FdiDatasourceUnreachable, fail_without_retry
from airflow_provider_fdi.operators.base import FdiBaseOperator
from airflow_provider_fdi.validation import identifier

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class FdiTestDatasourceOperator(FdiBaseOperator):
    """Test whether FDI can reach a data source with its stored settings.

    Source: ShowDataourceDetail, StartTestDatasource.

    :param datasource_id: id of the data source.

    :raises FdiResponseError: FDI cannot reach it and says why (FDI.3016); retries apply.
    :raises FdiDatasourceUnreachable: FDI cannot reach it; retries apply.
    """

    template_fields: Sequence[str] = (*FdiBaseOperator.template_fields, "datasource_id")
    _checks = {**FdiBaseOperator._checks, "datasource_id": identifier}

    def __init__(self, *, datasource_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.datasource_id = datasource_id
        self._check_literals()

    @fail_without_retry
    def execute(self, context: Context) -> bool:
        datasource_id = self._arguments.datasource_id
        client = self.client
        source = client.get_datasource(datasource_id)
        mask_secrets(secret_values(source.content))
        name = clean_text(source.datasource_name or "", 100)
        works = client.test_datasource(
            datasource_id,
            datasource_name=source.datasource_name or "",
            datasource_type=source.datasource_type or "",
            app_id=source.app_id or "",
            content=source.content or {},
            description=source.description,
        )
        if not works:
            raise FdiDatasourceUnreachable.because(
                "FDI cannot reach the data source, and does not say why.",
                f"Data source {name} ({datasource_id}).",
                advice("FDI.3016"),
            )
        self.log.info("FDI reaches data source %s (%s)", name, datasource_id)
        return works
