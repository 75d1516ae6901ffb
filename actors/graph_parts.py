"""Parts: what a graph of the builder holds, and the definition that is made of them."""

from __future__ import annotations

import msgspec

from .graph_dropped import Place
from .graph_entry import Entry
from .graph_needs import Named, identity, names_of
from .graph_problem import Problem


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a graph holds. Graphs of one beginning share these; nothing is ever changed in place."""

    name: str
    version: int
    place: Place
    """Where it was begun."""
    header: dict[str, object] = {}
    """Fields of the definition besides those below, in their order."""
    inputs: tuple[tuple[str, object], ...] = ()
    """Names with their defaults, UNSET for none."""
    variables: tuple[dict[str, object], ...] = ()
    output: tuple[dict[str, object], ...] = ()
    entries: tuple[Entry, ...] = ()


def render(parts: Parts) -> tuple[dict[str, object], list[Problem]]:
    """Returns the definition, and what is wrong among the entries; of two with one name the first is rendered."""
    problems: list[Problem] = []
    definition: dict[str, object] = {"name": parts.name, **parts.header}
    if parts.inputs:
        definition["input"] = [name if value is msgspec.UNSET else {name: value} for name, value in parts.inputs]
    if parts.variables:
        definition["vars"] = parts.variables
    if parts.output:
        definition["output"] = parts.output
    definition["steps"] = _steps(parts.entries, problems)
    # By way of JSON: containers of its own, shared neither with the graph nor within, so that YAML needs no aliases.
    return msgspec.json.decode(msgspec.json.encode(definition)), problems


def _steps(entries: tuple[Entry, ...], problems: list[Problem]) -> dict[str, object]:
    made_of: dict[Named, list[str]] = {}
    for entry in entries:
        if entry.source is not None:
            made_of.setdefault(identity(entry.source), []).append(entry.name)
    steps: dict[str, object] = {}
    places: dict[str, Place] = {}
    for entry in entries:
        if entry.name in steps:
            message = f"added at {places[entry.name]} and at {entry.place}; give one of them another name="
            problems.append(Problem(kind="duplicate_key", message=message, path=("steps", entry.name)))
            continue
        places[entry.name] = entry.place
        fields: dict[str, object] = {}
        for option, needs in (("after", entry.after), ("after_any", entry.after_any)):
            if needs.of:
                fields[option] = names_of(needs, entry=entry.name, option=option, made_of=made_of, problems=problems)
        steps[entry.name] = {**fields, **entry.fields}
    return steps
