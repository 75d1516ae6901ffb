"""Inline parameters of graphs: `core.echo message=<% … %> count=3`, `a=1, b="two words"; c={{ ctx.x }}`.

Values are quoted texts, expressions, JSON (numbers, true, false, null, lists, mappings), or plain words. Between two
parameters stands a space, a comma, a semicolon or several of them. A quoted mapping in JSON is a mapping, as Orquesta has it.
"""

from __future__ import annotations

import json
import re
from typing import Final

from .limits import GRAPH_DEPTH_MAX

_NAME: Final = re.compile(r"(\w[\w.-]*)=")
_SEPARATORS: Final = re.compile(r"[\s,;]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_QUOTED: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`""", re.DOTALL)
_OPENING: Final = "[{"
_CLOSING: Final = "]}"


class InlineInvalid(Exception):
    """A text that is no list of parameters; the message is one clause."""


def parse_inline(text: str) -> list[tuple[str, object]]:
    """Reads `a=1 b="two words"` in the order of the text. Raises InlineInvalid."""
    found: list[tuple[str, object]] = []
    at = _skip(text, 0)
    while at < len(text):
        match = _NAME.match(text, at)
        if match is None:
            raise InlineInvalid(f"{_shown(text[at:])} is no name=value; put quotes around values with spaces")
        value, at = _value(text, match.end())
        found.append((match[1], value))
        after = _skip(text, at)
        if after == at and at < len(text):
            raise InlineInvalid(f"{_shown(text[at:])} follows the value of {match[1]!r} without a space")
        at = after
    return found


def split_action(text: str) -> tuple[str, str]:
    """Parts what is to be run, which may hold expressions, from its parameters. Raises InlineInvalid."""
    text = text.strip()
    at = 0
    while at < len(text) and not text[at].isspace():
        at = expression_end(text, at) or at + 1
    return text[:at], text[at:].strip()


def expression_end(text: str, at: int) -> int:
    """Returns the index after the expression that begins here, 0 if none does. Brackets and quotes inside are minded.

    Raises:
        InlineInvalid: It has no end.
    """
    if text.startswith("<%", at):
        return _close(text, at, "%>")
    if text.startswith("{{", at):
        return _close(text, at, "}}")
    return 0


def _close(text: str, start: int, end: str) -> int:
    """Goes on to the end of an expression, or refuses it: trying again from the next character would be quadratic."""
    depth = 0
    at = start + 2
    while at < len(text):
        char = text[at]
        if quoted := _QUOTED.match(text, at):
            at = quoted.end()
            continue
        if depth == 0 and text.startswith(end, at):
            return at + 2
        if end == "}}" and char in _OPENING + _CLOSING:
            depth += 1 if char in _OPENING else -1 if depth else 0
        at += 1
    raise InlineInvalid(f"the expression {_shown(text[start:])} has no {end} at its end")


def _skip(text: str, at: int) -> int:
    match = _SEPARATORS.match(text, at)
    return match.end() if match is not None else at


def _value(text: str, at: int) -> tuple[object, int]:
    """Reads one value. Returns it and the index after it."""
    if at < len(text) and text[at] in "\"'":
        end = _quoted_end(text, at)
        inside = text[at + 1 : end - 1]
        is_mapping = inside.startswith("{") and inside.endswith("}")
        return (_json(inside) if is_mapping else inside), end
    if at < len(text) and text[at] in _OPENING and not text.startswith("{{", at):
        end = _bracket_end(text, at)
        return _json(text[at:end]), end
    end = at
    while end < len(text) and not text[end].isspace() and text[end] not in ",;":
        end = expression_end(text, end) or end + 1
    return _word(text[at:end]), end


def _quoted_end(text: str, at: int) -> int:
    quote = text[at]
    end = at + 1
    while end < len(text) and text[end] != quote:
        end = expression_end(text, end) or end + 1
    if end >= len(text):
        end = text.find(quote, at + 1)
        if end < 0:
            raise InlineInvalid(f"{_shown(text[at:])} has no closing quote")
    return end + 1


def _bracket_end(text: str, at: int) -> int:
    depth = 0
    end = at
    while end < len(text):
        char = text[end]
        if char in "\"'":
            quote = text.find(char, end + 1)
            end = quote if quote >= 0 else end
        elif char in _OPENING:
            depth += 1
        elif char in _CLOSING:
            depth -= 1
            if depth == 0:
                return end + 1
        if depth > GRAPH_DEPTH_MAX:
            raise InlineInvalid(f"{_shown(text[at:])} is nested more than {GRAPH_DEPTH_MAX} deep")
        end += 1
    raise InlineInvalid(f"{_shown(text[at:])} has no closing bracket")


def _word(text: str) -> object:
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    if text == "null":
        return None
    return _json(text) if _NUMBER.fullmatch(text) else text


def _json(text: str) -> object:
    """Reads JSON; what is none stays the text that it is."""
    try:
        value: object = json.loads(text, object_pairs_hook=_mapping, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text
    return value


def _mapping(pairs: list[tuple[str, object]]) -> dict[str, object]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise InlineInvalid("a key stands twice in one mapping")
    return mapping


def _refuse(name: str) -> object:
    raise ValueError(name)


def _shown(text: str) -> str:
    return ascii(text) if len(text) <= 40 else ascii(text[:37] + "...")
