"""docs/graphs.md: its definitions compile without a problem, its codes are the engine's, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jetrun.actors.graph_compile import check, compile_graph
from jetrun.actors.graph_source import parse

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "graphs.md"
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
README = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", [*BLOCKS, *README])
def test_every_definition_of_the_page_compiles(text: str) -> None:
    """What a reader copies has no error, and no warning either."""
    document = parse(text, name="page")

    assert check(document) == []
    assert compile_graph(document).graph.tasks


def test_both_forms_are_shown_in_the_readme_and_on_the_page() -> None:
    """A check of nothing would guard nothing."""
    assert len(BLOCKS) >= 5
    assert len(README) == 1


def test_every_code_of_an_ended_run_is_documented() -> None:
    """Programs decide by them."""
    documented = set(re.findall(r"^\| `([a-z_]+)` \| \S", PAGE.read_text("utf-8"), re.MULTILINE))
    source = "".join(path.read_text("utf-8") for path in sorted((ROOT / "actors").glob("graph_*.py")))
    broken = set(re.findall(r'(?:_break|Misfit)\(\s*"([a-z_]+)"', source)) | {"no_entry"}
    codes = broken | {"task_failed", "fail", "join_unreachable"}

    assert codes <= documented, codes - documented


def test_links_of_the_page_lead_somewhere() -> None:
    """And the readme leads to it."""
    links = re.findall(r"\]\(([^)#]+)\)", PAGE.read_text("utf-8"))

    assert [link for link in links if not (PAGE.parent / link).exists()] == []
    assert "docs/graphs.md" in (ROOT / "README.md").read_text("utf-8")
