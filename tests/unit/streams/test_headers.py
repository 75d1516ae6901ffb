"""Header blocks: read without trust in who wrote them, written so that nothing breaks out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetrun.actors.errors import InvalidValue
from jetrun.streams.headers import NO_HEADERS, encode_headers, find_header, read_status, wrap_headers


def test_the_servers_own_header_wins_over_the_publishers() -> None:
    """A publisher who sends `Nats-Subject` cannot make its message look like one of another run."""
    raw = b"NATS/1.0\r\nNats-Subject: forged\r\nA: 1\r\nNats-Subject: true\r\n\r\n"

    assert find_header(raw, b"Nats-Subject") == b"true"
    assert dict(wrap_headers(raw)) == {"A": "1"}


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"NATS/1.0 404 No Messages\r\n\r\n", (404, "No Messages")),
        (b"NATS/1.0 503\r\n\r\n", (503, "")),
        (b"NATS/1.0\r\nA: b\r\n\r\n", (0, "")),
        (b"", (0, "")),
    ],
)
def test_status_is_read_from_the_first_line(raw: bytes, status: tuple[int, str]) -> None:
    """Control messages are told from data by their first line alone."""
    assert read_status(raw) == status


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True).filter(lambda name: not name.startswith("Nats-"))
VALUES = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=40).map(str.strip)


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_headers_written_are_headers_read(headers: dict[str, str]) -> None:
    """What goes out is what comes in, whatever the characters."""
    assert {name: value.strip() for name, value in wrap_headers(encode_headers(headers)).items()} == {
        name: value.strip() for name, value in headers.items()
    }


@pytest.mark.parametrize(
    "headers", [{"A": "b\r\nNats-Rollup: all"}, {"A": "b\nC: d"}, {"A: b\r\nC": "d"}, {"": "x"}, {"a b": "x"}]
)
def test_nothing_breaks_out_of_a_header(headers: dict[str, str]) -> None:
    """A line break in a value would add a header, and headers have power over streams."""
    with pytest.raises(InvalidValue):
        encode_headers(headers)


def test_no_headers_is_an_empty_mapping() -> None:
    """Messages without headers need no special case."""
    assert dict(wrap_headers(b"")) == {} == dict(NO_HEADERS)
    assert wrap_headers(b"").get("A") is None
