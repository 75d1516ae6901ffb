"""Decisions: what a fold comes to, and what it owes the world once its record is durable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from .commands import CancelChild, Close, Command, Retry, RunStep, StartChild, StartTimer, due_of
from .execution import Execution
from .fold import Fold
from .journal import message_of
from .messages import Message, StepResult
from .names import RunKey
from .open_child import ChildEnd, let_go_reason
from .open_step import is_too_late, limits_ended, limits_left, split_inline
from .parking import open_commands
from .parts import joined, since_last_link
from .records import Answer, Outcome, Parked, Record, Summary
from .verdict import Verdict


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """What the last decision asks to be carried out; every part is safe to repeat (R7)."""

    steps: list[RunStep] = []
    inline: list[RunStep] = []
    """Steps that the actor worker runs itself."""
    retries: list[tuple[RunStep, Retry]] = []
    timers: list[tuple[str, int]] = []
    """Names and due times; a command's number is its timer's name."""
    closed_timers: list[int] = []
    closed_steps: list[RunStep] = []
    children: list[StartChild] = []
    child_ends: list[ChildEnd] = []
    outcome: Outcome | None = None
    is_continued: bool = False
    """The run's link has ended: what it has asked for is over, and the next one is to begin."""
    rests_until_us: int = 0
    """When that is to be, where the workflow has failed and is tried again; 0 for at once."""
    is_start: bool = False
    parked: Parked | None = None
    is_unparked: bool = False
    is_paused: bool = False
    refused: list[Verdict] = []
    """Messages of this record, or kept by earlier ones, that were not taken: dead letters."""
    answers: list[Answer] = []
    """To updates: who waits for them is told (a notice)."""
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
    ended = outcome is not None or fold.renewal is not None
    hooks, hooks_more = ([], 0) if ended else execution.inbox.shown()
    return Summary(
        status=outcome.status if outcome is not None else "paused" if fold.is_paused else "running",
        started_at_us=execution.started_at_us,
        ended_at_us=execution.loop.now_us if outcome is not None else 0,
        commands=execution.last_command,
        steps_open=0 if ended else len(execution.steps),
        timers_open=0 if ended else len(execution.timers),
        children_open=0 if ended else len(execution.children),
        hooks_open=hooks,
        hooks_more=hooks_more,
        failures=execution.failures,
        updates_open=0 if ended or execution.desk is None else len(execution.desk.open),
        values={} if execution.status is None else execution.status.values.copy(),
    )


def owed_of(execution: Execution, fold: Fold, *, is_unparked: bool = False) -> Owed:
    """Lists what a decision asks for and is still open at its end."""
    outcome = fold.outcome
    if outcome is not None or fold.renewal is not None:
        status = outcome.status if outcome is not None else "continued"
        steps = [entry.command for entry in execution.steps.values()]
        return Owed(
            outcome=outcome,
            is_continued=outcome is None,
            rests_until_us=fold.renewal.due_at_us if fold.renewal is not None else 0,
            closed_steps=[*steps, *(command for command in execution.closed.values() if command is not None)],
            closed_timers=[
                *execution.timers,
                *(n for n, command in execution.closed.items() if command is None),
                *limits_left(execution),
            ],
            children=[
                child.command
                for n, child in execution.children.items()
                if n >= _first_of(execution) and child.command.parent_close == "abandon"
            ],
            child_ends=[
                *(end for end in execution.child_ends if end.command.n < _first_of(execution)),
                *ends_of_children(
                    execution.key,
                    status,
                    (child.command for n, child in execution.children.items() if n < _first_of(execution)),
                ),
            ],
            is_unparked=is_unparked,
            refused=fold.refused,
            answers=execution.desk.answers if execution.desk is not None else [],
        )
    decided, closed = execution.decided, execution.closed
    asked: list[RunStep] = []
    timers: list[tuple[str, int]] = []
    has_inline = False
    for command in decided:
        if isinstance(command, RunStep):
            if command.n in execution.steps:
                asked.append(command)
                has_inline = has_inline or command.inline
                if command.close_at_us:
                    timers.append((str(command.n), command.close_at_us))
        elif isinstance(command, StartTimer) and command.n in execution.timers:
            timers.append((str(command.n), command.due_at_us))
    limit_us = execution.workflow.max_duration_us
    if limit_us and (fold.has_started or is_unparked):  # where nobody knew the code, nobody knew the limit
        timers.append(("max", execution.started_at_us + limit_us))
    queued, inline = split_inline(asked) if has_inline else (asked, [])
    first = _first_of(execution)
    earlier = [(n, command) for n, command in closed.items() if n < first] if closed else []
    return Owed(
        steps=queued,
        inline=inline,
        retries=[
            (execution.steps[r.n].command, r)
            for r in fold.retries
            if r.n in execution.steps and execution.steps[r.n].attempt == r.attempt
        ]
        if fold.retries
        else [],
        timers=timers,
        closed_timers=[
            *(n for n, command in earlier if command is None or command.close_at_us),
            *(n for n in execution.limits_over if n < first and n not in closed),
        ]
        if earlier or execution.limits_over
        else [],
        closed_steps=[command for _, command in earlier if command is not None] if earlier else [],
        children=[c for c in decided if isinstance(c, StartChild) and c.n in execution.children]
        if execution.children
        else [],
        child_ends=[e for e in execution.child_ends if e.command.n < first or e.command.n in execution.children]
        if execution.child_ends
        else [],
        is_start=fold.has_started,
        is_paused=fold.is_paused,
        is_unparked=is_unparked,
        refused=fold.refused,
        answers=execution.desk.answers if execution.desk is not None else [],
    )


