"""Nesting: told from bytes alone, fast whatever they are."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetrun.actors.nesting import is_deeper

trees = st.recursive(
    st.none() | st.integers() | st.text('[]{}"\\ab\n'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('[]{}"\\a'), inner, max_size=3),
    max_leaves=30,
)


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@given(trees, st.integers(0, 12))
def test_it_is_as_deep_as_what_is_read(value: Any, depth_max: int) -> None:
    """Brackets in strings and keys, escaped quotes and backslashes count for nothing."""
    assert is_deeper(msgspec.json.encode(value), depth_max) == (depth_of(value) > depth_max)


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 260_000,
        b'{"a":' * 50_000,
        b"[" * 70 + b'"' + b'\\"' * 100_000,
        b"[" * 70 + b'"' * 200_000,
        b"[" * 70 + b"\\" * 200_000,
        b"[" + b"[]," * 80_000 + b"[]]",
        b"]" * 100_000 + b"[" * 100_000,
    ],
)
def test_bombs_take_no_time(raw: bytes) -> None:
    """A body of the full size may be anything; a regular expression needed minutes for some."""

    def took_s() -> float:
        began = time.process_time()
        is_deeper(raw, 64)
        return time.process_time() - began

    assert min(took_s() for _ in range(3)) < 0.1  # the others may be due to what else the processor does
