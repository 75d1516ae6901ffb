"""docs/behaviours.md: every test that it names exists, and every section names some."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "behaviours.md"


def test_every_test_that_the_page_names_exists() -> None:
    """A promise whose test was renamed or removed would be no promise any more."""
    named = re.findall(r"`(tests/[\w/.]+)::(\w+)`", PAGE.read_text("utf-8"))

    missing = [
        f"{path}::{test}"
        for path, test in named
        if not (ROOT / path).is_file()
        or not re.search(rf"^(async )?def {test}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE)
    ]
    assert missing == []
    assert len(named) > 100


def test_every_behaviour_names_its_test() -> None:
    """A row without a test is a claim."""
    rows = [row for row in PAGE.read_text("utf-8").splitlines() if row.startswith("| ") and "|---" not in row]
    behaviours = [row for row in rows if not row.startswith("| behaviour |")]

    assert [row for row in behaviours if not re.fullmatch(r"\| [^|]+ \| (`tests/[^`]+::test_\w+`(, )?)+ \|", row)] == []


def test_every_test_of_behaviours_is_on_the_page() -> None:
    """Who reads the page sees all that is promised."""
    text = PAGE.read_text("utf-8")
    tests = [
        f"tests/unit/behaviours/{path.name}::{name}"
        for path in sorted(Path(__file__).parent.glob("test_*.py"))
        if path.name != Path(__file__).name
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
    ]

    assert [name for name in tests if f"`{name}`" not in text] == []


def test_the_page_is_reached_from_the_readme() -> None:
    """Nobody finds a page that nothing links to."""
    assert "docs/behaviours.md" in (ROOT / "README.md").read_text("utf-8")
