"""YAQL: what it means in our own expressions, and that what has no exact translation is refused with the reason."""

from __future__ import annotations

import time

import pytest

from jetrun.actors.graph_expression import Budget, Expression, ExpressionError, ExpressionInvalid, View
from jetrun.actors.graph_yaql import translate

VIEW = View(
    variables={
        "which": "a",
        "count": 1,
        "xs": [3, 1, 2],
        "d": {"a": {"b": 1}, "k": 5},
        "people": [{"name": "B", "on": True}, {"name": "A", "on": False}],
        "none": None,
        "i": 1,
    },
    result={"code": 200, "items": [1, 2]},
    status="succeeded",
    item="it",
    items={"x": 5},
    statuses={"task1": "failed"},
)


def value_of(source: str) -> object:
    return Expression(f"<% {source} %>").evaluate(VIEW, Budget(steps=10_000, size=10_000))


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("succeeded() and ctx().count < 2", True),
        ('succeeded() and ctx().which = "a"', True),
        ("succeeded() and not ctx().which in list(a, b)", False),
        ("not ctx().which in list(b, c)", True),
        ("failed() or completed()", True),
        ("ctx().count + 1", 2),
        ("ctx(xs)", [3, 1, 2]),
        ("ctx('xs')", [3, 1, 2]),
        ('ctx("d").a.b', 1),
        ("ctx().d.a.b", 1),
        ("ctx().get(which)", "a"),
        ("ctx().get(nope, other)", "other"),
        ("ctx().d.get('k')", 5),
        ("ctx().d[k]", 5),
        ("ctx().xs[0] + ctx().xs[-1]", 5),
        ("ctx().xs[ctx().i]", 1),
        ("result().code = 200", True),
        ("result().items.len()", 2),
        ("result().get(code)", 200),
        ("item()", "it"),
        ("item(x)", 5),
        ("task_status(task1)", "failed"),
        ("ctx().xs.first() + ctx().xs.last()", 5),
        ("list().first(7)", 7),
        ("ctx().d.keys()", ["a", "k"]),
        ("list(ctx().d.keys())", ["a", "k"]),
        ("ctx().d.values().last()", 5),
        ("len(ctx().xs)", 3),
        ("str(1) + str(true) + str(null) + str('x')", "1truenullx"),
        ("int('12') + int(1.9)", 13),
        ("concat(a, 'b', \"c\")", "abc"),
        ("range(3)", [0, 1, 2]),
        ("list(range(1, 3))", [1, 2]),
        ("range(0, 6, 2).toList()", [0, 2, 4]),
        ("zip(ctx(xs), list(a, b))", [[3, "a"], [1, "b"], [2, None]]),
        ("zip(list(1, 2), list(a), pad => x)", [[1, "a"], [2, "x"]]),
        ("dict(a => 1, 'b' => ctx().count)", {"a": 1, "b": 1}),
        ("{a => 1}", {"a": 1}),
        ("{}", {}),
        ("dict()", {}),
        ("[1, a, null]", [1, "a", None]),
        ("list(list(1), 2)", [[1], 2]),
        ("json('{\"a\": 1}').a", 1),
        ("7 / 2", 3),
        ("-7 / 2", -4),
        ("7.0 / 2", 3.5),
        ("7 mod 4", 3),
        ("12 / 2 / 3", 2),
        ("2 + 3 * 4 - 1", 13),
        ("(2 + 3) * 4", 20),
        ("10 - 2 - 3", 5),
        ("-2 * 3", -6),
        ("2 * -3", -6),
        ("1 + 1 = 2 and 2 != 3 and 1 < 2 and 2 > 1 and 1 <= 1 and 1 >= 1", True),
        ("not 1 = 2", True),
        ("not not true", True),
        ("true and not false or false", True),
        ("null = ctx().none", True),
        ("a in [a, b]", True),
        ("'a' in 'bab'", True),
        ("'it\\'s' + \"\\n\\u00e9\\x41\" + '\\d'", "it's\néA\\d"),
        ("`a\\`b\\n`", "a`b\\n"),
        ("'\"'", '"'),
        ("'\\\\'", "\\"),
        ("'{{ x }}'", "{{ x }}"),
        ("ctx().xs.select($)", [3, 1, 2]),
        ("ctx().people.select($.name)", ["B", "A"]),
        ("ctx().people.where($.name = 'A')", [{"name": "A", "on": False}]),
        ("ctx().people.where($.on).select($.name).first()", "B"),
        ("ctx().xs.orderBy($)", [1, 2, 3]),
        ("ctx().people.orderBy($.name).first().name", "A"),
        ("ctx().xs.reverse().first()", 2),
        ("[1, 1, 2].distinct()", [1, 2]),
        ("[a, b].join(', ') + ', '.join([c, d])", "a, bc, d"),
        ("'A-b'.toLower() + 'x'.toUpper() + ' y '.trim()", "a-bXy"),
        ("'a,b'.split(',')", ["a", "b"]),
        ("'aXb'.replace(X, '')", "ab"),
        ("'abc'.startsWith(a) and 'abc'.endsWith(c)", True),
        ("max(1, 2) + min(1, 2) + [3, 4].max() + abs(-1)", 8),
        ("dict(a => 1).set(b, 2)", {"a": 1, "b": 2}),
        ("ctx().xs.contains(3)", True),
        ("switch(ctx().count > 5 => many, ctx().count > 0 => some, true => none)", "some"),
        ("switch(false => 1)", None),
        ("ctx().xs.select($ + 1)", [4, 2, 3]),
        ("ctx().xs.select(str($)).select($ + '!')", ["3!", "1!", "2!"]),
        ("ctx().xs.where($ > 1 and $ < 3)", [2]),
        ("ctx().people.where($.name != A).select([$.name, $.on])", [["B", True]]),
        ("ctx().people.where(not $.on).select({who => $.name})", [{"who": "A"}]),
        ("ctx().people.where($.name in list(A, C)).len()", 1),
        ("ctx().people.select($.get(age, 7))", [7, 7]),
        ("ctx().people.select(switch($.on => yes, true => no))", ["yes", "no"]),
        ("dict(ctx().people.select([$.name, $.on]))", {"B": True, "A": False}),
        ("ctx().people.toDict($.name).A.on", False),
        ("ctx().people.toDict($.name, $.on)", {"B": True, "A": False}),
        ("ctx().d.items().where($[0] = k).select($[0] + '=' + str($[1])).join(', ')", "k=5"),
        ("'a, b ,c'.split(',').select(str($).trim())", ["a", "b", "c"]),
        ("[[1, 2], [3]].select($.select($ * 2))", [[2, 4], [6]]),
        ("[[1, 2], [3]].select($.where($ > 1))", [[2], [3]]),
        ("[[1, [2]], 3].flatten()", [1, 2, 3]),
        ("[1, [2, [3]]].selectMany($)", [1, 2, [3]]),
        ("ctx().xs.any($ > 2) and not ctx().xs.any($ > 3) and [0].any() and not [].any()", True),
        ("ctx().xs.all($ > 0) and not ctx().xs.all($ > 1) and [].all() and not [0, 1].all()", True),
        ("ctx().xs.sum()", 6),
        ("ctx().xs.append(4, a)", [3, 1, 2, 4, "a"]),
        ("ctx().xs.skip(1) + ctx().xs.limit(1) + ctx().xs.take(9)", [1, 2, 3, 3, 1, 2]),
        ("dict(a => 1, b => 2) + dict(b => 3)", {"a": 1, "b": 3}),
        ("ctx().d.a + {c => 2}", {"b": 1, "c": 2}),
        ("ctx().d.containsKey(k) and not ctx().d.containsKey(z)", True),
        ("coalesce(null, ctx().none, 2)", 2),
        ("coalesce(null)", None),
        ("bool(ctx().xs) and bool('false') and not bool('') and not bool(null) and not bool(0)", True),
        ("isEmpty(null) and isEmpty('') and isEmpty(' ') and not isEmpty(a)", True),
        ("isString(a) and isInteger(1) and isNumber(1.5) and isBoolean(true) and isList([]) and isDict({})", True),
        ("isString(null) or isInteger(1.0) or isInteger(true) or isNumber(true)", False),
        ("'abcdef'.substring(1, 2) + 'abcdef'.substring(4) + 'abcdef'.substring(-2) + 'a'.substring(9)", "bcefef"),
        ("'1.2.3'.substring(0, '1.2.3'.lastIndexOf('.'))", "1.2"),
        ("'abc'.indexOf(c) + 'abc'.indexOf(z) + [1, 2].indexOf(2)", 2),
    ],
)
def test_what_orquesta_writes_means_the_same(source: str, value: object) -> None:
    """Values as YAQL gives them: whole numbers divide down, bare words are texts, `not` binds less than `in`."""
    found = value_of(source)

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("source", "translation"),
    [
        ("ctx().a.b", "ctx().a.b"),
        ("not ctx().which in list(a, b)", '(not (ctx().which in ["a", "b"]))'),
        ("a and b and c or d", '(("a" and "b" and "c") or "d")'),
        ("1 + 2 * 3 - 4", "(1 + (2 * 3) - 4)"),
        ("ctx().if.is", 'ctx()["if"]["is"]'),
        ("1 / 2 / 3", "divide(divide(1, 2), 3)"),
    ],
)
def test_translations_are_bracketed(source: str, translation: str) -> None:
    assert translate(f"<% {source} %>") == translation


