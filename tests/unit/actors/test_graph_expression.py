"""Expressions: what they mean, and what they refuse."""

from __future__ import annotations

import pytest

from jetrun.actors.graph_expression import Budget, Expression, ExpressionError, ExpressionInvalid, Undefined, View
from jetrun.actors.limits import GRAPH_MADE_MAX, GRAPH_STEPS_MAX

VIEW = View(
    variables={
        "count": 3,
        "name": "Ada",
        "xs": [3, 1, 2],
        "none": None,
        "yes": True,
        "build": {"url": "http://x", "tags": ["a", "b"], "in": 5},
        "people": [{"name": "B", "age": 3, "at": {"x": 1}}, {"name": "A", "age": 2, "at": {"x": 2}}],
        "text": "{{ ctx.count }} <% ctx().count %>",
        "__secret": 1,
    },
    result={"code": 200, "body": {"items": [1]}},
    status="succeeded",
    item={"a": 1},
    items={"x": 5},
    statuses={"build": "succeeded"},
    attempt=2,
    now_us=1_700_000_000_500_000,
    run={"id": "r-1", "workflow": "w", "app": "shop"},
)


def value_of(source: str, view: View = VIEW) -> object:
    return Expression(source).evaluate(view, Budget(steps=GRAPH_STEPS_MAX, size=GRAPH_MADE_MAX))


def problem_of(source: str) -> ExpressionInvalid:
    with pytest.raises(ExpressionInvalid) as caught:
        Expression(source).check()
    return caught.value


def error_of(source: str, view: View = VIEW) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        value_of(source, view)
    return caught.value


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("1 + 2 * 3", 7),
        ("7 // 2", 3),
        ("7 / 2", 3.5),
        ("-7 % 3", 2),
        ("2 ** 10", 1024),
        ("2 ** -1", 0.5),
        ("- - 1", 1),
        ("1.5e3", 1500.0),
        ("'a' + 'b'", "ab"),
        ("[1] + [2]", [1, 2]),
        ("'ab' * 2", "abab"),
        ("[0] * 3", [0, 0, 0]),
        ("'a' * -1", ""),
        ("1 ~ 'a' ~ true ~ none ~ [1, 'x'] ~ {'k': 1.5}", '1atruenull[1,"x"]{"k":1.5}'),
        ("1 < 2 < 3", True),
        ("1 < 3 < 2", False),
        ("'a' < 'b' and 2 >= 2 and 1 <= 1.5 and 2 != 3", True),
        ("1 == 1.0", True),
        ("true == 1", False),
        ("false == 0", False),
        ("[1, {'a': true}] == [1.0, {'a': true}]", True),
        ("[1, true] == [1, 1]", False),
        ("{'a': 1} == {'a': 1, 'b': 2}", False),
        ("none == null", True),
        ("1 in [true, 1]", True),
        ("true in [1]", False),
        ("'a' in 'bab'", True),
        ("'a' in {'a': 1}", True),
        ("4 not in [1, 2]", True),
        ("not 1 in [2]", True),
        ("1 if false else 2", 2),
        ("ctx.none or 'other'", "other"),
        ("'' and 1", ""),
        ("1, 'a'", [1, "a"]),
        ("(1, 2)", [1, 2]),
        ("{'a': {'b': 1}}", {"a": {"b": 1}}),
        ("{'a': {'b': 1}}.a.b", 1),
        ("ctx.count", 3),
        ("ctx().count", 3),
        ("ctx('count')", 3),
        ("ctx['count']", 3),
        ("ctx['co' ~ 'unt']", 3),
        ("ctx('co' ~ 'unt')", 3),
        ("ctx.xs[0]", 3),
        ("ctx.xs[-1]", 2),
        ("ctx.xs[1:]", [1, 2]),
        ("ctx.xs[:-1]", [3, 1]),
        ("ctx.name[0] ~ ctx.name[1:2]", "Ad"),
        ("ctx.build['in']", 5),
        ("ctx.build.tags[1]", "b"),
        ("result.code == 200 and result().body.items[0] == 1", True),
        ("succeeded and succeeded() and completed and not failed and not timed_out and not skipped()", True),
        ("error is none", True),
        ("item.a", 1),
        ("item.x", 5),
        ("item('x') + item().a", 6),
        ("task_status('build')", "succeeded"),
        ("task_status('other')", None),
        ("attempt", 2),
        ("now", "2023-11-14T22:13:20.500000Z"),
        ("timestamp()", 1_700_000_000.5),
        ("run.id", "r-1"),
        ("'}}' ~ \"%}\"", "}}%}"),
        ("'a\\n\\t\\\\\\u00e9'", "a\n\t\\é"),
        ("'a\nb'", "a\nb"),
        ("ctx.text", "{{ ctx.count }} <% ctx().count %>"),
        ("ctx\n  .count", 3),
        ("'é😀'|length", 2),
    ],
)
def test_expressions_mean_what_they_say(source: str, value: object) -> None:
    """Values and types as JSON has them: a boolean is no number, 1 equals 1.0."""
    found = value_of(source)

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("ctx.nope | default(0)", 0),
        ("default(ctx.build.nope.deeper, 'd')", "d"),
        ("default(ctx.none.x, 'd')", "d"),
        ("default(ctx.count, 0)", 3),
        ("default(ctx.none, 1)", None),
        ("default(ctx.none, 1, true)", 1),
        ("default(ctx.xs[9], 'd')", "d"),
        ("coalesce(ctx.nope, ctx.none, 4)", 4),
        ("coalesce(ctx.nope)", None),
        ("defined(ctx.nope)", False),
        ("defined('build')", True),
        ("defined('nope')", False),
        ("ctx.count is defined and ctx.nope is undefined and ctx.nope is not defined", True),
        ("ctx.none is none and ctx.count is not none", True),
        ("'a' is string and 1 is number and 1 is integer and 1.0 is float", True),
        ("true is boolean and true is not number and [] is list and [] is sequence and {} is mapping", True),
        ("[] is empty and 2 is even and 3 is odd and true is true and false is false", True),
    ],
)
def test_what_is_undefined_can_be_asked_for(source: str, value: object) -> None:
    assert value_of(source) == value


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("ctx.nope", "the variable 'nope' is not defined"),
        ("ctx('nope')", "the variable 'nope' is not defined"),
        ("ctx.build.urll", "no key 'urll'"),
        ("ctx.xs[7]", "no element 7 of 3"),
        ("ctx.none.x", "null has no key 'x'"),
        ("item('q')", "no part 'q'"),
    ],
)
def test_what_is_missing_is_undefined_and_an_error(source: str, part: str) -> None:
    """Nothing becomes an empty text behind somebody's back."""
    error = error_of(source)

    assert isinstance(error, Undefined)
    assert part in str(error)
    assert error.column > 0
    assert error.source == source


