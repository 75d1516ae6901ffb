"""Retry: whether a failed attempt is followed by another, and after how long.

Pure: the jitter comes from a seed, so that a repeated decision is the same decision (R18: the actor decides retries).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Final, TypeAlias, cast

import msgspec

from .durations import Duration, due_at_us, duration_us, span_us
from .errors import DefinitionError, ErrorInfo, InvalidDuration, qualified_name
from .limits import DELAY_US_MAX, RETRIES_MAX, RETRY_DELAY_CAP_S, STEP_RETRIES

RetryDelay: TypeAlias = str | Duration | Sequence[Duration] | Callable[[int], Duration]
"""What `@step(retry_delay=...)` takes."""

_DELAYS_MAX: Final = 1_000
_DOUBLINGS_MAX: Final = 40
_JITTER_BITS: Final = 32
_FINAL_CODES: Final = frozenset({"worker_died", "worker_lost"})


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When a step is tried again; made by `build`, once per step."""

    max_retries: int
    """Attempts after the first."""
    delays_us: tuple[int, ...]
    """Before the second attempt, the third, …; the last repeats. Empty where `compute` says it."""
    compute: Callable[[int], Duration] | None
    """From the number of the failed attempt; `cap_us` and jitter apply."""
    cap_us: int
    is_jittered: bool
    non_retryable: frozenset[str]
    """Qualified names of exception classes."""
    retry_for_us: int = 0
    """No attempt is begun later than this after the call; 0 for no such bound."""
    codes: frozenset[str] | None = None
    """Where given, what fails with another code is not tried again: the engine's own steps."""

    @property
    def is_exponential(self) -> bool:
        """Whether delays are 1 s, 2 s, 4 s …, and no function of the user's."""
        return self.compute is _exponential

    @classmethod
    def build(
        cls,
        *,
        max_retries: int = STEP_RETRIES,
        retry_delay: RetryDelay = "exponential",
        cap: Duration = RETRY_DELAY_CAP_S,
        jitter: bool = True,
        non_retryable: Sequence[type[BaseException] | str] = (),
        retry_for: Duration | None = None,
        codes: frozenset[str] | None = None,
    ) -> RetryPolicy:
        """Checks the options of a step.

        Args:
            max_retries: From 0 to `RETRIES_MAX`; 3 means four attempts.
            retry_delay: "exponential" (1 s, 2 s, 4 s …), a fixed duration, a list of durations, or a pure function from
                the number of the failed attempt to a duration. Durations that are written out are kept to the letter.
            cap: Upper bound of a computed delay.
            jitter: Computed delays are multiplied by 0.5 to 1, so that what failed together is not tried together.
            non_retryable: Exception classes or their qualified names.
            retry_for: How long after the call an attempt may begin; None for no bound besides `max_retries`.
            codes: The only failures that are tried again; None for all.

        Raises:
            DefinitionError: An option cannot work.
        """
        if not isinstance(max_retries, int) or isinstance(max_retries, bool) or not 0 <= max_retries <= RETRIES_MAX:
            raise DefinitionError(f"max_retries={max_retries!r}; use a whole number from 0 to {RETRIES_MAX}")
        if not isinstance(jitter, bool):
            raise DefinitionError(f"jitter={jitter!r}; use True or False")
        try:
            delays_us, compute = _delays(retry_delay)
            cap_us = duration_us(cap, what="retry_cap")
            retry_for_us = 0 if retry_for is None else duration_us(retry_for, what="retry_for")
        except InvalidDuration as error:
            raise DefinitionError(str(error)) from error
        if retry_for is not None and retry_for_us == 0:
            raise DefinitionError(f"retry_for={retry_for!r}; use a positive duration, or max_retries=0 for no retries")
        return cls(
            max_retries=max_retries,
            delays_us=delays_us,
            compute=compute,
            cap_us=cap_us,
            is_jittered=jitter,
            non_retryable=_names(non_retryable),
            retry_for_us=retry_for_us,
            codes=codes,
        )

    def decide(
        self,
        *,
        attempt: int,
        error: ErrorInfo,
        is_retryable: bool,
        retry_after_us: int | None,
        seed: str,
        elapsed_us: int = 0,
    ) -> int | None:
        """Returns the delay before the next attempt, or None where the failure is final.

        Args:
            attempt: Number of the attempt that failed, from 1.
            is_retryable: What the attempt itself said: False for `FatalError`.
            retry_after_us: The attempt's own wish; it wins over the policy's delay and over `cap`.
            seed: Names the step call; equal seeds give equal jitter.
            elapsed_us: How long ago the step was called.

        Raises:
            InvalidDuration: The policy's own function returned what is no duration. What else it raises passes through.
        """
        if attempt > self.max_retries or not is_retryable or error.code in _FINAL_CODES:
            return None
        if self.codes is not None and error.code not in self.codes:
            return None
        if not self.non_retryable.isdisjoint((error.type, *error.bases)):
            return None
        delay_us = self._delay_us(attempt, retry_after_us, seed)
        return None if self.retry_for_us and elapsed_us + delay_us > self.retry_for_us else delay_us

    def _delay_us(self, attempt: int, retry_after_us: int | None, seed: str) -> int:
        if retry_after_us is not None:
            return min(max(0, retry_after_us), DELAY_US_MAX)
        if self.compute is None:
            return self.delays_us[min(attempt, len(self.delays_us)) - 1]
        delay_us = min(self.cap_us, span_us(self.compute(attempt), what=f"retry_delay after attempt {attempt}"))
        return jittered(delay_us, f"{seed}:{attempt}") if self.is_jittered else delay_us


