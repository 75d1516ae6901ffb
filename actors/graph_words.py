"""The words of a graph's definition as the builder writes them: conditions, spans, assignments, plain JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from .codec import decode, encode
from .durations import Duration, duration_us, format_us
from .errors import DefinitionError, InvalidDuration

_MARKS: Final = (("{{", "}}"), ("<%", "%>"))
_SHOWN_MAX: Final = 60


def has_expression(text: str) -> bool:
    """Tells whether a text holds an expression, well written or not."""
    return any(opening in text for opening, _ in _MARKS)


def expression(what: str, value: object) -> str:
    """Returns the text if it is one expression as a whole.

    Args:
        what: As errors shall call it: `entry 'test' of graph 'deploy': run_if`.

    Raises:
        DefinitionError: It is something else; a Python function above all.
    """
    if isinstance(value, str):
        text = value.strip()
        if any(text.startswith(opening) and text.endswith(closing) for opening, closing in _MARKS):
            return value
        raise DefinitionError(f"{what}={shown(value)} is no expression; write it as '{{{{ … }}}}'")
    if callable(value):
        raise DefinitionError(
            f"{what} is a Python function, which cannot be stored and resumed; write an expression: '{{{{ ctx.ready }}}}'"
        )
    raise DefinitionError(f"{what}={shown(value)}; write an expression: '{{{{ ctx.ready }}}}'")


def span(what: str, value: Duration, *, constant: bool = False) -> str:
    """Returns a span as text with its unit, exactly; an expression as it is.

    Args:
        constant: Whether an expression is refused.

    Raises:
        DefinitionError: It is no duration, or out of bounds.
    """
    if isinstance(value, str) and has_expression(value):
        if constant:
            raise DefinitionError(f"{what}={shown(value)} is an expression; write a duration, such as '30s'")
        return expression(what, value)
    try:
        return format_us(duration_us(value, what=what))
    except InvalidDuration as error:
        raise DefinitionError(str(error)) from error


def plain(what: str, value: object) -> Any:
    """Returns the value as plain JSON, in containers of its own.

    Raises:
        InvalidValue: It cannot become JSON; names the part.
    """
    return decode(encode(value, where=what), Any, where=what)


def assignments(what: str, given: object) -> list[dict[str, object]]:
    """Returns what is to be set, in order: a list of mappings of one name each.

    Args:
        given: A mapping from names to values, which may hold expressions.

    Raises:
        DefinitionError: It is no such mapping.
        InvalidValue: A value cannot become JSON.
    """
    if not isinstance(given, Mapping):
        raise DefinitionError(f"{what}={shown(given)}; use a mapping from names to values or expressions")
    pairs = list(cast("Mapping[object, object]", given).items())
    for name, _ in pairs:
        if not isinstance(name, str) or not name:
            raise DefinitionError(f"{what} sets {shown(name)}; use texts as names")
    return [{cast("str", name): plain(f"{what} {name!r}", value)} for name, value in pairs]


def shown(value: object) -> str:
    """Writes a value for an error, shortened."""
    text = ascii(value)
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 3] + "..."
