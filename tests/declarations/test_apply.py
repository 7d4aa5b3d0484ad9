"""Applying: killed anywhere and repeated, it ends the same; it stops and deletes only what it may."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from airflow_provider_fdi.client import transport
from airflow_provider_fdi.client.errors import FdiArgumentError
from airflow_provider_fdi.declarations.apply import apply_plan
from airflow_provider_fdi.declarations.export import export
from airflow_provider_fdi.runs import creation
from tests.declarations.test_whole_instance import plan_of
from tests.declarations.world import TAG, World, client_of, relational


class Killed(BaseException):
    """The process is killed at this moment."""


def detail(table: str) -> dict:
    return {"sourceSelectedDatasource": {"sourceTable": table}, "targetSelectedDatasource": {}}


def task(name: str, **fields) -> dict:
    found = {"name": name, "source": "shop", "target": "dwh", **fields}
    if fields.get("kind") != "composite":
        found.setdefault("detail", detail(f"shop.{name}"))
    return found


def composite(name: str, *tables: str, **fields) -> dict:
    rows = [{"source_table": f"shop.{one}", "target_table": f"dwh.{one}"} for one in tables]
    return task(name, kind="composite", operation_types=["INSERT"], mappings=rows, **fields)


def write(folder: Path, *tasks: dict, tag: str | None = TAG) -> Path:
    data = {"environment": {"managed_tag": tag} if tag else {}, "tasks": list(tasks)}
    (folder / "tasks.yaml").write_text(yaml.safe_dump(data))
    return folder


def apply(client, folder: Path, **options):
    """Plan and apply; what became of each change."""
    which = {key: options.pop(key) for key in ("prune", "write_secrets") if key in options}
    variables = options.pop("variables", None)
    return apply_plan(client, plan_of(client, folder, variables, **which), **options)


def failures(applied) -> list[str]:
    return [one.failure for one in applied if one.failure]


def names(emulator) -> list[str]:
    return sorted(row["task_name"] for row in emulator.request("GET", "tasks?limit=999")[1]["entities"])


def twenty(folder: Path) -> Path:
    """Twenty tasks: new ones of all kinds, and such that are there and differ."""
    schedule = {"every": 5, "period": "MIN"}
    new = [task(f"new-{n}", schedule=schedule, started=n % 2 == 0) for n in range(8)]
    new += [composite(f"multi-{n}", "a", "b") for n in range(2)]
    changed = [task(f"old-{n}", schedule=schedule, started=True) for n in range(6)]
    changed += [composite(f"olds-{n}", "a", "c", description="new") for n in range(2)]
    changed += [task("live-0", kind="realtime"), task("live-1", kind="realtime", description="x")]
    return write(folder, *new, *changed)


def fill(world: World) -> World:
    for n in range(6):
        task_id = world.add_common(f"old-{n}", "TIMING", "shop", detail("shop.before"), task_tag=TAG)
        world.add_schedule(task_id, period="DAY", dispatch_interval=1)
        world.start([task_id])
    for n in range(2):
        world.add_composite(f"olds-{n}", 2)
        world.add_common(f"live-{n}", "REALTIME", "shop", detail("shop.live"), task_tag=TAG)
    for n in range(2):
        world.add_common(f"left-{n}", "TIMING", "shop", detail("shop.left"), task_tag=TAG)
    world.add_common("foreign", "TIMING", "shop", detail("shop.foreign"), task_tag="somebody-else")
    return world


def refill(emulator) -> World:
    emulator.reset()
    return fill(World(emulator).add_datasources())


def kill_at(monkeypatch, number: int, when: str) -> dict[str, int]:
    """Kill the process at its ``number``-th request that writes, before or after it is carried out."""
    real, seen = transport.Wire.send, {"writes": 0}

    def send(self, operation, request, **options):
        writes = request.method != "GET"
        seen["writes"] += writes
        if writes and seen["writes"] == number and when == "before":
            raise Killed
        answer = real(self, operation, request, **options)
        if writes and seen["writes"] == number:
            raise Killed
        return answer

    monkeypatch.setattr(transport.Wire, "send", send)
    return seen


PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_each_request_and_repeated_it_ends_the_same(
    fdi_emulator, client, tmp_path, monkeypatch, part
):
    """Killed before a request is killed after the one before it: FDI is left the same, and nothing else is
    kept. So all requests are killed after they are carried out, and the first one also before.
    """
    world = refill(fdi_emulator)
    folder = twenty(tmp_path)
    with monkeypatch.context() as patch:
        seen = kill_at(patch, 0, "before")
        assert failures(apply(client, folder, prune=True)) == []
    assert seen["writes"] > 50
    assert plan_of(client, folder, prune=True).is_empty
    wanted = names(fdi_emulator)
    assert len(wanted) == len(set(wanted)) == 21 and "foreign" in wanted
    moments = [(1, "before"), *((number, "after") for number in range(1, seen["writes"] + 1))]
    for number, when in moments[part::PARTS]:
        world = refill(world.emulator)
        with monkeypatch.context() as patch:
            kill_at(patch, number, when)
            with pytest.raises(Killed):
                apply(client, folder, prune=True)
        assert failures(apply(client, folder, prune=True)) == []
        assert plan_of(client, folder, prune=True).is_empty, number
        assert names(fdi_emulator) == wanted, number


@pytest.mark.parametrize("kind", ["reset_after", "reset_before", "status_after"])
def test_a_lost_answer_makes_no_task_twice(fdi_emulator, client, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(creation, "SEARCH_DELAYS", (0.0,))
    refill(fdi_emulator)
    folder = twenty(tmp_path)
    fdi_emulator.switch(allow_duplicate_names=True)
    for operation in ("CreateCommonTask", "CreateDispatches", "CreateMultiTasks", "CreateMultiTaskMappings"):
        fdi_emulator.fault(kind, operation=operation, times=1)
    apply(client, folder, prune=True)
    fdi_emulator.clear_faults()
    assert failures(apply(client, folder, prune=True)) == []
    assert plan_of(client, folder).is_empty
    assert len(names(fdi_emulator)) == len(set(names(fdi_emulator))) == 21
    fdi_emulator.switch(allow_duplicate_names=False)


def test_prune_deletes_what_is_ours_and_nothing_else(fdi_emulator, world, client, tmp_path):
    for name, tag in (("ours", TAG), ("theirs", "somebody-else"), ("nobodys", None)):
        world.add_common(name, "TIMING", "shop", detail("shop.t"), **({"task_tag": tag} if tag else {}))
    folder = write(tmp_path, task("kept"))
    plan = plan_of(client, folder)
    assert plan.not_declared == ("ours",)
    assert failures(apply(client, folder)) == []
    assert names(fdi_emulator) == ["kept", "nobodys", "ours", "theirs"]
    assert [one.done for one in apply(client, folder, prune=True)] == [("delete",)]
    assert names(fdi_emulator) == ["kept", "nobodys", "theirs"]


def test_a_task_that_lost_the_tag_since_the_plan_is_not_deleted(fdi_emulator, world, client, tmp_path):
    task_id = world.add_common("ours", "TIMING", "shop", detail("shop.t"), task_tag=TAG)
    plan = plan_of(client, write(tmp_path, task("kept")), prune=True)
    client.update_task(
        task_id,
        task_name="ours",
        task_type="TIMING",
        source_datasource_id=world.sources["shop"],
        target_datasource_id=world.sources["dwh"],
        task_detail={},
    )
    assert "does not carry the managed tag" in failures(apply_plan(client, plan))[0]
    assert names(fdi_emulator) == ["kept", "ours"]


def test_prune_needs_a_tag(client, world, tmp_path):
    with pytest.raises(FdiArgumentError, match="needs a managed_tag"):
        plan_of(client, write(tmp_path, task("kept"), tag=None), prune=True)


def test_a_rename_is_a_create_and_a_prune_and_says_so(fdi_emulator, world, client, tmp_path):
    world.add_common("old-name", "TIMING", "shop", detail("shop.t"), task_tag=TAG)
    folder = write(tmp_path, task("new-name", detail=detail("shop.t")))
    for prune, what in ((False, "old-name stays"), (True, "old-name is deleted")):
        (note,) = plan_of(client, folder, prune=prune).changes[0].notes
        assert "old-name under a new name" in note and what in note
    applied = apply(client, folder, prune=True)
    assert [(one.change.action, one.done) for one in applied] == [
        ("create", ("create",)),
        ("delete", ("delete",)),
    ]
    assert names(fdi_emulator) == ["new-name"]


@pytest.fixture
def running(world) -> str:
    """A started task whose run is in progress."""
    task_id = world.add_common("busy", "TIMING", "shop", detail("shop.before"), task_tag=TAG)
    world.add_schedule(task_id, period="DAY", dispatch_interval=1)
    world.start([task_id])
    world.emulator.script(task_id, hold=True)
    world.emulator.request("POST", f"tasks/{task_id}/run")
    return task_id


def test_a_run_in_progress_is_left_alone(fdi_emulator, client, running, tmp_path):
    schedule = {"every": 1, "period": "DAY"}
    folder = write(tmp_path, task("busy", schedule=schedule, started=True), task("other"))
    fdi_emulator.clear_journal()
    done = {one.change.task_name: one for one in apply(client, folder)}
    assert done["busy"].failure.startswith("A run is in progress, and interrupt is not set.")
    assert done["busy"].done == () and done["other"].failure == ""
    assert "BatchStartOrStopTasks" not in fdi_emulator.journal_counts()
    assert fdi_emulator.task(running)["active_run"]


def test_interrupt_ends_the_run_and_starts_the_task_again(fdi_emulator, client, running, tmp_path):
    folder = write(tmp_path, task("busy", schedule={"every": 1, "period": "DAY"}, started=True))
    (done,) = apply(client, folder, interrupt=True)
    assert (done.failure, done.done) == ("", ("stop", "update", "start"))
    state = fdi_emulator.task(running)
    assert state["started"] and not state["active_run"]
    assert plan_of(client, folder).is_empty


def test_only_the_schedule_changes_without_a_stop(fdi_emulator, client, world, tmp_path):
    task_id = world.add_common("timed", "TIMING", "shop", detail("shop.timed"), task_tag=TAG)
    world.add_schedule(task_id, period="DAY", dispatch_interval=1)
    world.start([task_id])
    folder = write(tmp_path, task("timed", schedule={"cron": "@daily"}, started=True))
    (done,) = apply(client, folder)
    assert (done.failure, done.done) == ("", ("schedule",))
    assert plan_of(client, folder).is_empty


def test_after_a_failure_the_rest_is_done_and_it_ends_with_what_is_left(
    fdi_emulator, client, world, tmp_path
):
    folder = write(tmp_path, task("first"), task("second"), task("third", source="shpo"))
    fdi_emulator.fault("status", operation="CreateCommonTask", status=400, times=1)
    heard = []
    applied = apply(client, folder, on_change=heard.append)
    assert list(applied) == heard
    assert [(one.change.task_name, bool(one.failure)) for one in applied] == [
        ("first", True),
        ("second", False),
        ("third", True),
    ]
    assert applied[2].failure == "The instance has no data source 'shpo'. Did you mean 'shop'?"
    assert names(fdi_emulator) == ["second"]


def test_wrong_credentials_are_tried_once(fdi_emulator, client, world, tmp_path):
    plan = plan_of(client, write(tmp_path, task("first"), task("second")))
    fdi_emulator.expire_tokens(include_static=True)
    fdi_emulator.clear_journal()
    applied = apply_plan(client, plan)
    assert applied[1].failure.startswith("Not tried: ")
    assert len(fdi_emulator.journal()) <= 2
    fdi_emulator.reset()


SECRET = {"sourceSelectedDatasource": {"sourceHeaders": [{"keys": "Authorization", "value": "${API_TOKEN}"}]}}


def with_secret(world, value="the-old-token") -> str:
    detail = json.loads(json.dumps(SECRET).replace("${API_TOKEN}", value))
    return world.add_common("api-task", "TIMING", "shop", detail, task_tag=TAG)


def sent_token(emulator, task_id: str) -> str:
    shown = json.loads(emulator.request("GET", f"tasks/{task_id}")[1]["task_detail"])
    return shown["sourceSelectedDatasource"]["sourceHeaders"][0]["value"]


def test_a_secret_is_not_compared_and_written_with_any_change(fdi_emulator, client, world, tmp_path):
    task_id = with_secret(world)
    folder = write(tmp_path, task("api-task", detail=SECRET))
    assert plan_of(client, folder, {"API_TOKEN": "the-new-token"}).is_empty
    assert plan_of(client, folder).is_empty
    folder = write(tmp_path, task("api-task", detail=SECRET, description="changed"))
    assert failures(apply(client, folder, variables={"API_TOKEN": "the-new-token"})) == []
    assert sent_token(fdi_emulator, task_id) == "the-new-token"


def test_write_secrets_writes_a_rotated_one(fdi_emulator, client, world, tmp_path):
    task_id = with_secret(world)
    folder = write(tmp_path, task("api-task", detail=SECRET))
    variables = {"API_TOKEN": 'new "quoted" token'}
    plan = plan_of(client, folder, variables, write_secrets=True)
    (change,) = plan.changes
    assert (change.fields, change.steps) == ((), ("update",))
    assert change.secrets == ("detail.sourceSelectedDatasource.sourceHeaders[Authorization].value",)
    assert "quoted" not in json.dumps(plan.as_dict()) + repr(plan)
    apply_plan(client, plan)
    assert sent_token(fdi_emulator, task_id) == 'new "quoted" token'


@pytest.mark.parametrize("value", ["the-old-token", "***", "******"])
def test_a_change_that_would_erase_a_secret_is_refused(fdi_emulator, client, world, tmp_path, value):
    task_id = with_secret(world, value)
    headers = {"sourceSelectedDatasource": {"sourceHeaders": [{"keys": "Authorization"}]}}
    assert plan_of(client, write(tmp_path, task("api-task", detail=headers))).is_empty
    folder = write(tmp_path, task("api-task", detail=headers, description="changed"))
    (left,) = failures(apply(client, folder))
    assert left.startswith("FDI has secrets that the file lacks, and the change would erase them: detail.")
    assert sent_token(fdi_emulator, task_id) == value


def test_a_secret_that_is_not_set_is_needed_only_to_write(client, world, tmp_path):
    with_secret(world)
    folder = write(
        tmp_path, task("api-task", detail=SECRET, description="changed"), task("new", detail=SECRET)
    )
    plan = plan_of(client, folder)
    assert [change.problem for change in plan.changes] == [
        "The task is written with secrets that are not set: API_TOKEN. Set these variables."
    ] * 2


def test_a_started_task_of_which_the_file_says_nothing_is_not_stopped(client, world, tmp_path):
    task_id = world.add_common("timed", "TIMING", "shop", detail("shop.before"), task_tag=TAG)
    world.add_schedule(task_id, period="DAY", dispatch_interval=1)
    world.start([task_id])
    (left,) = failures(apply(client, write(tmp_path, task("timed"))))
    assert "Write started: true or started: false" in left


def test_a_name_that_is_there_twice_is_a_problem(fdi_emulator, client, world, tmp_path):
    fdi_emulator.switch(allow_duplicate_names=True)
    for _ in range(2):
        world.add_common("twin", "TIMING", "shop", relational(1))
    (left,) = failures(apply(client, write(tmp_path, task("twin"))))
    assert left.startswith("2 tasks have this name.")
    fdi_emulator.switch(allow_duplicate_names=False)


def test_a_task_of_another_kind_is_a_problem(client, world, tmp_path):
    world.add_composite("multi", 1)
    (left,) = failures(apply(client, write(tmp_path, task("multi"))))
    assert left.startswith("FDI has a composite task of this name")


def test_clients_of_other_styles_plan_the_same(fdi_emulator, world, tmp_path):
    """Answers that the vendor documents in two ways."""
    folder = write(
        tmp_path,
        *[task(f"t-{n}", schedule={"cron": "@daily", "timezone": "GMT+08:00"}) for n in (1, 2)],
        task("t-3"),
    )
    styles = {
        "create_returns_null": True,
        "status_style": "stopped",
        "created_date_style": "iso",
        "show_cron_timezone": False,
        "no_schedule_answer": "404",
        "init_as_dict": True,
    }
    before = {name: value for name, value in fdi_emulator.switch().items() if name in styles}
    fdi_emulator.switch(**styles)
    with client_of(fdi_emulator) as client:
        assert failures(apply(client, folder)) == []
        assert plan_of(client, folder).is_empty
    fdi_emulator.switch(**before)


def test_a_task_whose_data_sources_are_not_to_be_seen_is_no_change(fdi_emulator, client, tmp_path):
    fdi_emulator.add_task(name="hidden")
    assert export(client, tmp_path).notes

    assert plan_of(client, tmp_path / "tasks").is_empty
