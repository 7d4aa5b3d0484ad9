"""Names in the place of ids, because ids differ between instances.

``${datasource:NAME}`` is the id of a data source, ``${app:NAME}`` that of an integration application, and
``${instance:id}`` that of the instance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_fdi.client.models import Datasource
from airflow_provider_fdi.declarations.actual import Actual
from airflow_provider_fdi.declarations.references import all_references, escape, map_texts, substitute_some
from airflow_provider_fdi.validation import nearest


class Unknown(LookupError):
    """A name that the instance does not have; the text says which, and what to do."""


def datasource_named(name: str, datasources: Sequence[Datasource]) -> Datasource:
    """The data source of exactly this name. Raises Unknown."""
    found = [source for source in datasources if source.datasource_name == name]
    if len(found) > 1:
        raise Unknown(f"{len(found)} data sources are named {name!r}. Rename all but one.")
    if not found:
        meant = nearest(name, [source.datasource_name or "" for source in datasources])
        advice = f"Did you mean {meant!r}?" if meant else "Create it in the console first."
        raise Unknown(f"The instance has no data source {name!r}. {advice}")
    return found[0]


def with_ids(value: Any, actual: Actual) -> Any:
    """A declaration with ids in the place of names. Raises Unknown."""
    ids = {name: _id_of(name, actual) for name in all_references(value) if ":" in name}
    return map_texts(value, lambda text: substitute_some(text, ids.get)) if ids else value


def _id_of(reference: str, actual: Actual) -> str:
    what, _, name = reference.partition(":")
    if what == "datasource":
        return datasource_named(name, actual.datasources).datasource_id
    if what == "app":
        apps = {source.app_id for source in actual.datasources if source.app_name == name and source.app_id}
        if len(apps) != 1:
            raise Unknown(f"{len(apps)} integration applications with a data source are named {name!r}.")
        return apps.pop() or ""
    if reference == "instance:id":
        return actual.instance_id
    raise Unknown(f"${{{reference}}} is unknown. There are datasource:NAME, app:NAME and instance:id.")


def with_names(value: Any, actual: Actual) -> Any:
    """What FDI answers as a template, with names in the place of the ids that are known."""
    names = {actual.instance_id: "${instance:id}"}
    for source in actual.datasources:
        if source.app_id and source.app_name:
            names[source.app_id] = f"${{app:{source.app_name}}}"
        if source.datasource_name:
            names[source.datasource_id] = f"${{datasource:{source.datasource_name}}}"
    return map_texts(value, lambda text: names.get(text) or escape(text))
