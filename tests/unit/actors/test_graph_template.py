"""Templates: texts with expressions within JSON, filled in once."""

from __future__ import annotations

import time

import pytest

from jetrun.actors.graph_expression import Budget, Expression, ExpressionError, ExpressionInvalid, View
from jetrun.actors.graph_template import Template, expression_of

VIEW = View(
    variables={"n": 3, "xs": [1, "a"], "d": {"k": True}, "evil": "{{ ctx.n }} <% ctx().n %> {% x %}"},
    status="succeeded",
)


def filled(value: object, view: View = VIEW) -> object:
    return Template(value).evaluate(view, Budget(steps=10_000, size=100_000))


@pytest.mark.parametrize(
    ("value", "made"),
    [
        ("plain", "plain"),
        ("", ""),
        (None, None),
        (5, 5),
        ("{{ ctx.n }}", 3),
        ("{{ctx.n}}", 3),
        (" {{ ctx.n }}\n", 3),
        ("<% ctx().n %>", 3),
        ("{{ ctx.xs }}", [1, "a"]),
        ("{{ none }}", None),
        ("n = {{ ctx.n }}", "n = 3"),
        ("{{ ctx.n }}{{ ctx.n }}", "33"),
        ("{{ ctx.n }} {{ ctx.n }}", "3 3"),
        ("<% ctx().n %>, <% ctx(n) %>", "3, 3"),
        ("x {{ ctx.xs }} {{ ctx.d }} {{ none }} {{ true }} {{ 1.5 }}", 'x [1,"a"] {"k":true} null true 1.5'),
        ("{{ {'a': {'b': 1}} }}", {"a": {"b": 1}}),
        ("{{ {'a': {'b': ctx.n}}}}", {"a": {"b": 3}}),
        ("{{ '}}' }}", "}}"),
        ("{{ '{{' }} and {{ '<%' }}", "{{ and <%"),
        ("<% '%>' %>", "%>"),
        ("a }} b %> c", "a }} b %> c"),
        ("${#name} {%raw", "${#name} {%raw"),
        ({"a": ["{{ ctx.n }}", {"b": "x{{ ctx.n }}"}], "c": 1}, {"a": [3, {"b": "x3"}], "c": 1}),
        ({"{{ ctx.n }}": 1}, {"{{ ctx.n }}": 1}),
        ("{{ ctx.evil }}", VIEW.variables["evil"]),
        ("> {{ ctx.evil }}", f"> {VIEW.variables['evil']}"),
        (["{{ ctx.evil }}"], [VIEW.variables["evil"]]),
    ],
)
def test_expressions_are_filled_in_once(value: object, made: object) -> None:
    """One expression keeps its type, mixed text is text, and what comes out is never looked at again."""
    found = filled(value)

    assert found == made
    assert type(found) is type(made)


def test_a_template_is_filled_in_as_often_as_wanted() -> None:
    template = Template({"a": "{{ ctx.n }}", "b": [1]})

    assert [template.evaluate(View(variables={"n": n}), Budget(steps=99, size=99)) for n in (1, 2)] == [
        {"a": 1, "b": [1]},
        {"a": 2, "b": [1]},
    ]
    assert template.value == {"a": "{{ ctx.n }}", "b": [1]}


def test_expressions_are_listed_with_their_paths() -> None:
    template = Template({"a": ["x", "{{ ctx.n }} {{ ctx.m }}"], "b": {"c": "<% result() %>"}, "d": 1})

    found = [(path, expression.source.strip()) for path, expression in template.expressions()]

    assert found == [(("a", 1), "ctx.n"), (("a", 1), "ctx.m"), (("b", "c"), "<% result() %>")]
    assert not template.is_constant
    assert Template({"a": ["x", 1]}).is_constant


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{{ ctx.n }} <% ctx().n %>", "both"),
        ("{{ ctx.n", "has no }}"),
        ("{{ ctx.n }", "has no }}"),
        ("{{ 'a }}", "closing quote"),
        ("<% ctx().n", "has no %>"),
        ("{% if x %}a{% endif %}", "statements"),
        ("{{ 1 }}{# note #}", "comments"),
        ("{{- ctx.n -}}", "{{-"),
        ("{{ }}", "empty"),
        ("<% %>", "empty"),
        ("{{ 1 }} }} {{ 2 + }}", "end of the expression"),
    ],
)
def test_texts_that_cannot_be_meant_are_refused(text: str, part: str) -> None:
    problems = Template({"a": [text]}).problems()

    assert [problem.path for problem in problems] == [("a", 0)]
    assert part in problems[0].reason
    with pytest.raises(ExpressionInvalid):
        filled({"a": [text]})


def test_all_problems_of_a_template_are_listed() -> None:
    problems = Template(["{{ foo }}", "ok", "{{ 1 + }} {{ bar() }}", "{% x %}"]).problems()

    assert [(problem.path, problem.kind) for problem in problems] == [
        ((0,), "expression_unknown_function"),
        ((2,), "expression_syntax"),
        ((2,), "expression_unknown_function"),
        ((3,), "expression_syntax"),
    ]


def test_a_condition_is_one_expression() -> None:
    assert expression_of("{{ ctx.n > 1 }}").evaluate(VIEW, Budget(steps=99, size=9)) is True
    assert expression_of(" <% succeeded() %>\n").evaluate(VIEW, Budget(steps=99, size=9)) is True
    assert isinstance(expression_of("{{ 1 + }}"), Expression)


@pytest.mark.parametrize(
    "text", ["false", "ctx.n > 1", "", "{{ 1 }} and {{ 2 }}", "x {{ 1 }}", "{{ 1 }} <% 2 %>", "{{ 1"]
)
def test_a_condition_that_is_something_else_is_refused(text: str) -> None:
    """The literal text "false" would be true to a careless reader."""
    with pytest.raises(ExpressionInvalid):
        expression_of(text)


def test_errors_name_the_expression() -> None:
    with pytest.raises(ExpressionError, match=r"'nope' is not defined .*ctx\.nope"):
        filled({"a": "b {{ ctx.nope }}"})


@pytest.mark.parametrize(
    "value",
    [
        "{{ ctx.big }}" * 20,
        ["{{ ctx.big ~ '' }}"] * 20,
        {"a": [{"b": "{{ 'x' * 90000 }}"}, "{{ 'x' * 90000 }}"]},
    ],
)
def test_a_template_pays_for_all_that_it_makes(value: object) -> None:
    with pytest.raises(ExpressionError):
        filled(value, View(variables={"big": "x" * 10_000}))


@pytest.mark.parametrize(
    "text",
    [
        "{{" * 200_000,
        "{#" * 300_000,
        "{{ 1 }}" * 30_000 + "{{",
        "<% '" + "\\'" * 300_000,
        "{{ '" + "\\'" * 300_000,
        "<%" * 200_000,
        "{% " * 100_000 + "#}",
        "{{ " + "{" * 500_000,
        "{{ 1" + " " * 900_000,
    ],
)
def test_long_texts_are_cut_in_time(text: str) -> None:
    """No text makes its reader look at all of it again and again."""
    began = time.process_time()

    Template(text).problems()

    assert time.process_time() - began < 9


def test_a_value_that_is_nested_too_deeply_is_refused() -> None:
    value: object = "{{ 1 }}"
    for _ in range(100):
        value = [value]

    assert "levels deep" in Template(value).problems()[0].reason
