"""Faults: every refusal becomes one clear line with a way out."""

from __future__ import annotations

import pytest

from jetrun.actors.errors import (
    BrokerError,
    JetStreamOff,
    NotProvisioned,
    OutcomeUnknown,
    PayloadTooLarge,
    ServerTooOld,
    StreamFull,
)
from jetrun.streams.faults import check_version, fault_of, raise_for
from jetrun.streams.ports import UNKNOWN, PubAck


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (10077, StreamFull),
        (10023, StreamFull),
        (10054, PayloadTooLarge),
        (503, NotProvisioned),
        (10059, NotProvisioned),
        (10014, NotProvisioned),
        (10039, JetStreamOff),
        (UNKNOWN, OutcomeUnknown),
        (10164, OutcomeUnknown),
        (10052, BrokerError),
    ],
)
def test_codes_become_errors_by_reaction(code: int, error: type[BrokerError]) -> None:
    """A caller reacts to the class, a person to the one line."""
    fault = fault_of(code, "the server's words", "start of run order/o-1")

    assert type(fault) is error
    assert str(fault).startswith("start of run order/o-1: ")
    assert "\n" not in str(fault)


def test_a_stored_message_raises_nothing() -> None:
    """Code 0 is success, and only that."""
    raise_for(PubAck(7), "x")
    with pytest.raises(StreamFull):
        raise_for(PubAck(0, 10077, "maximum messages exceeded"), "x")


@pytest.mark.parametrize("version", ["2.14.3", "2.9.25", "2.10.0-beta.1", ""])
def test_old_servers_are_refused_with_both_versions(version: str) -> None:
    """Below 2.14.4 the server purges foreign subjects by header and loses synced writes."""
    with pytest.raises(ServerTooOld, match=r"2\.14\.4"):
        check_version(version, "nats://x:1")


@pytest.mark.parametrize("version", ["2.14.4", "2.15.1", "2.15.0-RC.2", "3.0.0"])
def test_new_servers_are_taken(version: str) -> None:
    """The rule is a floor."""
    check_version(version, "nats://x:1")
