"""What the provider relies on in Airflow beyond its public interface."""

from __future__ import annotations

import pytest

from airflow_provider_fdi.compat import Asset, asset_state_accessors


def test_the_state_stores_of_all_assets_are_found() -> None:
    """``AssetStateStoreAccessors`` has no public list of its assets: ``compat`` reads private ones."""
    context = pytest.importorskip("airflow.sdk.execution_time.context")
    if not hasattr(context, "AssetStateStoreAccessors"):
        pytest.skip("Airflow >= 3.3 has asset state stores")
    from airflow.sdk.definitions.asset import AssetUriRef

    stores = context.AssetStateStoreAccessors([Asset("one"), Asset("two")], [AssetUriRef("x://three")])

    assert set(vars(stores)) >= {"_by_name", "_by_uri"}
    assert asset_state_accessors(stores) == [
        stores[Asset("one")],
        stores[Asset("two")],
        stores[AssetUriRef("x://three")],
    ]


def test_a_store_of_a_single_asset_stands_for_itself() -> None:
    store = object()

    assert asset_state_accessors(store) == [store]
    assert asset_state_accessors(None) == []
