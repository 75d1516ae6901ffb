"""Inline parameters: what Orquesta's definitions write after an action's name, and in `publish`."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetrun.actors.graph_inline import InlineInvalid, parse_inline, split_action


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("   ", []),
        ("x=null", [("x", None)]),
        ("x=12", [("x", 12)]),
        ("x=-12", [("x", -12)]),
        ("x=0.5", [("x", 0.5)]),
        ("x=1e3", [("x", 1000.0)]),
        ("x=.5", [("x", ".5")]),
        ("x=007", [("x", "007")]),
        ("x=TRUE y=False", [("x", True), ("y", False)]),
        ('x="true" y="12"', [("x", "true"), ("y", "12")]),
        ("x='two words' y=\"\"", [("x", "two words"), ("y", "")]),
        ('a="1", b="2"', [("a", "1"), ("b", "2")]),
        ('a="1"; b="2"', [("a", "1"), ("b", "2")]),
        ("a=1,b=2;c=3", [("a", 1), ("b", 2), ("c", 3)]),
        ("x=<% ctx().a + 1 %> y={{ ctx('b') }}", [("x", "<% ctx().a + 1 %>"), ("y", "{{ ctx('b') }}")]),
        ("x=<% dict(a => '%>') %> y=1", [("x", "<% dict(a => '%>') %>"), ("y", 1)]),
        ("x={{ {'a': {'b': 1}} }} y=1", [("x", "{{ {'a': {'b': 1}} }}"), ("y", 1)]),
        ('m="<% ctx("x") %> and more"', [("m", '<% ctx("x") %> and more')]),
        ("url=<% ctx().host %>/path?a=b", [("url", "<% ctx().host %>/path?a=b")]),
        ("cmd=date", [("cmd", "date")]),
        ("x='{\"a\": 1}'", [("x", {"a": 1})]),
        ('x={"a": [1, 2]} y=2', [("x", {"a": [1, 2]}), ("y", 2)]),
        ("x=[1, 2, 3] y=2", [("x", [1, 2, 3]), ("y", 2)]),
        ('x=["a]", "b"]', [("x", ["a]", "b"])]),
        ("x=[<% ctx().a %>, 2]", [("x", "[<% ctx().a %>, 2]")]),
        ("x='[1, 2]'", [("x", "[1, 2]")]),
        ("x=NaN", [("x", "NaN")]),
        ('message="I\'ll be back" b=1', [("message", "I'll be back"), ("b", 1)]),
        ("cheer=<% result() %> work=<% result() %>", [("cheer", "<% result() %>"), ("work", "<% result() %>")]),
        ("a=1\n  b=2", [("a", 1), ("b", 2)]),
        ("a=", [("a", "")]),
    ],
)
def test_parameters_are_read_with_their_types(text: str, expected: list[tuple[str, object]]) -> None:
    assert parse_inline(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("just words", "is no name=value"),
        ("cmd=ls -la", "is no name=value"),
        ('x="open', "no closing quote"),
        ("x=[1, 2", "no closing bracket"),
        ('x="a"b', "without a space"),
        ("x=" + "[" * 100 + "]" * 100, "nested more than"),
        ('x={"a": 1, "a": 2}', "twice"),
        ("= 1", "is no name=value"),
    ],
)
def test_what_is_no_parameter_is_refused_and_never_dropped(text: str, reason: str) -> None:
    with pytest.raises(InlineInvalid, match=reason):
        parse_inline(text)


@pytest.mark.parametrize(
    ("text", "head", "rest"),
    [
        ("core.noop", "core.noop", ""),
        ("  core.echo   a=1 ", "core.echo", "a=1"),
        ("<% ctx().action %>", "<% ctx().action %>", ""),
        ("<% ctx().action %> a=1", "<% ctx().action %>", "a=1"),
        ("core.{{ ctx('a b') }} a=1", "core.{{ ctx('a b') }}", "a=1"),
        ("", "", ""),
    ],
)
def test_an_action_is_parted_from_its_parameters(text: str, head: str, rest: str) -> None:
    assert split_action(text) == (head, rest)


@given(st.text(alphabet="ab=<%>{}[]\"' ,;1", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """A definition of a stranger gives one clear error, never another exception."""
    try:
        found = parse_inline(text)
        split_action(text)
    except InlineInvalid as invalid:
        reason = str(invalid)
        assert "\n" not in reason
    else:
        assert all(name for name, _ in found)


@pytest.mark.parametrize("piece", ["{{", "<%", "{{ '", "{{ { }}", "a={{ }} ", "a='", "[", "a=[", 'a="{{"', "a=[' "])
def test_a_text_made_to_be_slow_is_read_soon(piece: str) -> None:
    """A reader that tries again from each character takes hours for a mebibyte."""
    text = piece * (1_000_000 // len(piece))
    began = time.process_time()
    for read in (parse_inline, split_action):
        with contextlib.suppress(InlineInvalid):
            read(text)

    assert time.process_time() - began < 9