def test_a_view_of_nothing_has_no_result_and_no_item() -> None:
    assert isinstance(error_of("result.x", View()), Undefined)
    assert isinstance(error_of("item", View()), Undefined)
    assert value_of("completed() or succeeded or failed", View()) is False


@pytest.mark.parametrize(
    ("status", "true"),
    [
        ("succeeded", {"succeeded", "completed"}),
        ("failed", {"failed", "completed"}),
        ("timeout", {"failed", "timed_out", "completed"}),
        ("skipped", {"skipped", "completed"}),
        ("cancelled", {"cancelled", "completed"}),
        ("", set[str]()),
    ],
)
def test_statuses(status: str, true: set[str]) -> None:
    """A timeout has failed, too."""
    names = ["succeeded", "failed", "timed_out", "skipped", "cancelled", "completed"]

    assert {name for name in names if value_of(name, View(status=status))} == true
    assert {name for name in names if value_of(f"{name}()", View(status=status))} == true


@pytest.mark.parametrize(
    "source",
    [
        "'a' < 1",
        "true < 2",
        "true + 1",
        "-true",
        "none < 1",
        "[1] < [2]",
        "'a' + 1",
        "{} + {}",
        "'%s' % 1",
        "1 / 0",
        "1 // 0",
        "1 % 0",
        "1.5 % 0.0",
        "0 ** -1",
        "(-8) ** 0.5",
        "1e308 * 10",
        "1e308 // 1e-308",
        "10.0 ** 400",
        "2 ** 63",
        "9223372036854775807 + 1",
        "{1: 2}",
        "ctx.xs['a']",
        "ctx.build[0]",
        "ctx.xs[true]",
        "ctx.count.x",
        "1 in 2",
        "1 in 'a'",
        "ctx.xs['a':]",
        "ctx[1]",
    ],
)
def test_operands_that_do_not_go_together_are_an_error(source: str) -> None:
    error = error_of(source)

    assert not isinstance(error, Undefined)
    assert "\n" not in str(error)


def test_ctx_as_a_whole_has_nothing_private() -> None:
    assert "__secret" not in str(value_of("keys(ctx)"))
    assert value_of("ctx") == {key: value for key, value in VIEW.variables.items() if key != "__secret"}


def test_results_are_data_and_change_nothing_of_the_view() -> None:
    """A value with braces in it stays a value; a list that is made is another list."""
    assert value_of("ctx.text ~ ''") == "{{ ctx.count }} <% ctx().count %>"
    assert value_of("sort(ctx.xs) + reverse(ctx.xs)") == [1, 2, 3, 2, 1, 3]
    assert VIEW.variables["xs"] == [3, 1, 2]


def test_errors_are_short_and_name_the_place() -> None:
    error = error_of("1 + ctx.build.nope + '" + "x" * 3000 + "'")

    assert error.column == 15
    assert len(str(error)) < 300
    assert str(error_of("ctx.name + 1")).startswith("+ does not go between a text and a number: use ~")
    assert "Ada" not in str(error_of("ctx.name + 1"))


