"""Makes the pictures in docs/images: a real Airflow over the FDI emulator, looked at with headless Chromium.

    pip install playwright          # drives the browser; none of its own browsers is needed
    python tools/screenshots.py     # with Chromium or Chrome on the PATH

Give names (``waiting-task task-log``) to make only some of them.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from demo.airflow_api import wait_until  # noqa: E402
from demo.narrator import Narrator  # noqa: E402
from demo.scene import (  # noqa: E402
    EXAMPLE_DAGS,
    SOURCE_DATASOURCE_ID,
    TARGET_DATASOURCE_ID,
    Scene,
    connection_fields,
)

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]
MAX_BYTES = 200_000
NEW_CONNECTION = "fdi_default"
"""Made anew in the form, so that the DAGs of the other pictures use one that was made in it."""
SETTLE = 1500
"""Milliseconds for the page to finish what it animates."""


class Pictures:
    """A browser page on the UI, and where its pictures go."""

    def __init__(self, page: Any, scene: Scene, folder: Path) -> None:
        assert scene.stack is not None and scene.emulator is not None
        self.page, self.folder = page, folder
        self.stack, self.api, self.fdi = scene.stack, scene.stack.api, scene.emulator

    def go(self, path: str, width: int = 1280, height: int = 640) -> None:
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.goto(self.stack.url + path)
        self.page.wait_for_load_state("networkidle")
        self.page.wait_for_timeout(SETTLE)

    def take(self, name: str, of: str | None = None) -> None:
        self.page.wait_for_timeout(SETTLE)
        path = self.folder / f"{name}.png"
        (self.page.locator(of) if of else self.page).screenshot(path=path)
        if path.stat().st_size > MAX_BYTES:
            raise SystemExit(f"{path.name} is larger than {MAX_BYTES} bytes")

    # --- what is shown ------------------------------------------------------------------------------------

    def connection_form(self) -> None:
        self._new_connection(height=880)
        self.take("connection-form", of="[role=dialog]")

    def connection_fields(self) -> None:
        self._new_connection(height=1240)
        self._fill_extra_fields()
        self.take("connection-fields")

    def connection_green(self) -> None:
        """A connection made in the form and saved; then the test button in its row."""
        self.api.request("DELETE", f"/connections/{NEW_CONNECTION}")
        self._new_connection(height=1240)
        self._fill_extra_fields()
        self.page.get_by_role("button", name="Save").click()
        row = self.page.get_by_role("row", name=NEW_CONNECTION)
        row.wait_for()
        self.page.set_viewport_size({"width": 1180, "height": 480})
        row.get_by_role("button", name="Test Connection").click()
        self.page.get_by_text("Test Connection Successful").wait_for()
        self.take("connection-green")

    def connection_test(self) -> None:
        """What the test button says about a mistyped instance."""
        fields = connection_fields(self.fdi)
        fields["extra"]["instance_id"] = "fae7ff6c-8e07-4cf8-9e67-589cab2f0000"
        self.api.add_connection("fdi_mistyped", **fields)
        self.go("/connections", height=640)
        self.page.get_by_role("row", name="fdi_mistyped").get_by_role("button").first.click()
        self.take("connection-test")

    def _new_connection(self, height: int) -> None:
        """The form as somebody has it filled who connects to the local service."""
        self.go("/connections", width=1000, height=height)
        self.page.get_by_role("button", name="Add Connection").click()
        self.page.locator("input[name=connection_id]").fill(NEW_CONNECTION)
        self.page.get_by_role("combobox").first.fill("Huawei Cloud FDI")
        self.page.wait_for_timeout(SETTLE)
        self.page.keyboard.press("Enter")
        self.page.wait_for_timeout(SETTLE)
        host, _, port = self.fdi.url.rpartition(":")
        for name, value in {"host": host, "port": port, "password": self.fdi.token}.items():
            self.page.locator(f"[name={name}]").fill(value)
        self._unfocus()

    def _fill_extra_fields(self) -> None:
        self.page.get_by_role("button", name="Extra Fields", exact=True).click()
        self.page.wait_for_timeout(SETTLE)
        self.page.get_by_role("combobox").nth(1).click()
        self.page.keyboard.type("token")
        self.page.keyboard.press("Enter")
        for name, value in {"project_id": self.fdi.project_id, "instance_id": self.fdi.instance_id}.items():
            self.page.locator(f'[name="element_{name}"]').fill(value)
        self._unfocus()

    def _unfocus(self) -> None:
        self.page.evaluate("document.activeElement.blur()")

    def waiting_task(self) -> None:
        """A deferred task while its run is in progress, with its links."""
        fdi_task_id = self.fdi.add_task(
            "flights_to_warehouse",
            source_datasource_id=SOURCE_DATASOURCE_ID,
            target_datasource_id=TARGET_DATASOURCE_ID,
        )
        self.fdi.script(fdi_task_id, hold=True, rows=336_776)
        run_id = self.api.trigger("fdi_batch_pipeline")
        self.api.wait_for_task("fdi_batch_pipeline", run_id, "run", "deferred", 60)
        self.go(f"/dags/fdi_batch_pipeline/runs/{quote(run_id)}/tasks/run/details")
        self.take("waiting-task")
        self.fdi.release(fdi_task_id)
        self.fdi.unscript(fdi_task_id)
        self._must_succeed("fdi_batch_pipeline", run_id)

    def task_log(self) -> None:
        run_id = self.api.trigger("fdi_batch_pipeline")
        self._must_succeed("fdi_batch_pipeline", run_id)
        self.go(f"/dags/fdi_batch_pipeline/runs/{quote(run_id)}/tasks/run", width=1180, height=740)
        self.take("task-log")

    def mapped_grid(self) -> None:
        run_id = self.api.trigger("fdi_many_tasks")
        self._must_succeed("fdi_many_tasks", run_id)
        self.go(f"/dags/fdi_many_tasks/runs/{quote(run_id)}/tasks/run/mapped")
        self.take("mapped-grid")

    def asset_graph(self) -> None:
        """The asset that FDI's own schedule feeds, an event of it, and the DAG that it started."""
        dag_id = "fdi_event_driven"
        self.api.wait_for_dag(dag_id)
        fdi_task_id = self.fdi.add_task("flights_every_minute", schedule=True, started=True)
        self.fdi.clear_journal()
        self.api.unpause(dag_id)
        # Runs before its first look are no news to the trigger.
        wait_until(lambda: self.fdi.journal("ListMonitorLog"), 60, "the trigger to look")
        for rows in (842, 915):
            self.fdi.add_run(fdi_task_id, data_count=rows)
        runs = wait_until(lambda: self.api.runs(dag_id), 60, "the event to start the DAG")
        self._must_succeed(dag_id, runs[0]["dag_run_id"])
        assets = self.api.request("GET", "/assets", query={"dag_ids": dag_id})["assets"]
        self.go(f"/assets/{assets[0]['id']}")
        self.take("asset-graph")

    def emulator_page(self) -> None:
        """The emulator's own page: runs that succeeded, failed and go on, and the requests for them."""
        self.fdi.reset()
        place = {
            "source_datasource_id": SOURCE_DATASOURCE_ID,
            "target_datasource_id": TARGET_DATASOURCE_ID,
        }
        daily = {"use_quartz_cron": True, "cron": "0 0 2 * * ?", "cron_timezone": "Asia/Shanghai"}
        scripts: dict[str, dict[str, Any]] = {
            "flights_to_warehouse": {"rows": 336_776, "data_size": 48.5, "data_size_unit": "MB"},
            "orders_to_warehouse": {"outcome": "ERROR", "rows": 120, "remarks": "Duplicate entry '42'"},
            "customers_to_warehouse": {"hold": True},
        }
        for name, script in scripts.items():
            fdi_task_id = self.fdi.add_task(name, script=script, schedule=daily, started=True, **place)
            self.fdi.request("POST", f"tasks/{fdi_task_id}/run", {})
            self.fdi.request("GET", f"tasks/{fdi_task_id}/monitor-logs?offset=1&limit=10")
        self.page.set_viewport_size({"width": 1280, "height": 900})
        self.page.goto(self.fdi.url)
        self.take("emulator")

    def _must_succeed(self, dag_id: str, run_id: str) -> None:
        state = self.api.wait_for_run(dag_id, run_id, 180)
        if state != "success":
            raise SystemExit(f"{dag_id}: {state}\n{self.api.report(dag_id, run_id)}")


