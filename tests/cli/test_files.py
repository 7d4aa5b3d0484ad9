"""`export`, `validate`, `plan` and `apply`, from the console to files and back."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from airflow_provider_fdi.cli.main import main
from airflow_provider_fdi.declarations import apply as applying
from airflow_provider_fdi.emulator.handle import FdiEmulator
from tests.docs.world import World

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def world(fdi_emulator: FdiEmulator, fdi_connection: str, tmp_path: Path) -> World:
    made = World(fdi_emulator, tmp_path)
    made.add_task("orders", description="Orders of the day", started=True, schedule=True)
    made.add_task("customers", description="All customers")
    return made


@pytest.fixture
def exported(world: World, tmp_path: Path, capsys: Capture) -> Path:
    """The folder with the files of both tasks."""
    folder = tmp_path / "fdi"
    assert main(["export", str(folder)]) == 0
    capsys.readouterr()
    world.fdi.clear_journal()
    return folder


def edit(folder: Path, old: str, new: str) -> None:
    """Replace words in whichever of the files has them."""
    (path,) = (path for path in folder.rglob("*.yaml") if old in path.read_text(encoding="utf-8"))
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def writes(world: World) -> list[str]:
    return [row["operation"] for row in world.fdi.journal() if row["method"] != "GET"]


class Terminal(io.StringIO):
    """A terminal at which somebody types."""

    def isatty(self) -> bool:
        return True


def test_export_writes_a_file_for_each_task_and_says_where(
    world: World, tmp_path: Path, capsys: Capture
) -> None:
    folder = tmp_path / "fdi"

    assert main(["export", str(folder)]) == 0

    assert {path.stem for path in (folder / "tasks").glob("*.yaml")} == {"orders", "customers"}
    assert capsys.readouterr().out.splitlines()[-1].startswith("Wrote 2 tasks to ")
    assert writes(world) == []


def test_export_takes_a_pattern(world: World, tmp_path: Path) -> None:
    assert main(["export", str(tmp_path / "fdi"), "--name", "o*"]) == 0

    assert [path.stem for path in (tmp_path / "fdi" / "tasks").glob("*.yaml")] == ["orders"]


def test_export_does_not_replace_files_unless_told_to(exported: Path, capsys: Capture) -> None:
    edit(exported, "All customers", "My own words")

    assert main(["export", str(exported)]) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert any("My own words" in path.read_text() for path in exported.rglob("*.yaml"))
    assert main(["export", str(exported), "--overwrite"]) == 0
    assert not any("My own words" in path.read_text() for path in exported.rglob("*.yaml"))


def test_after_an_export_there_is_nothing_to_change(world: World, exported: Path, capsys: Capture) -> None:
    assert main(["plan", str(exported)]) == 0

    assert capsys.readouterr().out == "No changes: 2 tasks as the files say.\n"
    assert writes(world) == []


def test_a_plan_with_changes_is_2_and_writes_nothing(world: World, exported: Path, capsys: Capture) -> None:
    edit(exported, "All customers", "Every customer")

    assert main(["plan", str(exported)]) == 2

    out = capsys.readouterr().out
    assert "~ update customers" in out
    assert 'description: "All customers" -> "Every customer"' in out
    assert "\x1b" not in out
    assert writes(world) == []


def test_a_plan_as_json_is_all_there_is_on_stdout(exported: Path, capsys: Capture) -> None:
    edit(exported, "All customers", "Every customer")

    assert main(["plan", str(exported), "-o", "json"]) == 2

    (change,) = json.loads(capsys.readouterr().out)["changes"]
    assert (change["action"], change["task_name"]) == ("update", "customers")


def test_colour_is_for_terminals_and_not_with_no_color(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(exported, "All customers", "Every customer")
    shown = []
    for no_color in (None, "1"):
        terminal = Terminal()
        monkeypatch.setattr("sys.stdout", terminal)
        if no_color is None:
            monkeypatch.delenv("NO_COLOR", raising=False)
        else:
            monkeypatch.setenv("NO_COLOR", no_color)
        monkeypatch.setenv("TERM", "xterm")
        assert main(["plan", str(exported)]) == 2
        shown.append("\x1b[33m" in terminal.getvalue())
    assert shown == [True, False]


def test_apply_without_a_terminal_and_without_yes_is_refused(
    world: World, exported: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(exported, "All customers", "Every customer")
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))

    assert main(["apply", str(exported)]) == 1

    assert capsys.readouterr().err == (
        "error: nobody is there to be asked: stdin is no terminal\n  --yes applies without asking.\n"
    )
    assert writes(world) == []


@pytest.mark.parametrize("answer", ["n\n", "\n", "maybe\n", ""])
def test_apply_does_nothing_unless_the_answer_is_yes(
    answer: str, world: World, exported: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(exported, "All customers", "Every customer")
    monkeypatch.setattr("sys.stdin", Terminal(answer))

    assert main(["apply", str(exported)]) == 1

    assert "Nothing was changed." in capsys.readouterr().err
    assert writes(world) == []


def test_apply_asks_changes_and_says_what_was_done(
    world: World, exported: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(exported, "All customers", "Every customer")
    monkeypatch.setattr("sys.stdin", Terminal("yes\n"))

    assert main(["apply", str(exported)]) == 0

    assert capsys.readouterr().out.splitlines()[-2:] == [
        "updated customers",
        "Applied 1 of 1 change: 1 updated.",
    ]
    assert writes(world) == ["UpdateTask"]
    assert main(["plan", str(exported)]) == 0


def test_apply_of_what_is_so_already_neither_asks_nor_writes(world: World, exported: Path) -> None:
    assert main(["apply", str(exported), "--yes"]) == 0
    assert writes(world) == []


def test_a_failed_change_is_1_and_the_others_are_made(world: World, exported: Path, capsys: Capture) -> None:
    edit(exported, "All customers", "Every customer")
    edit(exported, "Orders of the day", "All orders")
    orders = next(row["task_id"] for row in world.fdi.request("GET", "tasks")[1]["entities"]
                  if row["task_name"] == "orders")  # fmt: skip
    world.fdi.fault("status", operation="UpdateTask", path_regex=orders, status=400,
                    body={"error_code": "FDI.9999", "error_msg": "Not today"})  # fmt: skip

    assert main(["apply", str(exported), "--yes"]) == 1

    out = capsys.readouterr().out
    assert "updated customers" in out
    assert "failed orders: Not today (FDI.9999, HTTP 400). (done before that: stop)" in out
    assert "Failed: orders" in out


def test_ctrl_c_says_what_was_done_and_what_is_left(
    exported: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(exported, "All customers", "Every customer")
    edit(exported, "name: orders", "name: all_orders")
    change = applying._Change.apply

    def interrupted_at_the_second(self: applying._Change) -> None:
        if self.change.action == "update":
            raise KeyboardInterrupt
        change(self)

    monkeypatch.setattr(applying._Change, "apply", interrupted_at_the_second)

    assert main(["apply", str(exported), "--yes"]) == 130

    out, err = capsys.readouterr()
    assert "created all_orders" in out
    assert "Applied 1 of 2 changes: 1 created." in out
    assert "Not begun: customers" in out
    assert err == "error: interrupted\n"


def test_validate_needs_no_connection(
    exported: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_FDI_DEFAULT")

    assert main(["validate", str(exported)]) == 0

    assert capsys.readouterr().out == "2 tasks, no mistake\n"


def test_all_mistakes_are_named_at_once_each_with_file_and_line(exported: Path, capsys: Capture) -> None:
    edit(exported, "name: customers", "nam: customers")
    edit(exported, "period: DAY", "period: DAILY")

    assert main(["plan", str(exported)]) == 1

    *mistakes, last = capsys.readouterr().err.splitlines()
    assert last == "error: 3 mistakes in 2 files"
    assert [line.removeprefix(f"{exported}/tasks/").partition(": must")[0] for line in mistakes] == [
        "customers.yaml:2: tasks[0].nam: is not a known field. Did you mean 'name'?",
        "customers.yaml:2: tasks[0].name: is missing",
        "orders.yaml:56: tasks[0].schedule.period",
    ]


def test_a_path_that_is_not_there_is_named_with_the_one_that_is_meant(
    exported: Path, capsys: Capture
) -> None:
    assert main(["plan", str(exported / "taks")]) == 1

    assert f"{exported}/taks: does not exist. Did you mean {exported}/tasks?" in capsys.readouterr().err


def test_a_variable_of_the_command_line_is_used(exported: Path, capsys: Capture) -> None:
    edit(exported, "All customers", "${WORDS}")

    assert main(["plan", str(exported), "--var", "WORDS=All customers"]) == 0
