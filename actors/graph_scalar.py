"""What a word without quotes is in a definition: YAML 1.2's core schema, so that `on`, `yes` and `12:30` are texts.

PyYAML would take them for booleans and numbers, as YAML 1.1 did. What a reader could take for two things is refused.
"""

from __future__ import annotations

import math
import re
from typing import Final, TypeAlias

import msgspec

from .graph_problem import quoted
from .limits import GRAPH_NUMBER_CHARS_MAX

Scalar: TypeAlias = str | int | float | bool | None
Json: TypeAlias = dict[str, "Json"] | list["Json"] | Scalar
"""Plain JSON data."""

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**64 - 1
"""What JSON's readers everywhere can take, signed or unsigned."""

_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBER_BEGINS: Final = frozenset("+-.0123456789")
_INT: Final = re.compile(r"[-+]?[0-9]+")
_BASED: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]++(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_NOT_JSON: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


class Refused(msgspec.Struct, frozen=True):
    """A word that is no value, and why."""

    kind: str
    message: str


def resolve(word: str) -> Scalar | Refused:
    """Reads a word that stands without quotes: null, a boolean, a number, or else a text."""
    if word in _WORDS:
        return _WORDS[word]
    if word[0] not in _NUMBER_BEGINS:
        return word
    if _INT.fullmatch(word):
        return _decimal(word)
    if _BASED.fullmatch(word):
        return _too_large(word) if len(word) > GRAPH_NUMBER_CHARS_MAX else _in_range(int(word, 0), word)
    if _FLOAT.fullmatch(word):
        return _float(word)
    if _NOT_JSON.fullmatch(word):
        return Refused("number_not_json", f"{word} is no number that JSON can hold: quote it where a text is meant")
    return word


def has_surrogate(text: str) -> bool:
    """Tells whether a text holds half of a surrogate pair, which no encoding can write."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def _decimal(word: str) -> int | Refused:
    digits = word.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0":
        return _ambiguous(word, digits)
    return _too_large(word) if len(word) > GRAPH_NUMBER_CHARS_MAX else _in_range(int(word), word)


def _ambiguous(word: str, digits: str) -> Refused:
    """17 to some readers, 15 to others, and a text to whoever wrote a post code."""
    sign = "-" if word[0] == "-" else ""
    bare = quoted(sign + (digits.lstrip("0") or "0"))[1:-1]
    octal = "" if sign or set(digits) & {"8", "9"} or not digits.strip("0") else f" or 0o{bare}"
    return Refused("number_ambiguous", f"{quoted(word)} begins with a zero: quote it, or write {bare}{octal}")


def _float(word: str) -> float | Refused:
    number = float(word) if len(word) <= GRAPH_NUMBER_CHARS_MAX else math.inf
    return number if math.isfinite(number) else _too_large(word)


def _in_range(number: int, word: str) -> int | Refused:
    return number if INT_MIN <= number <= INT_MAX else _too_large(word)


def _too_large(word: str) -> Refused:
    return Refused("number_out_of_range", f"number {quoted(word)} exceeds 64 bits: quote it where a text is meant")
