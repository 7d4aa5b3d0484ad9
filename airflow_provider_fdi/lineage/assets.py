"""Assets: the URI of an FDI task, and the run record in asset events.

An FDI task, as a source of data, is the asset ``fdi://<instance id>/<task id>``. Any other asset (a table, a
bucket) works as well as an outlet and with :class:`.FdiRunEventTrigger`; the URI is for data without a better
name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

from airflow_provider_fdi.compat import Asset
from airflow_provider_fdi.constants import AIRFLOW_RUNS_KEY

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)

SCHEME = "fdi"

AIRFLOW_RUNS_KEPT = 100


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Normalise ``fdi://<instance id>/<task id>``; Airflow calls this for every such URI.

    :raises ValueError: says what is wrong and how it should be.
    """
    instance_id, task_id = _parts(uri)
    return SplitResult(SCHEME, instance_id, f"/{quote(task_id, safe='')}", "", "")


def _parts(uri: SplitResult) -> tuple[str, str]:
    form = f"an FDI asset is {SCHEME}://<instance id>/<task id>"
    path = [unquote(segment) for segment in uri.path.split("/")[1:] if segment]
    if not uri.netloc:
        raise ValueError(f"{uri.geturl()!r} names no instance: {form}")
    if "@" in uri.netloc or ":" in uri.netloc:
        raise ValueError(f"{SCHEME}://…{uri.path}: no user, password or port belong here: {form}")
    if len(path) != 1 or not path[0].strip() or "/" in path[0]:
        raise ValueError(f"{uri.geturl()!r} must name one task: {form}")
    if uri.query or uri.fragment:
        raise ValueError(f"{uri.geturl()!r} must have no query: {form}")
    # Instance ids are UUIDs, and the host of a URI is not case-sensitive.
    return uri.netloc.lower(), path[0]


def create_asset(
    *, instance_id: str, fdi_task_id: str, name: str | None = None, extra: Mapping[str, Any] | None = None
) -> Asset:
    """The asset of an FDI task.

    :raises ValueError: the ids do not make a valid URI.
    """
    uri = f"{SCHEME}://{instance_id}/{quote(fdi_task_id, safe='')}"
    arguments: dict[str, Any] = {"name": name} if name else {}
    asset: Asset = Asset(uri=uri, extra=dict(extra or {}), **arguments)
    return asset


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> Any:
    """The asset as an OpenLineage dataset, for tasks that name it as inlet or outlet."""
    # Deferred: only OpenLineage calls this.
    from airflow.providers.common.compat.openlineage.facet import Dataset

    instance_id, task_id = _parts(urlsplit(asset.uri))
    return Dataset(namespace=f"{SCHEME}://{instance_id}", name=task_id)


def report_to_outlets(context: Context, outlets: Any, record: Mapping[str, Any]) -> None:
    """Add the run record to the ``extra`` of the task's asset events."""
    for asset in _assets(outlets):
        event = context["outlet_events"][asset]
        # Keep what the DAG author has put there.
        event.extra = {**(event.extra or {}), **record}


def report_run(context: Context, operator: Any, fdi_task_id: str, run_id: str) -> None:
    """Store with the task's assets that an Airflow task reports this run (Airflow >= 3.3).

    :class:`.FdiRunEventTrigger` reads it for ``ignore_airflow_runs``.
    """
    stores: Any = context.get("asset_state_store")
    if stores is None:
        return
    key = AIRFLOW_RUNS_KEY + fdi_task_id
    # Airflow 3.1 cannot hash assets.
    assets = {asset.uri: asset for asset in (*_assets(operator.outlets), *_assets(operator.inlets))}
    for asset in assets.values():
        _note_run(stores, asset, key, run_id)


def _note_run(stores: Any, asset: Asset, key: str, run_id: str) -> None:
    try:
        store = stores[asset]
        known = store.get(key)
        runs = [str(run) for run in known] if isinstance(known, list) else []
        if run_id not in runs:
            store.set(key, [*runs, run_id][-AIRFLOW_RUNS_KEPT:])
    except Exception:
        # The run must not fail for this; at worst, its event is not ignored.
        log.warning("Run %s could not be stored with asset %s", run_id, asset.uri, exc_info=True)


def _assets(declared: Any) -> Iterator[Asset]:
    # Airflow resolves aliases and references only after the task.
    return (asset for asset in declared or () if isinstance(asset, Asset))
