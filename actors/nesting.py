"""Nesting: how deep JSON is, told from its bytes in a few passes in C, whatever its size."""

from __future__ import annotations

from typing import Final

_NON_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_ROUND_TO_SQUARE: Final = bytes.maketrans(b"{}", b"[]")


def is_deeper(raw: bytes, depth_max: int) -> bool:
    """Tells whether JSON is nested more than that; of what is not JSON it may say anything.

    Takes away the strings, then all but the brackets, then one level of closed pairs at a time.
    """
    if raw.count(b"[") + raw.count(b"{") <= depth_max:
        return False
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")  # in this order: a run of backslashes pairs from its start
    brackets = b"".join(raw.split(b'"')[::2]).translate(_ROUND_TO_SQUARE, b"").translate(None, _NON_BRACKETS)
    for _ in range(depth_max):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)
