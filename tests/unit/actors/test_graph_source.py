"""A definition's text: what it may hold, what is refused, and the place of everything (B51 to B60, B73, B74)."""

from __future__ import annotations

import pytest

from jetrun.actors.graph_problem import NO_MARK, GraphInvalid, Mark, Problem
from jetrun.actors.graph_source import Document, parse
from jetrun.actors.limits import GRAPH_DEFINITION_BYTES_MAX, GRAPH_DEPTH_MAX, GRAPH_NODES_MAX


def problems_of(data: bytes | str) -> tuple[Problem, ...]:
    with pytest.raises(GraphInvalid) as raised:
        parse(data, name="t.yaml")
    assert str(raised.value).isprintable(), "a report is one line"
    return raised.value.problems


def only(data: bytes | str) -> tuple[str, int, int]:
    (problem,) = problems_of(data)
    assert len(problem.message) < 300
    return problem.kind, problem.mark.line, problem.mark.column


def value_of(data: bytes | str) -> dict[str, object]:
    return dict(parse(data, name="t.yaml").value)


# --- the rows of bad input -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "data", "expected"),
    [
        ("B51", "a: !!python/object/apply:os.system ['true']", ("tag_not_allowed", 1, 4)),
        ("B51", "a:\n  - !secret x", ("tag_not_allowed", 2, 5)),
        ("B51", "a: !!str 1", ("tag_not_allowed", 1, 4)),
        ("B51", "a: !unknown!x 1", ("tag_not_allowed", 1, 4)),
        ("B51", "a: ! x", ("tag_not_allowed", 1, 4)),
        ("B51", "!!map {a: 1}", ("tag_not_allowed", 1, 1)),
        ("B52", "a: &x [1, 2]\nb: *x", ("alias_not_allowed", 2, 4)),
        ("B53", "a: &x [*x]", ("alias_not_allowed", 1, 8)),
        ("B54", "steps: {}\nname: x\nsteps: {}", ("duplicate_key", 3, 1)),
        ("B54", "a:\n  b: [{c: 1, c: 2}]", ("duplicate_key", 2, 14)),
        ("B54", '{"a": {"b": 1,\n  "b": 2}}', ("duplicate_key", 2, 3)),
        ("B55", "v: 017", ("number_ambiguous", 1, 4)),
        ("B55", "v: -00", ("number_ambiguous", 1, 4)),
        ("B56", "v: .inf", ("number_not_json", 1, 4)),
        ("B56", "v: -.INF", ("number_not_json", 1, 4)),
        ("B56", "v: .nan", ("number_not_json", 1, 4)),
        ("B56", '{"v": NaN}', ("number_not_json", 1, 7)),
        ("B56", '{"v": [-Infinity]}', ("number_not_json", 1, 8)),
        ("B56", "v: 1e400", ("number_out_of_range", 1, 4)),
        ("B56", "v: 18446744073709551616", ("number_out_of_range", 1, 4)),
        ("B56", "v: -9223372036854775809", ("number_out_of_range", 1, 4)),
        ("B56", "v: " + "1" * 100_000, ("number_out_of_range", 1, 4)),
        ("B56", "v: 0x" + "f" * 100_000, ("number_out_of_range", 1, 4)),
        ("B56", "v: ." + "1" * 100_000, ("number_out_of_range", 1, 4)),
        ("B58", "a:\n\tb: 1", ("yaml_syntax", 2, 1)),
        ("B58", "a: 1\nb: [1,\n", ("yaml_syntax", 2, 4)),
        ("B58", "a: 1\nb: {c: 1\n", ("yaml_syntax", 2, 4)),
        ("B58", "%YAML 9.9\n---\na: 1", ("yaml_syntax", 1, 1)),
        ("B58", "# c\n\n%TAG ! x\n---\na: 1", ("yaml_syntax", 3, 1)),
        ("B58", "a: b: c", ("yaml_syntax", 1, 5)),
        ("B58", "a: @x", ("yaml_syntax", 1, 4)),
        ("B58", "{a: 1} b", ("yaml_syntax", 1, 8)),
        ("B58", 'a: "\\U00110000"', ("yaml_syntax", 1, 7)),
        ("B58", 'a: "\\ud800"', ("yaml_syntax", 1, 7)),
        ("B58", '{"a": "\\ud800"}', ("text_not_unicode", 1, 7)),
        ("B58", '{\n\t"a": 1\n\t"b": 2\n}', ("json_syntax", 3, 2)),
        ("B59", "a: 1\n---\nb: 2", ("several_documents", 2, 1)),
        ("B59", "a: 1\n...\n# c\n%YAML 1.2\n---\n", ("several_documents", 4, 1)),
        ("B60", "[" * 2_000, ("too_deep", 1, GRAPH_DEPTH_MAX + 1)),
        ("B60", '{"a":' * 200_000, ("too_deep", 1, 5 * GRAPH_DEPTH_MAX + 1)),
        ("B60", "- " * 100_000, ("too_deep", 1, 2 * GRAPH_DEPTH_MAX + 1)),
        ("B60", "a: [" + "1," * GRAPH_NODES_MAX + "]", ("too_many_values", 1, 2 * GRAPH_NODES_MAX + 1)),
        ("B60", b"#" * (GRAPH_DEFINITION_BYTES_MAX + 1), ("too_large", 0, 0)),
        ("B60", "é" * (GRAPH_DEFINITION_BYTES_MAX // 2 + 1), ("too_large", 0, 0)),
        ("B73", "1: x", ("key_not_text", 1, 1)),
        ("B73", "a: {null: x}", ("key_not_text", 1, 5)),
        ("B73", "true: x", ("key_not_text", 1, 1)),
        ("B73", "~: x", ("key_not_text", 1, 1)),
        ("B73", "017: x", ("key_not_text", 1, 1)),
        ("B73", "? [a, b]\n: x", ("key_not_text", 1, 3)),
        ("B73", "a: {{ ctx.b }}", ("key_not_text", 1, 5)),
        ("B73", "<<: *x", ("merge_key_not_allowed", 1, 1)),
        ("B73", "a: {<<: {b: 1}}", ("merge_key_not_allowed", 1, 5)),
        ("B73", "[a]", ("not_a_mapping", 1, 1)),
        ("B73", "\n  just a text", ("not_a_mapping", 2, 3)),
        ("B73", "null", ("not_a_mapping", 1, 1)),
        ("B74", "", ("empty", 1, 1)),
        ("B74", b"\xef\xbb\xbf \r\n# nothing\r\n", ("empty", 1, 1)),
        ("B74", "--- # nothing\n...\n", ("empty", 1, 1)),
        ("B74", b"a: \xff", ("text_not_unicode", 1, 4)),
        ("B74", b"a: 1\r\nb: \xc3", ("text_not_unicode", 2, 4)),
        ("B74", b"\xff\xfea\x00\x00\xd8", ("text_not_unicode", 1, 2)),
        ("B74", "a: 1\nb: \x07", ("character_not_allowed", 2, 4)),
        ("B74", "a: \u2028b", ("character_not_allowed", 1, 4)),
        ("B74", "a: \ud800", ("character_not_allowed", 1, 4)),
        ("B74", "a: x".encode("utf-16-le"), ("character_not_allowed", 1, 2)),
    ],
)
def test_bad_input_is_one_clear_problem(row: str, data: bytes | str, expected: tuple[str, int, int]) -> None:
    """4.3: a stranger's text ends in one line with its place, never in a traceback or in silence."""
    assert only(data) == expected, row


def test_a_bomb_of_aliases_is_refused_before_anything_is_built() -> None:
    """B52: what would be expanded is never made."""
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 10))
    assert {problem.kind for problem in problems_of("l0: &l0 [lol]\n" + levels)} == {"alias_not_allowed"}