def retry_after_us(value: Duration | datetime, *, now_us: int) -> int:
    """Returns the delay that `RetryableError(retry_after=...)` asks for; a point in the past asks for none.

    Raises:
        InvalidDuration: It is no duration and no aware datetime.
    """
    return due_at_us(value, now_us=now_us, what="retry_after") - now_us


def _delays(retry_delay: RetryDelay) -> tuple[tuple[int, ...], Callable[[int], Duration] | None]:
    if isinstance(retry_delay, str) and retry_delay == "exponential":
        return (), _exponential
    if callable(retry_delay):
        return (), retry_delay
    if isinstance(retry_delay, (list, tuple)):
        if not 1 <= len(retry_delay) <= _DELAYS_MAX:
            raise DefinitionError(
                f"retry_delay lists {len(retry_delay)} delays; list 1 to {_DELAYS_MAX}, the last repeats"
            )
        return tuple(duration_us(delay, what=f"retry_delay[{index}]") for index, delay in enumerate(retry_delay)), None
    return (duration_us(cast(Duration, retry_delay), what="retry_delay"),), None


def _exponential(attempt: int) -> Duration:
    return 1 << min(attempt - 1, _DOUBLINGS_MAX)


def jittered(delay_us: int, seed: str) -> int:
    """Multiplies by 0.5 to 1; equal seeds by the same."""
    digest = blake2b(seed.encode(errors="replace"), digest_size=_JITTER_BITS // 8).digest()
    return delay_us * ((1 << _JITTER_BITS) + int.from_bytes(digest)) >> (_JITTER_BITS + 1)


def _names(non_retryable: Iterable[type[BaseException] | str]) -> frozenset[str]:
    if isinstance(non_retryable, (str, type)):
        raise DefinitionError(f"non_retryable={non_retryable!r}; put it in a tuple: ({non_retryable!r},)")
    return frozenset(map(_name, non_retryable))


def _name(item: object) -> str:
    if isinstance(item, type) and issubclass(item, Exception):
        return qualified_name(item)
    if isinstance(item, str) and all(part.isidentifier() or part == "<locals>" for part in item.split(".")):
        return item
    raise DefinitionError(
        f"non_retryable holds {item!r}; use exception classes or their qualified names, such as 'shop.errors.OutOfStock'"
    )
