"""Folding: messages applied to an execution, one after the other, each to quiescence (R12). Live folds and replay are
the same code; on replay the engine's own decisions (retries) are taken from the record.

Time (R14): before a message of time t is applied, open timers due at or before t fire by (due, number); the run's time
is the maximum of all times seen, so it never goes back, and any message heals an overdue timer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from .admission import Verdict
from .commands import Retry
from .errors import ErrorInfo
from .execution import ArgumentsObject, Execution, OpenStep
from .messages import Cancel, Hook, Message, Pause, Ref, Resume, Start, StepResult, Terminate
from .records import Outcome, Record
from .workflow import Workflow

_ARGUMENTS: Final = msgspec.json.Decoder(ArgumentsObject)


class Fold:
    """One decision in the making.

    Args:
        execution: The run's code; moved by `apply`.
        workflow: Its definition.
        objects: Large values by hash, for every `ref` in the messages.
        recorded: On replay, the record (its parts joined) that holds this decision.
    """

    def __init__(
        self,
        execution: Execution,
        workflow: Workflow[..., object],
        *,
        objects: Mapping[str, bytes],
        recorded: Record | None = None,
    ) -> None:
        self.fired: list[int] = []
        self.retries: list[Retry] = []
        self.refused: list[Verdict] = []
        self.outcome: Outcome | None = None
        self.is_paused = False
        self._execution = execution
        self._workflow = workflow
        self._objects = objects
        self._recorded = {(r.n, r.attempt): r for r in recorded.retries} if recorded is not None else None

    def apply(self, message: Message) -> None:
        """Applies one message and runs the code until it waits. After the outcome nothing is applied any more.

        Raises:
            Blocked: The code does not come to rest.
            InvalidValue: The start's arguments do not fit the workflow.
        """
        self._advance(message.at_us)
        if self.outcome is not None:
            return
        loop = self._execution.loop
        loop.now_us = max(loop.now_us, message.at_us)
        body = message.body
        match body:
            case StepResult():
                self._apply_step(body)
            case Hook():
                self._apply_hook(message, body)
            case Start():
                self._apply_start(body)
            case Cancel():
                self.is_paused = False
                if self._execution.cancel_reason is None:
                    self._execution.cancel(body.reason)
            case Terminate():
                self.outcome = Outcome(status="terminated", reason=body.reason)
                return
            case Pause():
                self.is_paused = True
                return
            case Resume():
                self.is_paused = False
            case _:
                pass  # Tick: it brings time; Update, ChildResult: refused before they get here
        self._run()

    def refuse_ended(self, message: Message) -> None:
        """Refuses a hook that follows the outcome within the same turn, as one of a later turn is refused (R15)."""
        assert self.outcome is not None, "called after the outcome"
        if isinstance(message.body, Hook):
            reason = f"the run has ended ({self.outcome.status}); it takes no more hooks"
            self.refused.append(Verdict(message=message, code="ended", reason=reason))

    def is_due(self, at_us: int) -> bool:
        """Tells whether a message of that time would fire something."""
        due = self._execution.next_due()
        limit_us = self._workflow.max_duration_us
        return (due is not None and due[0] <= at_us) or bool(
            limit_us and self._execution.started_at_us + limit_us <= at_us
        )

    # --- inside ---------------------------------------------------------------------------------
    def _run(self) -> None:
        self._execution.run()
        if self._execution.failure is None:
            self.outcome = self._execution.outcome()

    def _advance(self, at_us: int) -> None:
        execution, limit_us = self._execution, self._workflow.max_duration_us
        ends_at_us = execution.started_at_us + limit_us if limit_us else None
        while self.outcome is None and execution.failure is None:
            due = execution.next_due()
            if ends_at_us is not None and ends_at_us <= at_us and (due is None or ends_at_us < due[0]):
                execution.loop.now_us = max(execution.loop.now_us, ends_at_us)
                message = f"the run took longer than max_duration ({limit_us / 1e6:g} s)"
                self.outcome = Outcome(
                    status="failed", error=ErrorInfo(type="TimeoutError", message=message, code="max_duration")
                )
            elif due is not None and due[0] <= at_us:
                execution.loop.now_us = max(execution.loop.now_us, due[0])
                self.fired.append(due[1])
                execution.fire(due[1])
                self._run()
            else:
                return

    def _apply_start(self, body: Start) -> None:
        if body.ref is None:
            self._execution.start(body.args, body.kwargs)
        else:
            value = _ARGUMENTS.decode(self._objects[body.ref.sha256])
            self._execution.start(value.args, value.kwargs)

    def _apply_hook(self, message: Message, body: Hook) -> None:
        taken = self._execution.give_hook(message.name, self._raw(body.payload, body.ref))
        if taken.refused:
            self.refused.append(Verdict(message=message, code="payload", reason=taken.refused))

    def _apply_step(self, body: StepResult) -> None:
        entry = self._execution.steps.get(body.command)
        if entry is None:
            return  # closed meanwhile: a timeout or a cancel came first
        if body.error is None:
            self._execution.resolve_step(body.command, self._raw(body.result, body.ref))
        elif body.attempt == entry.attempt:
            self._execution.failures += 1
            retry = self._retry(entry, body, body.error)
            if retry is None:
                self._execution.fail_step(body.command, body.error)
            else:
                self.retries.append(retry)
                entry.attempt = retry.attempt

    def _retry(self, entry: OpenStep, body: StepResult, error: ErrorInfo) -> Retry | None:
        if self._recorded is not None:
            return self._recorded.get((body.command, entry.attempt + 1))
        delay_us = entry.step.retry.decide(
            attempt=entry.attempt,
            error=error,
            is_retryable=body.is_retryable,
            retry_after_us=body.retry_after_us,
            seed=f"{self._execution.key}/{body.command}",
        )
        if delay_us is None:
            return None
        return Retry(n=body.command, attempt=entry.attempt + 1, due_at_us=self._execution.loop.now_us + delay_us)

    def _raw(self, inline: msgspec.Raw, ref: Ref | None) -> bytes:
        return bytes(inline) if ref is None else self._objects[ref.sha256]


def refs_of(message: Message) -> Ref | None:
    """Names the large value that a message refers to, if any: fetch it before the fold."""
    body = message.body
    return body.ref if isinstance(body, (Start, Hook, StepResult)) else None
