"""What is drawn of a graph: the texts of boxes and arrows."""

from __future__ import annotations

import msgspec
import pytest

from jetrun.actors.graph_draw import Drawing, TaskLight, clean, columns, cut, drawing_of
from jetrun.actors.graph_expression import Expression
from jetrun.actors.graph_model import Attempts, ChildAction, Edge, Graph, Group, HookAction, Task, TimerAction
from jetrun.actors.graph_template import Template
from support.drawn_graphs import LIMITS, edge, graph, joined, loop, task


def lines_of(box: Task) -> tuple[str, ...]:
    (drawn,) = [made for made in drawing_of(graph(box, entries=[])).boxes if made.kind == "task"]
    return drawn.lines


@pytest.mark.parametrize(
    ("box", "lines"),
    [
        (Task(name="a"), ("nothing to run",)),
        (Task(name="a", action=TimerAction(span=Template("30s"))), ("wait 30s",)),
        (Task(name="a", action=HookAction(name=Template("approval"))), ("hook approval",)),
        (
            Task(name="a", action=ChildAction(workflow=Template("{{ ctx.flow }}"), app="other", input=Template({}))),
            ("workflow ctx.flow of other",),
        ),
        (
            Task(name="a", guard=Expression("ctx.on"), delay=Template(5.0), on_failure="continue"),
            ("nothing to run", "run if ctx.on", "delay 5", "goes on after failure"),
        ),
        (Task(name="a", attempts=Attempts(count=None)), ("nothing to run", "retry for ever")),
        (
            Task(name="a", attempts=Attempts(count=Template(3), when=Expression("failed()"))),
            ("nothing to run", "retry 3 when failed()"),
        ),
        (task("a", join=joined(2, "x", "y")), ("step core.noop", "join: all")),
        (task("a", join=joined(2, "x", "y", "z")), ("step core.noop", "join: 2")),
        (
            task("a", join=(*joined(2, "x", "y"), *joined(1, "p", "q"))),
            ("step core.noop", "join: all of x, y and any of p, q"),
        ),
        (Task(name="a", match="first", edges=(edge("x", ["a"]), edge("y", ["a"]))), ("nothing to run", "first match")),
    ],
)
def test_box_says_what_a_task_does(box: Task, lines: tuple[str, ...]) -> None:
    """Whoever looks needs not read the definition."""
    assert lines_of(box) == lines


def test_dependencies_are_arrows_without_words() -> None:
    """Each of them would say the same."""
    succeeded = Edge(
        when=Expression("succeeded()"), targets=("test",), publish=(("build", Template("{{ result() }}")),)
    )
    skipped = Edge(when=Expression("skipped()"), targets=("test",))
    joins = (Group(predecessors=frozenset({"build"}), need=1),)
    made = Graph(
        name="deploy",
        tasks={"build": task("build", succeeded, skipped), "test": task("test", edge("succeeded()"), join=joins)},
        entries=("build",),
        limits=LIMITS,
        form="dependencies",
    )
    drawing = drawing_of(made)

    assert [arrow.labels for arrow in drawing.arrows] == [("",), ("",)]
    assert drawing.arrows[1].tips == ("when succeeded(); publish build = result() | when skipped()",)
    assert [box.kind for box in drawing.boxes] == ["start", "task", "task"]
    assert drawing.boxes[2].lines == ("step core.noop",)


def test_expressions_are_shown_without_brackets() -> None:
    """A reader knows that a condition is one."""
    drawing = drawing_of(graph(task("a", edge("<% succeeded() %>", ["b"])), task("b", step="<% ctx().name %>")))

    assert drawing.arrows[1].labels == ("succeeded()",)
    assert drawing.boxes[2].lines == ("step ctx().name",)


def test_ends_belong_to_their_task() -> None:
    """One end for all would have arrows across the whole picture."""
    drawing = drawing_of(loop())

    assert [box.kind for box in drawing.boxes if box.kind != "task"] == ["start", "fail", "noop", "continue"]
    assert [box.name for box in drawing.boxes][:3] == ["start", "init", "fetch"]


def test_run_without_news_of_a_task_has_it_waiting() -> None:
    """Only what has begun is told of."""
    drawing = drawing_of(loop(), {"init": TaskLight(state="succeeded")})

    assert [box.state_line for box in drawing.boxes[:4]] == ["", "✓ succeeded", "○ waiting", "○ waiting"]
    assert drawing.is_live
    assert not drawing_of(loop()).is_live


def test_texts_are_cut_and_cleaned() -> None:
    """A condition of four kilobytes is no label."""
    drawing: Drawing = drawing_of(graph(task("a\x1b[1m" * 20, edge("x" * 4000, ["b"], ["p"] * 9)), task("b")))
    label = drawing.arrows[1].labels[0]

    assert columns(drawing.boxes[1].name) <= 40
    assert "\x1b" not in msgspec.json.encode(drawing).decode()
    assert label == f"{'x' * 35}…\npublish p, p, p and 6 more"
    assert len(drawing.arrows[1].tips[0]) <= 400


def test_columns_count_wide_characters_twice() -> None:
    """Boxes are as wide as their texts."""
    assert columns("日本") == 4
    assert cut("日本語", 5) == "日本…"
    assert clean("a\n\u202eb  c\x00") == "a b c"
