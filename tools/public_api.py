"""Writes tests/package/public_api.txt: every public name, with its parameters, defaults and types.

The files are read, not imported, so the result is the same on every version of Airflow and Python.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import griffe

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "tests" / "package" / "public_api.txt"
PACKAGE = "airflow_provider_fdi"

PUBLIC: dict[str, list[str] | None] = {
    "operators.fdi": None,
    "sensors.fdi": ["FdiTaskSensor"],
    "triggers.fdi": None,
    "hooks.fdi": ["FdiHook"],
    "links": ["FdiTaskLink", "FdiRunLink"],
    "lineage.assets": ["create_asset"],
    "exceptions": None,
    "retry_policy": None,
    "runs.start": ["FdiStartError"],
    "client": None,
    "client.models": None,
    "client.task_detail": None,
    "emulator.handle": ["FdiEmulator", "EmulatorError"],
    "emulator.pytest_plugin": [
        "fdi_emulator_config",
        "fdi_emulator_process",
        "fdi_emulator",
        "fdi_connection",
        "airflow_db",
        "run_dag",
        "assert_succeeded",
    ],
}
"""The public import paths. None: whatever the module has in ``__all__``."""


def render(root: Path = ROOT) -> str:
    """The public API of the package in a folder, one line for each name and each parameter."""
    # Without try_relative_path=False, a folder of that name in the working directory would come first.
    package = griffe.load(PACKAGE, search_paths=[root], try_relative_path=False, allow_inspection=False)
    things = {
        f"{PACKAGE}.{path}": {
            name: find(package[path], name) for name in names or sorted(exported(package[path]))
        }
        for path, names in PUBLIC.items()
    }
    public = {thing.path for named in things.values() for thing in named.values()}
    listed: dict[str, str] = {}
    lines: list[str] = []
    for path, named in things.items():
        lines += [path]
        for name, thing in named.items():
            if thing.path in listed:
                lines += [f"  {name} is {listed[thing.path]}"]
            else:
                listed[thing.path] = f"{path}.{name}"
                lines += [f"  {line}" for line in describe(thing, public)]
        lines += [""]
    return "\n".join(lines)


def exported(module: griffe.Module) -> Iterable[str]:
    if "_NAMES_OF" in module.members:
        return (name for names in lazy(module).values() for name in names)
    return (str(name) for name in module.exports or [])


def lazy(module: griffe.Module) -> dict[str, tuple[str, ...]]:
    """The names that airflow_provider_fdi.client loads when they are used, by the module that has them."""
    names: dict[str, tuple[str, ...]] = ast.literal_eval(str(module["_NAMES_OF"].value))
    return names


def find(module: griffe.Module, name: str) -> griffe.Object:
    if "_NAMES_OF" in module.members:
        module = module[next(part for part, names in lazy(module).items() if name in names)]
    return target(module[name])


def target(thing: griffe.Object | griffe.Alias) -> griffe.Object:
    return thing.final_target if isinstance(thing, griffe.Alias) else thing


def describe(thing: griffe.Object, public: set[str]) -> Iterator[str]:
    if isinstance(thing, griffe.Function):
        yield from function(thing)
    elif isinstance(thing, griffe.Class):
        yield f"class {thing.name}({', '.join(str(base) for base in thing.bases)})"
        for member in members(thing, public):
            yield from (f"  {line}" for line in describe(member, public))
    elif isinstance(thing, griffe.Attribute):
        yield attribute(thing)


def members(cls: griffe.Class, public: set[str]) -> Iterator[griffe.Object]:
    """Its public members, without those of its bases that are listed themselves.

    Attributes that only keep a parameter of the same name are left out.
    """
    everything = {name: target(member) for name, member in sorted(cls.all_members.items())}
    constructor = everything.get("__init__")
    taken = {p.name for p in constructor.parameters} if isinstance(constructor, griffe.Function) else set()
    bases = [base for base in cls.mro() if base.path in public]
    elsewhere = {target(member).path for base in bases for member in base.all_members.values()}
    for name, member in everything.items():
        hidden = name.startswith("_") and name != "__init__"
        repeated = name in taken and "instance-attribute" in member.labels
        if not hidden and not repeated and member.path not in elsewhere:
            yield member


def function(thing: griffe.Function) -> Iterator[str]:
    kinds = " ".join(sorted(thing.labels & {"async", "classmethod", "staticmethod"}))
    returns = "" if thing.returns is None or thing.name == "__init__" else f" -> {thing.returns}"
    yield f"{kinds} {thing.name}(){returns}".strip()
    for parameter in thing.parameters:
        if parameter.name in ("self", "cls"):
            continue
        kind = parameter.kind.value if parameter.kind else ""
        stars = {"variadic positional": "*", "variadic keyword": "**"}.get(kind, "")
        said = {"positional-only": " (positional)", "keyword-only": " (keyword)"}.get(kind, "")
        of_type = "" if parameter.annotation is None else f": {parameter.annotation}"
        default = "" if parameter.default is None or stars else f" = {parameter.default}"
        yield f"  {stars}{parameter.name}{of_type}{default}{said}"


def attribute(thing: griffe.Attribute) -> str:
    label = "property " if "property" in thing.labels else ""
    of_type = "" if thing.annotation is None else f": {thing.annotation}"
    shown = thing.value is not None and thing.labels & {"class-attribute", "module-attribute"}
    return f"{label}{thing.name}{of_type}" + (f" = {thing.value}" if shown else "")


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
