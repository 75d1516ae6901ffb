"""Retry policies: when a step is tried again, after how long, and which options are refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetrun.actors.durations import Duration
from jetrun.actors.errors import DefinitionError, ErrorInfo, InvalidDuration
from jetrun.actors.failures import error_info
from jetrun.actors.limits import DELAY_US_MAX, RETRIES_MAX
from jetrun.actors.retry import RetryDelay, RetryPolicy, retry_after_us

SECOND = 1_000_000
ERROR = ErrorInfo(type="OSError", bases=["Exception"])


class OutOfStock(LookupError):
    pass


def delay(
    policy: RetryPolicy, attempt: int, *, error: ErrorInfo = ERROR, retry_after: int | None = None, seed: str = "s"
) -> int | None:
    return policy.decide(attempt=attempt, error=error, is_retryable=True, retry_after_us=retry_after, seed=seed)


def delays(policy: RetryPolicy, count: int) -> list[int | None]:
    return [delay(policy, attempt) for attempt in range(1, count + 1)]


def powers(attempt: int) -> Duration:
    return float(f"1e{attempt}")


def squares(attempt: int) -> Duration:
    return f"{attempt * attempt}s"


@pytest.mark.parametrize(
    ("retry_delay", "cap", "expected"),
    [
        ("exponential", "5m", [1, 2, 4, 8]),
        ("exponential", 3, [1, 2, 3, 3]),
        ("10m", "5m", [600, 600, 600, 600]),
        (0, "5m", [0, 0, 0, 0]),
        (timedelta(seconds=7), "5m", [7, 7, 7, 7]),
        ([1, "2s", timedelta(hours=1)], "5m", [1, 2, 3600, 3600]),
        (squares, "10s", [1, 4, 9, 10]),
    ],
)
def test_delays_follow_the_policy(retry_delay: RetryDelay, cap: Duration, expected: list[int]) -> None:
    """Computed delays are capped; those that are written out are kept to the letter."""
    policy = RetryPolicy.build(max_retries=4, retry_delay=retry_delay, cap=cap, jitter=False)

    assert delays(policy, 5) == [*(seconds * SECOND for seconds in expected), None]


def test_three_retries_are_four_attempts() -> None:
    """`max_retries` counts what follows the first attempt."""
    assert [one is None for one in delays(RetryPolicy.build(max_retries=3), 5)] == [False, False, False, True, True]
    assert delay(RetryPolicy.build(max_retries=0), 1) is None


def test_a_million_attempts_do_not_overflow() -> None:
    """The exponent is bounded before it is used, and a function's own growth is capped, however far it went."""
    assert delay(RetryPolicy.build(max_retries=RETRIES_MAX, jitter=False), RETRIES_MAX) == 300 * SECOND
    assert delay(RetryPolicy.build(max_retries=99, retry_delay=powers, jitter=False), 99) == 300 * SECOND


@given(st.integers(1, RETRIES_MAX), st.text())
def test_jitter_shortens_by_up_to_a_half_and_repeats(attempt: int, seed: str) -> None:
    """Deciding twice decides the same (a decision may be made again after a crash)."""
    plain = delay(RetryPolicy.build(max_retries=RETRIES_MAX, jitter=False), attempt)
    policy = RetryPolicy.build(max_retries=RETRIES_MAX)

    jittered = delay(policy, attempt, seed=seed)

    assert plain is not None
    assert jittered is not None
    assert plain // 2 <= jittered <= plain
    assert jittered == delay(policy, attempt, seed=seed)


def test_jitter_differs_between_calls_and_attempts() -> None:
    """Steps that failed together are not tried together; written-out delays are not touched."""
    policy = RetryPolicy.build(retry_delay=lambda attempt: 100)

    assert len({delay(policy, 1, seed=f"run/{n}") for n in range(100)}) == 100
    assert delay(policy, 1) != delay(policy, 2)
    assert delay(RetryPolicy.build(retry_delay="10s"), 1) == 10 * SECOND


