"""Decisions: what a fold comes to, and what it owes the world once its record is durable."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from .commands import Close, Retry, RunStep, StartTimer
from .execution import Execution
from .fold import Fold
from .journal import message_of
from .messages import Message, StepResult
from .parts import joined
from .records import Outcome, Parked, Record, Summary
from .verdict import Verdict


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """What the last decision asks to be carried out; every part is safe to repeat (R7)."""

    steps: list[RunStep] = []
    retries: list[tuple[RunStep, Retry]] = []
    timers: list[tuple[str, int]] = []
    """Names and due times; a command's number is its timer's name."""
    closed_timers: list[int] = []
    closed_steps: list[RunStep] = []
    outcome: Outcome | None = None
    is_start: bool = False
    parked: Parked | None = None
    is_unparked: bool = False
    is_paused: bool = False
    refused: list[Verdict] = []
    """Messages of this record, or kept by earlier ones, that were not taken: dead letters."""
    is_expired: bool = False
    """The log is to be purged up to this record."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one fold."""

    records: list[bytes]
    """To append in this order, each fenced by its predecessor; empty when nothing was folded."""
    parts: list[Record]
    folded: list[Message]
    verdicts: list[Verdict]
    """Messages that need no record; ack them after the append, or after R4's look when there is none."""
    rest: list[Message]
    """Messages for the next turn."""
    uploads: dict[str, bytes]
    """Large values by hash: store them before the append."""


def summary_of(execution: Execution, fold: Fold) -> Summary:
    """Tells where the run stands after a decision."""
    outcome = fold.outcome
    ended = outcome is not None
    hooks = [] if ended else execution.inbox.shown()
    return Summary(
        status=outcome.status if outcome is not None else "paused" if fold.is_paused else "running",
        started_at_us=execution.started_at_us,
        ended_at_us=execution.loop.now_us if ended else 0,
        commands=execution.last_command,
        steps_open=0 if ended else len(execution.steps),
        timers_open=0 if ended else len(execution.timers),
        hooks_open=hooks,
        hooks_more=0 if ended else len(execution.inbox) - len(hooks),
        failures=execution.failures,
    )


def owed_of(execution: Execution, fold: Fold, *, is_unparked: bool = False) -> Owed:
    """Lists what a decision asks for and is still open at its end."""
    outcome = fold.outcome
    if outcome is not None:
        steps = [entry.command for entry in execution.steps.values()]
        return Owed(
            outcome=outcome,
            closed_steps=[*steps, *(command for command in execution.closed.values() if command is not None)],
            closed_timers=[*execution.timers, *(n for n, command in execution.closed.items() if command is None)],
            is_unparked=is_unparked,
            refused=fold.refused,
        )
    decided, closed = execution.decided, execution.closed
    asked: list[RunStep] = []
    timers: list[tuple[str, int]] = []
    for command in decided:
        if isinstance(command, RunStep):
            if command.n in execution.steps:
                asked.append(command)
        elif isinstance(command, StartTimer) and command.n in execution.timers:
            timers.append((str(command.n), command.due_at_us))
    limit_us = execution.workflow.max_duration_us
    if limit_us and (fold.has_started or is_unparked):  # where nobody knew the code, nobody knew the limit
        timers.append(("max", execution.started_at_us + limit_us))
    first = decided[0].n if decided else execution.last_command + 1
    earlier = [(n, command) for n, command in closed.items() if n < first] if closed else []
    return Owed(
        steps=asked,
        retries=[
            (execution.steps[r.n].command, r)
            for r in fold.retries
            if r.n in execution.steps and execution.steps[r.n].attempt == r.attempt
        ]
        if fold.retries
        else [],
        timers=timers,
        closed_timers=[n for n, command in earlier if command is None],
        closed_steps=[command for _, command in earlier if command is not None],
        is_start=fold.has_started,
        is_paused=fold.is_paused,
        is_unparked=is_unparked,
        refused=fold.refused,
    )


def refusals_of(log: Sequence[Record]) -> list[Verdict]:
    """Finds the messages that a log's last decision refuses: its own, or kept by earlier ones."""
    *_, (last, _) = joined(log)
    refused = {(refusal.source, refusal.seq): refusal for refusal in last.refused}
    return [
        Verdict(message=message_of(folded), code=refusal.code, reason=refusal.reason)
        for record in (log if refused else ())
        for folded in record.messages
        if (refusal := refused.get((folded.source, folded.seq))) is not None
    ]


def owed_in(log: Sequence[Record]) -> Owed:
    """Reads in a log what its last decision asks for: for a worker that cannot make that decision again.

    The limit of the whole run is not in the log: it is owed again when the run goes on.
    """
    *_, (last, is_open_ended) = joined(log)
    if is_open_ended:
        return Owed()  # whoever makes the missing parts carries out all of them
    if last.undecided or last.outcome is not None:
        return Owed(parked=last.parked, outcome=last.outcome, refused=refusals_of(log))
    asked = {command.n: command for record in log for command in record.commands}
    closed = {command.target for command in last.commands if isinstance(command, Close)}
    open_now = [command for command in last.commands if command.n not in closed]
    earlier = [asked[n] for n in sorted(closed) if asked[n] not in last.commands]
    results = [body for m in last.messages if isinstance(body := message_of(m).body, StepResult)]
    over = closed.union(body.command for body in results if body.error is None)
    retries = {retry.n: retry for retry in last.retries if retry.n not in over}
    return Owed(
        steps=[command for command in open_now if isinstance(command, RunStep)],
        retries=[(step, retries[n]) for n, step in asked.items() if n in retries and isinstance(step, RunStep)],
        timers=[(str(c.n), c.due_at_us) for c in open_now if isinstance(c, StartTimer) and c.n not in last.fired],
        closed_timers=[command.n for command in earlier if isinstance(command, StartTimer)],
        closed_steps=[command for command in earlier if isinstance(command, RunStep)],
        is_start=any(folded.verb == "start" for folded in last.messages),
        is_unparked=last.unparked,
        refused=refusals_of(log),
    )
