"""The report of a campaign, as a person wants to read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

import msgspec

from .audit import Case, Finding
from .repeats import repeats
from .run_logs import ended
from .watch import MEANING, key_of

VIOLATIONS_SHOWN = 10
REPEATS_SHOWN = 400


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What is known beside the case itself."""

    seed: int
    seconds: float
    quiet_s: float
    is_quiet: bool
    refused_appends: int
    takeovers: int
    command: str
    folder: str
    heard: dict[str, int]


def report(case: Case, findings: Sequence[Finding], figures: Figures) -> str:
    """Writes the report."""
    lines = [
        (
            f"seed {figures.seed}, {figures.seconds:g} s, {len(case.plans)} runs planned, "
            f"{len(case.remains.logs)} begun, {ended(case.logs())} ended"
        ),
        f"statuses: {_counted(Counter(log.status for log in case.logs()))}",
        *_messages(case),
        *_kills(case),
        *_repeats(case),
        f"refused appends: {figures.refused_appends}; takeover reads that found something: {figures.takeovers}",
        f"heard on the wire: {_counted(figures.heard)}",
        f"{'quiet' if figures.is_quiet else 'NOT QUIET'} after {figures.quiet_s:.1f} s",
        *_findings(findings),
        f"again: {figures.command}",
    ]
    if any(finding.violations for finding in findings):
        lines.append(f"logs, histories and dumps are in {figures.folder}")
    return "\n".join(lines)


def _messages(case: Case) -> list[str]:
    unclear = sum(entry.code != 0 for entry in case.tries)
    again = sum(entry.is_again for entry in case.tries)
    return [
        (
            f"messages: {len(case.acked)} acknowledged in {len(case.tries)} tries, {unclear} without a clear answer, "
            f"{again} sent again after their acknowledgement, {len(case.remains.dead)} dead letters"
        )
    ]


def _kills(case: Case) -> list[str]:
    lines: list[str] = []
    kills = [fault for fault in case.faults if fault.what == "kill"]
    for kind in ("actors", "steps", "server"):
        of_kind = [fault for fault in kills if fault.kind == kind]
        aimed = [fault for fault in of_kind if fault.window]
        lines.append(f"kill -9 of {kind}: {len(of_kind)}, {len(aimed)} of them aimed")
        for window, count in sorted(Counter(fault.window for fault in aimed).items()):
            lines.append(f"    {count:3} when {MEANING[kind, window]} [{window}]")
    for what, text in (
        ("pause", "SIGSTOP and SIGCONT of actors"),
        ("drain", "SIGTERM of workers, each replaced"),
        ("restart", "orderly restarts of the server"),
    ):
        count = sum(fault.what == what for fault in case.faults)
        if count:
            lines.append(f"{text}: {count}")
    delays = _delays_us(case)
    if delays:
        lines.append(
            f"from a record's storing to the kill aimed at it: median {median(delays)} us, longest {delays[-1]} us"
        )
    return lines


def _delays_us(case: Case) -> list[int]:
    found: list[int] = []
    for fault in case.faults:
        shot = fault.shot
        if shot is None or not shot.k:
            continue
        entries = case.log_of(key_of(shot.run)).entries
        found += [shot.at_us - entry.at_us for entry in entries if entry.record.k == shot.k]
    return sorted(found)


def _repeats(case: Case) -> list[str]:
    found = list(repeats(case))
    lines = [f"side effects repeated: {len(found)} of {sum(line.phase == 'begin' for line in case.lines)}"]
    lines += [f"    {repeat}" for repeat in found[:REPEATS_SHOWN]]
    return lines


def _findings(findings: Sequence[Finding]) -> list[str]:
    lines: list[str] = []
    for invariant, violations in findings:
        mark = "BROKEN" if violations else "holds"
        lines.append(
            f"{mark:6} {invariant.number:4} {invariant.promise}" + (f": {len(violations)}" if violations else "")
        )
        lines += [f"           {violation}" for violation in violations[:VIOLATIONS_SHOWN]]
    return lines


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"