def test_words_that_were_booleans_dates_and_sexagesimals_are_texts() -> None:
    """B55, B57: YAML 1.2's core schema, not YAML 1.1."""
    text = "on: yes\ncountry: NO\nt: 12:30:45\nv: 1_000\nd: 2024-01-01\nw: 2024-01-01T00:00:00Z\ny: n\nOff: off\n=: ="
    expected = {"on": "yes", "country": "NO", "t": "12:30:45", "v": "1_000", "d": "2024-01-01"}
    assert value_of(text) == expected | {"w": "2024-01-01T00:00:00Z", "y": "n", "Off": "off", "=": "="}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *[(word, None) for word in ("", "~", "null", "Null", "NULL")],
        *[(word, True) for word in ("true", "True", "TRUE")],
        *[(word, False) for word in ("false", "False", "FALSE")],
        *[
            (word, word)
            for word in (
                "nULL",
                "tRUE",
                "0X1F",
                "-0x1F",
                "0b1",
                "0o18",
                "1.2.3",
                "1e",
                "+",
                "-.",
                "...x",
                ".",
                "NaN",
                "5s",
            )
        ],
        *[("0", 0), ("-0", 0), ("+12", 12), ("0x1F", 31), ("0o17", 15), ("18446744073709551615", 2**64 - 1)],
        *[
            ("1e3", 1000.0),
            ("1.0", 1.0),
            ("1.", 1.0),
            (".5", 0.5),
            ("-1.5E-3", -0.0015),
            ("6.02e+23", 6.02e23),
            ("01.5", 1.5),
        ],
        *[("'017'", "017"), ('"true"', "true"), ("|-\n  017", "017"), ("<% ctx().x %>", "<% ctx().x %>")],
    ],
)
def test_a_word_is_what_the_core_schema_says(word: str, value: object) -> None:
    """B56: `1e3` is a number, as in every other language."""
    found = value_of(f"a: {word}")["a"]
    assert (found, type(found)) == (value, type(value))


