"""Step options: what `@step(...)` and `Step.options(...)` take, checked once and kept as plain limits.

None of them is compared on replay. What a step worker needs travels in the command as it was decided; what decides
about retries and the fallback comes from today's code.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypedDict, cast

import msgspec

from .durations import Duration, duration_us
from .errors import DefinitionError, InvalidDuration
from .limits import INLINE_US, INLINE_US_MAX, RETRY_DELAY_CAP_S, STEP_RETRIES
from .names import check_token
from .recovery import Recovery
from .retry import RetryDelay, RetryPolicy


class StepOptions(TypedDict, total=False):
    """The options of a step, all by name."""

    queue: str
    """Which step workers run it; `default` unless given."""
    max_retries: int
    """Attempts after the first; 3 unless given, 0 for none."""
    retry_delay: RetryDelay
    """"exponential" (1 s, 2 s, 4 s …), a fixed duration, a list of durations (the last repeats), or a pure function
    from the number of the failed attempt to a duration."""
    retry_cap: Duration
    """Upper bound of a computed delay; 5 minutes unless given."""
    retry_for: Duration | None
    """No attempt is begun later than this after the call; the last failure stands then, as after `max_retries`."""
    jitter: bool
    """Shortens computed delays at random, by up to a half."""
    timeout: Duration | None
    """Of one attempt."""
    schedule_to_close: Duration | None
    """From the call to its result, queueing and retries included; then the call fails with `schedule_to_close`."""
    heartbeat_timeout: Duration | None
    """An attempt that says nothing for so long (`attempt().heartbeat()`) is given up and tried again."""
    non_retryable: Sequence[type[BaseException] | str]
    """Exception classes (or their qualified names) that fail the step at once, as `FatalError` does."""
    recover_on_worker_loss: bool | None
    """Whether an attempt whose worker was lost is run again. With False it fails with `WorkerLost`: use it where running
    twice is worse than not knowing. By default as the workflow says, and True."""
    max_recovery_attempts: int | None
    """Times that an attempt is run again after its worker was lost, before the step fails with `WorkerLost`; by default
    as the workflow says, and 3. These are not retries: nothing has failed."""
    on_failure: object
    """What a call comes to that failed for good: a step, called with the same arguments; a pure function of the
    `StepFailed`; or a value. None is a value, too."""
    inline: bool
    """The first attempt runs in the actor worker, without a queue: for work of milliseconds."""


class StepLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Options, checked."""

    queue: str
    retry: RetryPolicy
    timeout_us: int
    schedule_to_close_us: int
    heartbeat_us: int
    recovery: Recovery | None
    """None where the workflow's options hold."""
    on_failure: object
    """`msgspec.UNSET` without a fallback."""
    is_inline: bool


DEFAULTS: Final[Mapping[str, object]] = {
    "queue": "default",
    "max_retries": STEP_RETRIES,
    "retry_delay": "exponential",
    "retry_cap": RETRY_DELAY_CAP_S,
    "retry_for": None,
    "jitter": True,
    "timeout": None,
    "schedule_to_close": None,
    "heartbeat_timeout": None,
    "non_retryable": (),
    "recover_on_worker_loss": None,
    "max_recovery_attempts": None,
    "on_failure": msgspec.UNSET,
    "inline": False,
}


def check_names(step: str, given: Mapping[str, object]) -> None:
    """Refuses what is no option. Raises DefinitionError, with the nearest right name."""
    for name in given:
        if name not in DEFAULTS:
            close = difflib.get_close_matches(name, DEFAULTS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(DEFAULTS)}"
            raise DefinitionError(f"step {step!r} has no option {name!r}; {hint}")


def limits_of(step: str, options: Mapping[str, object]) -> StepLimits:
    """Checks options.

    Args:
        options: Some of them; `DEFAULTS` stands for the others.

    Raises:
        DefinitionError: One of them cannot work.
        InvalidName: The queue cannot be a token.
    """
    check_names(step, options)
    given = cast("dict[str, Any]", {**DEFAULTS, **options})
    is_inline = given["inline"]
    if not isinstance(is_inline, bool):
        raise DefinitionError(f"step {step!r}: inline={is_inline!r}; use True or False")
    timeout_us = _span_us(step, "timeout", given["timeout"])
    return StepLimits(
        queue=check_token("queue", given["queue"]),
        retry=RetryPolicy.build(
            max_retries=given["max_retries"],
            retry_delay=given["retry_delay"],
            cap=given["retry_cap"],
            jitter=given["jitter"],
            non_retryable=given["non_retryable"],
            retry_for=given["retry_for"],
        ),
        timeout_us=_inline_us(step, timeout_us) if is_inline else timeout_us,
        schedule_to_close_us=_span_us(step, "schedule_to_close", given["schedule_to_close"]),
        heartbeat_us=_span_us(step, "heartbeat_timeout", given["heartbeat_timeout"]),
        recovery=Recovery.build(
            f"step {step!r}",
            recover_on_worker_loss=given["recover_on_worker_loss"],
            max_recovery_attempts=given["max_recovery_attempts"],
        ),
        on_failure=_fallback(step, given["on_failure"]),
        is_inline=is_inline,
    )


def _span_us(step: str, option: str, value: Duration | None) -> int:
    if value is None:
        return 0
    what = f"{option} of step {step!r}"
    try:
        span_us = duration_us(value, what=what)
    except InvalidDuration as error:
        raise DefinitionError(str(error)) from error
    if span_us <= 0 and option != "timeout":
        raise DefinitionError(f"{what} is {value!r}; use a positive duration, or None for no bound")
    return span_us


def _inline_us(step: str, timeout_us: int) -> int:
    if timeout_us > INLINE_US_MAX:
        raise DefinitionError(
            f"inline step {step!r} has a timeout of {timeout_us / 1e6:g} s; at most {INLINE_US_MAX / 1e6:g} s, "
            "or let step workers run it"
        )
    return timeout_us or INLINE_US


def _fallback(step: str, value: object) -> object:
    function: Callable[..., object] | None = value if callable(value) else None
    if function is not None and (inspect.iscoroutinefunction(function) or inspect.isclass(function)):
        raise DefinitionError(f"on_failure of step {step!r} is {value!r}; use a step, a plain function, or a value")
    return value
