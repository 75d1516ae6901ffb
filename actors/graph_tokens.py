"""Tokens of an expression's source: what is looked at before any parser is let near the text.

Everything that a text can do to a parser is settled here: size, nesting, characters, escapes, numbers. A token knows its
column, which the parser does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from .graph_view import ExpressionInvalid, shown
from .limits import GRAPH_EXPRESSION_BYTES_MAX, GRAPH_EXPRESSION_CHAIN_MAX, GRAPH_EXPRESSION_DEPTH_MAX

_NUMBER: Final = r"(?:\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\d+)(?![\w])"
_TOKEN: Final = re.compile(
    rf"""(?P<space>[ \t\r\n]+)
    |(?P<name>[^\W\d]\w*)
    |(?P<number>{_NUMBER})
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<sign>\*\*|//|==|!=|>=|<=|[-+*/%~\[\](){{}}<>=.:|,])
    """,
    re.VERBOSE | re.DOTALL,
)
_INDEX: Final = re.compile(r"\d+(?!\w)")
_ESCAPE: Final = re.compile(
    r"""\\(?:[\\'"nrtbf]|x[0-9a-fA-F]{2}|[uU](?P<code>(?<=u)[0-9a-fA-F]{4}|(?<=U)[0-9a-fA-F]{8})|(?P<wrong>.))""",
    re.DOTALL,
)
_PAIRS: Final = {")": "(", "]": "[", "}": "{"}
_PREFIXES: Final = frozenset({"not", "-", "+"})
_OPENING: Final = frozenset({"(", "[", "{"})
_LINKS: Final = frozenset({"+", "-", "*", "/", "//", "%", "**", "~", ".", "|", "and", "or", "(", "["})
_BEFORE_PREFIX: Final = (
    _LINKS | _PREFIXES | _OPENING | {"in", "is", "if", "else", ",", ":", "=", "==", "!=", "<", ">", "<=", ">="}
) - {"."}


class Token(NamedTuple):
    """One token: what it is (`name`, `number`, `text`, `sign`), as it is written, and its place from 0."""

    sort: str
    source: str
    at: int


def tokens(source: str, start: int = 0) -> Iterator[Token]:
    """Cuts a source into tokens from `start` on, one at a time, so that a caller may stop where its text ends.

    Raises:
        ExpressionInvalid: At a character that no token begins with.
    """
    place, before = start, ""
    while place < len(source):
        pattern = _INDEX if before == "." and source[place].isdigit() else _TOKEN
        match = pattern.match(source, place)
        if match is None:
            raise ExpressionInvalid(_why(source, place), column=place - start + 1)
        sort = match.lastgroup or "number"
        if sort != "space":
            yield Token(sort, match[0], place)
            before = match[0]
        place = match.end()


def checked(source: str) -> list[Token]:
    """Returns the tokens of a whole expression that a parser can be given.

    Raises:
        ExpressionInvalid: Too long, too deep, brackets that do not match, texts or numbers that JSON cannot hold.
    """
    if len(source) > GRAPH_EXPRESSION_BYTES_MAX or len(source.encode(errors="replace")) > GRAPH_EXPRESSION_BYTES_MAX:
        raise ExpressionInvalid(f"an expression has at most {GRAPH_EXPRESSION_BYTES_MAX} bytes: compute it in a step")
    found = [*tokens(source)]
    if not found:
        raise ExpressionInvalid("the expression is empty")
    for token in found:
        _check(token)
    _check_nesting(found)
    return found


def _why(source: str, place: int) -> str:
    sign = source[place]
    if sign in "'\"":
        return "the text has no closing quote"
    if sign.isdigit():
        return "this is no number in decimal notation"
    if sign in "&!":
        return f"{shown(sign)} is no operator: use and, or, not, !="
    return f"{shown(sign)} does not belong into an expression"


def _check(token: Token) -> None:
    if token.sort == "text":
        for match in _ESCAPE.finditer(token.source):
            if match["wrong"] is not None:
                raise ExpressionInvalid(
                    f"{shown(match[0])} is no escape: write \\\\ for a backslash", column=token.at + 1
                )
            if match["code"] is not None and not _is_character(int(match["code"], 16)):
                raise ExpressionInvalid(f"{shown(match[0])} is no character", column=token.at + 1)
        if not token.source.isascii() and any("\ud800" <= sign <= "\udfff" for sign in token.source):
            raise ExpressionInvalid("the text has half of a surrogate pair", column=token.at + 1)
    elif token.sort == "number":
        if len(token.source) > 40 or not token.source.isascii():
            raise ExpressionInvalid("the number has too many digits", column=token.at + 1)
    elif token.sort == "name" and not token.source.isidentifier():
        raise ExpressionInvalid(f"{shown(token.source)} is no name", column=token.at + 1)


def _is_character(code: int) -> bool:
    return code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF


class _Level(NamedTuple):
    """An open bracket: its sign and place, the depth around and within it, and the operators before it."""

    sign: str
    at: int
    around: int
    within: int
    links: int


def _check_nesting(found: list[Token]) -> None:
    """Bounds what a recursive parser has open at once, and what is open at once when its tree is walked.

    Open are brackets, the alternatives behind each `else`, and signs in a row; an operand ends the signs before it.
    """
    levels: list[_Level] = []
    depth = links = run = 0
    before = "("
    for token in found:
        sign = "" if token.sort == "text" else token.source
        if sign in _PREFIXES and before in _BEFORE_PREFIX:
            depth, run = depth + 1, run + 1
        elif sign in _OPENING:
            levels.append(_Level(sign, token.at, depth - run, depth + 1, links))
            depth, run = depth + 1, 0
        else:
            depth, run = depth - run + (sign == "else"), 0
        links += sign in _LINKS
        if sign in _PAIRS:
            if not levels or levels[-1].sign != _PAIRS[sign]:
                raise ExpressionInvalid(f"this {sign!r} closes nothing", column=token.at + 1)
            depth = levels.pop().around
        elif sign == "," and levels:
            depth, links = levels[-1].within, levels[-1].links
        if depth > GRAPH_EXPRESSION_DEPTH_MAX:
            raise ExpressionInvalid(
                f"nested more than {GRAPH_EXPRESSION_DEPTH_MAX} levels deep: publish a part of it first",
                column=token.at + 1,
            )
        if links > GRAPH_EXPRESSION_CHAIN_MAX:
            raise ExpressionInvalid(
                f"more than {GRAPH_EXPRESSION_CHAIN_MAX} operators in a row: publish a part of it first",
                column=token.at + 1,
            )
        before = sign
    if levels:
        raise ExpressionInvalid(f"this {levels[-1].sign!r} is not closed", column=levels[-1].at + 1)