PICTURES: dict[str, Callable[[Pictures], None]] = {
    "connection-form": Pictures.connection_form,
    "connection-fields": Pictures.connection_fields,
    "connection-green": Pictures.connection_green,
    "connection-test": Pictures.connection_test,
    "waiting-task": Pictures.waiting_task,
    "task-log": Pictures.task_log,
    "mapped-grid": Pictures.mapped_grid,
    "asset-graph": Pictures.asset_graph,
    # Last: it resets the emulator.
    "emulator": Pictures.emulator_page,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(PICTURES)}")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--emulator-port", type=int, default=8765, help="shown in some of the pictures")
    args = parser.parse_args()
    names = args.names or list(PICTURES)
    if unknown := set(names) - set(PICTURES):
        parser.error(f"no such picture: {', '.join(sorted(unknown))}")
    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser_path is None:
        parser.error(f"none of {', '.join(BROWSERS)} is on the PATH")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        parser.error("playwright is not installed: pip install playwright")

    args.out.mkdir(parents=True, exist_ok=True)
    say = Narrator()
    # The port that the pages name.
    scene = Scene(ROOT / ".demo" / "screenshots", editable=True, emulator_port=args.emulator_port)
    try:
        scene.start(say)
        assert scene.stack is not None
        for path in EXAMPLE_DAGS.glob("*.py"):
            scene.stack.api.wait_for_dag(path.stem)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
            pictures = Pictures(browser.new_page(color_scheme="light"), scene, args.out)
            for name in names:
                say(name)
                PICTURES[name](pictures)
            browser.close()
    finally:
        scene.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
