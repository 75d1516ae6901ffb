"""Functions of expressions: each by an example, with what it refuses; and that the document lists them all."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from jetrun.actors.graph_evaluate import NAMES
from jetrun.actors.graph_expression import Budget, Expression, ExpressionError, ExpressionInvalid, View
from jetrun.actors.graph_functions import FUNCTIONS, SIMPLE
from jetrun.actors.graph_tests import TESTS
from jetrun.actors.graph_yaql_names import TRANSLATED

DOCUMENT = (Path(__file__).parents[3] / "docs" / "expressions.md").read_text(encoding="utf-8")
PEOPLE = [{"name": "B", "age": 3, "at": {"x": 1}, "on": True}, {"name": "A", "age": 2, "at": {"x": 2}, "on": False}]
VIEW = View(variables={"people": PEOPLE, "text": "a, b"})


def value_of(source: str) -> object:
    return Expression(source).evaluate(VIEW, Budget(steps=10_000, size=100_000))


EXAMPLES: list[tuple[str, object]] = [
    ("abs(-3) + abs(2.5)", 5.5),
    ("all([1, true]) and not all([1, 0]) and all([])", True),
    ("all(ctx.people, attribute='age', equals=3)", False),
    ("any([0, none, 'x']) and not any([])", True),
    ("any(ctx.people, attribute='name', equals='A')", True),
    ("any(['', ' '], 'trim')", False),
    ("bool('true') and bool('True') and not bool('false') and bool(1) and not bool([]) and not bool(none)", True),
    ("concat('a', 'b', 'c') ~ concat([1], [2])", "abc[1,2]"),
    ("contains('abc', 'b') and contains([1, 2], 2) and contains({'a': 1}, 'a')", True),
    ("divide(7, 2) ~ divide(-7, 2) ~ divide(7.0, 2)", "3-43.5"),
    ("endswith('abc', 'bc') and not endswith('abc', 'b')", True),
    ("filter([0, 1, none, 2])", [1, 2]),
    ("select([1, 2], each * 2)", [2, 4]),
    (
        "ctx.people | where(each.age > 2 and each.on) | select({'who': each.name, 'by': ctx.people | length})",
        [{"who": "B", "by": 2}],
    ),
    ("select([[1, 2], [3]], where(each, each > 1))", [[2], [3]]),
    ("select([{'a': 1}, {}], default(each.a, 0))", [1, 0]),
    ("where([1, none, 0, 'x'], each)", [1, "x"]),
    ("select([], each.nope)", []),
    ("flatten([[1, [2]], 3, {'a': [4]}])", [1, 2, 3, {"a": [4]}]),
    ("flatten([[1, [2]], 3], 1) ~ flatten([[1]], 0) ~ flatten([])", "[1,[2],3][[1]][]"),
    ("from_items([['a', 1], ['b', 2], ['a', 3]])", {"a": 3, "b": 2}),
    ("from_items(items({'a': 1}))", {"a": 1}),
    ("is_blank(none) and is_blank('') and is_blank(' \\n ') and not is_blank('a')", True),
    ("index_of('abc', 'c') ~ index_of('abc', 'z') ~ index_of([1, 2.0], 2) ~ index_of([], 1)", "2-11-1"),
    ("last_index_of('a.b.c', '.') ~ last_index_of('a', 'b')", "3-1"),
    ("substring('abcdef', 1, 2) ~ substring('abcdef', 4) ~ substring('abcdef', -2, 1) ~ substring('a', 5)", "bcefe"),
    ("filter(['a', ''], 'length')", ["a"]),
    ("filter(ctx.people, attribute='on')|map(attribute='name')", ["B"]),
    ("filter(ctx.people, attribute='at.x', equals=2)|length", 1),
    ("first([1, 2]) ~ first('ab') ~ first([], 'd')", "1ad"),
    ("last([1, 2]) ~ last('ab') ~ last([], 'd')", "2bd"),
    ("float('1.5') + float(2) + float('1e1')", 13.5),
    ("get({'a': 1}, 'a') ~ get({'a': 1}, 'b') ~ get({'a': 1}, 'b', 2)", "1null2"),
    ("int('12') + int(1.9) + int(true) + int('-3') + int(' 4 ')", 15),
    ("items({'a': 1, 'b': 2})", [["a", 1], ["b", 2]]),
    ("join(['a', 1, true, none, [2]], '-')", "a-1-true-null-[2]"),
    ("['a', 'b']|join", "ab"),
    ("json('{\"a\": [1, 2.5, null]}')", {"a": [1, 2.5, None]}),
    ("keys({'b': 1, 'a': 2})", ["b", "a"]),
    ("values({'b': 1, 'a': 2})", [1, 2]),
    ("list([1, 2]) | list", [1, 2]),
    ("len('abc') + length([1]) + {}|length", 4),
    ("lower('ÀB') ~ upper('àb')", "àbÀB"),
    ("map(ctx.people, attribute='at.x')", [1, 2]),
    ("['a', 'b']|map('upper')", ["A", "B"]),
    ("max([1, 3, 2]) + max(1, 2) + min([3, 1]) + min(2, 3, 4)", 8),
    ("max(['a', 'b']) ~ min(ctx.people, attribute='age').name", "bA"),
    ("merge({'a': 1, 'b': {'x': 1}}, {'b': {'y': 2}}, {'c': 3})", {"a": 1, "b": {"y": 2}, "c": 3}),
    ("range(3) + range(1, 3) + range(3, 0, -1)", [0, 1, 2, 1, 2, 3, 2, 1]),
    ("replace('aXbX', 'X', '--')", "a--b--"),
    ("reverse([1, 2]) ~ reverse('ab')", "[2,1]ba"),
    ("round(2.6)", 3),
    ("round(2.567, 2)", 2.57),
    ("round(1234, -2)", 1200),
    ("sort([3, 1.5, 2])", [1.5, 2, 3]),
    ("sort(['b', 'a'], reverse=true)", ["b", "a"]),
    ("sort(ctx.people, attribute='age')|map(attribute='name')", ["A", "B"]),
    ("split(ctx.text, ', ') + split(' a  b ')", ["a", "b", "a", "b"]),
    ("startswith('abc', 'ab')", True),
    ("str(1) ~ string(true) ~ string('x') ~ string([1, 'x'])", '1truex[1,"x"]'),
    ("sum([1, 2, 3.5]) + sum([])", 6.5),
    ("to_json('a') ~ tojson({'a': none})", '"a"{"a":null}'),
    ("trim('  a ') ~ trim('xax', 'x')", "aa"),
    ("unique([1, 1.0, true, 'a', 'a', [1], [1], none, none])", [1, True, "a", [1], None]),
    ("zip([1, 2], ['a'])", [[1, "a"], [2, None]]),
    ("zip([1, 2], ['a'], pad='-')", [[1, "a"], [2, "-"]]),
]


@pytest.mark.parametrize(("source", "value"), EXAMPLES)
def test_functions(source: str, value: object) -> None:
    found = value_of(source)

    assert found == value
    assert type(found) is type(value)


def test_every_function_has_an_example() -> None:
    shown = " ".join(source for source, _ in EXAMPLES)

    assert [name for name in FUNCTIONS if not re.search(rf"\b{name}\b", shown)] == []


@pytest.mark.parametrize(
    "source",
    [
        "abs('1')",
        "bool('yes')",
        "concat('a', [1])",
        "concat({}, {})",
        "filter(1)",
        "first([])",
        "first({})",
        "float('nan')",
        "float('inf')",
        "float('1e999')",
        "float('')",
        "int('')",
        "int('1.5')",
        "int('x' * 2000)",
        "int(none)",
        "int([])",
        "int(1e300)",
        "int('1_000')",
        "int('\uff11')",
        "items([])",
        "join('abc', ',')",
        "join([1], 1)",
        "json('{')",
        "json('nan')",
        "json('1e999')",
        "json('99999999999999999999999')",
        "json(1)",
        "length(1)",
        "list('ab')",
        "list({})",
        "map([1], 'upper')",
        "map([1])",
        "map([{}], attribute='a')",
        "map([1], 'upper', attribute='a')",
        "max([])",
        "max([1, 'a'])",
        "max([true])",
        "max([[1], [2]])",
        "merge({}, [])",
        "range(1, 2, 0)",
        "range(1.5)",
        "range(10001)",
        "replace('a', '', 'b')",
        "reverse(1)",
        "round(1, 99)",
        "round(true)",
        "sort([1, 'a'])",
        "sort([true, false])",
        "sort([[1]])",
        "sort([{}], attribute='a')",
        "sort([1], attribute=1)",
        "sort([1], reverse=1)",
        "split('a', '')",
        "sum(['a'])",
        "sum([9223372036854775807, 1])",
        "sum([true])",
        "upper(1)",
        "zip([1], 2)",
        "get([], 'a')",
        "get({}, 1)",
        "select('ab', each)",
        "where({}, each)",
        "select([1], each.a)",
        "where([1, 'a'], each > 0)",
        "from_items([1])",
        "from_items([['a']])",
        "from_items([[1, 2]])",
        "flatten(1)",
        "flatten([], 1.5)",
        "index_of(1, 1)",
        "index_of('a', 1)",
        "last_index_of([1], 1)",
        "substring('abc', -5)",
        "substring('abc', 1.0)",
        "is_blank(1)",
        "is_blank([])",
        "[1] is even",
        "1 is empty",
    ],
)
def test_functions_refuse_other_kinds(source: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        value_of(source)

    assert len(str(caught.value)) < 300


def test_functions_of_one_argument_are_those_that_map_takes() -> None:
    assert all(function.least == 1 for function in SIMPLE.values())


def test_the_document_lists_every_name() -> None:
    """A function that nobody can find is none; one that is written down and missing is a lie."""
    rows = re.findall(r"^\| (`.+?`) \|", DOCUMENT.partition("\n## YAQL")[0], re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`(\w+)\(", row)}
    tests = set(re.findall(r"`(\w+)`", next(line for line in DOCUMENT.splitlines() if line.startswith("Tests: "))))
    yaql = set(
        re.findall(r"`\.?(\w+)`", next(line for line in DOCUMENT.splitlines() if line.startswith("Functions: ")))
    )

    assert listed == NAMES
    assert tests == {*TESTS, "defined", "undefined"}
    assert yaql == TRANSLATED


@pytest.mark.parametrize("source", ["each", "each.a", "select([1], each) + each", "select(each, each)"])
def test_each_is_known_within_a_query_alone(source: str) -> None:
    with pytest.raises(ExpressionInvalid, match="each stands for an element"):
        Expression(source).check()


@pytest.mark.parametrize(
    "source", ["select([1])", "where([1], each, 1)", "select([1], expression=each)", "[1] | select"]
)
def test_a_query_takes_a_list_and_an_expression(source: str) -> None:
    with pytest.raises(ExpressionInvalid, match="takes a list and an expression of each"):
        Expression(source).check()


def test_a_query_leaves_what_it_sees_as_it_was() -> None:
    assert value_of("select([[1], [2]], select(each, each + 1) + each)") == [[2, 1], [3, 2]]
    assert msgspec.UNSET is VIEW.each


def test_a_query_is_paid_for_before_it_begins() -> None:
    budget = Budget(steps=50, size=100_000)

    with pytest.raises(ExpressionError, match="more steps"):
        Expression("range(30) | select(each + 1)").evaluate(VIEW, budget)


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("st2kv.system.x", "take the value as an input"),
        ("_.x", r"variables are ctx\.name"),
        ("task('a').result", "publish what is needed"),
        ("ctx.text | from_json_string", r"use json\(\)"),
        ("ctx.people | selectattr('on')", r"where\(list, each\.key\)"),
        ("ctx.text | regex_match('a')", "no regular expressions"),
    ],
)
def test_what_stackstorm_has_and_jetrun_has_not_names_what_to_use_instead(source: str, hint: str) -> None:
    with pytest.raises(ExpressionInvalid, match=hint):
        Expression(source).check()