@pytest.mark.parametrize(
    "source",
    [
        "$",
        "$.x",
        "ctx().xs[$ > 1]",
        "ctx().xs.select(ctx().xs[$])",
        "ctx().xs.select($1)",
        "ctx().xs.select($x)",
        "ctx().xs.select(a => $)",
        "ctx().xs.where($, $)",
        "ctx().xs.orderBy($ + 1)",
        "ctx().xs.orderBy($[0])",
        "ctx().xs.toSet()",
        "ctx().xs.skip(ctx().i)",
        "ctx().xs.limit(-1)",
        "ctx().xs.append()",
        "ctx().xs.toDict()",
        "isList(ctx().xs.select($))",
        "isList(range(3))",
        "any(ctx().xs)",
        "select(ctx().xs, $)",
        "let(a => 1) -> $.a",
        "random(1, 2)",
        "task(one).result",
        "version_compare('1.0.0', '1.0.1')",
        "ctx()?.a",
        "'a' =~ 'b'",
        "'a' !~ 'b'",
        "1 -> $ + 1",
        "1 < 2 < 3",
        "1 = 1 = 1",
        "st2kv.system.x",
        "st2kv('system.x')",
        "regex('a').search(b)",
        "now()",
        "let(a => 1)",
        "ctx().xs.aggregate($1 + $2)",
        "ctx().a.join(ctx().b)",
        "'a'.join('b')",
        "list(range(2), 1)",
        "dict(a, 1)",
        "list(a => 1)",
        "result(1)",
        "'a'.replace(b)",
        "switch(1, 2)",
        "task_status(t, 1)",
        "'\\a'",
        "zip([1], x => 1)",
        "len(a, b)",
        "ctx().xs.select()",
        "call(len, [1])",
    ],
)
def test_what_has_no_exact_translation_is_refused(source: str) -> None:
    with pytest.raises(ExpressionInvalid) as caught:
        translate(f"<% {source} %>")

    assert caught.value.kind == "yaql_not_translatable"
    assert len(caught.value.reason) < 200


