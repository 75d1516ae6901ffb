"""Work messages: read strictly, bound to their attempt by a token."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetrun.actors.errors import BadMessage
from jetrun.actors.limits import STEP_RECOVERIES_MAX, VALUE_BYTES_MAX
from jetrun.actors.messages import Ref
from jetrun.actors.names import RunKey
from jetrun.actors.work import (
    Work,
    decode_packed,
    decode_work,
    encode_work,
    is_token_valid,
    token,
    version_of,
)

KEY = RunKey("order", "o-1")
SECRET = b"the actors' key"
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True)
JSON = st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), st.lists, max_leaves=5)


@given(
    workflow=NAMES,
    run=NAMES,
    command=st.integers(1, 2**31),
    attempt=st.integers(1, 2**31),
    args=st.lists(JSON),
    kwargs=st.none() | st.dictionaries(st.text(), JSON),
    ref=st.none()
    | st.builds(
        Ref, sha256=st.text("0123456789abcdef", min_size=64, max_size=64), size=st.integers(0, VALUE_BYTES_MAX)
    ),
    timeout_us=st.integers(0, 2**40),
)
def test_work_read_back_is_the_work_that_was_written(
    workflow: str,
    run: str,
    command: int,
    attempt: int,
    args: list[object],
    kwargs: dict[str, object] | None,
    ref: Ref | None,
    timeout_us: int,
) -> None:
    """A step gets the arguments that were recorded."""
    work = Work(
        workflow=workflow,
        run=run,
        command=command,
        attempt=attempt,
        name="charge",
        args=msgspec.Raw(msgspec.json.encode(args)),
        kwargs=None if kwargs is None else msgspec.Raw(msgspec.json.encode(kwargs)),
        ref=ref,
        timeout_us=timeout_us,
        token="t",
    )

    assert decode_work(encode_work(work)) == work


def test_a_message_without_bounds_has_the_defaults() -> None:
    """What is not said on the wire is what the documentation says."""
    work = decode_work(b'{"workflow":"order","run":"o-1","command":1,"attempt":1,"name":"charge","token":"t"}')

    assert (work.v, work.timeout_us, work.recoveries_max, bytes(work.args)) == (1, 0, STEP_RECOVERIES_MAX, b"[]")
    assert work.key == KEY


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "json"),
        (b"{", "json"),
        (b"\xff", "json"),
        (b'{"args":' + b"[" * 100_000, "json"),
        (b"[]", "schema"),
        (b'{"workflow":"order"}', "schema"),
        (b'{"workflow":"order","run":"o-1","command":"1","attempt":1,"name":"charge","token":"t"}', "schema"),
        (b'{"workflow":"order","run":"o-1","command":1,"attempt":1,"name":"charge","token":"t","x":1}', "schema"),
        (b'{"workflow":"order","run":"o.1","command":1,"attempt":1,"name":"charge","token":"t"}', "schema"),
        (b'{"workflow":"*","run":"o-1","command":1,"attempt":1,"name":"charge","token":"t"}', "schema"),
        (b'{"v":2,"workflow":"order","run":"o-1","command":1,"attempt":1,"name":"charge","token":"t"}', "schema"),
    ],
)
def test_broken_work_is_refused_with_its_code(raw: bytes, code: str) -> None:
    """No subject is built from a name that was not checked, no step runs on half a message."""
    with pytest.raises(BadMessage) as refused:
        decode_work(raw)

    assert refused.value.code == code


def test_the_version_of_refused_work_can_still_be_read() -> None:
    """A worker tells newer work, which it leaves, from broken work, which it buries."""
    assert version_of(b'{"v":2,"more":[1]}') == 2
    assert [version_of(raw) for raw in (b"", b"[]", b'{"v":"2"}', b"[" * 100_000)] == [0, 0, 0, 0]


def test_stored_arguments_are_read_strictly() -> None:
    """An object of another kind is not taken for arguments."""
    assert bytes(decode_packed(b'{"args":[1],"kwargs":null}').args) == b"[1]"
    with pytest.raises(BadMessage):
        decode_packed(b"[1]")


def test_a_token_belongs_to_one_attempt_of_one_command_of_one_run() -> None:
    """A result cannot be used for anything but the attempt that it was asked for."""
    valid = token(SECRET, KEY, 3, 1)

    assert len(valid) == 32
    assert is_token_valid(SECRET, KEY, 3, 1, valid)
    assert not is_token_valid(b"other", KEY, 3, 1, valid)
    assert not is_token_valid(SECRET, RunKey("order", "o-2"), 3, 1, valid)
    assert not is_token_valid(SECRET, RunKey("orde", "r/o-1"), 3, 1, valid)
    assert not is_token_valid(SECRET, KEY, 31, 1, valid)
    assert not is_token_valid(SECRET, KEY, 3, 11, valid)


@given(st.text())
def test_any_text_may_be_given_as_a_token(given_text: str) -> None:
    """A forged result is refused, it does not break the actor."""
    assert not is_token_valid(SECRET, KEY, 1, 1, given_text)
    assert not is_token_valid(SECRET, KEY, 1, 1, "\ud800")