def test_all_problems_are_named_in_one_pass() -> None:
    """A person corrects a file once."""
    text = "a: 1\na: 2\nb: {c: 1, c: {d: 1, d: 2}}\ne: [010, !x 1, *y]\n2: x\nf: [1\n"
    found = [(problem.kind, problem.where, problem.mark.line) for problem in problems_of(text)]
    assert found == [
        ("duplicate_key", "a", 2),
        ("duplicate_key", "b.c", 3),
        ("duplicate_key", "b", 3),
        ("number_ambiguous", "e[0]", 4),
        ("tag_not_allowed", "e[1]", 4),
        ("alias_not_allowed", "e[2]", 4),
        ("key_not_text", "", 5),
        ("yaml_syntax", "", 6),
    ]


def test_paths_name_the_value_within_lists_and_mappings() -> None:
    (first, second) = problems_of("a:\n- b: [1, {c: 08}]\n- {d: [[.nan]]}")
    assert (first.where, second.where) == ("a[0].b[1].c", "a[1].d[0][0]")


def test_both_lines_of_a_duplicate_are_named() -> None:
    """B54: the reader sees which two."""
    (problem,) = problems_of("steps: {}\nname: x\nsteps: {}")
    assert "line 1, column 1" in problem.message


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("v: 017", "write 17 or 0o17"),
        ("v: 08", "write 8"),
        ("a: {{ ctx.b }}", "an expression has to be quoted"),
        ("a:\n\tb: 1", "indent with spaces"),
        ("a: x: y", "has to be quoted"),
        ("1: x", "quote it"),
        ("a: [", "'[' is not closed"),
    ],
)
def test_a_message_says_what_to_do(text: str, part: str) -> None:
    assert part in problems_of(text)[0].message


def test_reading_ends_after_a_thousand_problems() -> None:
    """A report that nobody reads is not made."""
    assert len(problems_of("a: *b\n" * 100_000)) == 1_000


# --- encodings, JSON ---------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends_do_not_matter(encoding: str, ends: str) -> None:
    """B74: a file saved by any editor."""
    document = parse(ends.join(["# ü", "ä: |", "  x", "  y", 'b: "😀"', ""]).encode(encoding), name="t")
    assert document.value == {"ä": "x\ny\n", "b": "😀"}
    assert document.mark(("b",), key=True) == Mark(5, 1)


