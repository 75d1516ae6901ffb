"""Records: what a log is made of, and what a reader may count on."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetrun.actors.commands import Close, OpenHook, Retry, RunStep, StartTimer
from jetrun.actors.errors import BadLog, ErrorInfo
from jetrun.actors.journal import Journal
from jetrun.actors.messages import Ref
from jetrun.actors.names import RunKey
from jetrun.actors.records import (
    VERSION,
    Folded,
    OpenWait,
    Outcome,
    Parked,
    Record,
    Refused,
    StartMark,
    Summary,
    decode_record,
    encode_record,
    record_hash,
    start_hash,
)

DIGEST = "ab" * 32
FULL = Record(
    v=1,
    k=7,
    prev="p",
    nonce="n",
    by="w.1",
    code="c",
    python="3.11",
    at_us=5,
    start=StartMark(id="s", hash="h"),
    messages=[Folded(source="m", seq=1, at_us=2, verb="hook", name="go", body=msgspec.Raw(b'{"payload":[1, 2]}'))],
    fired=[3],
    commands=[
        RunStep(
            n=1, name="a", queue="q", args=msgspec.Raw(b"[1]"), kwargs=msgspec.Raw(b'{"x":1}'), hash="h", timeout_us=4
        ),
        RunStep(n=2, name="a", queue="q", ref=Ref(sha256=DIGEST, size=9), hash="h"),
        StartTimer(n=3, due_at_us=9, what="hook"),
        OpenHook(n=4, name="go", type="int"),
        Close(n=5, target=3),
    ],
    retries=[Retry(n=1, attempt=2, due_at_us=8)],
    refused=[Refused(source="m", seq=1, code="payload", reason="r")],
    kept=1,
    unparked=True,
    undecided=True,
    parked=Parked(code="mismatch", reason="r", tries=2, retry_at_us=9),
    expired=True,
    outcome=Outcome(status="failed", error=ErrorInfo(type="ValueError", message="m", bases=["Exception"])),
    more=True,
    summary=Summary(status="running", hooks_open=[OpenWait(n=4, name="go", type="int")], hooks_more=2, failures=1),
)


def test_record_comes_back_as_it_was_written() -> None:
    """Bodies and arguments keep their very bytes: the chain's hashes and the code's values rest on them."""
    raw = encode_record(FULL)

    assert encode_record(decode_record(raw)) == raw
    assert b'{"payload":[1, 2]}' in raw


def test_defaults_are_not_written() -> None:
    raw = encode_record(Record(v=1, k=1, prev="", nonce="n", by="w", at_us=1, summary=Summary(status="early")))

    assert raw == b'{"v":1,"k":1,"prev":"","nonce":"n","by":"w","at_us":1,"summary":{"status":"early"}}'


def test_unknown_fields_are_passed_over() -> None:
    """A newer worker of the same version may have added some."""
    raw = encode_record(FULL)

    assert decode_record(raw[:-1] + b',"from_the_future":{"x":[1]}}') == decode_record(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"v":2}',
        b'{"v":99,"k":1,"summary":{"status":"hibernating"}}',
        encode_record(msgspec.structs.replace(FULL, v=VERSION + 1)),
    ],
)
def test_newer_version_is_told_from_what_is_no_record(raw: bytes) -> None:
    """All is well with such a log; the worker has to be updated."""
    with pytest.raises(BadLog, match="update the worker") as raised:
        decode_record(raw)

    assert raised.value.is_newer


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"null",
        b'{"v":1,"k":1,"reason":"version 99"}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"stream":"WF_A_MAIL","seq":7}',
        encode_record(FULL).replace(b'"kind":"close"', b'"kind":"teleport"'),
    ],
)
def test_what_is_no_record_is_refused(raw: bytes) -> None:
    """A stranger's message in the log is passed over, whatever words it holds."""
    with pytest.raises(BadLog) as raised:
        decode_record(raw)

    assert not raised.value.is_newer


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with pytest.raises(BadLog):
        decode_record(raw)


@pytest.mark.parametrize("kwargs", [None, b"null", b"{}", b" { } "])
def test_no_arguments_by_name_are_one_start_however_they_are_written(kwargs: bytes | None) -> None:
    """A client that repeats its start in another language must not get a conflict (R15)."""
    assert start_hash(b"[1]", kwargs) == start_hash(b"[1]", None)


def test_hash_of_a_start_looks_at_values_alone() -> None:
    assert start_hash(b'[1, {"a": 2, "b": [null]}]', None) == start_hash(b'[1,{"b":[null],"a":2}]', None)
    different = [
        (b"[1]", None),
        (b"[2]", None),
        (b'["1"]', None),
        (b"[1]", b'{"a":1}'),
        (b"[]", b'{"a":1}'),
        (b"[]", None),
    ]
    assert len({start_hash(args, kwargs) for args, kwargs in different}) == len(different)
    assert start_hash(b"[]", None, Ref(sha256=DIGEST, size=1)) != start_hash(b"[]", None)


def test_hash_of_a_record_is_of_its_bytes() -> None:
    raw = encode_record(FULL)

    assert len(record_hash(raw)) == 32
    assert record_hash(raw) != record_hash(raw + b" ")


@pytest.mark.parametrize("changes", [{"k": 3}, {"k": 1}, {"prev": "other"}])
def test_journal_takes_what_follows_and_nothing_else(changes: dict[str, object]) -> None:
    """A record that does not chain was not written by us; the journal stays where it is (R4)."""
    journal = Journal(RunKey("a", "b"))
    first = msgspec.structs.replace(FULL, k=1, prev="", outcome=None, summary=Summary(status="running"), more=False)
    journal.add(first, digest="d1", seq=5)
    second = msgspec.structs.replace(first, k=2, prev="d1")

    with pytest.raises(BadLog, match="does not follow"):
        journal.add(msgspec.structs.replace(second, **changes), digest="d2", seq=6)

    assert (journal.k, journal.prev, journal.seq) == (1, "d1", 5)
    journal.add(second, digest="d2", seq=6)
    assert (journal.k, journal.prev, journal.seq) == (2, "d2", 6)


def test_terminal_record_alone_keeps_the_id_taken() -> None:
    """It is all that retention leaves (R15)."""
    ended = msgspec.structs.replace(FULL, k=57, summary=Summary(status="completed"), undecided=False, parked=None)

    journal = Journal(RunKey("a", "b"))
    with pytest.raises(BadLog):
        journal.add(ended, digest="d", seq=9)
    journal.add(ended, digest="d", seq=9, is_alone=True)

    assert (journal.k, journal.has_ended) == (57, True)
    assert journal.start == FULL.start
