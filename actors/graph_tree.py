"""A definition's data while a text is read: values, the place of each, and all that is wrong with them.

Both readers, YAML's and JSON's, say what they see here; what a definition may hold is decided here and nowhere else.
Nothing recurses: a text decides how deep it is.
"""

from __future__ import annotations

from typing import Final

import msgspec

from .graph_problem import NO_MARK, Mark, Path, Problem, quoted
from .graph_scalar import Json, Refused, Scalar, has_surrogate, resolve
from .limits import GRAPH_DEPTH_MAX, GRAPH_NODES_MAX

PROBLEMS_KEPT_MAX: Final = 1_000
"""After so many problems reading ends: what follows would be read by nobody."""


class Place(msgspec.Struct, frozen=True):
    """Where a value stands, its key, and what is within it."""

    mark: Mark
    key: Mark
    inside: dict[str | int, Place]


_NOTHING: Final[dict[str | int, Place]] = {}
"""What is within a scalar: one for all of them. Written to by nobody, as a scalar is never open."""


class Hopeless(Exception):
    """Reading cannot go on; the last problem says why."""


class _Open(msgspec.Struct):
    """A mapping or a list that is being read."""

    value: dict[str, Json] | list[Json]
    place: Place
    key: str = ""
    key_mark: Mark = NO_MARK
    is_key_due: bool = False
    is_merge: bool = False
    """The key is `<<`: what is wrong with its value is wrong because of it."""
    is_dropped: bool = False
    """The next value has no key that could hold it; it is read for what is wrong within it."""


class Tree:
    """Takes what a reader sees, in the order of the text. `value` and `place` hold the outcome, `problems` all that is wrong.

    Every method raises Hopeless where reading cannot go on.
    """

    def __init__(self) -> None:
        self.value: Json = None
        self.place = Place(NO_MARK, NO_MARK, {})
        self.problems: list[Problem] = []
        self._open: list[_Open] = []
        self._count = 0

    @property
    def is_key_due(self) -> bool:
        return bool(self._open) and self._open[-1].is_key_due

    @property
    def innermost(self) -> Mark:
        """Where the mapping or list begins that is being read; zeros for none."""
        return self._open[-1].place.mark if self._open else NO_MARK

    def begin_mapping(self, mark: Mark) -> None:
        self._begin({}, mark, is_key_due=True)

    def begin_list(self, mark: Mark) -> None:
        self._begin([], mark, is_key_due=False)

    def end(self) -> None:
        """Ends the innermost mapping or list."""
        self._open.pop()

    def text(self, text: str, mark: Mark) -> None:
        """Takes a text that is one without doubt: it had quotes, or was a block."""
        if has_surrogate(text):
            self.refuse("text_not_unicode", "a text holds half of a surrogate pair: write the whole character", mark)
            text = ""
        if self.is_key_due:
            self._key(text, mark)
        else:
            self._put(text, mark)

    def word(self, word: str, mark: Mark) -> None:
        """Takes a word without quotes: a null, a boolean, a number or a text."""
        value = resolve(word)
        if self.is_key_due:
            self._word_key(word, value, mark)
            return
        if isinstance(value, Refused):
            self.refuse(value.kind, value.message, mark)
            value = None
        self._put(value, mark)

    def alias(self, name: str, mark: Mark) -> None:
        """Refuses an alias, and goes on as if it were a null."""
        is_merged = bool(self._open) and self._open[-1].is_merge and not self.is_key_due
        if not is_merged:
            self.refuse(
                "alias_not_allowed", f"alias {quoted('*' + name)} is not taken: write the value out again", mark
            )
        if self.is_key_due:
            self._drop_key()
        else:
            self._put(None, mark)

    def refuse(self, kind: str, message: str, mark: Mark) -> None:
        """Notes what is wrong at the value that is being read."""
        self.problems.append(Problem(kind=kind, message=message, path=self._path(), mark=mark))
        if len(self.problems) >= PROBLEMS_KEPT_MAX:
            raise Hopeless

    def _begin(self, value: dict[str, Json] | list[Json], mark: Mark, *, is_key_due: bool) -> None:
        if len(self._open) >= GRAPH_DEPTH_MAX:
            self._give_up("too_deep", f"more than {GRAPH_DEPTH_MAX} mappings and lists within each other", mark)
        is_key = self.is_key_due
        if is_key:
            self._mapping_key(mark)
        opened = _Open(value, self._put(value, mark, {}), is_key_due=is_key_due)
        if is_key:
            self._open[-1].is_key_due = False
        self._open.append(opened)

    def _put(self, value: Json, mark: Mark, inside: dict[str | int, Place] = _NOTHING) -> Place:
        self._count += 1
        if self._count > GRAPH_NODES_MAX:
            self._give_up("too_many_values", f"more than {GRAPH_NODES_MAX} values: make it several graphs", mark)
        if not self._open:
            self.value, self.place = value, Place(mark, mark, inside)
            return self.place
        parent = self._open[-1]
        held = parent.value
        if isinstance(held, list):
            place = parent.place.inside[len(held)] = Place(mark, mark, inside)
            held.append(value)
            return place
        place = Place(mark, parent.key_mark, inside)
        if not parent.is_dropped:
            held[parent.key] = value
            parent.place.inside[parent.key] = place
        parent.is_key_due = True
        return place

    def _key(self, text: str, mark: Mark) -> None:
        parent = self._open[-1]
        before = parent.place.inside.get(text)
        parent.key, parent.key_mark, parent.is_key_due, parent.is_dropped, parent.is_merge = (
            text,
            mark,
            False,
            False,
            False,
        )
        if before is not None:
            at = f"line {before.key.line}, column {before.key.column}"
            self.refuse("duplicate_key", f"key {quoted(text)} is there already, at {at}: keep one of them", mark)
            parent.is_dropped = True

    def _word_key(self, word: str, value: Scalar | Refused, mark: Mark) -> None:
        if word == "<<":
            message = "merge key '<<' is not taken: write the fields out, or quote it where a text is meant"
            self.refuse("merge_key_not_allowed", message, mark)
            self._drop_key()
            self._open[-1].is_merge = True
        elif isinstance(value, str):
            self._key(value, mark)
        else:
            self.refuse("key_not_text", f"key {_named(word)} is no text: quote it", mark)
            self._drop_key()

    def _mapping_key(self, mark: Mark) -> None:
        """`{{ x }}` without quotes is a mapping whose key is a mapping."""
        outer = self._open[-1].place.mark
        if (mark.line, mark.column) == (outer.line, outer.column + 1):
            message = 'an expression has to be quoted: "{{ … }}"'
        else:
            message = "a key is a mapping or a list, where only a text can be one"
        self.refuse("key_not_text", message, mark)
        self._drop_key()

    def _drop_key(self) -> None:
        parent = self._open[-1]
        parent.is_key_due, parent.is_dropped, parent.is_merge = False, True, False

    def _give_up(self, kind: str, message: str, mark: Mark) -> None:
        self.refuse(kind, message, mark)
        raise Hopeless

    def _path(self) -> Path:
        """Names the value that is being read, or the innermost one around it that has a name."""
        parts: list[str | int] = []
        for opened in self._open:
            is_innermost = opened is self._open[-1]
            if isinstance(opened.value, list):
                parts.append(len(opened.value) - (not is_innermost))
            elif opened.is_dropped or (is_innermost and opened.is_key_due):
                break
            else:
                parts.append(opened.key)
        return tuple(parts)


def _named(word: str) -> str:
    return quoted(word) if word else "that is empty"
