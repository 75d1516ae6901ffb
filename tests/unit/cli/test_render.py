"""What a person sees: nothing in a payload can harm a terminal or break a line."""

from __future__ import annotations

import json
import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetrun.cli import render

NASTY = "\x1b]0;owned\x07\r\nnext\x9b31m\x7f\u202egnp.exe\u2066\u2028\ufeff\ud800"


def test_safe_shows_control_characters_as_text() -> None:
    """An escape sequence in a payload is shown, never obeyed."""
    assert render.safe("\x1b[31m\r\n\t\x07\x9b\x7f") == r"\x1b[31m\r\n\t\x07\x9b\x7f"
    assert render.safe("\u202e\u2066\u2028\ufeff\ud800") == r"\u202e\u2066\u2028\ufeff\ud800"
    assert render.safe("naïve 日本 👩‍🔬") == "naïve 日本 👩‍🔬"


@given(st.text(st.characters(exclude_categories=[])))
def test_safe_leaves_nothing_unsafe(text: str) -> None:
    """No control character passes, whatever stands around it."""
    shown = render.safe(text)

    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in shown)
    assert not any(
        unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI") for c in shown
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_to_json_is_one_safe_line_with_the_same_meaning(value: object) -> None:
    """`--json` can be read back and printed."""
    line = render.to_json(value)

    assert json.loads(line) == value
    assert render.safe(line) == line


@given(json_values)
def test_raw_json_with_line_breaks_becomes_one_line(value: object) -> None:
    """A service may send pretty JSON; a JSON line stays a line."""
    line = render.to_json({"body": msgspec.Raw(json.dumps(value, indent=2, ensure_ascii=False).encode())})

    assert json.loads(line) == {"body": value}
    assert render.safe(line) == line


def test_cut_counts_columns_not_characters() -> None:
    """A wide character takes two columns, a combining one none."""
    assert render.cut("日本語", 6) == "日本語"
    assert render.cut("日本語", 5) == "日本…"
    assert render.columns("e\u0301") == 1


@pytest.mark.parametrize(
    ("length_us", "shown"),
    [
        (0, "0us"),
        (999, "999us"),
        (850_000, "850ms"),
        (999_999, "999ms"),
        (4_200_000, "4.2s"),
        (59_999_999, "60s"),
        (185_000_000, "3m05s"),
        (7_800_000_000, "2h10m"),
        (1_051_200_000_000, "12d4h"),
        (-1_500_000, "-1.5s"),
    ],
)
def test_span_uses_two_units_at_most(length_us: int, shown: str) -> None:
    """Lengths are readable at a glance."""
    assert render.span(length_us) == shown


def test_instant_is_iso_in_utc_and_survives_any_number() -> None:
    """A time out of any calendar is shown, not raised."""
    assert render.instant(1_700_000_000_123_456) == "2023-11-14T22:13:20.123Z"
    assert render.instant(0) == "-"
    assert render.instant(10**20) == f"{10**20} us"


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 * 1024**4, "5120.0 GiB")]
)
def test_size_keeps_digits_before_the_point(count: int, shown: str) -> None:
    """Sizes are readable at a glance."""
    assert render.size(count) == shown


def test_table_aligns_and_escapes() -> None:
    """A cell can neither break its row nor its column."""
    lines = render.table(["RUN", "STATUS"], [["order/o-1", "running"], ["日\n", "failed"]])

    assert lines == ["RUN        STATUS", "order/o-1  running", "日\\n       failed"]


def test_table_fits_the_terminal_by_cutting_its_widest_column() -> None:
    """Rows stay rows on a narrow terminal."""
    lines = render.table(["A", "B"], [["x" * 50, "short"]], width=20)

    assert lines[1] == "x" * 12 + "…  short"


def test_table_paints_statuses_on_request_alone() -> None:
    """Colours need a terminal."""
    plain = render.table(["STATUS"], [["failed"]])
    painted = render.table(["STATUS"], [["failed"]], colours=True)

    assert "\x1b" not in "".join(plain)
    assert painted[1] == "\x1b[31mfailed\x1b[0m"
