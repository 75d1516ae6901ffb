"""What is drawn of a graph: boxes and arrows with short texts, and where its tasks stand. How it looks is decided elsewhere.

Every text is made of untrusted names: it is one line without control characters here, and escaped by whoever writes it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from .graph_expression import Expression
from .graph_model import ChildAction, Edge, Graph, Group, HookAction, StepAction, Task, TimerAction
from .graph_template import Template

TaskState: TypeAlias = Literal[
    "waiting", "ready", "running", "retrying", "succeeded", "failed", "timeout", "skipped", "cancelled"
]

SYMBOLS: Final[dict[TaskState, str]] = {
    "waiting": "○",
    "ready": "●",
    "running": "▶",
    "retrying": "↻",
    "succeeded": "✓",
    "failed": "✗",
    "timeout": "✗",
    "skipped": "»",
    "cancelled": "■",
}
"""Beside the state's word, never in its place: fonts and eyes differ."""

NAME_COLUMNS: Final = 40
"""Of a task's name; a picture's title has all of it. Longer names would make one column as wide as a page."""
LABEL_COLUMNS: Final = 36
"""Of a condition or an action."""
TIP_COLUMNS: Final = 400
"""Of each line that is shown on request only."""
PUBLISHED_SHOWN: Final = 3
"""Variables that an arrow names; the rest are counted."""

# What can hide, reorder or break what a person reads, and what XML does not allow: control characters, fillers, marks of
# direction, separators, surrogates, tags and non-characters.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff"
    "\U000e0000-\U000e007f]+"
)
_WHOLE: Final = re.compile(r"(?:\{\{|<%)\s*(.*?)\s*(?:\}\}|%>)")
_WHOLE_ENDS: Final = re.compile(r"\{\{|\}\}|<%|%>")


class TaskLight(msgspec.Struct, frozen=True, kw_only=True):
    """Where a task stands in a run."""

    state: TaskState
    """Of its latest activation."""
    activations: int = 0
    """How often it was begun."""
    items_done: int = 0
    items_total: int = 0
    """Of its latest activation; 0 where it has no items."""


class Box(msgspec.Struct, frozen=True, kw_only=True):
    """A task, the start, or an end."""

    kind: Literal["start", "task", "fail", "continue", "noop"]
    name: str
    """Shown first: the task's name, or what the end is called."""
    lines: tuple[str, ...] = ()
    """Shown below it: what it runs, and its marks."""
    light: TaskLight | None = None
    tips: tuple[str, ...] = ()
    """All that is said on request, in full length."""

    @property
    def state_line(self) -> str:
        """Says in words where the task stands; "" where that is not known."""
        if self.light is None:
            return ""
        text = f"{SYMBOLS[self.light.state]} {self.light.state}"
        if self.light.items_total:
            text += f" {self.light.items_done}/{self.light.items_total}"
        return f"{text} ({self.light.activations} times)" if self.light.activations > 1 else text


class Arrow(msgspec.Struct, frozen=True, kw_only=True):
    """What leads from one box to another: one transition or, where `labels` has several, as many."""

    source: int
    target: int
    labels: tuple[str, ...] = ()
    """One for each transition; "" for one without condition that publishes nothing."""
    tips: tuple[str, ...] = ()
    """One for each transition, in full."""


class Drawing(msgspec.Struct, frozen=True, kw_only=True):
    """What is drawn: boxes in the order of the definition, each task followed by its ends."""

    name: str
    description: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    """In the order of the definition; several may lead from one box to the same."""
    is_live: bool
    """Whether it shows a run."""


