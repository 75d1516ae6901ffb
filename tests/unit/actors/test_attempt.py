"""What a running step can ask about itself."""

from __future__ import annotations

from asyncio import CancelledError
from contextvars import copy_context
from datetime import UTC, datetime

import pytest

from jetrun.actors.attempt import CURRENT, Attempt, attempt
from jetrun.actors.errors import NotInStep


def make(number: int = 1, deadline_at_us: int = 0) -> Attempt:
    return Attempt(workflow="order", run="o-1", step="charge", command=3, number=number, deadline_at_us=deadline_at_us)


def test_outside_a_step_there_is_no_attempt() -> None:
    """The error says why, in place of a None that fails later."""
    with pytest.raises(NotInStep, match="plain function"):
        attempt()


def test_a_step_finds_its_own_attempt() -> None:
    """Two steps that run side by side do not see each other's."""
    contexts = [copy_context(), copy_context()]
    attempts = [make(1), make(2)]

    for context, one in zip(contexts, attempts, strict=True):
        context.run(CURRENT.set, one)

    assert [context.run(attempt) for context in contexts] == attempts


def test_the_idempotency_key_is_the_same_for_all_attempts() -> None:
    """What a payment service is given to tell a repeat."""
    assert make(1).idempotency_key == make(2).idempotency_key == "order/o-1/3"


def test_the_deadline_is_an_aware_time_or_none() -> None:
    assert make().deadline is None
    assert make(deadline_at_us=1_500_000).deadline == datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)


def test_check_cancelled_ends_a_cancelled_step_alone() -> None:
    """A sync step's loop ends by an exception that `except Exception` lets through."""
    one = make()

    one.check_cancelled()
    one.is_cancelled = True

    with pytest.raises(CancelledError, match="charge"):
        one.check_cancelled()
