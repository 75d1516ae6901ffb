"""Transform: how the twin's streams match subjects and rewrite them, as the server does.

Only what jetrun's streams use: `*`, a last `>`, `{{wildcard(i)}}` and `{{partition(n,i)}}`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from .subjects import partition_of

_PARTITION: Final = re.compile(r"\{\{partition\((\d+),(\d+)\)\}\}")
_WILDCARD: Final = re.compile(r"\{\{wildcard\((\d+)\)\}\}")


class Transform:
    """Rewrites the subjects that match `source` to `target`.

    Others stay as they are, and so do subjects that hold a `*` or `>` of their own (seen on 2.15.1).
    """

    def __init__(self, source: str, target: str) -> None:
        self._source = source
        self._wildcards = [index for index, token in enumerate(source.split(".")) if token == "*"]  # noqa: S105
        self._rest_index = len(source.split(".")) - 1
        self._target = target.split(".")

    def apply(self, subject: str) -> str:
        if not is_literal(subject) or not matches(self._source, subject):
            return subject
        tokens = subject.split(".")
        return ".".join(self._token(part, tokens) for part in self._target)

    def _token(self, part: str, tokens: Sequence[str]) -> str:
        if part == ">":
            return ".".join(tokens[self._rest_index :])
        if found := _PARTITION.fullmatch(part):
            return str(partition_of(tokens[self._wildcards[int(found[2]) - 1]], int(found[1])))
        if found := _WILDCARD.fullmatch(part):
            return tokens[self._wildcards[int(found[1]) - 1]]
        return part


def is_literal(subject: str) -> bool:
    """Tells whether a subject can be one message's: no empty token and no wildcard."""
    return all(token not in {"", "*", ">"} for token in subject.split("."))


def matches(pattern: str, subject: str) -> bool:
    """Tells whether a subject falls under a filter. Wildcards in the subject count as plain tokens."""
    start, rest = _parts(pattern)
    if not subject.startswith(start):
        return False
    if rest == [">"]:
        return len(subject) > len(start)
    if not rest:
        return len(subject) == len(start)
    given = subject[len(start) :].split(".")
    if rest[-1] == ">":
        return len(given) >= len(rest) and _are_equal(rest[:-1], given)
    return len(given) == len(rest) and _are_equal(rest, given)


@lru_cache(maxsize=1024)
def _parts(pattern: str) -> tuple[str, list[str]]:
    """Splits a filter where its first wildcard begins: most subjects are told apart by the text before it."""
    tokens = pattern.split(".")
    first = next((index for index, token in enumerate(tokens) if token in {"*", ">"}), None)
    if first is None:
        return pattern, []
    return "".join(f"{token}." for token in tokens[:first]), tokens[first:]


def _are_equal(wanted: Sequence[str], given: Sequence[str]) -> bool:
    return all(token in {"*", other} for token, other in zip(wanted, given, strict=False))
