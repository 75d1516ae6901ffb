"""Expressions of strangers: bombs end at once, no text is too much for the parser, and no object of Python is reached."""

from __future__ import annotations

import time

import pytest

from jetrun.actors.graph_expression import Budget, Expression, ExpressionError, ExpressionInvalid, View
from jetrun.actors.limits import GRAPH_MADE_MAX, GRAPH_STEPS_MAX

VIEW = View(
    variables={"count": 3, "xs": [3, 1, 2], "__secret": 1},
    result={"code": 200},
    status="succeeded",
    item={"a": 1},
    run={"id": "r-1"},
)


def problem_of(source: str) -> ExpressionInvalid:
    with pytest.raises(ExpressionInvalid) as caught:
        Expression(source).check()
    return caught.value


def error_of(source: str, view: View) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        Expression(source).evaluate(view, Budget(steps=GRAPH_STEPS_MAX, size=GRAPH_MADE_MAX))
    return caught.value


@pytest.mark.parametrize(
    "source",
    [
        "'a' * 10**9",
        "[0] * 10**9",
        "'a' * 9223372036854775807",
        "('a' * 100000) * 100000",
        "[[0] * 1000] * 100000",
        "range(10**9)",
        "range(-9223372036854775807, 9223372036854775807)",
        "range(0, 10**12, -1 + 2)|length",
        "9 ** 9 ** 9 ** 9",
        "2 ** (10 ** 15)",
        "(-2) ** 999999999999",
        "replace('a' * 1000, 'a', 'b' * 10000)",
        "replace(replace(replace('a' * 100, 'a', 'aa' * 100), 'a', 'aa' * 100), 'a', 'aa' * 100)",
        "join([''] * 10000, 'a' * 1000)",
        "join(['a' * 1000] * 10000)",
        "[['a' * 1000] * 1000] * 1000",
        "[[ctx.big] * 100] * 100",
        "to_json([[[ctx.big] * 9] * 9] * 9)",
        "'' ~ [ctx.big] * 1000",
        "[ctx.big] * 100 == [ctx.big] * 100 and [ctx.wide] * 99 == [ctx.copy] * 99",
        "ctx.wide in [ctx.copy, ctx.copy]",
        "sort(ctx.wide)",
        "unique([[1]] * 9000)",
        "unique(map(range(5000), 'string') + map(range(5000), 'string'))",
        "sum([1] * 100000)",
        "{'a': [ctx.big, ctx.big, ctx.big, ctx.big, ctx.big, ctx.big, ctx.big, ctx.big, ctx.big, ctx.big, ctx.big]}.a",
        "map([ctx.big] * 1000, 'upper')",
        "map([ctx.wide] * 1000, 'sum')",
        "zip(ctx.wide, ctx.wide)",
        "merge(ctx, ctx) ~ [ctx.big] * 50",
        "items(ctx.map)",
        "split(ctx.big * 9, 'x')",
        "trim(ctx.big, ctx.big)",
        "json('[' * 100000)",
        "json('[' * 500 ~ ']' * 500)",
        "json('9' * 100000)",
        "int('9' * 100000)",
        "float('9' * 100000)",
    ],
)
def test_bombs_end_at_once(source: str) -> None:
    """Work and size are paid for before they are spent: neither time nor memory is taken."""
    wide = [*range(20_000)]
    view = View(
        variables={"big": "x" * 200_000, "wide": wide, "copy": [*wide], "map": {str(index): index for index in wide}}
    )
    began = time.process_time()

    error_of(source, view)

    assert time.process_time() - began < 6


@pytest.mark.parametrize(
    "source",
    [
        "(" * 2000 + "1" + ")" * 2000,
        "[" * 2000,
        "{'a':" * 500 + "1" + "}" * 500,
        "not " * 1000 + "1",
        "-" * 4000 + "1",
        "1" + "+1" * 2000,
        "1" + " and 1" * 600,
        "ctx" + ".a" * 2000,
        "ctx" + "[0]" * 1300,
        "1" + "|abs" * 1000,
        "1 if 1 else " * 300 + "1",
        "1" + "**1" * 1300,
        "abs(" * 900 + "1" + ")" * 900,
        "1" * 4000,
        "0." + "1" * 4000,
        "a" * 5000,
        "é" * 2100,
        "'" + "a" * 5000 + "'",
        "1e999",
        "99999999999999999999",
        "'\\ud800'",
        "'\\d'",
        "'\\N{BULLET}'",
        "'a",
        "1__0",
        "0x10",
        "1 if 2",
        "",
        "   ",
        "1 2",
        "a b",
        "f(*[1])",
        "abs(**{})",
        "abs(x=1)",
        "abs()",
        "abs(1, 2)",
        "result(1)",
        "ctx(1, 2)",
        "[1, 2][::2]",
        "{**ctx}",
        "lambda: 1",
        "a := 1",
        "x = 1",
        "[x for x in [1]]",
        "a && b",
        "!a",
        "a ? b : c",
        "`a`",
        "\x02 1 \x03",
        "1 \x00",
    ],
)
def test_texts_that_are_no_expression_are_refused_at_once(source: str) -> None:
    began = time.process_time()

    problem = problem_of(source)

    assert problem.kind == "expression_syntax"
    assert problem.column >= 1
    assert len(str(problem)) < 250
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "source",
    [
        "}} {% for x in range(9) %}{{ x }}{% endfor %} {{",
        "1 }}{{ 2",
        "1 -}} {{ 2",
        "1 %} {% set x = 1",
        "1 #} {# x",
        "1) + (2",
        "1\x03\x02 2",
    ],
)
def test_a_source_cannot_leave_its_wrapping(source: str) -> None:
    problem_of(source)


@pytest.mark.parametrize(
    "source",
    [
        "''.__class__",
        "''['__class__']",
        "[].__class__.__base__",
        "{}.keys",
        "(1).real",
        "''|attr('__class__')",
        "''.upper()",
        "''.format(1)",
        "ctx.__class__",
        "ctx['__class__']",
        "ctx['__cl' ~ 'ass__']",
        "ctx('__class__')",
        "ctx().__class__",
        "ctx.__secret",
        "ctx.items()",
        "ctx.get('count')",
        "ctx()['__sec' ~ 'ret']",
        "get(ctx, '__secret') + 1",
        "result.__class__",
        "item.__class__",
        "run.__class__",
        "succeeded.__class__",
        "succeeded.__globals__",
        "abs.__globals__",
        "lipsum",
        "lipsum.__globals__",
        "cycler",
        "cycler.__init__",
        "joiner()",
        "self",
        "self.__init__",
        "namespace()",
        "request",
        "config",
        "loop",
        "caller()",
        "varargs",
        "__import__('os')",
        "open('/etc/passwd')",
        "eval('1')",
        "''|map(attribute='__class__')|list",
        "['']|map(attribute='__class__')",
        "[{}]|map(attribute='keys')",
        "['']|map('__class__')",
        "''|format(1)",
        "ctx.xs|sort(attribute='__class__')",
        "_",
        "_('a')",
    ],
)
def test_no_expression_reaches_an_object_of_python(source: str) -> None:
    """`.` and `[]` look into JSON data alone; a name is one of the documented ones."""
    expression = Expression(source)

    with pytest.raises((ExpressionInvalid, ExpressionError)) as caught:
        expression.evaluate(VIEW, Budget(steps=1000, size=1000))

    assert "object at 0x" not in str(caught.value)
    assert "Error" not in str(caught.value)