def drawing_of(graph: Graph, lights: Mapping[str, TaskLight] | None = None) -> Drawing:
    """Tells what is drawn of a graph.

    Args:
        lights: Of the tasks by name, for a picture of a run; tasks without one are waiting.
    """
    boxes: list[Box] = []
    arrows: list[Arrow] = []
    index: dict[str, int] = {}
    ends: list[tuple[Box, str, Edge]] = []
    if graph.entries:
        boxes.append(Box(kind="start", name="start", tips=("start", "where a run begins")))
    for name, task in graph.tasks.items():
        index[name] = len(boxes)
        light = None if lights is None else lights.get(name, TaskLight(state="waiting"))
        boxes.append(_box(graph, task, light))
        if graph.form == "transitions":
            ends += [(end, name, edge) for edge in task.edges for end in _ends(edge)]
    arrows += [Arrow(source=0, target=index[name], labels=("",), tips=("begins",)) for name in graph.entries]
    for name, task in graph.tasks.items():
        for edge in task.edges:
            label, tip = _label(graph, task, edge)
            arrows += [
                Arrow(source=index[name], target=index[target], labels=(label,), tips=(tip,))
                for target in edge.targets
                if target in index
            ]
    known: dict[tuple[str, str], int] = {}
    for end, name, edge in ends:
        label, tip = _label(graph, graph.tasks[name], edge)
        if (name, end.kind) not in known:
            known[name, end.kind] = len(boxes)
            boxes.append(end)
        arrows.append(Arrow(source=index[name], target=known[name, end.kind], labels=(label,), tips=(tip,)))
    return Drawing(
        name=clean(graph.name),
        description=cut(clean(graph.description), TIP_COLUMNS),
        boxes=tuple(boxes),
        arrows=tuple(arrows) if graph.form == "transitions" else tuple(_dependencies(arrows)),
        is_live=lights is not None,
    )


def merged(arrows: tuple[Arrow, ...]) -> list[Arrow]:
    """Joins arrows between the same boxes to one each, in the order of their first ones."""
    together: dict[tuple[int, int], list[Arrow]] = {}
    for arrow in arrows:
        together.setdefault((arrow.source, arrow.target), []).append(arrow)
    return [
        Arrow(
            source=source,
            target=target,
            labels=tuple(label for arrow in same for label in arrow.labels),
            tips=tuple(tip for arrow in same for tip in arrow.tips),
        )
        for (source, target), same in together.items()
    ]


def clean(text: str) -> str:
    """Makes a text one line without characters that hide, reorder or break it."""
    return " ".join(_UNSAFE.sub(" ", text).split())


