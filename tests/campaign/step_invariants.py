"""Invariants of steps: attempts, results, retries, and replay."""

from __future__ import annotations

import msgspec

from jetrun.actors.commands import Close, RunStep
from jetrun.actors.journal import message_of
from jetrun.actors.messages import StepResult
from jetrun.actors.records import Record

from .audit import Case, Invariant
from .effects import begins_by_attempt, digest_of
from .repeats import unexplained
from .replays import same_decisions
from .run_logs import Entry, RunLog

CLOCK_US = 2_000
"""The server rounds its times down; steps and server read one machine's clock."""

LATE_US = 5_000_000


def produced(case: Case) -> list[str]:
    """Every recorded result was produced by an attempt, with that value (I8)."""
    ends = {(line.workflow, line.run, line.command, line.digest) for line in case.lines if line.phase == "end"}
    found: list[str] = []
    for log in case.logs():
        for command, results in log.results().items():
            for result in results:
                if result.error is not None or result.ref is not None:
                    continue
                digest = digest_of(msgspec.json.decode(result.result))
                if (log.key.workflow, log.key.run, command, digest) not in ends:
                    found.append(
                        f"{log.key}: result of step {command} was produced by nobody: {bytes(result.result)!r}"
                    )
    return found


def decided_before(case: Case) -> list[str]:
    """No attempt begins that was not decided, or before its decision was stored (I9)."""
    found: list[str] = []
    for (workflow, run, command, attempt), begins in begins_by_attempt(case.lines).items():
        log = case.log_behind(begins[0])
        decision = log.steps().get(command)
        if decision is None:
            found.append(f"{workflow}/{run}: step {command} ran and was never decided")
            continue
        entry = decision[0] if attempt == 1 else _retry_entry(log, command, attempt)
        if entry is None:
            found.append(f"{workflow}/{run}: attempt {attempt} of step {command} was never decided")
        elif begins[0].at_us < entry.at_us - CLOCK_US:
            found.append(
                f"{workflow}/{run}: step {command} began {entry.at_us - begins[0].at_us} us before its decision"
            )
    return found


def same_input(case: Case) -> list[str]:
    """All attempts see the recorded input (I10)."""
    found: list[str] = []
    for begins in begins_by_attempt(case.lines).values():
        decision = case.log_behind(begins[0]).steps().get(begins[0].command)
        if decision is None or decision[1].ref is not None:
            if len({line.digest for line in begins}) > 1:
                found.append(
                    f"{begins[0].workflow}/{begins[0].run}: attempts of step {begins[0].command} differ in input"
                )
            continue
        digest = digest_of(msgspec.json.decode(decision[1].args))
        found += [
            f"{line.workflow}/{line.run}: step {line.command} ran with another input"
            for line in begins
            if line.digest != digest
        ]
    return found


def not_after_end(case: Case) -> list[str]:
    """No attempt begins later than a lease after the end of its run (I11).

    A server that comes back measures a lease from then on, of all that was out when it went.
    """
    found: list[str] = []
    back_us = [fault.until_us for fault in case.faults if fault.kind == "server"]
    for line in case.lines:
        log = case.log_behind(line)
        if line.phase != "begin" or log.outcome is None:
            continue
        end_us = log.entries[-1].at_us
        within_lease = [at_us for at_us in back_us if end_us < at_us <= min(line.at_us, end_us + case.lease_us)]
        late_us = line.at_us - max([end_us, *within_lease]) - case.lease_us
        if late_us > LATE_US:
            found.append(f"{log.key}: step {line.command} began {late_us / 1e6:.1f} s after the end and a lease")
    return found


def one_result(case: Case) -> list[str]:
    """Each step that was waited for to the end has one result or one final failure, and no second one (I15)."""
    found: list[str] = []
    for log in case.logs():
        counts = dict.fromkeys(log.steps(), 0)
        closed = {c.target for entry in log.entries for c in entry.record.commands if isinstance(c, Close)}
        for command, kind in _endings(log):
            counts[command] = counts.get(command, 0) + 1
            if counts[command] > 1:
                found.append(f"{log.key}: step {command} has a second {kind}")
        if log.outcome is not None and log.status in ("completed", "failed"):
            found += [
                f"{log.key}: step {command} has no result"
                for command, n in counts.items()
                if not n and command not in closed
            ]
    return found


