"""Pictures of graphs: well-formed, complete, harmless whatever the names are, and in time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetrun.actors.graph_draw import SYMBOLS, TaskLight, drawing_of
from jetrun.actors.graph_model import Graph
from jetrun.actors.graph_svg import svg
from support.drawn_graphs import deep, edge, graph, joined, loop, scattered, task, wide

SVG = "{http://www.w3.org/2000/svg}"
KINDS = {"svg", "title", "desc", "style", "defs", "marker", "path", "rect", "g", "text"}


def groups(picture: str, kind: str) -> list[ET.Element]:
    return [group for group in ET.fromstring(picture).iter(f"{SVG}g") if kind in group.get("class", "").split()]


def title(group: ET.Element) -> str:
    return group.findtext(f"{SVG}title") or ""


def check(drawn: Graph, picture: str) -> None:
    """Every task and transition is there, and nothing that could do harm."""
    root = ET.fromstring(picture)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= KINDS
    for element in root.iter():
        assert not [name for name in element.attrib if name.startswith("on") or "href" in name]
    assert len(groups(picture, "jr-task")) == len(drawn.tasks)
    drawing = drawing_of(drawn)
    pairs = {(arrow.source, arrow.target) for arrow in drawing.arrows}
    assert len(groups(picture, "jr-arrow")) == len(pairs)
    assert picture.count("marker-end") == len(pairs)
    assert all(group.find(f"{SVG}desc") is not None for group in groups(picture, "jr-task"))


def test_picture_shows_tasks_conditions_joins_items_and_ends() -> None:
    """All that a definition says about the way of a run can be seen."""
    picture = svg(loop())
    check(loop(), picture)
    texts = [text.text for text in ET.fromstring(picture).iter(f"{SVG}text")]

    assert {"start", "fetch", "join: all", "ctx().more", "publish page", "fail", "noop", "continue"} <= set(texts)
    assert "with items, 3 at once: x in ctx().b…" in texts
    assert "decide to fetch: when ctx().more; publish page = result()" in [
        title(g) for g in groups(picture, "jr-arrow")
    ]


def test_states_are_words_and_not_only_colours() -> None:
    """Not everybody sees colours, and not every printer has them."""
    tasks = graph(*(task(state) for state in SYMBOLS))
    lights: dict[str, TaskLight] = {
        state: TaskLight(state=state, activations=2, items_done=3, items_total=10) for state in SYMBOLS
    }
    picture = svg(tasks, lights)

    for state, symbol in SYMBOLS.items():
        assert f"{symbol} {state} 3/10 (2 times)" in picture
        assert len(groups(picture, f"jr-{state}")) == 1
    assert "○ waiting" in svg(tasks, {})
    assert "○" not in svg(tasks)


def test_picture_needs_nothing_but_itself() -> None:
    """It is opened from mails and tickets: no script, no link, no font, no picture from elsewhere."""
    picture = svg(loop()).replace('xmlns="http://www.w3.org/2000/svg"', "")

    assert not re.search(r"https?:|<script|href|@import|@font-face|url\((?!#)", picture)
    assert "prefers-color-scheme:dark" in picture


HOSTILE = [
    "</title><script>alert(1)</script>",
    '"onload="x',
    "]]>",
    "&lt;",
    "<!--",
    "a\x00b\x1b[31m\u202e",
    "\ud800",
    "%{",
    "日本語" * 30,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_text(text: str) -> None:
    """Definitions come from strangers."""
    drawn = graph(task(text, edge(text, ["b"], [text]), step=text), task("b"), name=text, description=text)
    picture = svg(drawn)

    check(drawn, picture)
    assert len(re.findall(r"[<]script", picture)) == 0


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=80))
def test_any_text_makes_a_picture(name: str, when: str, step: str) -> None:
    """XML allows not every character."""
    drawn = graph(task(name, edge(when, [name, "b"], [when]), step=step), task("b" if name != "b" else "c"), name=when)
    picture = svg(drawn)

    check(drawn, picture)
    picture.encode()


@given(st.integers(0, 1000), st.booleans())
def test_everything_is_there_once(seed: int, is_cyclic: bool) -> None:
    """A picture that leaves something out is worse than none."""
    drawn = scattered(12, 25, seed, is_cyclic=is_cyclic)
    picture = svg(drawn)

    check(drawn, picture)
    assert picture == svg(scattered(12, 25, seed, is_cyclic=is_cyclic))


def test_picture_is_the_same_in_every_process() -> None:
    """No order of a set is in it."""
    code = (
        "from support.drawn_graphs import graph, joined, loop, scattered, task; from jetrun.actors.graph_svg import svg;"
        "from jetrun.actors.graph_mermaid import mermaid; import hashlib;"
        "drawn = [loop(), scattered(60, 200, 1, is_cyclic=True), graph(task('a', join=joined(1, *'bcd') + joined(2, *'efg')))];"
        "print(hashlib.sha256(''.join(svg(one) + mermaid(one) for one in drawn).encode()).hexdigest())"
    )
    tests = str(Path(__file__).resolve().parents[2])
    made = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": tests},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(made) == 1


def test_parallel_transitions_share_an_arrow_that_names_each() -> None:
    """Three arrows on one another would be one that says a third."""
    drawn = graph(
        task("a", edge("succeeded()", ["b"]), edge("failed()", ["b"]), edge(to=["b"])), task("b", join=joined(1, "a"))
    )
    (arrow,) = [group for group in groups(svg(drawn), "jr-arrow") if title(group).startswith("a to b")]

    assert title(arrow) == "a to b: when succeeded() | when failed() | always"
    assert [text.text for text in arrow.iter(f"{SVG}text")] == ["succeeded()", "failed()", "or always"]


@pytest.mark.parametrize(
    "drawn",
    [
        wide(1000),
        deep(1000),
        pytest.param(scattered(1000, 5000, 1), marks=pytest.mark.slow),
        pytest.param(scattered(1000, 5000, 2, is_cyclic=True), marks=pytest.mark.slow),
        scattered(1000, 1400, 3),
        graph(*(task(f"t{number}") for number in range(1000))),
    ],
    ids=["wide", "deep", "dense", "cyclic", "sparse", "apart"],
)
def test_a_thousand_tasks_are_drawn_in_time(drawn: Graph) -> None:
    """Alone it takes half a second; other tests run beside this one."""
    before = time.process_time()
    picture = svg(drawn)
    spent = time.process_time() - before

    check(drawn, picture)
    assert spent < 5
