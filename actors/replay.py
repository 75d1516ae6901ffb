"""Replay: the code of a run brought to where its log stands, by making the log's decisions again (R10, R13)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from .decision import Owed, owed_of
from .early import early_timer
from .errors import ReplayMismatch
from .execution import Execution, execution_of
from .fold import Fold
from .journal import in_order, left_of, message_of
from .limits import EARLY_KEEP_US
from .messages import Message
from .names import RunKey
from .parts import joined
from .records import Outcome, Record
from .workflow import Workflow

_LIMITS: Final = ("max_duration", "run_too_long")


class Unfinished:
    """A decision of which the log holds the first parts only, made again in full."""

    __slots__ = ("fold", "found")

    def __init__(self, fold: Fold, found: Record) -> None:
        self.fold = fold
        self.found = found


class Replay:
    """One replay of a log.

    Args:
        log: All its records.
        begin: Makes the execution for a start.
        objects: Large values by hash, for every `ref` in the log.
        early_keep_us: How long messages wait for the start of a run.
    """

    def __init__(
        self,
        log: Sequence[Record],
        begin: Callable[[Message], Execution],
        objects: Mapping[str, bytes],
        early_keep_us: int,
    ) -> None:
        self.unfinished: Unfinished | None = None
        self.owed = Owed()
        """What the last record asked for."""
        self._log = log
        self._begin = begin
        self._objects = objects
        self._early_keep_us = early_keep_us

    def run(self) -> Iterator[None]:
        """Replays, yielding between decisions so that the caller can yield to others.

        Raises:
            ReplayMismatch: Today's code does not make the decisions of the log.
            Blocked, InvalidValue, BadMessage, MissingValue: As a fold does.
        """
        backlog: list[Message] = []
        is_paused = False
        execution: Execution | None = None
        for record, is_open_ended in joined(self._log):
            backlog += map(message_of, record.messages)
            if record.undecided:
                self.owed = Owed(parked=record.parked)
                if record.summary.status == "early":
                    self.owed = Owed(timers=early_timer(record.at_us, self._early_keep_us))
                continue
            if _ended_from_outside(record):
                return
            messages = in_order(backlog)
            execution = execution or self._begin(messages[0])
            self._decide(execution, record, messages, is_paused=is_paused, is_open_ended=is_open_ended)
            backlog = left_of(messages, record.kept)
            is_paused = record.summary.status == "paused"
            yield

    def _decide(
        self, execution: Execution, record: Record, messages: Sequence[Message], *, is_paused: bool, is_open_ended: bool
    ) -> None:
        execution.begin_decision(record.commands, is_open=is_open_ended)
        fold = Fold(execution, objects=self._objects, is_paused=is_paused, recorded=record)
        fold.apply_all(messages)
        execution.end_replay()
        if not is_open_ended and _essence(fold.outcome) != _essence(record.outcome):
            raise ReplayMismatch(
                command=execution.last_command + 1,
                recorded=_described(record.outcome),
                asked=_described(fold.outcome),
                source=execution.where(),
            )
        self.owed = owed_of(execution, fold)
        if is_open_ended:
            self.unfinished = Unfinished(fold, record)


def verify(
    app: str, key: RunKey, workflow: Workflow[..., Any], log: Sequence[Record], objects: Mapping[str, bytes]
) -> None:
    """Makes all decisions of a log again, also of a run that has ended or is parked.

    Args:
        objects: Large values by hash, for every `ref` in the log.

    Raises:
        ReplayMismatch: The code does not make the decisions of the log; names the first that differs.
        Blocked, InvalidValue, BadMessage, MissingValue: As a fold does.
    """
    executions: list[Execution] = []

    def begin(start: Message) -> Execution:
        executions.append(execution_of(workflow, app, key, start))
        return executions[-1]

    try:
        for _ in Replay(log, begin, objects, EARLY_KEEP_US).run():
            pass
    finally:
        for execution in executions:
            execution.kill()


def _ended_from_outside(record: Record) -> bool:
    """Tells whether the code had no part in the end: terminated, or a limit of the engine's."""
    outcome = record.outcome
    if outcome is None:
        return False
    return outcome.status == "terminated" or (outcome.error is not None and outcome.error.code in _LIMITS)


def _essence(outcome: Outcome | None) -> object:
    """What an end is, without what names lines of code."""
    if outcome is None:
        return None
    error = (outcome.error.type, outcome.error.message) if outcome.error is not None else None
    return outcome.status, bytes(outcome.result), outcome.ref, error


def _described(outcome: Outcome | None) -> str:
    if outcome is None:
        return "a run that goes on"
    if outcome.error is not None:
        return f"the end ({outcome.status}: {outcome.error.type}: {outcome.error.message})"
    shown = bytes(outcome.result)[:200].decode(errors="replace") if outcome.ref is None else outcome.ref.sha256[:12]
    return (
        f"the end ({outcome.status} with {shown})" if outcome.status == "completed" else f"the end ({outcome.status})"
    )
