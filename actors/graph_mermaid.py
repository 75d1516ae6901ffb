"""A graph as a Mermaid flowchart: text that many pages and editors show as a picture.

No text of a definition can end a label, begin a directive or become markup: of names, conditions and values only letters,
digits and harmless signs are written as they are, everything else as an entity of Mermaid's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from .graph_draw import Box, TaskLight, TaskState, drawing_of
from .graph_model import Graph

_PLAIN: Final = frozenset(" _.,:()/=!?'-")
# Mermaid drops a semicolon, which may be an entity's, from lines in which `style` or `classDef` stand before a colon; and
# takes list marks and underscores around words for Markdown.
_TO_BREAK: Final = re.compile(r"style|classDef|[-.](?= )|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")

_COLOURS: Final[dict[TaskState, str]] = {
    "waiting": "fill:#ffffff,stroke:#8c959f,color:#1f2328",
    "ready": "fill:#fbefff,stroke:#8250df,color:#1f2328",
    "running": "fill:#ddf4ff,stroke:#0969da,color:#1f2328",
    "retrying": "fill:#fff8c5,stroke:#9a6700,color:#1f2328",
    "succeeded": "fill:#dafbe1,stroke:#1a7f37,color:#1f2328",
    "failed": "fill:#ffebe9,stroke:#cf222e,color:#1f2328",
    "timeout": "fill:#fff1e5,stroke:#bc4c00,color:#1f2328",
    "skipped": "fill:#f6f8fa,stroke:#6e7781,color:#1f2328,stroke-dasharray:4 3",
    "cancelled": "fill:#eaeef2,stroke:#424a53,color:#1f2328,stroke-dasharray:1 2",
}


def mermaid(graph: Graph, lights: Mapping[str, TaskLight] | None = None) -> str:
    """Writes a graph as a Mermaid flowchart; the same graph and lights give the same text.

    Pages refuse more than 500 arrows or 50,000 characters unless they are configured otherwise; `svg` has no such bound.

    Args:
        lights: Where the tasks of a run stand, by name; tasks without one are waiting.
    """
    drawing = drawing_of(graph, lights)
    lines = ["flowchart TD"]
    lines += [f"    {_id(number)}{_shape(box)}" for number, box in enumerate(drawing.boxes)]
    for arrow in drawing.arrows:
        label = "<br/>".join(_escaped(line) for text in arrow.labels for line in text.split("\n") if line)
        shown = f'|"{label}"|' if label else ""
        lines.append(f"    {_id(arrow.source)} -->{shown} {_id(arrow.target)}")
    if drawing.is_live:
        states = [box.light.state if box.light is not None else None for box in drawing.boxes]
        for state, colours in _COLOURS.items():
            members = [_id(number) for number, its in enumerate(states) if its == state]
            if members:
                lines += [f"    classDef {state} {colours}", f"    class {','.join(members)} {state}"]
    return "\n".join(lines) + "\n"


def _id(number: int) -> str:
    return f"n{number}"


def _shape(box: Box) -> str:
    """Writes a box's text in its shape: ends are round, joins are not told apart by shape alone but say so."""
    texts = (box.name, *box.lines, box.state_line)
    label = "<br/>".join(_escaped(text) for text in texts if text) or "#160;"
    match box.kind:
        case "task":
            return f'["{label}"]'
        case "fail":
            return f'{{{{"{label}"}}}}'
        case _:
            return f'(["{label}"])'


def _escaped(text: str) -> str:
    """Writes a text so that Mermaid shows it as it is. A zero, which no text has here, marks what would have a meaning."""
    broken = _TO_BREAK.sub(lambda found: f"\0{found[0]}", text)
    return "".join(
        f"#{ord(character)};"
        if (index and broken[index - 1] == "\0") or not (character.isalnum() or character in _PLAIN)
        else character
        for index, character in enumerate(broken)
        if character != "\0"
    )
