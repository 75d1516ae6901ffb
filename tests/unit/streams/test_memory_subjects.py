"""Filters and transforms of the twin."""

from __future__ import annotations

import pytest

from jetrun.streams.memory_subjects import Transform, is_literal, matches
from jetrun.streams.subjects import partition_of


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.bc", False),
        ("a.b", "a.b.c", False),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a.*", "a.b.c", False),
        ("*.b", "a.b", True),
        ("*.b", "a.c", False),
        ("a.*.c", "a.b.c", True),
        ("a.*.c", "a.b.d", False),
        ("a.>", "a.b", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        ("a.>", "ab.c", False),
        ("a.*.>", "a.b", False),
        ("a.*.>", "a.b.c.d", True),
        (">", "a", True),
        ("a.*", "a.*", True),
        ("a.b", "a.*", False),
    ],
)
def test_a_filter_matches_as_the_server_does(pattern: str, subject: str, expected: bool) -> None:
    """A consumer would get another's messages."""
    assert matches(pattern, subject) is expected


def test_a_transform_puts_in_the_partition_and_keeps_the_rest() -> None:
    """Mail would be stored where no worker looks."""
    transform = Transform("wf.a.run.*.*.>", "wf.a.mail.{{partition(16,2)}}.{{wildcard(1)}}.{{wildcard(2)}}.>")

    assert transform.apply("wf.a.run.order.o-1.hook.ok") == f"wf.a.mail.{partition_of('o-1', 16)}.order.o-1.hook.ok"
    assert transform.apply("wf.a.run.order.o-1") == "wf.a.run.order.o-1"
    assert transform.apply("wf.a.run.order.*.start") == "wf.a.run.order.*.start"


def test_a_literal_subject_has_neither_wildcards_nor_empty_tokens() -> None:
    """A timer could target many subjects."""
    assert is_literal("a.b-c")
    assert not any(map(is_literal, ("a.*", "a.>", "a..b", "", ".a")))
