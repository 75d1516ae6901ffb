"""Reads JSON with the place of every value. YAML's readers fail on some of it: tabs, surrogate pairs, keys of 1,024 characters."""

from __future__ import annotations

import json
import re
from typing import Final, Literal, TypeAlias

from .graph_problem import Mark
from .graph_tree import Tree

_SPACE: Final = re.compile(r"[ \t\n]*+")
_BLANKS: Final = frozenset(" \t\n")
_TEXT: Final = re.compile(r'"([^"\\\x00-\x1f]*+)"')
_ESCAPED: Final = re.compile(r'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"')
_WORD: Final = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?|true|false|null")
_NOT_JSON: Final = re.compile(r"NaN|-?Infinity")


class NotJson(Exception):
    """The text is no JSON.

    Args:
        offset: Where, in characters.
        mark: The same place.
        due: What was expected.
    """

    def __init__(self, offset: int, mark: Mark, due: _Due) -> None:
        super().__init__(f"expected {_WANTED[due]}")
        self.offset = offset
        self.mark = mark
        self.due = due


_CLOSABLE: Final = frozenset({"comma", "first key", "first item"})
_VALUE: Final = frozenset({"value", "first item"})
_KEY: Final = frozenset({"key", "first key"})
_Due: TypeAlias = Literal["value", "first key", "first item", "key", "colon", "comma", "end"]
"""What comes next."""

_WANTED: Final[dict[_Due, str]] = {
    "value": "a value",
    "first key": "a key in quotes or '}'",
    "first item": "a value or ']'",
    "key": "a key in quotes",
    "colon": "':'",
    "comma": "',' or the end of the mapping or list",
    "end": "the end of the text",
}


def read(text: str, tree: Tree) -> None:
    """Reads a text into the tree.

    Args:
        text: Its lines end with a line feed alone.
        tree: A new one; of no use when the text is no JSON.

    Raises:
        NotJson: The text is none.
        Hopeless: The tree cannot take it.
    """
    _Reader(text, tree).read()


class _Reader:
    def __init__(self, text: str, tree: Tree) -> None:
        self._text = text
        self._tree = tree
        self._at = 0
        self._line = 1
        self._line_begin = 0
        self._closers: list[str] = []

    def read(self) -> None:
        due: _Due = "value"
        while True:
            self._skip()
            if due == "end" and self._at == len(self._text):
                return
            due = self._one(due, self._text[self._at : self._at + 1])

    def _one(self, due: _Due, char: str) -> _Due:
        """Takes one sign or value, and tells what is due after it."""
        if self._closers and char == self._closers[-1] and due in _CLOSABLE:
            self._at += 1
            self._closers.pop()
            self._tree.end()
            return self._after_value()
        if due in _VALUE:
            return self._value(due, char)
        if due in _KEY and char == '"':
            self._quoted(due)
            return "colon"
        if (due == "colon" and char == ":") or (due == "comma" and char == ","):
            self._at += 1
            return "key" if char == "," and self._closers[-1] == "}" else "value"
        raise self._unexpected(due)

    def _value(self, due: _Due, char: str) -> _Due:
        if char == "{":
            self._tree.begin_mapping(self._mark())
            self._closers.append("}")
            self._at += 1
            return "first key"
        if char == "[":
            self._tree.begin_list(self._mark())
            self._closers.append("]")
            self._at += 1
            return "first item"
        if char == '"':
            self._quoted(due)
        elif found := _WORD.match(self._text, self._at):
            self._tree.word(found[0], self._mark())
            self._at = found.end()
        elif found := _NOT_JSON.match(self._text, self._at):
            self._tree.refuse("number_not_json", f"{found[0]} is no number that JSON can hold", self._mark())
            self._tree.word("null", self._mark())
            self._at = found.end()
        else:
            raise self._unexpected(due)
        return self._after_value()

    def _quoted(self, due: _Due) -> None:
        mark = self._mark()
        if found := _TEXT.match(self._text, self._at):
            self._at = found.end()
            self._tree.text(found[1], mark)
        elif found := _ESCAPED.match(self._text, self._at):
            self._at = found.end()
            self._tree.text(json.loads(found[0]), mark)
        else:
            raise self._unexpected(due)

    def _after_value(self) -> _Due:
        return "comma" if self._closers else "end"

    def _skip(self) -> None:
        """Passes blanks. No line ends elsewhere in JSON."""
        if self._text[self._at : self._at + 1] not in _BLANKS:
            return
        found = _SPACE.match(self._text, self._at)
        assert found is not None
        end = found.end()
        if breaks := self._text.count("\n", self._at, end):
            self._line += breaks
            self._line_begin = self._text.rindex("\n", self._at, end) + 1
        self._at = end

    def _mark(self) -> Mark:
        return Mark(self._line, self._at - self._line_begin + 1)

    def _unexpected(self, due: _Due) -> NotJson:
        return NotJson(self._at, self._mark(), due)
