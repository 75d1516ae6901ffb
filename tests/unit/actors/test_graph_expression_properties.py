"""Any text, any value: an expression has a value, or one of two errors, and never takes more than its budget."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from jetrun.actors.graph_evaluate import NAMES
from jetrun.actors.graph_expression import Budget, Expression, ExpressionError, ExpressionInvalid, View
from jetrun.actors.graph_template import Template
from jetrun.actors.graph_tests import TESTS
from jetrun.actors.graph_values import is_equal
from jetrun.actors.graph_yaql import translate
from jetrun.actors.graph_yaql_names import TRANSLATED

STEPS, SIZE = 2_000, 5_000
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "x y", "", "__p"]), inner, max_size=3)
    ),
    max_leaves=12,
)
LEAVES = st.sampled_from(
    [
        "ctx.a",
        "ctx.b",
        "ctx",
        "result",
        "item",
        "error",
        "1",
        "0",
        "-1",
        "2.5",
        "1e308",
        "'a'",
        "''",
        "'b,a'",
        "true",
        "none",
        "[]",
        "{}",
        "9223372036854775807",
        "[1, 'a', none]",
        "{'a': [1]}",
        "ctx.nope",
        "range(5)",
        "succeeded",
    ]
)


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = [
        "+",
        "-",
        "*",
        "/",
        "//",
        "%",
        "**",
        "~",
        "==",
        "!=",
        "<",
        "<=",
        ">",
        ">=",
        "and",
        "or",
        "in",
        "not in",
    ]
    calls = st.builds("{}({})".format, st.sampled_from(sorted(NAMES)), st.lists(inner, max_size=3).map(", ".join))
    by = st.sampled_from(["map", "filter", "any", "all", "sort", "max"])
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(operators), inner),
        st.builds(
            "({} {} {} {} {})".format, inner, st.sampled_from(operators), inner, st.sampled_from(operators), inner
        ),
        calls,
        st.builds("{}({}, attribute='a')".format, by, inner),
        st.builds("map({}, '{}')".format, inner, st.sampled_from(sorted(NAMES))),
        st.builds("({}|{})".format, inner, st.sampled_from(sorted(NAMES))),
        st.builds("{}[{}]".format, inner, inner),
        st.builds("{}[{}:{}]".format, inner, inner, inner),
        st.builds("{}.{}".format, inner, st.sampled_from(["a", "b", "__class__", "0"])),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("({} is {})".format, inner, st.sampled_from(sorted({*TESTS, "defined"}))),
        st.builds("{}{}".format, st.sampled_from(["not ", "-", "+"]), inner),
        st.lists(inner, max_size=4).map(lambda parts: f"[{', '.join(parts)}]"),
        st.builds("{{{}: {}}}".format, inner, inner),
    )


EXPRESSIONS = st.recursive(LEAVES, grown, max_leaves=8)
SCRAPS = st.lists(
    st.sampled_from(
        [
            "{{",
            "}}",
            "<%",
            "%>",
            "{%",
            "ctx",
            ".",
            "a",
            "(",
            ")",
            "[",
            "]",
            "'",
            '"',
            "\\",
            "1",
            "-",
            "not ",
            " if ",
            " else ",
        ]
    )
    | st.sampled_from(
        [
            "|",
            "**",
            ",",
            ":",
            "{",
            "}",
            "$",
            "=",
            "=>",
            "ctx()",
            "`",
            "\n",
            "é",
            "\x03",
            "\ud800",
            "1e9",
            " and ",
            "is ",
        ]
    )
    | st.text(max_size=3),
    max_size=25,
).map("".join)


def is_json(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(map(is_json, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_json(each) for key, each in value.items())
    return value is None or isinstance(value, str | bool | int)


def check_wording(error: Exception) -> None:
    assert "\n" not in str(error)
    assert len(str(error)) < 500


@given(EXPRESSIONS, JSON, JSON)
def test_an_expression_has_a_json_value_or_an_error(source: str, one: object, other: object) -> None:
    """Whatever is computed with whatever: plain JSON within the budget, or one line that says why not."""
    view = View(variables={"a": one, "b": other}, result=other, item=one, status="succeeded")
    before = json.dumps([one, other])
    budget = Budget(steps=STEPS, size=SIZE)

    try:
        value = Expression(source).evaluate(view, budget)
    except (ExpressionError, ExpressionInvalid) as error:
        check_wording(error)
    else:
        assert is_json(value)
        assert budget.steps >= 0
        assert budget.size >= 0
        assert len(json.dumps(value)) < 100_000
    assert json.dumps([one, other]) == before


@given(SCRAPS | st.text())
def test_any_text_is_an_expression_or_invalid(source: str) -> None:
    for attempt in (source, f"<% {source} %>"):
        try:
            Expression(attempt).evaluate(View(variables={"a": 1}), Budget(steps=STEPS, size=SIZE))
        except (ExpressionError, ExpressionInvalid) as error:
            check_wording(error)


@given(
    st.recursive(
        SCRAPS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    )
)
def test_any_value_is_a_template_or_has_problems(value: object) -> None:
    """What has no problems can be filled in; what cannot be cut has problems."""
    template = Template(value)
    problems = template.problems()

    try:
        template.evaluate(View(variables={"a": "{{ ctx.a }}"}), Budget(steps=STEPS, size=SIZE))
    except ExpressionInvalid:
        assert problems
    except ExpressionError:
        pass


@given(JSON)
def test_what_is_filled_in_is_not_evaluated_again(value: object) -> None:
    made = Template(["{{ ctx.a }}", {"k": "{{ [ctx.a] }}"}]).evaluate(
        View(variables={"a": value}), Budget(steps=9_999, size=9_999)
    )

    assert made == [value, {"k": [value]}]


@given(JSON, JSON)
def test_equality_is_that_of_json(one: object, other: object) -> None:
    """Symmetric, and a boolean is never a number."""
    budget = Budget(steps=100_000, size=0)

    assert is_equal(one, one, budget)
    assert is_equal(one, other, budget) == is_equal(other, one, budget)
    if is_equal(one, other, budget):
        assert one == other


@given(
    st.recursive(
        st.sampled_from(
            ["ctx().a", "1", "2.5", "'a\\'b'", '"x"', "word", "null", "true", "result()", "[1, 2]", "-1", "{a => 1}"]
        ),
        lambda inner: (
            st.builds(
                "{} {} {}".format,
                inner,
                st.sampled_from(["+", "-", "*", "/", "mod", "=", "<", "in", "and", "or"]),
                inner,
            )
            | st.builds("({})".format, inner)
            | st.builds("not {}".format, inner)
            | st.builds("{}({})".format, st.sampled_from(sorted(TRANSLATED)), inner)
            | st.builds("({}).{}()".format, inner, st.sampled_from(sorted(TRANSLATED)))
        ),
        max_leaves=6,
    )
)
def test_what_is_translated_is_an_expression(source: str) -> None:
    """The translator never makes what our own parser does not take."""
    try:
        made = translate(f"<% {source} %>")
    except ExpressionInvalid:
        return

    Expression(made).check()
