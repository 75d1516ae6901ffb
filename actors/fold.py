"""Folding: messages applied to an execution, one after the other, each to quiescence (R12). Live folds and replay are
the same code; on replay the engine's own decisions (retries, the end by `max_duration`) are taken from the record.

Time (R14): before a message of time t is applied, open timers due at or before t fire by (due, number); the run's time
is the maximum of all times seen, so it never goes back, and any message heals an overdue timer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

import msgspec

from .commands import Advance, Retry
from .errors import ErrorInfo, MissingValue
from .execution import Execution
from .messages import (
    Cancel,
    ChildResult,
    Hook,
    Message,
    Pause,
    Ref,
    Resume,
    Start,
    StepResult,
    Terminate,
    Tick,
    Update,
)
from .open_step import OpenStep, fail, resolve, try_again
from .records import Outcome, Record, Renewal
from .signals import ContinueAsNew
from .taking import take_update
from .tries import next_try
from .verdict import Verdict
from .work import decode_packed


class Fold:
    """One decision in the making.

    Args:
        execution: The run's code, its decision begun; moved by `apply`.
        objects: Large values by hash, for every `ref` in the messages.
        is_paused: The run is on pause before the first message.
        recorded: On replay, the record (its parts joined) that holds this decision.
    """

    def __init__(
        self,
        execution: Execution,
        *,
        objects: Mapping[str, bytes],
        is_paused: bool = False,
        recorded: Record | None = None,
    ) -> None:
        self.fired: list[int] = []
        self.retries: list[Retry] = []
        self.refused: list[Verdict] = execution.inbox.refused
        self.outcome: Outcome | None = None
        self.is_paused = is_paused
        self.has_started = False
        """The run's start was applied."""
        self.renewal: Renewal | None = None
        """The run goes on as a new link."""
        self.carried: list[Message] = []
        """What the new link takes first, in order: hooks that nobody has waited for, and messages that came after that."""
        self._execution = execution
        self._objects = objects
        self._record = recorded
        self._recorded: dict[tuple[int, int], Retry] | None = None
        self._are_retries_known = False
        self._is_end_known = False
        self._recorded_renewal: Renewal | None = None
        self._limit_us = execution.workflow.max_duration_us
        if recorded is not None:
            self._follow(recorded)

    def _follow(self, recorded: Record) -> None:
        """Takes from the log what is not decided again."""
        self._recorded = {(r.n, r.attempt): r for r in recorded.retries}
        # Of a decision that is in the log in part, what the last part does not hold is decided again.
        is_cut = recorded.more
        self._are_retries_known = not is_cut or bool(recorded.refused or recorded.answers or recorded.commands)
        self._is_end_known = not is_cut
        self._recorded_renewal = recorded.continued
        if not is_cut:
            self._limit_us = 0

    def apply_all(self, messages: Sequence[Message]) -> int:
        """Applies messages in their order; returns how many of the last ones wait for the end of a pause.

        Raises:
            Blocked: The code does not come to rest.
            InvalidValue, BadMessage: The start's arguments do not fit the workflow.
            MissingValue: A `ref` names none of the objects.
        """
        held: list[Message] = []
        for message in messages:
            if self._execution.failure is not None:
                return 0
            if self.is_paused and not isinstance(message.body, (Resume, Cancel, Terminate)):
                held.append(message)
                continue
            for earlier in held:
                self._apply(earlier)
            held.clear()
            self._apply(message)
        return len(held)

    def begin_link(self, continued: Renewal) -> None:
        """Begins the link that the last one has asked for. Raises as `apply_all` does."""
        self.has_started = True
        self._start(Start(args=continued.args, kwargs=continued.kwargs, ref=continued.ref))
        self._run()

    def end(self, outcome: Outcome) -> None:
        """Ends the run."""
        self.outcome = outcome
        self._execution.inbox.end(outcome.status)
        if self._execution.desk is not None:
            self._execution.desk.end(outcome.status)

    # --- inside ---------------------------------------------------------------------------------
    def _apply(self, message: Message) -> None:
        """Applies one message and runs the code until it waits. After the outcome nothing is applied any more."""
        if self._execution.failure is not None:
            return
        if self.outcome is None and self.renewal is None:
            self._execution.heard_us = max(self._execution.heard_us, message.at_us)
            self._advance(message.at_us)
        if self.outcome is not None or self.renewal is not None:
            self._leave(message)
            return
        loop = self._execution.loop
        loop.now_us = max(loop.now_us, message.at_us)
        body = message.body
        match body:
            case StepResult():
                self._apply_step(body)
            case Hook() | Update():
                self._give(message, body)
            case Start():
                self._apply_start(body)
            case Cancel():
                self._end_pause()
                if self._execution.cancel_reason is None:
                    self._execution.cancel(body.reason)
            case Terminate():
                self.end(Outcome(status="terminated", reason=body.reason))
                return
            case Pause():
                self._begin_pause()
                return
            case Resume():
                self._end_pause()
            case ChildResult():
                self._apply_child(body)
            case Tick():
                pass  # it brings time
            case _:
                assert_never(body)
        self._run()

    def _begin_pause(self) -> None:
        self.is_paused = True
        self._execution.paused_at_us = self._execution.paused_at_us or self._execution.loop.now_us

    def _end_pause(self) -> None:
        execution = self._execution
        self.is_paused = False
        if execution.paused_at_us:
            execution.paused_us += execution.loop.now_us - execution.paused_at_us
            execution.paused_at_us = 0

    def _leave(self, message: Message) -> None:
        """Leaves what follows within the same turn to the next link, or refuses it as in a later turn (R15)."""
        body = message.body
        if self.outcome is None:
            if not isinstance(body, (StepResult, ChildResult, Tick)):  # those are the old link's
                self.carried.append(message)
            if isinstance(body, (Resume, Cancel, Terminate)):
                self.is_paused = False  # it has ended the pause in which what led to the switch was held
        elif isinstance(body, (Hook, Update)):
            reason = f"the run has ended ({self.outcome.status}); it takes no more {message.verb}s"
            self.refused.append(Verdict(message=message, code="ended", reason=reason))

    def _run(self) -> None:
        execution = self._execution
        execution.loop.run_until_quiet()
        if execution.failure is not None:
            return
        outcome = execution.outcome()
        if outcome is None:
            return
        self.renewal = self._renewal(outcome)
        if self.renewal is None:
            self.end(outcome)
        else:
            self.carried = execution.inbox.take()
            if execution.desk is not None:
                execution.desk.end("continued")

    def _renewal(self, outcome: Outcome) -> Renewal | None:
        """Tells how the run goes on as a new link: as its code has asked, or tried again after a failure."""
        error = self._execution.error()
        if error is None:
            return None
        if isinstance(error, ContinueAsNew):
            return error.renewal
        if self._execution.workflow.retry is None or self._execution.begun is None or outcome.error is None:
            return None
        if self._is_end_known:
            return self._recorded_renewal
        return next_try(self._execution, self._execution.begun, error, outcome.error)

    def _advance(self, at_us: int) -> None:
        execution, limit_us = self._execution, self._limit_us
        ends_at_us = execution.started_at_us + limit_us if limit_us else None
        while self.outcome is None and self.renewal is None and execution.failure is None:
            due = execution.next_due()
            if ends_at_us is not None and ends_at_us <= at_us and (due is None or ends_at_us < due[0]):
                execution.loop.now_us = max(execution.loop.now_us, ends_at_us)
                message = f"the run took longer than max_duration ({limit_us / 1e6:g} s)"
                error = ErrorInfo(type="TimeoutError", message=message, code="max_duration")
                self.end(Outcome(status="failed", error=error))
            elif due is not None and due[0] <= at_us:
                execution.loop.now_us = max(execution.loop.now_us, due[0])
                self.fired.append(due[1])
                execution.fire(due[1])
                self._run()
            else:
                return

    def _give(self, message: Message, body: Hook | Update) -> None:
        if isinstance(body, Hook):
            self._execution.inbox.give(message, self._raw(body.payload, body.ref))
        else:
            raw = self._object(body.ref) if body.ref is not None else None
            take_update(self._execution, message, body, raw, recorded=self._record)

    def _apply_start(self, body: Start) -> None:
        self.has_started = True
        self._start(body)

    def _start(self, start: Start) -> None:
        if self._execution.workflow.retry is not None:
            self._execution.begun = start
        if start.ref is None:
            self._execution.start(start.args, start.kwargs)
        else:
            packed = decode_packed(self._object(start.ref))
            self._execution.start(packed.args, packed.kwargs)

    def _apply_step(self, body: StepResult) -> None:
        entry = self._execution.steps.get(body.command)
        if entry is None or body.is_deferred:
            return  # closed meanwhile: a timeout or a cancel came first; or completed later
        if body.error is None:
            resolve(self._execution, body.command, self._raw(body.result, body.ref))
        elif body.attempt == entry.attempt:
            self._execution.failures += 1
            retry = self._retry(entry, body, body.error)
            if retry is None:
                fail(self._execution, body.command, body.error)
            else:
                self.retries.append(retry)
                try_again(self._execution, entry, retry, body.error)

    def _apply_child(self, body: ChildResult) -> None:
        if body.command not in self._execution.children:
            return  # closed meanwhile
        if body.status == "completed":
            self._execution.resolve_child(body.command, self._raw(body.result, body.ref))
        else:
            self._execution.fail_child(body.command, body)

    def _retry(self, entry: OpenStep, body: StepResult, error: ErrorInfo) -> Retry | None:
        if self._recorded is not None:
            recorded = self._recorded.get((body.command, entry.attempt + 1))
            if recorded is not None or self._are_retries_known:
                return recorded
        delay_us = entry.step.retry.decide(
            attempt=entry.attempt,
            error=error,
            is_retryable=body.is_retryable,
            retry_after_us=body.retry_after_us,
            seed=f"{self._execution.key}/{body.command}",
            elapsed_us=self._execution.loop.now_us - entry.asked_at_us,
        )
        if delay_us is None:
            return None
        return Retry(n=body.command, attempt=entry.attempt + 1, due_at_us=self._execution.loop.now_us + delay_us)

    def _raw(self, inline: msgspec.Raw, ref: Ref | None) -> bytes:
        return bytes(inline) if ref is None else self._object(ref)

    def _object(self, ref: Ref) -> bytes:
        try:
            return self._objects[ref.sha256]
        except KeyError:
            raise MissingValue(f"no object {ref.sha256} in the store; put it back, then unpark the run") from None


def is_due(execution: Execution, at_us: int) -> bool:
    """Tells whether a message of that time would fire something."""
    due = execution.next_due()
    limit_us = execution.workflow.max_duration_us
    return (due is not None and due[0] <= at_us) or (limit_us != 0 and execution.started_at_us + limit_us <= at_us)


def refs_of(message: Message) -> Ref | None:
    """Names the large value that a message refers to, if any: fetch it before the fold."""
    body = message.body
    return body.ref if isinstance(body, (Start, Hook, StepResult, ChildResult, Update)) else None


def command_refs(record: Record) -> list[Ref]:
    """Names the large values in a record's commands that a replay needs: those that its code does not compute again."""
    return [c.ref for c in record.commands if isinstance(c, Advance) and c.ref is not None]
