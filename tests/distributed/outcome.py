"""What became of a round: the runs of each FDI task that were started against those expected, as a table."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """One FDI task that one task instance runs: its group in the DAG, and what the service does."""

    group: str
    fdi_task: str
    duration_ms: int
    fails_first: bool = False

    @property
    def script(self) -> list[dict[str, object]]:
        """The emulator's script: a run that fails is followed by one that does not."""
        good = {"duration_ms": self.duration_ms, "rows": 42}
        return [{"duration_ms": self.duration_ms, "outcome": "ERROR"}, good] if self.fails_first else [good]

    @property
    def expected(self) -> int:
        """How many runs all tries of its task instance have to start."""
        return 2 if self.fails_first else 1


@dataclass(frozen=True)
class Result:
    """What Airflow and the service say of a load."""

    load: Load
    state: str
    tries: int
    started: int
    terminated: int
    seconds: float | None
    """From the end of the last run, by the service's log, to the success of the task instance."""

    @property
    def lost(self) -> int:
        """Runs that were not started, or whose success did not become the task instance's."""
        missing = max(self.load.expected - self.started, 0)
        return max(missing, int(self.state != "success"))

    @property
    def doubled(self) -> int:
        """Runs beyond those expected."""
        return max(self.started - self.load.expected, 0)

    @property
    def wrong(self) -> bool:
        """Whether anything is not as promised."""
        return bool(self.lost or self.doubled or self.terminated)

    def __str__(self) -> str:
        return (
            f"{self.load.group} {self.load.fdi_task}: {self.state} after {self.tries} tries; "
            f"{self.started} runs of {self.load.expected}, {self.terminated} terminated"
        )


HEADER = (
    "tasks",
    "number",
    "expected",
    "started",
    "lost",
    "doubled",
    "terminated",
    "tries",
    "p50 s",
    "p95 s",
    "max s",
)


def table(title: str, results: Sequence[Result]) -> str:
    """One line for each group and one for all, in fixed columns."""
    groups = dict.fromkeys(result.load.group for result in results)
    lines = [_line(group, [r for r in results if r.load.group == group]) for group in groups]
    if len(lines) > 1:
        lines.append(_line("all", results))
    widths = [max(len(line[column]) for line in (HEADER, *lines)) for column in range(len(HEADER))]
    text = [_joined(line, widths) for line in (HEADER, *lines)]
    return "\n".join([title, *text, *(f"  {result}" for result in results if result.wrong)])


def percentile(values: Iterable[float], part: int) -> float:
    """The value that `part` percent do not exceed."""
    values = sorted(values)
    if len(values) < 2:
        return values[0] if values else float("nan")
    return statistics.quantiles(values, n=100, method="inclusive")[part - 1]


def _line(name: str, results: Sequence[Result]) -> tuple[str, ...]:
    seconds = [result.seconds for result in results if result.seconds is not None]
    counts = (
        len(results),
        sum(result.load.expected for result in results),
        sum(result.started for result in results),
        sum(result.lost for result in results),
        sum(result.doubled for result in results),
        sum(result.terminated for result in results),
        sum(result.tries for result in results),
    )
    times = (percentile(seconds, 50), percentile(seconds, 95), max(seconds, default=float("nan")))
    return (name, *(str(count) for count in counts), *(f"{value:.1f}" for value in times))


def _joined(line: tuple[str, ...], widths: list[int]) -> str:
    first, *rest = (
        f"{word:<{width}}" if i == 0 else f"{word:>{width}}"
        for i, (word, width) in enumerate(zip(line, widths, strict=True))
    )
    return "  ".join([first, *rest]).rstrip()
