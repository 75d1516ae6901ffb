"""Flowcharts for Mermaid: complete, in order, and no text of a definition is anything but text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetrun.actors.graph_draw import SYMBOLS, TaskLight, drawing_of
from jetrun.actors.graph_mermaid import mermaid
from support.drawn_graphs import edge, graph, loop, scattered, task

LABEL = r'"(?:[^"\n`\\&<>{}\[\]|@%;#]|<br/>|#\d+;)+"'
LINE = re.compile(
    rf"flowchart TD|    n\d+(?:\[{LABEL}\]|\(\[{LABEL}\]\)|\{{\{{{LABEL}\}}\}})|    n\d+ -->(?:\|{LABEL}\|)? n\d+"
    r"|    classDef [a-z]+ [a-z0-9#:,\- ]+|    class n\d+(?:,n\d+)* [a-z]+"
)


def check(text: str) -> None:
    """Each line has one of the forms that we write; what a label may hold cannot end it."""
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        assert LINE.fullmatch(line), line


def test_flowchart_reads_as_the_definition() -> None:
    """It is pasted into documents and reviewed there."""
    text = mermaid(loop())
    check(text)

    assert text.startswith('flowchart TD\n    n0(["start"])\n    n1["init<br/>step core.noop"]\n')
    assert '["decide<br/>step core.noop<br/>join: all"]' in text
    assert "with items, 3 at once: x in ctx().b" in text
    assert '-->|"ctx().more<br/>publish page"| n2' in text
    assert '{{"fail"}}' in text
    assert '(["noop"])' in text
    assert '(["continue"])' in text


def test_states_are_words_and_classes() -> None:
    """Colours never stand alone."""
    tasks = graph(*(task(state) for state in SYMBOLS))
    text = mermaid(tasks, {state: TaskLight(state=state, activations=3) for state in SYMBOLS})
    check(text)

    for number, (state, symbol) in enumerate(SYMBOLS.items(), 1):
        assert f"#{ord(symbol)}; {state} (3 times)" in text
        assert re.search(rf"class n{number} {state}$", text, re.MULTILINE)


@pytest.mark.parametrize(
    "text",
    ['"]', "%%{init: {}}%%", "<img src=x onerror=a>", "`**a**`", "a\nend\nclick n0 href", "#quot;", "style: #a;"],
)
def test_hostile_names_are_text(text: str) -> None:
    """Flowcharts are shown by pages that believe what they read."""
    made = mermaid(graph(task(text, edge(text, ["b"], [text]), step=text), task("b"), name=text))

    check(made)
    assert "style" not in made
    assert "<img" not in made


def test_markdown_is_text() -> None:
    """Mermaid refuses lists in labels, and shows emphasis."""
    made = mermaid(graph(task("a", edge("1. __x__ - *y* + a_b", ["a"])), entries=[]))

    assert '|"1#46; #95;#95;x#95;#95; #45; #42;y#42; #43; a_b"|' in made


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_stays_in_its_label(name: str, when: str) -> None:
    """There is no text that ends a label."""
    check(mermaid(graph(task(name, edge(when, [name], [when]), step=when), entries=[name])))


@given(st.integers(0, 1000))
def test_everything_is_there_once(seed: int) -> None:
    """Every transition is an arrow of its own here."""
    drawn = scattered(12, 25, seed, is_cyclic=True)
    text = mermaid(drawn)

    assert text.count(" --> ") + text.count(" -->|") == len(drawing_of(drawn).arrows)
    assert text == mermaid(scattered(12, 25, seed, is_cyclic=True))
    assert all(text.count(f'["t{number}<br/>') == 1 for number in range(12))
