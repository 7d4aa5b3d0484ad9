"""The report: what was found of each assumption, as Markdown to post or as an emulator's configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_fdi import __version__
from airflow_provider_fdi.doctor.assumptions import ASSUMPTIONS, Assumption, judge
from airflow_provider_fdi.doctor.evidence import Evidence
from airflow_provider_fdi.doctor.verdict import AS_ASSUMED, DIFFERENT, NOT_CHECKED, Verdict


@dataclass(frozen=True)
class Finding:
    """An assumption and its verdict."""

    assumption: Assumption
    verdict: Verdict

    @property
    def switch(self) -> Mapping[str, Any]:
        """The switch of the emulator that behaves like what was found, if that is different."""
        name, value = self.assumption.switch, self.verdict.value
        return {name: value} if name and value is not None and self.verdict.outcome == DIFFERENT else {}


@dataclass(frozen=True)
class Report:
    """All findings; no secret, id or name is in them."""

    findings: Sequence[Finding]
    wrote: bool
    requests: int
    seconds: float
    trouble: str = ""
    """Why the connection does not work, for its user only: it names hosts and ids."""

    def of(self, outcome: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.verdict.outcome == outcome]

    @property
    def switches(self) -> dict[str, Any]:
        """The switches of the emulator that differ from its defaults."""
        return {name: value for finding in self.findings for name, value in finding.switch.items()}

    def finding(self, key: str) -> Finding:
        return next(finding for finding in self.findings if finding.assumption.key == key)


def make_report(
    evidence: Evidence, *, wrote: bool, requests: int, seconds: float, trouble: str = ""
) -> Report:
    """Judge every assumption by what was seen."""
    findings = [Finding(assumption, judge(assumption, evidence)) for assumption in ASSUMPTIONS]
    return Report(findings, wrote, requests, seconds, trouble)


def as_json(report: Report) -> str:
    """A configuration of the emulator: its switches, and the findings, which it does not read."""
    rows = [
        {
            "key": finding.assumption.key,
            "assumption": finding.assumption.sentence,
            "outcome": finding.verdict.outcome,
            "seen": finding.verdict.seen,
            **({"means": finding.assumption.means} if finding.verdict.outcome == DIFFERENT else {}),
            **({"switch": dict(finding.switch)} if finding.switch else {}),
        }
        for finding in report.findings
    ]
    about = {
        "version": __version__,
        "write": report.wrote,
        "requests": report.requests,
        "seconds": round(report.seconds, 1),
        "findings": rows,
    }
    return json.dumps({"switches": report.switches, "report": about}, indent=2)


def as_markdown(report: Report) -> str:
    """The report for people, to be posted as it is."""
    different, assumed, unchecked = (report.of(kind) for kind in (DIFFERENT, AS_ASSUMED, NOT_CHECKED))
    mode = "with --write" if report.wrote else "read-only"
    lines = [
        f"# FDI doctor: {len(different)} different, {len(assumed)} as assumed, {len(unchecked)} not checked",
        "",
        f"airflow-provider-fdi {__version__}, {mode}, {report.requests} requests in {report.seconds:.1f} s.",
    ]
    if different:
        lines += ["", "## Different", ""]
        for finding in different:
            lines += [
                f"- **{finding.assumption.sentence}** No: {finding.verdict.seen}.",
                f"  {finding.assumption.means}",
            ]
            lines += [
                f"  Emulator: `{name} = {json.dumps(value)}`." for name, value in finding.switch.items()
            ]
    if assumed:
        lines += ["", "## As assumed", ""]
        lines += [f"- {finding.assumption.sentence} {_sentence(finding.verdict.seen)}" for finding in assumed]
    if unchecked:
        lines += ["", "## Not checked", ""]
        lines += [
            f"- {finding.assumption.sentence} Not checked, because {finding.verdict.seen}."
            for finding in unchecked
        ]
    return "\n".join(lines) + "\n"


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."
