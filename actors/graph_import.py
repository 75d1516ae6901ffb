"""An Orquesta definition in this engine's own words: YAQL as `{{ … }}`, inline forms as lists and mappings.

What comes out makes the same graph, or nothing comes out: both are compiled and compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

import msgspec

from .graph_compile import compile_graph
from .graph_expression import Expression, ExpressionInvalid
from .graph_inline import InlineInvalid, parse_inline, split_action
from .graph_problem import GraphInvalid, Path, Problem
from .graph_source import Document
from .graph_template import Template, parts
from .graph_tokens import tokens
from .graph_yaql import translate

_WITH_EXPRESSIONS: Final = ("input", "vars", "output", "tasks", "steps")
"""What of a definition may hold expressions; names and descriptions stay as they are."""


def imported(document: Document) -> dict[str, object]:
    """Translates a definition; the document stays as it is.

    Raises:
        GraphInvalid: It is not valid, or something of it has no exact translation; every reason is named.
    """
    before = compile_graph(document).graph
    translation = _Translation(document)
    value = translation.definition(cast("Mapping[str, object]", document.value))
    if translation.problems:
        raise GraphInvalid(document.name, translation.problems)
    try:
        after = compile_graph(Document.of(value, name=document.name)).graph
    except GraphInvalid as error:
        raise GraphInvalid(document.name, [_unlike(str(problem)) for problem in error.problems]) from error
    if normal(before) != normal(after):
        raise GraphInvalid(document.name, [_unlike("the translation would make another graph")])
    return value


def normal(value: object) -> object:
    """Writes any part of a graph as data that is equal where the meaning is, YAQL or not."""
    match value:
        case Template():
            return ("template", _filled(value.value))
        case Expression():
            return ("expression", _inside(value.source))
        case msgspec.Struct():
            fields = ((name, normal(getattr(value, name))) for name in value.__struct_fields__)
            return (type(value).__name__, *fields)
        case dict():
            return {key: normal(inner) for key, inner in cast("dict[object, object]", value).items()}
        case list() | tuple():
            return [normal(inner) for inner in cast("list[object]", value)]
        case _:
            return value


def _filled(value: object) -> object:
    match value:
        case str():
            return _text(value)
        case dict():
            return {key: _filled(inner) for key, inner in cast("dict[str, object]", value).items()}
        case list():
            return [_filled(inner) for inner in cast("list[object]", value)]
        case _:
            return value


def _inside(source: str) -> str:
    """Gives an expression as it stands within `{{ }}`."""
    is_yaql = source.lstrip().startswith("<%")
    return _bared(translate(source)) if is_yaql else source.strip()


def _bared(source: str) -> str:
    """Takes the brackets away that stand around the whole of an expression."""
    found = [token.source for token in tokens(source.strip()) if token.sort == "sign"]
    text, depth = source.strip(), 0
    if not text.startswith("("):
        return text
    for number, sign in enumerate(found):
        depth += (sign == "(") - (sign == ")")
        if not depth:
            return text[1:-1].strip() if number == len(found) - 1 and text.endswith(")") else text
    return text


def _text(text: str) -> str:
    """Translates every `<% … %>` of a text. Raises ExpressionInvalid."""
    if "<%" not in text:
        return text
    return "".join(part if isinstance(part, str) else f"{{{{ {_inside(part.source)} }}}}" for part in parts(text))


def _unlike(message: str) -> Problem:
    return Problem(kind="not_translatable", message=f"{message}; nothing is written")


class _Translation:
    """One translation; what cannot be translated is noted and left as it is."""

    def __init__(self, document: Document) -> None:
        self.problems: list[Problem] = []
        self._document = document

    def definition(self, value: Mapping[str, object]) -> dict[str, object]:
        made: dict[str, object] = {}
        for name, inner in value.items():
            if name in {"tasks", "steps"} and isinstance(inner, dict):
                tasks = cast("dict[str, object]", inner)
                made[name] = {task: self._task((name, task), fields) for task, fields in tasks.items()}
            else:
                made[name] = self._any((name,), inner) if name in _WITH_EXPRESSIONS else inner
        return made

    def _task(self, path: Path, fields: object) -> object:
        if not isinstance(fields, dict):
            return fields
        task = cast("dict[str, object]", fields)
        made: dict[str, object] = {}
        parameters: dict[str, object] | None = None
        for name, inner in task.items():
            place = (*path, name)
            match name, inner:
                case (("action" | "step"), str()):
                    head, rest = split_action(inner)
                    made[name] = self._any(place, head)
                    if rest:
                        made["input"] = parameters = self._any_mapping(place, dict(self._inline(place, rest)))
                case "with", str():
                    made[name] = {"items": self._any(place, inner)}
                case "publish", str():
                    made[name] = self._publish(place, inner)
                case "next", list():
                    edges = cast("list[object]", inner)
                    made[name] = [self._edge((*place, index), edge) for index, edge in enumerate(edges)]
                case _:
                    made[name] = self._any(place, inner)
        if parameters is not None:
            made["input"] = parameters  # an input beside inline parameters is not used
        return made

    def _edge(self, path: Path, fields: object) -> object:
        if not isinstance(fields, dict):
            return fields
        made: dict[str, object] = {}
        for name, inner in cast("dict[str, object]", fields).items():
            place = (*path, name)
            match name, inner:
                case "publish", str():
                    made[name] = self._publish(place, inner)
                case "do", str():
                    made[name] = [target.strip() for target in inner.split(",")]
                case _:
                    made[name] = self._any(place, inner)
        return made

    def _publish(self, path: Path, text: str) -> list[object]:
        return [self._any(path, {name: inner}) for name, inner in self._inline(path, text)]

    def _inline(self, path: Path, text: str) -> list[tuple[str, object]]:
        try:
            return parse_inline(text)
        except InlineInvalid as error:
            self._note(path, "bad_type", str(error))
            return []

    def _any_mapping(self, path: Path, value: dict[str, object]) -> dict[str, object]:
        return {key: self._any((*path, key), inner) for key, inner in value.items()}

    def _any(self, path: Path, value: object) -> object:
        match value:
            case str():
                try:
                    return _text(value)
                except ExpressionInvalid as error:
                    self._note(path, error.kind, error.reason)
                    return value
            case dict():
                return self._any_mapping(path, cast("dict[str, object]", value))
            case list():
                return [self._any((*path, index), inner) for index, inner in enumerate(cast("list[object]", value))]
            case _:
                return value

    def _note(self, path: Path, kind: str, message: str) -> None:
        self.problems.append(Problem(kind=kind, message=message, path=path, mark=self._document.mark(path)))
