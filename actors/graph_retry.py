"""The retry policy of a graph's task as data: what the builder is given, and what a step has, as a definition says it.

Only what can be said exactly is said. A policy that holds a Python function, a list of delays or exception classes is
refused, with the way out, and never rounded to one that a definition can hold.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, TypedDict, cast

from .durations import Duration, format_us
from .errors import DefinitionError
from .graph_words import expression, span
from .limits import RETRIES_MAX, RETRY_DELAY_CAP_S
from .retry import RetryPolicy

FOREVER: Final = "forever"
_WAY_OUT: Final = "give the entry a policy of its own: retry={'count': 3, 'delay': '1s'}"
_FIRST: Final = "1s"
_CAP_US: Final = round(RETRY_DELAY_CAP_S * 1_000_000)


class GraphRetry(TypedDict, total=False):
    """When a task that has ended is run again."""

    count: int | str
    """Attempts after the first; "forever" for without end, or an expression."""
    delay: Duration
    """Before the second attempt, in seconds or as text with its unit; may be an expression."""
    backoff: Literal["fixed", "linear", "exponential"]
    """Before attempt n+1: `delay`, `delay * n` or `delay * 2**(n - 1)`."""
    cap: Duration
    """Upper bound of a delay; 5 minutes unless given."""
    jitter: bool
    """Shortens delays at random, by up to a half."""
    when: str
    """An expression: after which end there is another attempt. Unless given, after a failure that may be retried."""


Retry: TypeAlias = GraphRetry | int | Literal["forever"]


def retry_data(what: str, given: Retry | None, *, of_step: RetryPolicy | None, endless: str) -> object:
    """Returns the definition's `retry`; None for no retries.

    Args:
        what: The entry, as errors shall call it.
        given: The entry's own; None for as the step has it.
        of_step: The step's, if there is a step.
        endless: The option that asks for retries without end, as errors shall call it; "" where none does.

    Raises:
        DefinitionError: It cannot be said as data, is out of bounds, or has an end although none was asked for.
    """
    if given is None:
        found = None if of_step is None else _of_policy(what, of_step)
        if not endless:
            return found
        return FOREVER if found is None else {**found, "count": FOREVER}
    if not isinstance(given, dict):
        count = _count(what, given)
        if endless and count != FOREVER:
            raise DefinitionError(f"{what}: retry={given!r} with {endless}, which has no end; drop one of the two")
        return FOREVER if count == FOREVER else {"count": count} if count else None
    found = _of_mapping(what, given)
    if endless and found.setdefault("count", FOREVER) != FOREVER:
        raise DefinitionError(f"{what}: retry has count={given.get('count')!r} with {endless}, which has no end")
    if "count" not in found:
        raise DefinitionError(f"{what}: retry has no count; write a number of attempts after the first, or 'forever'")
    return None if found["count"] == 0 else found


def _of_mapping(what: str, given: GraphRetry) -> dict[str, object]:
    data: dict[str, object] = {}
    for key, value in cast("dict[str, object]", given).items():
        match key:
            case "count":
                data[key] = _count(what, value)
            case "delay":
                data[key] = span(f"{what}: retry delay", cast("Duration", value))
            case "cap":
                data[key] = span(f"{what}: retry cap", cast("Duration", value), constant=True)
            case "when":
                data[key] = expression(f"{what}: retry when", value)
            case "backoff" if value in ("fixed", "linear", "exponential"):
                data[key] = value
            case "jitter" if isinstance(value, bool):
                data[key] = value
            case _:
                raise DefinitionError(f"{what}: retry has {key}={value!r}; there are {_fields()}")
    return data


def _fields() -> str:
    return "count, delay, backoff ('fixed', 'linear', 'exponential'), cap, jitter (True, False), when"


def _count(what: str, value: object) -> object:
    if value == FOREVER:
        return FOREVER
    if isinstance(value, str):
        return expression(f"{what}: retry count", value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= RETRIES_MAX:
        raise DefinitionError(
            f"{what}: retry count={value!r}; use a whole number from 0 to {RETRIES_MAX}, or 'forever'"
        )
    return value


def _of_policy(what: str, policy: RetryPolicy) -> dict[str, object] | None:
    if not policy.max_retries:
        return None
    for reason in (
        "a Python function as retry_delay" if policy.compute is not None and not policy.is_exponential else "",
        "a list of delays" if len(set(policy.delays_us[: policy.max_retries])) > 1 else "",
        "non_retryable, exception classes" if policy.non_retryable else "",
        "retry_for" if policy.retry_for_us else "",
        "codes" if policy.codes is not None else "",
    ):
        if reason:
            raise DefinitionError(f"{what}: the step's retry policy has {reason}, which is no data; {_WAY_OUT}")
    if policy.is_exponential:
        return {
            "count": policy.max_retries,
            "delay": _FIRST,
            "backoff": "exponential",
            "cap": format_us(policy.cap_us),
            "jitter": policy.is_jittered,
        }
    delay_us = policy.delays_us[0]
    fixed: dict[str, object] = {"count": policy.max_retries, "delay": format_us(delay_us), "backoff": "fixed"}
    if delay_us > _CAP_US:  # a step's fixed delay is kept to the letter; a graph's is capped unless it says otherwise
        fixed["cap"] = format_us(delay_us)
    return fixed
