"""Tokens of hooks: what they say, and what is none."""

from __future__ import annotations

import pytest

from jetrun.actors import HookToken, InvalidName
from jetrun.actors.names import RunKey


def test_token_is_read_back() -> None:
    """A step sends it away as text; whoever answers sends to the same hook."""
    token = HookToken(RunKey("order", "o-1"), "approval")

    assert str(token) == "order/o-1/approval"
    assert HookToken.parse(str(token)) == token


@pytest.mark.parametrize("text", ["", "order", "order/o-1", "order/o-1/a/b", "order//a", "o.r/o-1/a", "order/o-1/a b"])
def test_what_is_no_token(text: str) -> None:
    """Nothing that cannot be a subject gets near one."""
    with pytest.raises(InvalidName):
        HookToken.parse(text)