def columns(text: str) -> int:
    """Counts the columns of a text in a font of fixed width; wide characters have two."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def cut(text: str, width: int) -> str:
    """Shortens a text to so many columns; a dot-dot-dot says that something is missing."""
    if columns(text) <= width:
        return text
    kept, used = "", 0
    for character in text[:width]:
        used += columns(character)
        if used > width - 1:
            break
        kept += character
    return kept.rstrip() + "…"


# --- tasks ------------------------------------------------------------------------------------------


def _box(graph: Graph, task: Task, light: TaskLight | None) -> Box:
    full = [*_action(task), *_marks(graph, task)]
    name = clean(task.name)
    box = Box(
        kind="task",
        name=cut(name, NAME_COLUMNS),
        lines=tuple(cut(line, LABEL_COLUMNS) for line in full),
        light=light,
    )
    tips = (name, *(cut(line, TIP_COLUMNS) for line in full), *filter(None, [box.state_line]))
    return msgspec.structs.replace(box, tips=tips)


def _action(task: Task) -> list[str]:
    match task.action:
        case StepAction():
            queue = "" if task.action.queue == "default" else f" on {clean(task.action.queue)}"
            return [f"step {_text(task.action.name)}{queue}"]
        case ChildAction():
            return [
                f"workflow {_text(task.action.workflow)}" + (f" of {clean(task.action.app)}" * bool(task.action.app))
            ]
        case TimerAction():
            return [f"wait {_text(task.action.span)}"]
        case HookAction():
            return [f"hook {_text(task.action.name)}"]
        case None:
            return ["nothing to run"]


def _marks(graph: Graph, task: Task) -> Iterator[str]:
    join = _join(graph, task.join)
    if join:
        yield clean(f"join: {join}")
    if task.items is not None:
        bound = "" if task.items.concurrency is None else f", {_text(task.items.concurrency)} at once"
        names = f" {', '.join(task.items.names)} in" if task.items.names else ""
        yield clean(f"with items{bound}:{names} {_text(task.items.values)}")
    if task.guard is not None:
        yield f"run if {_source(task.guard)}"
    if task.delay is not None:
        yield f"delay {_text(task.delay)}"
    if task.attempts is not None:
        count = "for ever" if task.attempts.count is None else _text(task.attempts.count)
        when = "" if task.attempts.when is None else f" when {_source(task.attempts.when)}"
        yield f"retry {count}{when}"
    if task.match == "first" and len(task.edges) > 1:
        yield "first match"
    if task.on_failure == "continue":
        yield "goes on after failure"


def _join(graph: Graph, groups: tuple[Group, ...]) -> str:
    """Says what a join waits for: `all`, `2`, or with several groups `all of a, b and any of c, d`."""
    if len(groups) != 1:
        return " and ".join(f"{_need(group)} of {', '.join(sorted(group.predecessors))}" for group in groups)
    (group,) = groups
    if len(group.predecessors) == 1 and graph.form == "dependencies":
        return ""
    return _need(group) if graph.form == "dependencies" or group.need != 1 else "all" if _is_all(group) else "1"


def _need(group: Group) -> str:
    return "all" if _is_all(group) else "any" if group.need == 1 else str(group.need)


def _is_all(group: Group) -> bool:
    return group.need >= len(group.predecessors)


# --- transitions ------------------------------------------------------------------------------------


def _ends(edge: Edge) -> list[Box]:
    if edge.fails:
        return [Box(kind="fail", name="fail", tips=("fail", "the run fails"))]
    if edge.targets:
        return []
    if edge.handles:
        return [Box(kind="noop", name="noop", tips=("noop", "nothing follows; a failure is handled"))]
    return [Box(kind="continue", name="continue", tips=("continue", "nothing follows; a failure stays unhandled"))]


def _label(graph: Graph, task: Task, edge: Edge) -> tuple[str, str]:
    """Says when an edge is taken and what it publishes: in short, and in full."""
    when = "" if edge.when is None else _source(edge.when)
    names = [name for name, _ in edge.publish]
    shown = [cut(when, LABEL_COLUMNS)] if when else []
    if graph.form == "dependencies":  # what each of its arrows says need not be read at each
        names = [name for name in names if name != task.name]
        shown = []
    if names:
        more = f" and {len(names) - PUBLISHED_SHOWN} more" if len(names) > PUBLISHED_SHOWN else ""
        shown.append(cut(clean(f"publish {', '.join(names[:PUBLISHED_SHOWN])}{more}"), LABEL_COLUMNS))
    full = [f"when {when}" if when else "always"]
    full += [f"publish {clean(name)} = {_text(template)}" for name, template in edge.publish]
    return "\n".join(shown), cut("; ".join(full), TIP_COLUMNS)


def _dependencies(arrows: list[Arrow]) -> Iterator[Arrow]:
    """Makes one arrow of each dependency: after success, and after it was skipped, are one to a reader."""
    for arrow in merged(tuple(arrows)):
        label = next(filter(None, arrow.labels), "")
        yield msgspec.structs.replace(arrow, labels=(label,), tips=(" | ".join(arrow.tips),))


def _source(expression: Expression) -> str:
    text = clean(expression.source)
    return text[2:-2].strip() if text.startswith("<%") and text.endswith("%>") else text


def _text(template: Template) -> str:
    """Writes a template as its definition has it, as one line; the brackets of one expression say nothing here."""
    value = template.value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode(errors="replace")
    text = clean(text[: 4 * TIP_COLUMNS])
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole is not None and not _WHOLE_ENDS.search(whole[1]) else text
