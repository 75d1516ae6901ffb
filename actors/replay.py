"""Replay: the code of a run brought to where its log stands, by making the log's decisions again (R10, R13)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from .beginning import execution_of, link_execution
from .decision import Owed, owed_of
from .early import early_timer
from .errors import ReplayMismatch
from .execution import Execution
from .fold import Fold
from .journal import in_order, left_of, message_of
from .limits import EARLY_KEEP_US
from .messages import Message
from .names import RunKey
from .parts import joined
from .records import Outcome, Record, Renewal
from .workflow import NO_OLDER, Workflow, version_of

_LIMITS: Final = ("max_duration", "run_too_long")


class Unfinished:
    """A decision of which the log holds the first parts only, made again in full."""

    __slots__ = ("fold", "found")

    def __init__(self, fold: Fold, found: Record) -> None:
        self.fold = fold
        self.found = found


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """The code that makes the decisions again.

    Args:
        workflow: Its newest version.
        older: The others, for links that are bound to one of them.
        hold: Called with each execution that is made, one per link of the run's chain, and with None where a link has ended.
    """

    workflow: Workflow[..., Any]
    app: str
    key: RunKey
    hold: Callable[[Execution | None], None]
    older: Mapping[int, Workflow[..., Any]] = NO_OLDER


class Replay:
    """One replay of a log.

    Args:
        log: All its records, or those from where its link begins.
        objects: Large values by hash, for every `ref` in the log.
        early_keep_us: How long messages wait for the start of a run.
    """

    def __init__(self, log: Sequence[Record], code: Code, objects: Mapping[str, bytes], early_keep_us: int) -> None:
        self.unfinished: Unfinished | None = None
        self.owed = Owed()
        """What the last record asked for."""
        self._log = log
        self._code = code
        self._objects = objects
        self._early_keep_us = early_keep_us
        self._execution: Execution | None = None
        self._versions = _versions_of(log) if code.older else []
        """Of the links from the first on, what they were decided under last."""
        self._renewed: Record | None = None
        """The decision, its parts joined, that ended the last link."""

    def run(self) -> Iterator[None]:
        """Replays, yielding between decisions so that the caller can yield to others.

        Raises:
            ReplayMismatch: Today's code does not make the decisions of the log.
            Blocked, InvalidValue, BadMessage, MissingValue: As a fold does.
        """
        backlog: list[Message] = []
        is_paused = False
        for record, is_open_ended in joined(self._log):
            backlog += map(message_of, record.messages)
            if record.undecided:
                self.owed = Owed(parked=record.parked)
                if record.summary.status == "early":
                    self.owed = Owed(timers=early_timer(record.at_us, self._early_keep_us))
                continue
            if _ended_from_outside(record):
                return
            if not self._is_cut(record):
                messages = in_order(backlog)
                self._decide(record, messages, is_paused=is_paused, is_open_ended=is_open_ended)
                backlog = left_of(messages, record.kept)
            is_paused = record.summary.status == "paused"
            if record.continued is not None:
                backlog = [message_of(folded) for folded in record.carried]
                self._end_link(record)
            yield

    def _is_cut(self, record: Record) -> bool:
        """Tells whether the log begins with this decision and the run did not: only what it begins is made again."""
        return record.continued is not None and record.k > 1 and record.k == self._log[0].k

    def _end_link(self, record: Record) -> None:
        if self._execution is not None:
            self._execution.kill()
            self._code.hold(None)
        self._renewed, self._execution = record, None
        self._versions = self._versions[1:]

    def _begin(self, record: Record, messages: Sequence[Message]) -> Execution:
        code, renewed = self._code, self._renewed
        version = self._versions[0] if self._versions else 0
        workflow = version_of(code.workflow, code.older, version) or code.workflow
        if renewed is None:
            execution = execution_of(workflow, code.app, code.key, messages[0])
        else:
            assert record.link is not None, "it follows the record that has begun its link"
            parent = record.start.parent if record.start is not None else None
            execution = link_execution(workflow, code.app, code.key, record.link, parent)
        self._execution = execution
        execution.objects = self._objects
        code.hold(execution)
        return execution

    def _decide(self, record: Record, messages: Sequence[Message], *, is_paused: bool, is_open_ended: bool) -> None:
        begins = self._renewed.continued if self._renewed is not None and self._execution is None else None
        execution = self._execution or self._begin(record, messages)
        first_k = record.link.k if record.link is not None else 0
        execution.begin_decision(record.commands, is_open=is_open_ended, records=record.k - first_k)
        fold = Fold(execution, objects=self._objects, is_paused=is_paused, recorded=record)
        if begins is not None:
            fold.begin_link(begins)
        fold.apply_all(messages)
        execution.end_replay()
        if not is_open_ended and _essence(fold.outcome, fold.renewal) != _essence(record.outcome, record.continued):
            raise ReplayMismatch(
                command=execution.last_command + 1,
                recorded=_described(record.outcome, record.continued),
                asked=_described(fold.outcome, fold.renewal),
                source=execution.where(),
            )
        self.owed = owed_of(execution, fold)
        if is_open_ended:
            self.unfinished = Unfinished(fold, record)


def _versions_of(log: Sequence[Record]) -> list[int]:
    versions = [0]
    for record in log:
        if not record.undecided:
            versions[-1] = record.version
        if record.continued is not None:
            versions.append(0)
    return versions


def verify(
    app: str,
    key: RunKey,
    workflow: Workflow[..., Any],
    log: Sequence[Record],
    objects: Mapping[str, bytes],
    *,
    older: Mapping[int, Workflow[..., Any]] = NO_OLDER,
) -> None:
    """Makes all decisions of a log again, also of a run that has ended or is parked.

    Args:
        objects: Large values by hash, for every `ref` in the log.
        older: Other versions of the workflow than the newest.

    Raises:
        ReplayMismatch: The code does not make the decisions of the log; names the first that differs.
        Blocked, InvalidValue, BadMessage, MissingValue: As a fold does.
    """
    executions: list[Execution | None] = []

    code = Code(workflow=workflow, app=app, key=key, hold=executions.append, older=older)
    try:
        for _ in Replay(log, code, objects, EARLY_KEEP_US).run():
            pass
    finally:
        for execution in executions:
            if execution is not None:
                execution.kill()


def _ended_from_outside(record: Record) -> bool:
    """Tells whether the code had no part in the end: terminated, or a limit of the engine's."""
    outcome = record.outcome
    if outcome is None:
        return False
    return outcome.status == "terminated" or (outcome.error is not None and outcome.error.code in _LIMITS)


def _essence(outcome: Outcome | None, renewal: Renewal | None) -> object:
    """What an end is, without what names lines of code."""
    if renewal is not None:
        return renewal.hash
    if outcome is None:
        return None
    error = (outcome.error.type, outcome.error.message) if outcome.error is not None else None
    return outcome.status, bytes(outcome.result), outcome.ref, error


def _described(outcome: Outcome | None, renewal: Renewal | None) -> str:
    if renewal is not None:
        return f"a new link with {bytes(renewal.args)[:200].decode(errors='replace')}"
    if outcome is None:
        return "a run that goes on"
    if outcome.error is not None:
        return f"the end ({outcome.status}: {outcome.error.type}: {outcome.error.message})"
    shown = bytes(outcome.result)[:200].decode(errors="replace") if outcome.ref is None else outcome.ref.sha256[:12]
    return (
        f"the end ({outcome.status} with {shown})" if outcome.status == "completed" else f"the end ({outcome.status})"
    )