@pytest.mark.parametrize(
    ("non_retryable", "is_final"),
    [
        ((), False),
        ((OutOfStock,), True),
        ((LookupError,), True),
        ((Exception,), True),
        (("LookupError",), True),
        ([f"{__name__}.OutOfStock", "other.Error"], True),
        (("OutOfStock",), False),
        ((KeyError, OSError), False),
    ],
)
def test_non_retryable_classes_and_their_subclasses_fail_at_once(
    non_retryable: list[type[Exception] | str], is_final: bool
) -> None:
    """Names are qualified: another module's class of the same name is another class."""
    policy = RetryPolicy.build(non_retryable=non_retryable)

    assert (delay(policy, 1, error=error_info(OutOfStock("x"))) is None) is is_final


def test_the_attempts_own_word_wins() -> None:
    """FatalError and a deadly step are final; `retry_after` replaces delay and cap, not the number of attempts."""
    policy = RetryPolicy.build(max_retries=2, cap="10s")

    assert policy.decide(attempt=1, error=ERROR, is_retryable=False, retry_after_us=5, seed="") is None
    assert delay(policy, 1, error=ErrorInfo(type="WorkerDied", code="worker_died")) is None
    assert delay(policy, 1, retry_after=3_600 * SECOND) == 3_600 * SECOND
    assert delay(policy, 1, retry_after=0) == 0
    assert delay(policy, 1, retry_after=-5) == 0
    assert delay(policy, 1, retry_after=10**30) == DELAY_US_MAX
    assert delay(policy, 3, retry_after=0) is None


def nonsense(attempt: int) -> Duration:
    return "soon" if attempt else -1


def test_a_function_that_returns_no_duration_is_named() -> None:
    """The author has to fix it; the engine does not guess."""
    with pytest.raises(InvalidDuration, match=r"^retry_delay after attempt 1: 'soon' is no duration"):
        delay(RetryPolicy.build(retry_delay=nonsense), 1)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_retries": -1}, f"max_retries=-1; use a whole number from 0 to {RETRIES_MAX}"),
        ({"max_retries": RETRIES_MAX + 1}, "max_retries=1000001; use"),
        ({"max_retries": True}, "max_retries=True; use"),
        ({"max_retries": 1.5}, "max_retries=1.5; use"),
        ({"max_retries": "3"}, "max_retries='3'; use"),
        ({"jitter": 1}, "jitter=1; use True or False"),
        ({"retry_delay": "linear"}, "retry_delay: 'linear' is no duration"),
        ({"retry_delay": -1}, "retry_delay: -1 is negative"),
        ({"retry_delay": None}, "retry_delay: None is no duration"),
        ({"retry_delay": []}, "retry_delay lists 0 delays; list 1 to 1000"),
        ({"retry_delay": [1, "x"]}, r"retry_delay\[1\]: 'x' is no duration"),
        ({"cap": "5"}, "retry_cap: '5' has no unit"),
        ({"non_retryable": "ValueError"}, r"non_retryable='ValueError'; put it in a tuple: \('ValueError',\)"),
        ({"non_retryable": ValueError}, "non_retryable=<class 'ValueError'>; put it in a tuple"),
        ({"non_retryable": (int,)}, "non_retryable holds <class 'int'>; use exception classes"),
        ({"non_retryable": (KeyboardInterrupt,)}, "non_retryable holds"),
        ({"non_retryable": ("no name",)}, "non_retryable holds 'no name'"),
        ({"non_retryable": (ValueError("x"),)}, r"non_retryable holds ValueError\('x'\)"),
    ],
    ids=repr,
)
def test_options_that_cannot_work_are_refused(options: dict[str, object], text: str) -> None:
    """Where the step is defined, naming the option as its author wrote it."""
    with pytest.raises(DefinitionError, match=f"^{text}"):
        RetryPolicy.build(**options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # that is the point


def test_retry_after_is_read() -> None:
    """As `RetryableError` documents it."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    now_us = int(now.timestamp()) * SECOND

    assert retry_after_us(1.5, now_us=now_us) == 1_500_000
    assert retry_after_us("1m", now_us=now_us) == 60 * SECOND
    assert retry_after_us(timedelta(hours=1), now_us=now_us) == 3_600 * SECOND
    assert retry_after_us(now + timedelta(seconds=2), now_us=now_us) == 2 * SECOND
    assert retry_after_us(now - timedelta(days=2), now_us=now_us) == 0
    with pytest.raises(InvalidDuration, match=r"^retry_after: '90' has no unit"):
        retry_after_us("90", now_us=now_us)
