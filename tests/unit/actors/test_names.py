"""Names: what may become a subject token (R10, B1 to B15)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetrun.actors.errors import InvalidName
from jetrun.actors.names import RunKey, check_token, is_token


@pytest.mark.parametrize("name", ["a", "A-b_9", "0", "x" * 128, "pull-request-17"])
def test_good_names_come_back(name: str) -> None:
    assert is_token(name)
    assert check_token("run id", name) == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "is empty"),
        ("a.b", "contains '.'"),
        ("*", "contains '*'"),
        (">", "contains '>'"),
        ("a b", "contains ' '"),
        ("a\r\nPUB x 1", r"contains '\\r'"),
        ("a\x00", r"contains '\\x00'"),
        ("\u202eevil", "contains"),
        ("é", r"contains '\\xe9'"),
        ("x" * 129, "129 > 128"),
        ("x" * 1_000_000, "too long"),
        ("_INBOX", "starts with '_'"),
        ("-x", "starts with '-'"),
        ("$JS", "contains '\\$'"),
        ("a/b", "contains '/'"),
        ("a\n", r"contains '\\n'"),
        ("\ud800", "contains"),
    ],
)
def test_bad_names_are_refused_with_what_is_wrong(name: str, reason: str) -> None:
    assert not is_token(name)
    with pytest.raises(InvalidName, match=f"^run id .*{reason}") as raised:
        check_token("run id", name)
    assert len(str(raised.value)) < 200
    assert str(raised.value).isprintable()
    assert str(raised.value).isascii()


@pytest.mark.parametrize("value", [7, None, b"a", ["a"]])
def test_other_values_than_texts_are_refused(value: object) -> None:
    with pytest.raises(InvalidName, match="not a text"):
        check_token("queue", value)  # type: ignore[arg-type]  # what a caller without type checker does


@given(st.text(max_size=130))
def test_a_name_is_one_subject_token_or_refused(name: str) -> None:
    if is_token(name):
        assert name.isascii()
        assert not set(name) & set(".*> \t\r\n$")
        assert len(name) <= 128


def test_key_of_a_run_is_read_as_people_write_it() -> None:
    assert str(RunKey("order", "o-1")) == "order/o-1"
