"""What Airflow reads first about the provider, held against Airflow's own schemas and against the hook."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_fdi.compat import BaseOperatorLink
from airflow_provider_fdi.get_provider_info import get_provider_info

INFO = get_provider_info()
CONNECTION = INFO["connection-types"][0]


def schema(name: str) -> dict[str, Any]:
    import airflow

    found: dict[str, Any] = json.loads((Path(airflow.__path__[0]) / name).read_text())
    return found


def load(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_info_fits_the_schema_of_airflow() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(INFO, schema("provider_info.schema.json"))


def test_every_key_of_the_info_is_one_that_airflow_knows() -> None:
    pytest.importorskip("airflow.sdk", reason="older versions know fewer keys")
    known = set(schema("provider_info.schema.json")["properties"])
    if find_spec("airflow.sdk.configuration") is None:
        known.add("cli")  # since 3.2; Airflow 3.1 passes over it
    assert set(INFO) <= known


def test_the_function_of_the_command_line_gives_one_command() -> None:
    (path,) = INFO["cli"]
    (command,) = load(path)()
    assert command.name == "fdi"


def test_fields_of_the_form_are_schemas_with_defaults_that_fit_them() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    for name, described in CONNECTION["conn-fields"].items():
        validator = jsonschema.validators.validator_for(described["schema"])
        validator.check_schema(described["schema"])
        if "default" in described["schema"]:
            jsonschema.validate(described["schema"]["default"], described["schema"])
        # A type without null would be a required field of the form.
        assert "null" in described["schema"]["type"], name


def test_airflow_does_not_warn_of_what_the_form_stores_by_itself() -> None:
    """It warns, in the log of every task, of texts in extra that are too short to be masked."""
    pytest.importorskip("airflow.sdk", reason="older versions do not warn")
    code = (
        "import sys; from airflow.providers.common.compat.sdk import Connection;"
        "Connection(conn_id='saved', conn_type='fdi', extra=sys.argv[1]).extra_dejson"
    )
    stored = {name: field["schema"].get("default") for name, field in CONNECTION["conn-fields"].items()}

    def printed(extra: dict[str, Any]) -> str:
        run = [sys.executable, "-c", code, json.dumps(extra)]
        done = subprocess.run(run, check=True, capture_output=True, text=True)
        return done.stdout + done.stderr

    assert "Skipping masking" in printed({**stored, "verify": "true"})
    assert "Skipping masking" not in printed(stored)


def test_labels_of_older_versions_fit_their_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    hook = load(CONNECTION["hook-class-name"])
    jsonschema.validate(hook.get_ui_field_behaviour(), schema("customized_form_field_behaviours.schema.json"))


def test_everything_that_is_named_is_there() -> None:
    for kind in ("operators", "sensors", "hooks", "triggers"):
        for entry in INFO[kind]:
            for module in entry["python-modules"]:
                importlib.import_module(module)
    for link in INFO["extra-links"]:
        assert issubclass(load(link), BaseOperatorLink)


def test_connection_type_and_name_are_the_hook_s_own() -> None:
    hook = load(CONNECTION["hook-class-name"])
    assert (hook.conn_type, hook.hook_name) == (CONNECTION["connection-type"], CONNECTION["hook-name"])
    assert hook.default_conn_name == "fdi_default"


def test_info_is_read_without_importing_anything_but_constants() -> None:
    code = (
        "import sys; before = set(sys.modules);"
        "from airflow_provider_fdi.get_provider_info import get_provider_info; get_provider_info();"
        "print(*sorted(set(sys.modules) - before))"
    )
    run = [sys.executable, "-c", code]
    new = subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()
    ours = {name for name in new if name.startswith("airflow_provider_fdi")}
    assert ours == {
        "airflow_provider_fdi",
        "airflow_provider_fdi.constants",
        "airflow_provider_fdi.get_provider_info",
    }
    assert not [name for name in new if name.split(".")[0] in ("airflow", "requests")]


def test_installed_provider_is_found_by_airflow() -> None:
    try:
        from airflow.providers_manager import ProvidersManager
    except ImportError:
        pytest.skip("this Airflow keeps its providers elsewhere")
    manager = ProvidersManager()
    assert "airflow-provider-fdi" in manager.providers
    found = manager.hooks["fdi"]
    assert found is not None and found.hook_name == CONNECTION["hook-name"]
    links = manager.extra_links_class_names
    assert set(INFO["extra-links"]) <= set(links)