def attempts_bounded(case: Case) -> list[str]:
    """Attempts are 1, 2, 3 …; failures stay within the step's retries, and nothing is tried after the last (I16)."""
    found: list[str] = []
    for log in case.logs():
        retries: dict[int, list[int]] = {}
        for entry in log.entries:
            for retry in entry.record.retries:
                retries.setdefault(retry.n, []).append(retry.attempt)
        for command, attempts in retries.items():
            if attempts != list(range(2, len(attempts) + 2)) or attempts[-1] > 5:
                found.append(f"{log.key}: retries of step {command} are attempts {attempts}")
        for command, results in log.results().items():
            allowed = {1, *retries.get(command, [])}
            wrong = {result.attempt for result in results} - allowed
            if wrong:
                found.append(f"{log.key}: step {command} has results of attempts {sorted(wrong)} that were not decided")
    return found


def retries_not_early(case: Case) -> list[str]:
    """A retry begins no sooner than its backoff says (I17)."""
    found: list[str] = []
    begins = begins_by_attempt(case.lines)
    for log in case.logs():
        for entry in log.entries:
            for retry in entry.record.retries:
                tries = begins.get((log.key.workflow, log.key.run, retry.n, retry.attempt), [])
                if tries and tries[0].at_us < retry.due_at_us - CLOCK_US:
                    early_ms = (retry.due_at_us - tries[0].at_us) / 1000
                    found.append(f"{log.key}: attempt {retry.attempt} of step {retry.n} began {early_ms:.0f} ms early")
    return found


def _endings(log: RunLog) -> list[tuple[int, str]]:
    """Lists what was applied to steps: results and final failures, as the engine must have taken them."""
    endings: list[tuple[int, str]] = []
    due = log.due()
    open_steps: dict[int, int] = {}
    kept: list[StepResult] = []
    for entry in log.entries:
        record = entry.record
        bodies = [message_of(folded).body for folded in record.messages if folded.verb == "step"]
        arrived = [body for body in bodies if isinstance(body, StepResult)]
        if record.undecided:
            kept += arrived
            continue
        # One that could only begin after the step's time is recorded, and not waited for.
        retried = {r.n: r.attempt for r in record.retries if r.due_at_us < due.get(r.n, r.due_at_us + 1)}
        is_same_turn: set[int] = set()
        for result in [*kept, *arrived]:
            command = result.command
            if command not in open_steps:
                if command not in is_same_turn and result in arrived:
                    endings.append((command, "result"))  # it should have been dropped as late
                continue
            if result.error is not None:
                if result.attempt != open_steps[command]:
                    continue
                if retried.get(command, 0) == result.attempt + 1:
                    open_steps[command] = result.attempt + 1
                    continue
            del open_steps[command]
            is_same_turn.add(command)
            endings.append((command, "result" if result.error is None else "failure"))
        kept = []
        _move(record, open_steps)
        endings += [(n, "end by its time") for n in record.fired if open_steps.pop(n, 0)]
    return endings


def _move(record: Record, open_steps: dict[int, int]) -> None:
    for command in record.commands:
        if isinstance(command, RunStep):
            open_steps[command.n] = 1
        elif isinstance(command, Close):
            open_steps.pop(command.target, None)


def _retry_entry(log: RunLog, command: int, attempt: int) -> Entry | None:
    """Finds the record that decided a retry."""
    for entry in log.entries:
        if any(retry.n == command and retry.attempt == attempt for retry in entry.record.retries):
            return entry
    return None


STEP_INVARIANTS = [
    Invariant("I6", "every log replays to the same decisions", same_decisions),
    Invariant("I8", "every recorded result was produced by an attempt", produced),
    Invariant("I9", "no attempt begins before its decision is stored", decided_before),
    Invariant("I10", "all attempts see the recorded input", same_input),
    Invariant("I11", "no attempt begins long after the end", not_after_end),
    Invariant("I15", "exactly one result is recorded per step", one_result),
    Invariant("I16", "attempts are counted and bounded", attempts_bounded),
    Invariant("I17", "no retry begins early", retries_not_early),
    Invariant("P4", "a side effect is repeated only where a fault explains it", unexplained),
]
