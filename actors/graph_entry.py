"""One entry of a graph as the builder keeps it: its fields as plain JSON data of the definition, and what it needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec

from .durations import Duration, format_us
from .errors import DefinitionError, InvalidValue
from .graph_dropped import Place
from .graph_needs import NONE, Named, Needs
from .graph_retry import Retry, retry_data
from .graph_words import assignments, expression, has_expression, plain, shown, span
from .limits import GRAPH_ITEMS_MAX
from .names import check_step_name, check_token
from .step import Step
from .values import Signature

Input: TypeAlias = Mapping[str, object] | Sequence[object]
"""Arguments by name or by position; a text is one expression that gives either."""

OnFailure: TypeAlias = Literal["fail", "continue", "retry"]
OnItemFailure: TypeAlias = Literal["finish_started", "run_all", "cancel_rest"]

_ON_FAILURE: Final = ("fail", "continue", "retry")
_ON_ITEM_FAILURE: Final = ("finish_started", "run_all", "cancel_rest")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry."""

    name: str
    source: Named | None = None
    """The object that it was made of, if it was not named by text."""
    fields: dict[str, object]
    """Without `after` and `after_any`."""
    after: Needs = NONE
    after_any: Needs = NONE
    place: Place
    """Where it was added."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Options of an entry, as they were given."""

    input: Input | None = None
    run_if: str | None = None
    with_items: str | Sequence[object] | None = None
    concurrency: int | str | None = None
    items_on_failure: OnItemFailure | None = None
    retry: Retry | None = None
    timeout: Duration | None = None
    delay: Duration | None = None
    on_failure: OnFailure = "fail"
    publish: Mapping[str, object] | None = None


def fields_of(what: str, options: Options, *, step: Step[..., Any] | None = None) -> dict[str, object]:
    """Returns the fields that options come to, without what the entry does.

    Args:
        what: The entry, as errors shall call it.
        step: Gives the timeouts and the retry policy, where the options do not.

    Raises:
        DefinitionError: An option cannot work, or the step has one that no definition can say.
        InvalidValue: A value cannot become JSON.
    """
    if options.on_failure not in _ON_FAILURE:
        raise DefinitionError(f"{what}: on_failure={options.on_failure!r}; use one of {', '.join(_ON_FAILURE)}")
    endless = "on_failure='retry'" if options.on_failure == "retry" else ""
    fields: dict[str, object] = {}
    if options.input is not None:
        fields["input"] = _input(what, options.input)
    if options.run_if is not None:
        fields["run_if"] = expression(f"{what}: run_if", options.run_if)
    if (items := _items(what, options)) is not None:
        fields["with"] = items
    if options.delay is not None:
        fields["delay"] = span(f"{what}: delay", options.delay)
    if options.timeout is not None:
        fields["timeout"] = span(f"{what}: timeout", options.timeout, constant=True)
    elif step is not None and step.timeout_us:
        fields["timeout"] = format_us(step.timeout_us)
    if step is not None and step.heartbeat_us:
        fields["heartbeat_timeout"] = format_us(step.heartbeat_us)
    if step is not None and step.recovery is not None:
        fields["max_recovery_attempts"] = step.recovery.attempts
    policy = None if step is None else step.retry
    if (retry := retry_data(what, options.retry, of_step=policy, endless=endless)) is not None:
        fields["retry"] = retry
    if options.on_failure == "continue":
        fields["on_failure"] = "continue"
    if options.publish is not None:
        fields["publish"] = assignments(f"{what}: publish", options.publish)
    return fields


def step_fields(what: str, step: Step[..., Any] | str, *, entry: str, queue: str | None) -> dict[str, object]:
    """Returns the fields that say which step, and whose workers run it.

    Raises:
        DefinitionError: The step has an option that no definition can say.
        InvalidName: The step's name, or the queue, cannot be a token.
    """
    if isinstance(step, Step):
        _refuse_untold(what, step)
        name, place = step.name, step.queue
    else:
        name = step if has_expression(step) else check_step_name(step)
        place = "default"
    place = place if queue is None else check_token("queue", queue)
    fields: dict[str, object] = {} if name == entry else {"step": name}
    return fields if place == "default" else {**fields, "queue": place}


def check_arguments(what: str, given: Input | None, signature: Signature) -> None:
    """Checks that the arguments make a call, by the function's parameters alone; nothing is run, no value looked at.

    Raises:
        DefinitionError: One is missing, unexpected or given twice; names the parameter.
    """
    if isinstance(given, str):
        return  # known when the expression is
    names: Collection[str] = given if isinstance(given, Mapping) else ()
    count = 0 if given is None or isinstance(given, Mapping) else len(given)
    try:
        signature.check_names(count, names)
    except InvalidValue as error:
        raise DefinitionError(f"{what}: {error}") from error


def _input(what: str, given: object) -> object:
    if isinstance(given, str):
        return expression(f"{what}: input", given)
    if isinstance(given, (bytes, bytearray)) or not isinstance(given, (Mapping, Sequence)):
        raise DefinitionError(f"{what}: input={shown(given)}; use a mapping, a list, or one expression")
    return plain(f"{what}: input", cast("object", given))


def _items(what: str, options: Options) -> object:
    given = options.with_items
    if given is None:
        if options.concurrency is not None or options.items_on_failure is not None:
            raise DefinitionError(f"{what}: concurrency and items_on_failure are for with_items, which is not given")
        return None
    if isinstance(given, str):
        items: object = given if has_expression(given) else expression(f"{what}: with_items", given)
    elif isinstance(given, (bytes, bytearray)) or not isinstance(given, Sequence):
        raise DefinitionError(f"{what}: with_items={shown(given)}; use a list, '{{{{ … }}}}' or 'x in {{{{ … }}}}'")
    elif len(given) > GRAPH_ITEMS_MAX:
        raise DefinitionError(f"{what}: with_items has {len(given)} items; at most {GRAPH_ITEMS_MAX}")
    else:
        items = plain(f"{what}: with_items", given)
    more: dict[str, object] = {}
    if options.concurrency is not None:
        more["concurrency"] = _concurrency(what, options.concurrency)
    if options.items_on_failure is not None:
        if options.items_on_failure not in _ON_ITEM_FAILURE:
            raise DefinitionError(
                f"{what}: items_on_failure={options.items_on_failure!r}; use one of {', '.join(_ON_ITEM_FAILURE)}"
            )
        more["on_failure"] = options.items_on_failure
    return items if isinstance(items, str) and not more else {"items": items, **more}


def _concurrency(what: str, value: object) -> object:
    if isinstance(value, str):
        return expression(f"{what}: concurrency", value)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= GRAPH_ITEMS_MAX:
        raise DefinitionError(f"{what}: concurrency={value!r}; use a whole number from 1 to {GRAPH_ITEMS_MAX}")
    return value


def _refuse_untold(what: str, step: Step[..., Any]) -> None:
    """Refuses what a definition cannot say: dropped in silence it would be missed on the day that it matters."""
    for option in (
        "schedule_to_close" if step.schedule_to_close_us else "",
        "on_failure, a fallback" if step.has_fallback else "",
    ):
        if option:
            raise DefinitionError(
                f"{what}: step {step.name!r} has {option}, which no graph can say; "
                f"name the step by text, {step.name!r}, to run it without"
            )
