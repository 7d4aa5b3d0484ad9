"""What `deploy/` names exists: paths, ports, commands, settings; and the DAG of the trial runs to success."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_provider_fdi.emulator.config import Config, load_config
from airflow_provider_fdi.emulator.dags import load_dag
from airflow_provider_fdi.emulator.handle import FdiEmulator
from tests.docs.pages import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ENVIRONMENT: dict[str, str] = COMPOSE["x-airflow"]["environment"]
DOCKERFILES = sorted(DEPLOY.rglob("Dockerfile"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ON_AIRFLOW_2 = version("apache-airflow").startswith("2.")


def instructions(dockerfile: Path) -> Iterator[tuple[str, str]]:
    """Each instruction of a Dockerfile, and its arguments."""
    text = re.sub(r"(?m)^#.*\n", "", dockerfile.read_text(encoding="utf-8")).replace("\\\n", " ")
    for line in filter(None, text.splitlines()):
        name, _, arguments = line.partition(" ")
        yield name, arguments.strip()


def images() -> list[str]:
    bases = [args.split()[0] for file in DOCKERFILES for name, args in instructions(file) if name == "FROM"]
    return [*bases, *(service["image"] for service in SERVICES.values())]


def test_no_image_is_whatever_is_the_latest() -> None:
    for image in images():
        assert re.fullmatch(r"[\w./-]+:[\w.-]+", image), image
        assert not image.endswith(":latest")


def test_the_airflow_of_the_images_is_the_one_that_is_tested() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    locked = re.search(r"^LOCKED_AIRFLOW := (.+)$", makefile, re.MULTILINE)
    assert locked
    versions = {found[1] for image in images() if (found := re.search(r"airflow(?:-fdi)?:([\d.]+)", image))}
    assert versions == {locked[1]}


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_what_a_dockerfile_copies_is_there_and_not_ignored(dockerfile: Path) -> None:
    kept = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    copied = [
        source
        for name, arguments in instructions(dockerfile)
        if name == "COPY" and not arguments.startswith("--from")
        for source in arguments.split()[:-1]
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists()
        assert source.removeprefix("./") in kept


def test_what_the_package_is_built_from_is_copied() -> None:
    """The version, the readme, the license and the package itself."""
    needed = {"pyproject.toml", PROJECT["readme"], *PROJECT["license-files"], "./airflow_provider_fdi"}
    for dockerfile in DOCKERFILES:
        copied = {w for name, args in instructions(dockerfile) if name == "COPY" for w in args.split()}
        assert needed <= copied


def test_the_emulator_s_image_installs_its_extra() -> None:
    text = (DEPLOY / "emulator" / "Dockerfile").read_text(encoding="utf-8")
    (extra,) = re.findall(r"\['optional-dependencies'\]\['(\w+)'\]", text)
    assert extra in PROJECT["optional-dependencies"]


def test_what_compose_mounts_and_builds_is_there() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], (
                name
            )
        if "build" in service:
            context = DEPLOY / service["build"]["context"]
            assert (context / service["build"]["dockerfile"]).is_file(), name


def test_each_image_that_is_not_built_by_others_is_built_here_or_named_with_its_version() -> None:
    built = {service["image"] for service in SERVICES.values() if "build" in service}
    ours = {service["image"] for service in SERVICES.values() if "fdi" in service["image"]}
    assert ours == built


def test_the_services_wait_for_services_that_exist() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", ())) <= set(SERVICES)


def emulator_commands() -> list[list[str]]:
    last = [args for name, args in instructions(DEPLOY / "emulator" / "Dockerfile") if name == "CMD"]
    return [json.loads(last[-1]), SERVICES["emulator"]["command"]]


@pytest.mark.parametrize("command", emulator_commands(), ids=["image", "compose"])
def test_the_emulator_takes_its_command(command: list[str]) -> None:
    from airflow_provider_fdi.emulator.cli import _options

    assert command[0] in {script.name for script in entry_points(group="console_scripts")}
    options = _options(command[1:])
    assert (options.host, options.port) == ("0.0.0.0", 8765)


def test_the_ports_are_those_that_are_listened_on() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"emulator": ["127.0.0.1:8765:8765"], "api-server": ["127.0.0.1:8080:8080"]}
    assert ENVIRONMENT["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://api-server:8080/execution/"
    assert "8080" in " ".join(SERVICES["api-server"]["healthcheck"]["test"])


def test_the_emulator_reads_its_configuration() -> None:
    config = load_config(DEPLOY / "emulator" / "config.toml")
    assert [source.name for source in config.datasources] == ["operations", "warehouse"]


def test_the_connection_is_complete_and_fits_the_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.models import Connection

    from airflow_provider_fdi.hooks.settings import read_settings

    settings = read_settings(
        Connection.from_json(ENVIRONMENT["AIRFLOW_CONN_FDI_DEFAULT"], conn_id="fdi_default")
    )
    assert settings.endpoint == "http://emulator:8765"
    assert settings.allow_http
    default = Config()
    assert settings.project_id in {project.id for project in default.projects}
    assert settings.instance_id in default.instances
    assert settings.password == FdiEmulator.token


@pytest.mark.skipif(ON_AIRFLOW_2, reason="the trial is Airflow 3")
@pytest.mark.parametrize("name", [n for n, s in SERVICES.items() if "airflow-fdi" in s["image"]])
def test_airflow_takes_the_command_of_a_service(name: str) -> None:
    from airflow.cli.cli_parser import get_parser

    command = SERVICES[name]["command"]
    if command[0] == "celery":
        pytest.importorskip("airflow.providers.celery")
    get_parser().parse_args(command)


@pytest.mark.skipif(ON_AIRFLOW_2, reason="the trial is Airflow 3")
def test_airflow_has_the_settings() -> None:
    from airflow.configuration import conf

    settings = [name for name in ENVIRONMENT if name.startswith("AIRFLOW__")]
    assert settings
    for name in settings:
        _, section, option = name.lower().split("__")
        # The Celery provider has these; it is in Airflow's image, but not necessarily here.
        known = (
            {"broker_url", "result_backend"}
            if section == "celery"
            else conf.configuration_description[section]["options"]
        )
        # One of the auth manager's is described in no file.
        assert option in {*known, "simple_auth_manager_all_admins"}, name


def test_the_dag_of_the_trial_moves_the_rows(
    fdi_emulator: FdiEmulator, fdi_connection: str, run_dag: Callable[..., Any], tmp_path: Path
) -> None:
    """Over SQLite, with the tables that PostgreSQL gets in the trial."""
    tables = re.findall(
        r"\\connect (\w+)\nCREATE TABLE (\w+) \((.+)\);",
        (DEPLOY / "databases.sql").read_text(encoding="utf-8"),
    )
    for database, table, columns in tables:
        with closing(sqlite3.connect(tmp_path / f"{database}.db")) as connection, connection:
            connection.execute(f"CREATE TABLE {table} ({columns})")
            if table == "orders":
                rows = [(number, number * 1.5) for number in range(1, 1001)]
                connection.executemany("INSERT INTO orders VALUES (?, ?)", rows)
    for source in load_config(DEPLOY / "emulator" / "config.toml").datasources:
        url = f"sqlite:///{tmp_path / source.name}.db"
        fdi_emulator.add_datasource(source.name, url, type=source.type, id=source.id)

    run = run_dag(load_dag(DEPLOY / "dags" / "fdi_trial.py"))

    states = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
    assert states == dict.fromkeys(("create", "in_a_worker", "in_the_triggerer", "delete"), "success")
    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as connection:
        assert connection.execute("SELECT count(*), sum(total) FROM dwh_orders").fetchone() == (1000, 750_750)


def test_the_commands_of_the_readme_name_files_that_exist() -> None:
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    for command in re.findall(r"`(docker [^`]+)`", text):
        words = shlex.split(command)
        assert (ROOT / words[words.index("--file") + 1]).is_file()
