"""Templates: JSON in which texts may hold expressions. A text that is one expression keeps the value's type.

The rule that lives here: what an expression yields is data. It is never looked at for expressions again, and keys of
mappings are never looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias, cast

from .graph_expression import Budget, Expression, ExpressionError, ExpressionInvalid, View
from .graph_problem import Path
from .graph_tokens import tokens
from .graph_values import written
from .graph_yaql import yaql_end
from .limits import GRAPH_DEPTH_MAX, GRAPH_EXPRESSION_BYTES_MAX

_Fill: TypeAlias = Callable[[View, Budget], object]
_Part: TypeAlias = str | Expression

_OPENING: Final = re.compile(r"\{\{|<%|\{%|\{#")
_REFUSED: Final = {
    "{%": ("%}", "statements ({% … %}) are not allowed: use an expression with `if … else …`, or several tasks"),
    "{#": ("#}", "comments ({# … #}) are not allowed in texts: use those of YAML"),
}


def parts(source: str) -> list[_Part]:
    """Cuts a text into what is text and what is an expression.

    Raises:
        ExpressionInvalid: An expression has no end, both kinds of expression are in it, or a statement.
    """
    found: list[_Part] = []
    kinds: set[str] = set()
    last: dict[str, int] = {}
    place = start = 0
    while (opening := _OPENING.search(source, place)) is not None:
        at, sign = opening.start(), opening[0]
        if sign in _REFUSED:
            closing, reason = _REFUSED[sign]
            if closing not in last:
                last[closing] = source.rfind(closing)
            if last[closing] >= at + 2:
                raise ExpressionInvalid(reason, column=at + 1)
            place = at + 2
            continue
        if start < at:
            found.append(source[start:at])
        kinds.add(sign)
        if len(kinds) > 1:
            raise ExpressionInvalid("both {{ … }} and <% … %> are in one text: use one of them", column=at + 1)
        end = _end(source, at + 2) if sign == "{{" else yaql_end(source, at + 2)
        if end < 0:
            closing = "}}" if sign == "{{" else "%>"
            raise ExpressionInvalid(
                f"{sign} has no {closing}: for the text {sign}, write {{{{ '{sign}' }}}}", column=at + 1
            )
        found.append(Expression(source[at + 2 : end] if sign == "{{" else source[at : end + 2]))
        place = start = end + 2
    if start < len(source):
        found.append(source[start:])
    return found


def expression_of(source: str) -> Expression:
    """Takes a text that is one expression as a whole: `{{ … }}` or `<% … %>`; it is parsed later.

    Raises:
        ExpressionInvalid: It is something else.
    """
    found = [part for part in parts(source) if isinstance(part, Expression) or part.strip()]
    if len(found) == 1 and isinstance(found[0], Expression):
        return found[0]
    if any(isinstance(part, Expression) for part in found):
        raise ExpressionInvalid("this must be one expression alone: put all of it between {{ and }}")
    raise ExpressionInvalid("this must be an expression: put it between {{ and }}")


class Template:
    """A JSON value with expressions in its texts; what they yield is data and never evaluated again.

    Args:
        value: As the definition has it. Texts may hold `{{ … }}` (any number) or `<% … %>`, not both.
    """

    __slots__ = ("_fill", "value")

    def __init__(self, value: object) -> None:
        self.value = value
        self._fill: _Fill | None = None

    def __repr__(self) -> str:
        return f"Template({self.value!r})"

    @property
    def is_constant(self) -> bool:
        """Whether no text of it holds an expression. Raises ExpressionInvalid."""
        return not self.expressions()

    def expressions(self) -> list[tuple[Path, Expression]]:
        """Lists its expressions, each with the path of its text within the value; they are not parsed yet.

        Raises:
            ExpressionInvalid: A text cannot be cut into text and expressions; with `path`.
        """
        found: list[tuple[Path, Expression]] = []
        for path, text in _texts(self.value, ()):
            found += [(path, part) for part in _parts_at(path, text) if isinstance(part, Expression)]
        return found

    def problems(self) -> list[ExpressionInvalid]:
        """Lists all that is wrong with its expressions, each with its `path`; parses them."""
        found: list[ExpressionInvalid] = []
        try:
            for path, text in _texts(self.value, ()):
                try:
                    cut = _parts_at(path, text)
                except ExpressionInvalid as problem:
                    found.append(problem)
                    continue
                for part in cut:
                    if isinstance(part, Expression):
                        found += [_at(path, problem) for problem in part.problems()]
        except ExpressionInvalid as problem:
            found.append(problem)
        return found

    def evaluate(self, view: View, budget: Budget) -> object:
        """Fills the expressions in; plain JSON, shared with the template and the view, never changed later.

        Raises:
            ExpressionError: One of them has no value.
            ExpressionInvalid: One of them is no expression.
        """
        if self._fill is None:
            self._fill = _filling(self.value, ())
        return self._fill(view, budget)


def _end(source: str, start: int) -> int:
    """Finds the `}}` that ends an expression: one that closes nothing within it; -1 where there is none."""
    if source.startswith("-", start):
        raise ExpressionInvalid(
            "{{- is not taken: write {{ - for a minus, and nothing to trim white space", column=start + 1
        )
    depth, place = 0, start
    try:
        for token in tokens(source, start):
            place = token.at + len(token.source)
            if place - start > GRAPH_EXPRESSION_BYTES_MAX + 2:
                break
            if token.source == "{":
                depth += 1
            elif token.source == "}":
                if depth == 0:
                    return token.at if source.startswith("}}", token.at) else -1
                depth -= 1
    except ExpressionInvalid:
        # Whatever is wrong in it is told when the expression is parsed; it ends where it seems to.
        return source.find("}}", place)
    else:
        return -1
    reason = f"{{{{ has no }}}} within the {GRAPH_EXPRESSION_BYTES_MAX} bytes that an expression may have"
    raise ExpressionInvalid(reason, column=start - 1)


def _texts(value: object, path: Path) -> Iterator[tuple[Path, str]]:
    if type(value) is str:
        if _OPENING.search(value):
            yield path, value
    elif (sort := type(value)) in (list, dict):
        if len(path) >= GRAPH_DEPTH_MAX:
            raise ExpressionInvalid(f"nested more than {GRAPH_DEPTH_MAX} levels deep", path=path)
        inner = cast("dict[str | int, object]", value if sort is dict else dict(enumerate(cast("list[object]", value))))
        for key, each in inner.items():
            yield from _texts(each, (*path, key))


def _parts_at(path: Path, text: str) -> list[_Part]:
    try:
        return parts(text)
    except ExpressionInvalid as problem:
        raise _at(path, problem) from None


def _at(path: Path, problem: ExpressionInvalid) -> ExpressionInvalid:
    return ExpressionInvalid(problem.reason, column=problem.column, kind=problem.kind, path=path)


def _constant(value: object) -> _Fill:
    return lambda view, budget: value


def _filling(value: object, path: Path) -> _Fill:
    """Makes what fills the value in; parts without expressions are shared as they are."""
    if not any(True for _ in _texts(value, path)):
        return _constant(value)
    if type(value) is str:
        return _filling_text(_parts_at(path, value), value)
    if type(value) is list:
        fills = [_filling(each, (*path, index)) for index, each in enumerate(cast("list[object]", value))]

        def fill_list(view: View, budget: Budget) -> object:
            budget.make(len(fills))
            return [fill(view, budget) for fill in fills]

        return fill_list
    fields = {key: _filling(each, (*path, key)) for key, each in cast("dict[str, object]", value).items()}

    def fill_mapping(view: View, budget: Budget) -> object:
        budget.make(len(fields))
        return {key: fill(view, budget) for key, fill in fields.items()}

    return fill_mapping


def _filling_text(cut: list[_Part], value: str) -> _Fill:
    meant = [part for part in cut if isinstance(part, Expression) or part.strip()]
    if len(meant) == 1 and isinstance(meant[0], Expression):
        return meant[0].evaluate
    if not any(isinstance(part, Expression) for part in cut):
        return _constant(value)

    def fill_text(view: View, budget: Budget) -> object:
        made: list[str] = []
        for part in cut:
            if isinstance(part, str):
                made.append(part)
                continue
            try:
                made.append(written(part.evaluate(view, budget), budget))
                budget.make(len(made[-1]))
            except ExpressionError as error:
                raise error if error.source else ExpressionError(error.reason, source=part.source) from None
        budget.make(len(value))
        return "".join(made)

    return fill_text