@pytest.mark.parametrize(
    ("source", "kind", "column", "part"),
    [
        ("1 + foo(2)", "expression_unknown_function", 5, "no function 'foo'"),
        ("lengtth([1])", "expression_unknown_function", 1, "did you mean length?"),
        ("[1]|firsst", "expression_unknown_function", 5, "did you mean first?"),
        ("count > 1", "expression_unknown_function", 1, "use ctx.count"),
        ("1 is stringg", "expression_unknown_function", 3, "did you mean string?"),
        ("[1]|map('nope')", "expression_unknown_function", 5, "no function 'nope'"),
        ("1 + ctx.__x", "private_variable", 9, "'__x' is private"),
        ("__x", "private_variable", 1, "is private"),
        ("length", "expression_syntax", 1, "write length(…)"),
        ("'a'.upper()", "expression_syntax", 5, "use upper(value, …)"),
        ("1 + (2", "expression_syntax", 5, "not closed"),
        ("1 + ]", "expression_syntax", 5, "closes nothing"),
        ("1 +", "expression_syntax", 4, "end of the expression"),
        ("a b", "expression_syntax", 3, "end of the expression"),
        ("[1]|map(ctx.f)", "expression_syntax", 5, "in quotes"),
    ],
)
def test_problems_name_kind_place_and_way_out(source: str, kind: str, column: int, part: str) -> None:
    problem = problem_of(source)

    assert (problem.kind, problem.column) == (kind, column)
    assert part in problem.reason


def test_all_problems_of_an_expression_are_listed() -> None:
    found = Expression("foo(1) + bar + ctx.__x").problems()

    assert [problem.column for problem in found] == [1, 10, 20]


def test_variables_are_those_that_have_to_be_there() -> None:
    """What an expression asks for with default or defined may be missing, wherever else it stands in it."""
    expression = Expression(
        "ctx.a + ctx('b') + ctx['c'].z + ctx().d + default(ctx.e, 1) + (ctx.f if defined(ctx.f) else 0)"
    )

    assert expression.variables == {"a", "b", "c", "d"}
    assert Expression("ctx.a is defined and ctx.a").variables == frozenset()
    assert Expression("ctx.a | default(ctx.b)").variables == {"b"}
    assert Expression("defined('a') or ctx[ctx.name]").variables == {"name"}
    assert Expression("1").variables == frozenset()


def test_functions_are_listed() -> None:
    assert Expression("succeeded and upper(result()) | trim").functions == {"succeeded", "upper", "result", "trim"}
    assert Expression("item.x ~ ctx['a' ~ 'b']").functions == {"item", "ctx"}


def test_an_expression_is_parsed_when_it_is_needed() -> None:
    """Making one costs nothing, so that a definition is read at once and checked where it is to be."""
    expression = Expression("1 +")

    assert expression.source == "1 +"
    with pytest.raises(ExpressionInvalid):
        _ = expression.variables
    with pytest.raises(ExpressionInvalid):
        expression.evaluate(VIEW, Budget(steps=10, size=10))


def test_a_budget_is_shared_and_ends() -> None:
    budget = Budget(steps=20, size=1000)
    expression = Expression("1 + 2 + 3")

    expression.evaluate(VIEW, budget)
    budget.steps -= 12

    with pytest.raises(ExpressionError, match="more steps than are allowed"):
        expression.evaluate(VIEW, budget)


def test_the_context_may_be_large() -> None:
    """A condition pays for what it touches, not for what is there."""
    view = View(variables={"count": 1, **{f"v{index}": "x" * 1000 for index in range(1000)}})
    budget = Budget(steps=5, size=0)

    assert Expression("ctx.count < 10").evaluate(view, budget) is True


def test_values_that_are_shared_are_paid_for_each_time() -> None:
    """A short expression that names a large value often would be written to the log as often."""
    view = View(variables={"big": ["x" * 1000] * 100})

    assert len(str(value_of("[ctx.big, ctx.big]", view))) > 200_000
    error_of("[" + "ctx.big," * 20 + "]", view)
    assert value_of("ctx.big", View(variables={"big": "x" * 3_000_000})) == "x" * 3_000_000


def test_what_is_made_is_not_nested_deeper_than_a_body_may_be() -> None:
    deep: object = 1
    for _ in range(63):
        deep = [deep]

    assert value_of("[ctx.deep]", View(variables={"deep": deep})) == [deep]
    assert "levels deep" in str(error_of("[[ctx.deep]]", View(variables={"deep": deep})))


def test_values_that_are_no_json_are_refused() -> None:
    view = View(variables={"odd": {1, 2}, "list": [object()], "keys": {1: 2}})

    assert "no JSON value" in str(error_of("ctx.odd + 1", view))
    assert "not JSON" in str(error_of("ctx.list + [1]", view))
    assert "not JSON" in str(error_of("ctx.odd ~ ''", view))
    assert "not JSON" in str(error_of("[ctx.keys]", view))
    assert "no JSON value" in str(error_of("unique(ctx.list)", view))
