"""What a log says of one attempt of a step (R8)."""

from __future__ import annotations

import msgspec
import pytest

from jetrun.actors.commands import Close, Command, RunStep
from jetrun.actors.records import Folded, Outcome, Record, Summary
from jetrun.actors.settled import is_settled, reported_by


def record(*commands: Command, messages: tuple[Folded, ...] = (), outcome: Outcome | None = None) -> Record:
    return Record(
        v=1,
        k=1,
        prev="",
        nonce="n",
        by="w",
        at_us=1,
        messages=list(messages),
        commands=list(commands),
        outcome=outcome,
        summary=Summary(status="running"),
    )


def step(n: int) -> RunStep:
    return RunStep(n=n, name="charge", queue="default", hash="h")


def report(command: int, attempt: int) -> Folded:
    body = msgspec.Raw(msgspec.json.encode({"command": command, "attempt": attempt, "token": "t", "result": None}))
    return Folded(source="M", seq=1, at_us=1, verb="step", body=body)


ASKED = record(step(1), step(2))


@pytest.mark.parametrize(
    ("log", "is_over"),
    [
        ([ASKED], False),
        ([ASKED, record(messages=(report(2, 1),))], False),
        ([ASKED, record(messages=(report(1, 1),))], True),
        ([ASKED, record(Close(n=3, target=1))], True),
        ([ASKED, record(Close(n=3, target=2))], False),
        ([ASKED, record(outcome=Outcome(status="terminated"))], True),
        ([record(outcome=Outcome(status="completed"))], True),
        ([record(step(2))], True),
        ([], True),
    ],
    ids=["open", "other reported", "reported", "closed", "other closed", "ended", "cut", "never asked", "forgotten"],
)
def test_an_attempt_is_settled_when_reported_taken_back_or_the_run_has_ended(log: list[Record], is_over: bool) -> None:
    assert is_settled(log, 1, 1) is is_over


def test_a_report_settles_its_attempt_and_earlier_ones() -> None:
    """The second attempt was asked for because the first has failed."""
    log = [ASKED, record(messages=(report(1, 2),))]

    assert [is_settled(log, 1, attempt) for attempt in (1, 2, 3)] == [True, True, False]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"command":"1"}', b"\xff", b"[" * 100_000])
def test_what_cannot_be_read_reports_on_nothing(body: bytes) -> None:
    assert reported_by(body).command == 0
