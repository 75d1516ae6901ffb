"""Retries: what a step raises, and what its policy says, decide whether and when it is tried again.

Backoff is durable, a delayed message; each failed attempt is in the log.

Try it:
    wfctl dev -m tests.examples.retries
    wfctl start forecast '"oslo"' --run-id f-1 --wait
    wfctl runs log forecast/f-1
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import msgspec

from jetrun.actors import FatalError, RetryableError, StepFailed, attempt, step, workflow


class UnknownPlace(FatalError):
    """There is no such place today, and there will be none in a second."""


class Forecast(msgspec.Struct, frozen=True):
    celsius: int
    rain: float
    is_on_map: bool
    misses: list[str]


@step(max_retries=4, retry_delay="100ms")
async def temperature(place: str) -> int:
    """Any exception is tried again, up to `max_retries` times. This server hangs up twice."""
    if attempt().number <= 2:
        raise ConnectionResetError("the server hung up")
    return 21


@step
async def rain(place: str) -> float:
    """A server that says when to come back is taken at its word."""
    if attempt().number == 1:
        raise RetryableError("429 too many requests", retry_after="300ms")
    return 0.25


@step
async def coordinates(place: str) -> tuple[float, float]:
    """`FatalError` and its subclasses fail the step at once."""
    raise UnknownPlace(f"{place} is on no map")


@step(max_retries=5, non_retryable=(ValueError,))
def snow_depth(place: str) -> int:
    """The policy can name exceptions of other people's code that fail the step at once."""
    return int("knee-deep")


@step(max_retries=1, retry_delay="100ms", timeout="200ms")
async def webcam(place: str) -> bytes:
    """Each attempt has its own timeout."""
    await asyncio.sleep(3600)
    return b""


@workflow
async def forecast(place: str) -> Forecast:
    """Gathers what can be had; what cannot is named."""
    misses: list[str] = []

    async def is_on_map() -> bool:
        try:
            await coordinates(place)
        except UnknownPlace:  # raised here as its own class, as by a plain call
            return False
        return True

    async def do_without(part: Awaitable[object]) -> None:
        try:
            await part
        except StepFailed as error:  # whatever it was
            misses.append(f"{error.step}: {error.error.type} after {error.attempts}")

    celsius, wet, mapped, *_ = await asyncio.gather(
        temperature(place), rain(place), is_on_map(), do_without(snow_depth(place)), do_without(webcam(place))
    )
    return Forecast(celsius, wet, mapped, sorted(misses))
