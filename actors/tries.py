"""Tries: a workflow that has failed as a whole begins again, as a new link of its chain with the same arguments.

Decided as the retries of a step are, and recorded: on replay the record says what became of the failure.
"""

from __future__ import annotations

from .errors import ErrorInfo, FatalError, InvalidDuration, RetryableError
from .execution import Execution
from .messages import Start
from .records import Renewal, start_hash
from .retry import retry_after_us


def next_try(execution: Execution, begun: Start, error: BaseException, info: ErrorInfo) -> Renewal | None:
    """Tells how a failed run begins again; None where the failure is final, or its cancel was asked for.

    Args:
        begun: What this try began with.
    """
    policy = execution.workflow.retry
    if policy is None or execution.cancel_reason is not None:
        return None
    now_us = execution.loop.now_us
    delay_us = policy.decide(
        attempt=execution.attempt,
        error=info,
        is_retryable=not isinstance(error, FatalError),
        retry_after_us=_wished_us(error, now_us),
        seed=f"{execution.key}/{execution.link}",
    )
    if delay_us is None:
        return None
    return Renewal(
        args=begun.args,
        kwargs=begun.kwargs,
        ref=begun.ref,
        hash=start_hash(begun.args, begun.kwargs, begun.ref),
        attempt=execution.attempt + 1,
        due_at_us=now_us + max(1, delay_us),  # later than all that this try has seen
        error=info,
    )


def _wished_us(error: BaseException, now_us: int) -> int | None:
    if not isinstance(error, RetryableError) or error.retry_after is None:
        return None
    try:
        return retry_after_us(error.retry_after, now_us=now_us)
    except InvalidDuration:
        return None  # a wish that nobody can read is none
