"""A definition's text, read into plain JSON data with the place of everything in it. It is a stranger's: see docs/graph-definitions.md."""

from __future__ import annotations

import codecs
import math
import re
from typing import Final, NoReturn, cast

import msgspec

from .graph_json import NotJson
from .graph_json import read as read_json
from .graph_problem import NO_MARK, GraphInvalid, Mark, Path, Problem, mark_at, quoted
from .graph_scalar import INT_MAX, INT_MIN, Json, has_surrogate
from .graph_tree import PROBLEMS_KEPT_MAX, Hopeless, Place, Tree
from .graph_yaml import NotYaml
from .graph_yaml import read as read_yaml
from .limits import GRAPH_DEFINITION_BYTES_MAX, GRAPH_DEPTH_MAX, GRAPH_NODES_MAX

_NO_PLACE: Final = Place(NO_MARK, NO_MARK, {})
_TOP: Final = Mark(1, 1)

_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NOT_YAML: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]",
)
"""Control characters, and those that are line ends to YAML 1.1 but to no editor: places would be wrong after them."""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A definition as data. Nothing of it is checked but that it is a mapping of plain JSON data within the limits."""

    name: str
    """The file's, or the builder's; for messages."""
    value: dict[str, Json]
    _top: Place = _NO_PLACE

    @classmethod
    def of(cls, value: object, *, name: str) -> Document:
        """Makes a document of a definition that was no text; its marks are zeros.

        The value is copied; tuples become lists.

        Raises:
            GraphInvalid: It is no mapping of plain JSON data, or exceeds a limit.
        """
        copier = _Copier()
        copied = copier.copy(value)
        if copier.problems:
            raise GraphInvalid(name, copier.problems)
        if len(msgspec.json.encode(copied)) > GRAPH_DEFINITION_BYTES_MAX:
            _fail(
                name,
                "too_large",
                f"JSON of more than {GRAPH_DEFINITION_BYTES_MAX} bytes: make it several graphs",
                NO_MARK,
            )
        return cls(name=name, value=_mapping_of(copied, name, NO_MARK))

    def mark(self, path: Path, *, key: bool = False) -> Mark:
        """Finds where a value stands in the text; of what is not there, the place of the nearest thing around it.

        Args:
            path: Keys and indexes from the top.
            key: The place of its key. For an item of a list, that of the item.
        """
        place = self._top
        for part in path:
            inner = place.inside.get(part)
            if inner is None:
                return place.mark
            place = inner
        return place.key if key else place.mark

    def part(self, key: str) -> Document:
        """Makes a document of a mapping in it, with the places that it has here.

        Raises:
            GraphInvalid: It is none.
        """
        place = self._top.inside.get(key, self._top)
        return Document(name=self.name, value=_mapping_of(self.value[key], self.name, place.mark), _top=place)


def parse(data: bytes | str, *, name: str) -> Document:
    """Reads YAML or JSON, whatever it holds, in a second at most.

    JSON is what begins with `{` and is JSON to the end; everything else is YAML.

    Args:
        data: UTF-8, or UTF-16 with a byte order mark.
        name: Of the file, for messages.

    Raises:
        GraphInvalid: It is not what a definition's text can be. All is named that is wrong up to where it can be read.
    """
    text = _text_of(data, name)
    tree = Tree()
    is_there = False
    unlike_json = None
    if text.lstrip(" \t\n").startswith("{"):
        unlike_json = _read_json(text, tree, name)
        is_there = unlike_json is None
        tree = tree if is_there else Tree()
    if not is_there:
        is_there = _read_yaml(text, tree, name, unlike_json)
    if tree.problems:
        raise GraphInvalid(name, tree.problems)
    if not is_there:
        _fail(name, "empty", "the text holds no definition", _TOP)
    return Document(name=name, value=_mapping_of(tree.value, name, tree.place.mark), _top=tree.place)


def readable(data: bytes | str) -> str:
    """Gives a text as `parse` counts its lines, with replacement characters where it cannot be read: to show problems in."""
    if isinstance(data, bytes):
        data = data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8", errors="replace")
    return data.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _read_json(text: str, tree: Tree, name: str) -> NotJson | None:
    try:
        read_json(text, tree)
    except NotJson as error:
        return error
    except Hopeless:
        raise GraphInvalid(name, tree.problems) from None
    return None


def _read_yaml(text: str, tree: Tree, name: str, unlike_json: NotJson | None) -> bool:
    """Reads YAML. What is neither JSON nor YAML is judged as the one that it resembles for longer."""
    if found := _NOT_YAML.search(text):
        mark = mark_at(text, found.start())
        _judge_as_json(unlike_json, name, found.start(), mark)
        message = (
            f"character U+{ord(found[0]):04X} cannot be in a text: leave it out, or write its escape in double quotes"
        )
        _fail(name, "character_not_allowed", message, mark)
    try:
        return read_yaml(text, tree)
    except NotYaml as error:
        _judge_as_json(unlike_json, name, error.offset, error.mark)
        problem = Problem(kind=error.kind, message=str(error), mark=error.mark)
        raise GraphInvalid(name, [*tree.problems, problem]) from None
    except Hopeless:
        raise GraphInvalid(name, tree.problems) from None


def _judge_as_json(error: NotJson | None, name: str, offset: int, mark: Mark) -> None:
    """Reports what is wrong with it as JSON, where JSON goes on for as long as YAML, or for want of a comma a little less."""
    if error is None:
        return
    is_sign_missing = error.due in {"comma", "colon"} and error.mark.line == mark.line
    if error.offset > offset or is_sign_missing:
        _fail(name, "json_syntax", str(error), error.mark)


def _text_of(data: bytes | str, name: str) -> str:
    if len(data) > GRAPH_DEFINITION_BYTES_MAX or (
        isinstance(data, str) and len(data.encode("utf-8", "surrogatepass")) > GRAPH_DEFINITION_BYTES_MAX
    ):
        _fail(name, "too_large", f"more than {GRAPH_DEFINITION_BYTES_MAX} bytes: make it several graphs", NO_MARK)
    if isinstance(data, bytes):
        encoding = "utf-16" if data.startswith(_UTF_16) else "utf-8"
        try:
            data = data.decode(encoding)
        except UnicodeDecodeError as error:
            before = readable(data[: error.start])
            message = f"byte 0x{data[error.start]:02x} is not {encoding.upper()}: save the text as UTF-8"
            _fail(name, "text_not_unicode", message, mark_at(before, len(before)))
    return readable(data)


def _mapping_of(value: Json, name: str, mark: Mark) -> dict[str, Json]:
    if not isinstance(value, dict):
        _fail(name, "not_a_mapping", f"a definition is a mapping, this is {_kind_of(value)}", mark)
    return value


def _kind_of(value: object) -> str:
    if value is None:
        return "nothing"
    words: dict[type, str] = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        tuple: "a list",
    }
    return words.get(type(value), f"of type {quoted(type(value).__name__)}")


def _fail(name: str, kind: str, message: str, mark: Mark) -> NoReturn:
    raise GraphInvalid(name, [Problem(kind=kind, message=message, mark=mark)])


class _Copier:
    """Copies a Python value as plain JSON data. Depth ends a value that holds itself, and the count one that does so twice."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._count = 0

    def copy(self, value: object, path: Path = ()) -> Json:
        self._count += 1
        if self._count > GRAPH_NODES_MAX or len(self.problems) >= PROBLEMS_KEPT_MAX:
            return self._too_many(path)
        # Exact types: a subclass (an Enum, a datetime is none of these) would come back from the log as something else.
        kind = type(value)
        if value is None or kind is bool:
            return cast("bool | None", value)
        if kind in {dict, list, tuple}:
            return self._container(value, path)
        return self._scalar(value, path)

    def _container(self, value: object, path: Path) -> Json:
        if len(path) >= GRAPH_DEPTH_MAX:
            return self._refuse("too_deep", f"more than {GRAPH_DEPTH_MAX} mappings and lists within each other", path)
        if isinstance(value, dict):
            copied: dict[str, Json] = {}
            for key, item in cast("dict[object, object]", value).items():
                if type(key) is not str:
                    self._refuse("key_not_text", f"a key is {_kind_of(key)}, where only a text can be one", path)
                elif has_surrogate(key):
                    self._refuse("text_not_unicode", "a key holds half of a surrogate pair", path)
                else:
                    copied[key] = self.copy(item, (*path, key))
            return copied
        return [self.copy(item, (*path, index)) for index, item in enumerate(cast("list[object]", value))]

    def _scalar(self, value: object, path: Path) -> Json:
        if type(value) is str:
            if has_surrogate(value):
                return self._refuse("text_not_unicode", "a text holds half of a surrogate pair", path)
            return value
        if type(value) is int:
            if not INT_MIN <= value <= INT_MAX:
                return self._refuse("number_out_of_range", "a number exceeds 64 bits: make it a text", path)
            return value
        if type(value) is float:
            if not math.isfinite(value):
                return self._refuse("number_not_json", f"{value} is no number that JSON can hold", path)
            return value
        return self._refuse("not_json", f"a value is {_kind_of(value)}, which JSON cannot hold", path)

    def _too_many(self, path: Path) -> Json:
        if self._count == GRAPH_NODES_MAX + 1:
            return self._refuse("too_many_values", f"more than {GRAPH_NODES_MAX} values: make it several graphs", path)
        return None

    def _refuse(self, kind: str, message: str, path: Path) -> Json:
        self.problems.append(Problem(kind=kind, message=message, path=path))
        return None