def ends_of_children(parent: RunKey, status: str, children: Iterable[StartChild]) -> list[ChildEnd]:
    """Says what becomes of open children when their parent ends."""
    reason = f"its parent {parent} has ended ({status})"
    return [ChildEnd(child, child.parent_close, reason) for child in children if child.parent_close != "abandon"]


def _first_of(execution: Execution) -> int:
    """Number of the first command of the decision under way, or of the next one."""
    return execution.decided[0].n if execution.decided else execution.last_command + 1


def refusals_of(log: Sequence[Record]) -> list[Verdict]:
    """Finds the messages that a log's last decision refuses: its own, or kept by earlier ones."""
    *_, (last, _) = joined(log)
    refused = {(refusal.source, refusal.seq): refusal for refusal in last.refused}
    return [
        Verdict(message=message_of(folded), code=refusal.code, reason=refusal.reason)
        for record in (log if refused else ())
        for folded in (*record.carried, *record.messages)
        if (refusal := refused.pop((folded.source, folded.seq), None)) is not None
    ]


def owed_in(key: RunKey, log: Sequence[Record]) -> Owed:
    """Reads in a log what its last decision asks for: for a worker that cannot make that decision again.

    The limit of the whole run is not in the log: it is owed again when the run goes on.
    """
    *_, (last, is_open_ended) = joined(log)
    if is_open_ended:
        return Owed()  # whoever makes the missing parts carries out all of them
    refusals = refusals_of(log)
    log = since_last_link(log)
    asked = {command.n: command for record in log for command in record.commands}
    if last.outcome is not None or last.continued is not None:
        status = last.outcome.status if last.outcome is not None else "continued"
        children = [child for child in open_commands(log).children if child not in last.commands]
        return Owed(
            outcome=last.outcome,
            is_continued=last.outcome is None,
            rests_until_us=last.continued.due_at_us if last.continued is not None else 0,
            children=[c for c in last.commands if isinstance(c, StartChild) and c.parent_close == "abandon"],
            child_ends=[
                *_asked_of_children(key, last, asked),
                *ends_of_children(key, status, children),
            ],
            refused=refusals,
            answers=last.answers,
        )
    if last.undecided:
        return Owed(parked=last.parked, refused=refusals)
    closed = {command.target for command in last.commands if isinstance(command, Close)}
    open_now = [command for command in last.commands if command.n not in closed]
    earlier = [asked[n] for n in sorted(closed) if asked[n] not in last.commands]
    bodies = [message_of(m).body for m in last.messages]
    results = [body for body in bodies if isinstance(body, StepResult) and not body.is_deferred]
    over = closed.union((body.command for body in results if body.error is None), last.fired)
    retries = {retry.n: retry for retry in last.retries if retry.n not in over}
    retried = [(c, retries[n]) for n, c in asked.items() if n in retries and isinstance(c, RunStep)]
    earlier += [asked[n] for n in last.fired if isinstance(asked[n], RunStep) and asked[n] not in last.commands]
    waiting = [(c.n, due_at_us) for c in open_now if (due_at_us := due_of(c)) and c.n not in last.fired]
    queued, inline = split_inline([c for c in open_now if isinstance(c, RunStep) and c.n not in last.fired])
    return Owed(
        steps=queued,
        inline=inline,
        retries=[(command, retry) for command, retry in retried if not is_too_late(command, retry)],
        timers=[(str(n), due_at_us) for n, due_at_us in waiting],
        closed_timers=sorted({*(c.n for c in earlier if due_of(c)), *limits_ended(log, results, asked)}),
        closed_steps=[command for command in earlier if isinstance(command, RunStep)],
        children=[command for command in open_now if isinstance(command, StartChild)],
        child_ends=list(_asked_of_children(key, last, asked)),
        is_start=any(folded.verb == "start" for folded in last.messages),
        is_unparked=last.unparked,
        refused=refusals,
        answers=last.answers,
    )


def _asked_of_children(key: RunKey, last: Record, asked: Mapping[int, Command]) -> Iterator[ChildEnd]:
    """Finds in a log what its last decision asks of children that it gives up or cancels, as they were asked."""
    closed = {command.target for command in last.commands if isinstance(command, Close)}
    for command in last.commands:
        child = asked.get(command.target) if isinstance(command, (Close, CancelChild)) else None  # an earlier link's
        if not isinstance(child, StartChild):
            continue
        is_end = last.outcome is not None or last.continued is not None
        if child in last.commands and (is_end or child.n in closed):
            continue  # it was never begun
        if isinstance(command, CancelChild):
            yield ChildEnd(child, "cancel", command.reason)
        elif child.parent_close != "abandon":
            yield ChildEnd(child, child.parent_close, let_go_reason(key))
