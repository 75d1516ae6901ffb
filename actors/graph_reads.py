"""Expressions of a graph's definition as they are read: parsed now, so that every error is found in one pass.

The rule that lives here and nowhere else: which text may hold an expression, which must be one, and which variables are
noted as read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from .graph_draft import Use
from .graph_expression import Expression, ExpressionInvalid
from .graph_findings import Findings, shown
from .graph_problem import Path
from .graph_shape import is_list, is_mapping
from .graph_template import Template, expression_of
from .limits import GRAPH_EXPRESSION_OVERHEAD_BYTES, GRAPH_EXPRESSIONS_BYTES_MAX

_WORD: Final = re.compile(r"<%\s*([^\W\d]\w*)\s*%>")
"""A word without brackets: a text in YAQL."""
_MARKERS: Final = ("{{", "<%", "{%", "{#")
BROKEN: Final = Template(None)
"""Stands for what could not be read; a definition with such a one is never run."""


class Reads:
    """Reads expressions, and notes in `uses` which variables they read.

    Args:
        uses: Belongs to the caller: of one task, one edge or one variable.
    """

    def __init__(self, findings: Findings, uses: list[Use]) -> None:
        self.findings = findings
        self.uses = uses

    def template(self, path: Path, value: object) -> Template:
        """Returns the value with its expressions parsed; `BROKEN` after an error."""
        if isinstance(value, str):
            return self._text(path, value) if holds_expression(value) else self._whole(path, value)
        texts = [((*path, *inner), text) for inner, text in _texts(value) if holds_expression(text)]
        sound = [self._text(place, text) is not BROKEN for place, text in texts]
        return self._whole(path, value) if all(sound) else BROKEN

    def inline(self, path: Path, parameters: dict[str, object]) -> Template:
        """Returns inline parameters, whose values all stand in one text."""
        sound = [self._text(path, text) is not BROKEN for _, text in _texts(parameters) if holds_expression(text)]
        return self._whole(path, parameters) if all(sound) else BROKEN

    def condition(self, path: Path, value: object) -> Expression | None:
        """Returns a condition; None for always, also after an error."""
        if value is True:
            return None
        if value is False:
            return Expression("false")
        if not isinstance(value, str) or not holds_expression(value):
            self.findings.error("bad_type", path, f"{shown(value)} is no condition; write '{{{{ succeeded() }}}}'")
            return None
        word = _WORD.fullmatch(value.strip())
        if word is not None and word[1] not in ("true", "false"):
            reason = f"the text {word[1]!r}, which is no condition; write <% {word[1]}() %> or <% ctx().{word[1]} %>"
            self.findings.error("bad_type", path, f"{shown(value)} is {reason}")
            return None
        return self.expression(path, value)

    def expression(self, path: Path, text: str) -> Expression | None:
        """Returns the expression that the whole text is; None after an error."""
        try:
            source = expression_of(text).source
        except ExpressionInvalid as invalid:
            self._blame(path, text, invalid)
            return None
        expression = self._same(path, Expression(source))
        return expression if expression is not None and self._is_sound(path, text, expression) else None

    def _whole(self, path: Path, value: object) -> Template:
        template = Template(value)
        if isinstance(value, str):
            return template
        try:
            template.expressions()
        except ExpressionInvalid as invalid:  # nested too deeply: an expression's own error was found before
            self._blame(path, "", invalid)
            return BROKEN
        return template

    def _text(self, path: Path, text: str) -> Template:
        template = Template(text)
        try:
            expressions = template.expressions()
        except ExpressionInvalid as invalid:
            self._blame(path, text, invalid)
            return BROKEN
        known = [self._same(path, each) for _, each in expressions]
        sound = [each is not None and self._is_sound(path, text, each) for each in known]
        return template if all(sound) else BROKEN

    def _same(self, path: Path, expression: Expression) -> Expression | None:
        """Returns the one of that source; None where too much was to be parsed already, which is said once."""
        findings, source = self.findings, expression.source
        known = findings.parsed.get(source)
        if known is not None:
            return known
        before = findings.parsed_bytes
        findings.parsed_bytes = before + len(source) + GRAPH_EXPRESSION_OVERHEAD_BYTES
        if findings.parsed_bytes <= GRAPH_EXPRESSIONS_BYTES_MAX:
            findings.parsed[source] = expression
            return expression
        if before <= GRAPH_EXPRESSIONS_BYTES_MAX:
            text = f"all different expressions have more than {GRAPH_EXPRESSIONS_BYTES_MAX} bytes"
            findings.error("limit_out_of_range", path, f"{text}; make it several graphs")
        return None

    def _is_sound(self, path: Path, text: str, expression: Expression) -> bool:
        problems = expression.problems()
        for problem in problems:
            self._blame(path, text, problem)
        if not problems:
            self._note(path, expression.variables)
        return not problems

    def _note(self, path: Path, names: frozenset[str]) -> None:
        if names:
            self.uses.append(Use(path, tuple(sorted(names))))
        for name in sorted(names):
            if name.startswith("__"):
                self.findings.error(
                    "private_variable", path, f"variable {name!r} begins with '__', which is the engine's; use another"
                )

    def _blame(self, path: Path, text: str, invalid: ExpressionInvalid) -> None:
        self.findings.error(invalid.kind, path, f"{shown(text)}: {invalid.reason} (column {invalid.column})")


def holds_expression(text: str) -> bool:
    """Tells whether a text is more than the text that it is."""
    return any(marker in text for marker in _MARKERS)


def is_whole_expression(value: object) -> bool:
    """Tells whether a value is a text that is one expression, which may be wrong in itself."""
    if not isinstance(value, str) or not holds_expression(value):
        return False
    try:
        expression_of(value)
    except ExpressionInvalid:
        return False
    return True


def _texts(value: object) -> Iterator[tuple[Path, str]]:
    """Goes through the texts of a value, without recursion."""
    stack: list[tuple[Path, object]] = [((), value)]
    while stack:
        path, each = stack.pop()
        if isinstance(each, str):
            yield path, each
        elif is_mapping(each):
            stack.extend(((*path, key), inner) for key, inner in each.items())
        elif is_list(each):
            stack.extend(((*path, index), inner) for index, inner in enumerate(each))