def test_all_of_json_is_read_with_its_places() -> None:
    """Tabs, pairs of surrogates, escapes and long keys are where YAML's parsers fail."""
    key = "k" * 5_000
    text = (
        '{\n\t"a":\t["\\ud83d\\ude00\\/\\u2028\x7f\u2028", -0, 1E3, true, false, null, {}, []],\r\n\t"'
        + key
        + '": 1\n}\n'
    )
    document = parse(text, name="t")
    assert document.value == {"a": ["😀/\u2028\x7f\u2028", 0, 1000.0, True, False, None, {}, []], key: 1}
    assert document.mark(("a",), key=True) == Mark(2, 2)
    assert document.mark(("a", 7)) == Mark(2, text.split("\n")[1].index("[]") + 1)
    assert document.mark((key,)) == Mark(3, 5_006)


def test_a_text_that_begins_as_json_may_be_yaml() -> None:
    assert value_of("{a: 1, 'b': [x y,], # c\n}") == {"a": 1, "b": ["x y"]}


def test_an_anchor_that_nothing_uses_is_harmless() -> None:
    document = parse("a: &x  1\nb: &y\n  c: &z [2]", name="t")
    assert document.value == {"a": 1, "b": {"c": [2]}}
    assert [document.mark(path) for path in [("a",), ("b",), ("b", "c")]] == [Mark(1, 8), Mark(2, 4), Mark(3, 9)]


def test_a_document_may_be_marked_as_one() -> None:
    assert value_of("# c\n--- # d\na: 1\n... # e\n# f\n...\n") == {"a": 1}


# --- documents that were no text -------------------------------------------------------------------------


def test_a_value_becomes_a_document_of_its_own() -> None:
    """What the caller does to the value afterwards changes no definition."""
    value = {"a": [1, (2.5, None, True)]}
    document = Document.of(value, name="deploy")
    value["a"].append(3)
    assert document.value == {"a": [1, [2.5, None, True]]}
    assert document.mark(("a", 0)) == document.mark((), key=True) == NO_MARK


def test_what_json_cannot_hold_is_refused_with_its_path() -> None:
    value = {"a": {1: 2, "b": object()}, "c": [2**64, float("nan"), "\ud800", {1}], "\udfff": 1}
    with pytest.raises(GraphInvalid) as raised:
        Document.of(value, name="deploy")
    assert [(problem.kind, problem.where) for problem in raised.value.problems] == [
        ("key_not_text", "a"),
        ("not_json", "a.b"),
        ("number_out_of_range", "c[0]"),
        ("number_not_json", "c[1]"),
        ("text_not_unicode", "c[2]"),
        ("not_json", "c[3]"),
        ("text_not_unicode", ""),
    ]


@pytest.mark.parametrize("width", [1, 2, 50])
def test_a_value_that_holds_itself_is_refused(width: int) -> None:
    """B53 without a text: no recursion, no endless copy."""
    loop: list[object] = []
    loop += [loop] * width
    with pytest.raises(GraphInvalid) as raised:
        Document.of({"a": loop}, name="deploy")
    assert {problem.kind for problem in raised.value.problems} <= {"too_deep", "too_many_values"}


@pytest.mark.parametrize(
    ("value", "kind"), [([], "not_a_mapping"), (None, "not_a_mapping"), ({"a": "x" * 2**20}, "too_large")]
)
def test_a_value_has_the_bounds_of_a_text(value: object, kind: str) -> None:
    with pytest.raises(GraphInvalid) as raised:
        Document.of(value, name="deploy")
    assert [problem.kind for problem in raised.value.problems] == [kind]


# --- marks ---------------------------------------------------------------------------------------------


def test_the_place_of_what_is_missing_is_that_of_what_is_around_it() -> None:
    document = parse("a:\n  b: 1\n", name="t")
    assert document.mark(("a", "x", 3)) == document.mark(("a",)) == Mark(2, 3)
    assert document.mark(("a", "x"), key=True) == Mark(2, 3)
    assert document.mark(()) == Mark(1, 1)
