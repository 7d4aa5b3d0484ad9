"""Creating and resetting composite FDI tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_fdi import validation
from airflow_provider_fdi.client.errors import FdiArgumentError, FdiProtocolError, task_label
from airflow_provider_fdi.client.times import time_ms
from airflow_provider_fdi.exceptions import fail_without_retry
from airflow_provider_fdi.links import FdiTaskLink
from airflow_provider_fdi.operators.base import ONE_TASK, TASK_CHECKS, FdiBaseOperator
from airflow_provider_fdi.operators.creation import (
    CREATE_KEY,
    IF_EXISTS,
    already_exists,
    change_record,
    create_once,
)
from airflow_provider_fdi.status import require_stopped
from airflow_provider_fdi.validation import (
    boolean,
    choice,
    dict_list,
    did_you_mean,
    id_list,
    identifier,
    optional,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

MAPPING_KEYS = ("source_table", "target_table", "source_columns", "target_columns", "mapping_columns")


def _operation_types(field: str, value: object) -> list[str]:
    # An empty list is left to the second check, whose message says what may be in it.
    return validation.operation_types(field, id_list(field, value) if value else [])


def _server_id(field: str, value: object) -> str:
    return validation.text(field, str(value) if type(value) is int else value, maximum=20)


def _table_mappings(field: str, value: object) -> list[Mapping[str, Any]]:
    mappings = dict_list(field, value)
    for index, mapping in enumerate(mappings):
        name = f"{field}[{index}]"
        for key in mapping:
            if key not in MAPPING_KEYS:
                rule = f"is unknown{did_you_mean(key, MAPPING_KEYS)}\nKnown: {', '.join(MAPPING_KEYS)}."
                raise FdiArgumentError(f"{name}.{key}", mapping[key], rule)
        for side in ("source_table", "target_table"):
            if not mapping.get(side):
                raise FdiArgumentError(name, dict(mapping), f"must have {side}")
            validation.table(f"{name}.{side}", mapping[side])
        for key in MAPPING_KEYS[2:]:
            if mapping.get(key) is not None:
                dict_list(f"{name}.{key}", mapping[key])
    return mappings


class FdiCreateCompositeTaskOperator(FdiBaseOperator):
    """Create a composite task (change data capture, many tables to many); returns its id.

    Initialises the task, adds the table mappings, and creates it under the id that the initialisation gave.

    Source: InstallMultiTasks, CreateMultiTaskMappings, CreateMultiTasks, UpdateMultiTasks.

    :param fdi_task_name: as for :class:`FdiCreateTaskOperator`.
    :param operation_types: the changes to follow: one or more of ``INSERT``, ``UPDATE``, ``DELETE``.
    :param source_datasource_id: data source to read from.
    :param target_datasource_id: data source to write to.
    :param auto_mapping: let FDI map tables of equal names.
    :param table_mappings: mappings to add: dicts with ``source_table`` and ``target_table``
        (``schema.table``) and, where columns differ, ``source_columns``, ``target_columns``,
        ``mapping_columns``.
    :param server_id: MySQL server id of the source.
    :param source_app_id: integration application of the source.
    :param target_app_id: integration application of the target.
    :param description: free text.
    :param task_tag: 4 to 64 letters, digits, ``-``, ``_``.
    :param if_exists: ``fail``, ``reuse``, or ``update`` (operation types, description and tag).
    :param stop_first: stop a started task before it is updated; it is left stopped.
    :param repulling_snapshot: with ``if_exists="update"``: synchronise existing data again.

    :raises FdiAlreadyExists: the task exists and ``if_exists="fail"``.
    :raises FdiTaskBusy: the task is started, and ``stop_first`` is not set.
    """

    template_fields: Sequence[str] = (
        *FdiBaseOperator.template_fields,
        "fdi_task_name",
        "operation_types",
        "source_datasource_id",
        "target_datasource_id",
        "table_mappings",
        "server_id",
        "source_app_id",
        "target_app_id",
        "description",
        "task_tag",
        "if_exists",
        "auto_mapping",
        "stop_first",
        "repulling_snapshot",
    )
    _checks = {
        **FdiBaseOperator._checks,
        "fdi_task_name": validation.task_name,
        "operation_types": _operation_types,
        "source_datasource_id": identifier,
        "target_datasource_id": identifier,
        "auto_mapping": boolean,
        "table_mappings": _table_mappings,
        "server_id": optional(_server_id),
        "source_app_id": optional(identifier),
        "target_app_id": optional(identifier),
        "description": validation.description,
        "task_tag": validation.task_tag,
        "if_exists": partial(choice, allowed=IF_EXISTS),
        "stop_first": boolean,
        "repulling_snapshot": boolean,
    }
    template_fields_renderers = {"table_mappings": "json"}
    operator_extra_links = (FdiTaskLink(),)

    def __init__(
        self,
        *,
        fdi_task_name: str,
        operation_types: Sequence[str] = ("INSERT", "UPDATE", "DELETE"),
        source_datasource_id: str,
        target_datasource_id: str,
        auto_mapping: bool = False,
        table_mappings: Sequence[Mapping[str, Any]] = (),
        server_id: str | None = None,
        source_app_id: str | None = None,
        target_app_id: str | None = None,
        description: str | None = None,
        task_tag: str | None = None,
        if_exists: str = "fail",
        stop_first: bool = False,
        repulling_snapshot: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fdi_task_name = fdi_task_name
        self.operation_types = operation_types
        self.source_datasource_id = source_datasource_id
        self.target_datasource_id = target_datasource_id
        self.auto_mapping = auto_mapping
        self.table_mappings = table_mappings
        self.server_id = server_id
        self.source_app_id = source_app_id
        self.target_app_id = target_app_id
        self.description = description
        self.task_tag = task_tag
        self.if_exists = if_exists
        self.stop_first = stop_first
        self.repulling_snapshot = repulling_snapshot
        self._check_literals()

    @fail_without_retry
    def execute(self, context: Context) -> str:
        given = self._arguments
        try_state, record = change_record(context, CREATE_KEY, self.fdi_task_name)
        task_id, existing = create_once(
            self.hook, self.fdi_task_name, self._creation(), try_state, record, composite=True
        )
        self._push_task_link(context, task_id)
        if existing is None:
            self.log.info("Created composite %s", task_label(task_id, self.fdi_task_name))
            return task_id
        if self.if_exists == "fail":
            raise already_exists(self.fdi_task_name, task_id)
        if self.if_exists == "update":
            require_stopped(self.client, existing, given.stop_first, "update")
            self.client.update_composite_task(
                task_id,
                operation_types=given.operation_types,
                repulling_snapshot=given.repulling_snapshot,
                description=self.description,
                task_tag=self.task_tag,
            )
            self.log.info("Updated composite %s", task_label(task_id, self.fdi_task_name))
        return task_id

    def _creation(self) -> Callable[[], str | None]:
        """What creates the task. Called again, it repeats only what has not succeeded yet."""
        given = self._arguments
        prepared: str | None = None

        def create() -> str | None:
            nonlocal prepared
            prepared = prepared or self._prepare()
            created = self.client.create_composite_task(
                task_name=self.fdi_task_name,
                operation_types=given.operation_types,
                task_id=prepared,
                description=self.description,
                task_tag=self.task_tag,
                source_app_id=self.source_app_id,
                target_app_id=self.target_app_id,
            )
            return created or prepared

        return create

    def _prepare(self) -> str:
        """Initialise the task and add its table mappings; returns the id that FDI reserved for it."""
        given = self._arguments
        initialised = self.client.init_composite_task(
            source_datasource_id=self.source_datasource_id,
            target_datasource_id=self.target_datasource_id,
            auto_mapping=given.auto_mapping,
            server_id=given.server_id,
        )
        if not initialised:
            raise FdiProtocolError(
                "The service did not say the id of the task to be.", operation="init_composite_task"
            )
        task_id = initialised[0].task_id
        for mapping in given.table_mappings:
            self.client.create_mapping(
                task_id,
                source_datasource_id=self.source_datasource_id,
                target_datasource_id=self.target_datasource_id,
                server_id=given.server_id,
                **mapping,
            )
        return task_id


class FdiResetCompositeTaskOperator(FdiBaseOperator):
    """Move the point from which a composite task follows changes. The task must be stopped.

    Source: ResetMultiTaskOffset.

    :param fdi_task_id: id of the task; or
    :param fdi_task_name: its exact name.
    :param date_from: a datetime, ISO text or ms since the epoch; None, and not the text that an empty
        template renders to: from the beginning.

    Returns the task's id.

    :raises FdiResponseError: the service refuses, for instance because the task is started.
    """

    template_fields: Sequence[str] = (
        *FdiBaseOperator.template_fields,
        "fdi_task_id",
        "fdi_task_name",
        "date_from",
    )
    _checks = {
        **FdiBaseOperator._checks,
        **TASK_CHECKS,
        # An empty template must not make the task copy all changes again from the beginning.
        "date_from": optional(time_ms),
    }
    _joint_checks = ONE_TASK
    operator_extra_links = (FdiTaskLink(),)

    def __init__(
        self,
        *,
        fdi_task_id: str | None = None,
        fdi_task_name: str | None = None,
        date_from: datetime | str | int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fdi_task_id = fdi_task_id
        self.fdi_task_name = fdi_task_name
        self.date_from = date_from
        self._check_literals()

    @fail_without_retry
    def execute(self, context: Context) -> str:
        task_id = self._fdi_task_id()
        self._push_task_link(context, task_id)
        self.client.reset_composite_task(task_id, date_from=self.date_from)
        self.log.info("Reset %s", self._label(task_id))
        return task_id