@pytest.mark.parametrize(
    ("source", "column"),
    [
        ("<% %>", 1),
        ("<% 1 + %>", 8),
        ("<% (1 %>", 7),
        ("<% 1 2 %>", 6),
        ("<% 'a %>", 4),
        ("<% ctx(). %>", 11),
        ("<% a b %>", 6),
        ("<% # %>", 4),
        ("<% len (1) %>", 8),
        ("<% and %>", 4),
        ("<% 1 == 1 %>", 7),
        ("<% - - 1 %>", 6),
        ("<% [1 %>", 7),
        ("<% __x %>", 4),
        ("<% ctx().__x %>", 10),
        ("no", 1),
    ],
)
def test_what_is_no_yaql_is_refused_with_its_place(source: str, column: int) -> None:
    with pytest.raises(ExpressionInvalid) as caught:
        translate(source)

    assert caught.value.kind == "expression_syntax"
    assert caught.value.column == column


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("st2kv('system.x')", "take the value as an input"),
        ("task(one).result", "publish what is needed"),
        ("regex('a').match(b)", "no regular expressions"),
        ("from_json_string('1')", r"json\(\)"),
        ("ctx().xs.select($) + $.x", r"variables are ctx\(\)"),
    ],
)
def test_what_stackstorm_has_and_jetrun_has_not_names_what_to_use_instead(source: str, hint: str) -> None:
    with pytest.raises(ExpressionInvalid, match=hint):
        translate(f"<% {source} %>")


def test_variables_within_a_query_are_known() -> None:
    found = Expression("<% ctx(a).where($.x in ctx(b)).select($.y + ctx().c) %>")

    assert found.variables == {"a", "b", "c"}


def test_a_query_of_a_query_pays_for_every_element() -> None:
    with pytest.raises(ExpressionError, match="more steps"):
        value_of("range(100).select(range(100).select(range(100).select($ + 1)))")


def test_private_variables_stay_private() -> None:
    with pytest.raises(ExpressionInvalid, match="private"):
        Expression("<% ctx('__x') %>").check()
    with pytest.raises(ExpressionInvalid, match="private"):
        Expression("<% ctx()['__x'] %>").check()


def test_variables_of_yaql_are_known() -> None:
    assert Expression("<% ctx(a) + ctx().b.c + ctx('d') %>").variables == {"a", "b", "d"}


def test_errors_show_yaql_as_it_was_written() -> None:
    with pytest.raises(ExpressionError, match="<% ctx\\(\\)\\.nope %>"):
        Expression("<% ctx().nope %>").evaluate(VIEW, Budget(steps=9, size=9))


@pytest.mark.parametrize(
    "source",
    ["(" * 1900, "[" * 1900, "1" + "+1" * 1900, "len(" * 900, "a" + ".b" * 1900, "'" + "\\'" * 1900, "a" * 9000],
)
def test_bombs_are_refused_at_once(source: str) -> None:
    began = time.process_time()

    with pytest.raises((ExpressionInvalid, ExpressionError)):
        value_of(source)

    assert time.process_time() - began < 5
