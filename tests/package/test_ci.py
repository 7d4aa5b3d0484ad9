"""`.ci/run` shows the minutes that CONTRIBUTING.md allows; the workflows do the same, and safely."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.pages import ROOT

WORKFLOWS = ROOT / ".github" / "workflows"
CI = yaml.safe_load((WORKFLOWS / "ci.yml").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
STEPS = re.findall(r'^step ".*" ([a-z-]+)', (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)

FAKE_MAKE = """\
#!/bin/sh
echo "make $*"
case "$1" in
    docs) sleep 1.1 ;;
    demo) exit 2 ;;
    test) echo '==== 3 passed in 1.00s ====' ;;
esac
"""


def ci_cells() -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = CI["jobs"]["make"]["strategy"]["matrix"]["include"]
    return cells


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with `.ci/run`, its table, and a `make` that fails in `demo` and takes a second in `docs`."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    shutil.copy(ROOT / "CONTRIBUTING.md", tmp_path)
    make = tmp_path / "bin" / "make"
    make.parent.mkdir()
    make.write_text(FAKE_MAKE)
    make.chmod(0o755)
    return tmp_path


def run_ci(checkout: Path) -> tuple[int, str]:
    path = f"{checkout / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", ".ci/run"], cwd=checkout, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    return done.returncode, done.stdout


def summary(output: str) -> dict[str, str]:
    lines = output.partition("=== summary\n")[2].splitlines()
    return {re.split(r" +(?:passed|FAILED) ", line)[0]: line for line in lines}


def test_every_step_is_shown_with_its_minutes(checkout: Path) -> None:
    code, output = run_ci(checkout)

    table = (checkout / "CONTRIBUTING.md").read_text(encoding="utf-8")
    minutes = dict(re.findall(r"^\| `make ([a-z-]+)` \|.*\| (\d+) min", table, re.MULTILINE))
    assert STEPS
    for target in STEPS:
        line = summary(output)["Airflow 2.11" if target == "matrix" else f"make {target}"]
        assert line.endswith(f" of {minutes[target]} min"), line
    assert "==== 3 passed in 1.00s ====" in output.partition("=== summary")[2]
    assert code == 1


def test_a_failed_step_fails_the_run_and_the_others_go_on(checkout: Path) -> None:
    code, output = run_ci(checkout)

    outcomes = {name: line.split(" after ")[0].split()[-1] for name, line in summary(output).items()}
    assert code == 1
    assert [outcomes[f"make {step}"] for step in ("demo", "docs", "test")] == ["FAILED", "passed", "passed"]


def test_a_step_that_takes_too_long_is_reported_and_passes(checkout: Path) -> None:
    table = checkout / "CONTRIBUTING.md"
    old = table.read_text(encoding="utf-8")
    new = re.sub(r"^(\| `make docs` \|.*\|) \d+ min \|$", r"\1 0 min |", old, flags=re.MULTILINE)
    assert new != old
    table.write_text(new, encoding="utf-8")
    make = checkout / "bin" / "make"
    make.write_text(FAKE_MAKE.replace("demo) exit 2", "demo) exit 0"))

    code, output = run_ci(checkout)

    assert code == 0
    line = summary(output)["make docs"]
    assert re.search(r"passed after 0 min \d+ s of 0 min, exceeded by 0 min \d+ s$", line), line


def test_every_target_that_is_named_exists() -> None:
    pre_commit = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repo in pre_commit["repos"] for hook in repo["hooks"]]
    workflows = "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS.iterdir())
    named = {
        *STEPS,
        *(word for cell in ci_cells() for word in cell["targets"].split() if "=" not in word),
        *(hook["entry"].removeprefix("make ") for hook in hooks),
        *(word for line in re.findall(r"run: make ([a-z -]+)", workflows) for word in line.split()),
    }
    assert named <= TARGETS


def test_ci_has_a_job_for_every_step() -> None:
    done = {word for cell in ci_cells() for word in cell["targets"].split()}
    # The suite runs as cells of the matrix, with lint and types in a job of their own.
    as_jobs = {"test": {"matrix-one", "lint", "types"}, "matrix": {"matrix-one"}}
    for step in STEPS:
        assert as_jobs.get(step, {step}) <= done, step


def test_workflows_test_the_versions_of_the_makefile() -> None:
    found = re.search(r"^MATRIX \?= (.*)$", MAKEFILE, re.MULTILINE)
    assert found
    matrix = set(found[1].split())
    of_ci = {
        f"{version[1]}:{cell['python']}"
        for cell in ci_cells()
        if (version := re.search(r"AIRFLOW_VERSION=(\S+)", cell["targets"]))
    }
    release = yaml.safe_load((WORKFLOWS / "release.yml").read_text(encoding="utf-8"))
    cells = release["jobs"]["test"]["strategy"]["matrix"]["include"]
    of_release = {f"{cell['airflow']}:{cell['python']}" for cell in cells}
    assert of_ci == matrix
    assert of_release == matrix


def zizmor(folder: Path) -> subprocess.CompletedProcess[str]:
    """What `make lint` runs."""
    options = re.search(r"\$\(BIN\)/zizmor (.*) \.github$", MAKEFILE, re.MULTILINE)
    assert options
    command = [str(Path(sys.executable).parent / "zizmor"), *options[1].split(), str(folder)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (r"(actions/checkout)@\w+ # v[\d.]+", r"\1@v7", "unpinned-uses"),
        (r"permissions: \{\}", "permissions: write-all", "excessive-permissions"),
        (r'make release-check TAG="\$GITHUB_REF_NAME"', "echo ${{ github.head_ref }}", "template-injection"),
    ],
    ids=["an action by tag", "all permissions", "a name from outside in a script"],
)
def test_lint_refuses_an_unsafe_workflow(old: str, new: str, complaint: str, tmp_path: Path) -> None:
    copy = shutil.copytree(ROOT / ".github", tmp_path / ".github")
    workflow = copy / "workflows" / "release.yml"
    text = workflow.read_text(encoding="utf-8")
    changed = re.sub(old, new, text)
    assert changed != text
    assert zizmor(copy).returncode == 0
    workflow.write_text(changed, encoding="utf-8")

    checked = zizmor(copy)

    assert checked.returncode != 0
    assert complaint in checked.stdout
