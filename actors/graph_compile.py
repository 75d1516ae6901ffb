"""Compiles a graph's definition, in either surface form, to the one internal form; and finds everything wrong with it.

The order: read all of it (each field of the right type, each expression parsed), then check the structure, then the
variables. No step raises; what one step could not read, the next ones leave out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import msgspec

from .graph_check import check_cycles, check_reachable, check_targets, read_start
from .graph_dependencies import read_dependencies
from .graph_dominators import immediate_dominators
from .graph_draft import TaskDraft, Wiring
from .graph_findings import Findings, shown
from .graph_flow import Flow
from .graph_head import Head, read_head
from .graph_joins import Branches, check_joins, groups_of
from .graph_model import ROOT, Graph, Task
from .graph_problem import GraphInvalid, Problem
from .graph_shape import is_mapping
from .graph_source import Document
from .graph_transitions import read_transitions
from .limits import GRAPH_TASKS_MAX

_Form = Literal["tasks", "steps"]


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """A graph that can run."""

    graph: Graph
    warnings: tuple[Problem, ...]
    """What is probably not meant, in the order of the definition."""


def compile_graph(document: Document) -> Compiled:
    """Makes a graph of a definition.

    Raises:
        GraphInvalid: With every error that was found in one pass, in the order of the definition.
    """
    findings = Findings(document)
    graph = _graph(findings)
    errors = findings.errors()
    if errors or graph is None:
        raise GraphInvalid(document.name, errors)
    return Compiled(graph=graph, warnings=tuple(findings.warnings()))


def check(document: Document) -> list[Problem]:
    """Lists errors and warnings in the order of the definition. Never raises."""
    findings = Findings(document)
    _graph(findings)
    return findings.problems()


def _graph(findings: Findings) -> Graph | None:
    """Reads and checks. Returns None where there is nothing to read; a graph with errors must not be run."""
    form = _form(findings)
    if form is None:
        return None
    head = read_head(findings, form)
    tasks = _tasks(findings, form)
    if not tasks:
        return None
    drafts = _drafts(findings, form, head, tasks)
    wiring = Wiring(drafts)
    start = read_start(findings, list(head.start), wiring)
    if form == "tasks":  # dependencies have no targets of their own, and their cycles have been found
        check_targets(findings, drafts)
        check_reachable(findings, wiring, start, (form,))
        check_joins(findings, wiring)
        check_cycles(findings, wiring)
    entries = start or wiring.roots()
    all_entries = list(dict.fromkeys([*start, *wiring.roots()]))
    dominators = immediate_dominators(wiring.successors, all_entries)
    Branches(findings, wiring, dominators).check()
    Flow(findings, wiring, all_entries, head.initial).check(head.shown)
    return _assemble(form, head, wiring, entries, dominators)


def _form(findings: Findings) -> _Form | None:
    value = findings.document.value
    if not is_mapping(value):
        findings.error("bad_type", (), f"the definition is {shown(value)}, not a mapping with 'tasks' or 'steps'")
        return None
    if "tasks" in value and "steps" in value:
        text = "the definition has tasks and steps; tasks lead to others by 'next', steps wait for others by 'after'"
        findings.error_at_key("bad_combination", ("steps",), f"{text}: leave one of the two out")
        return None
    if "tasks" not in value and "steps" not in value:
        if not any(name.lower() in ("tasks", "steps") for name in value):  # which is told as what it is
            text = "the definition has neither tasks nor steps; write 'tasks:' with a mapping of names to tasks"
            findings.error("no_tasks", (), text)
        read_head(findings, "tasks")
        return None
    return "tasks" if "tasks" in value else "steps"


def _tasks(findings: Findings, form: _Form) -> dict[str, object]:
    tasks = cast("dict[str, object]", findings.document.value)[form]
    if tasks is None or tasks == {}:
        findings.error("no_tasks", (form,), f"there are no {form}; write 'name: {{action: …}}' for each")
    elif not is_mapping(tasks):
        findings.error("bad_type", (form,), f"{form} is {shown(tasks)}; write a mapping of names to {form}")
    elif len(tasks) > GRAPH_TASKS_MAX:
        text = f"there are {len(tasks)} {form}; at most {GRAPH_TASKS_MAX} are allowed"
        findings.error("limit_out_of_range", (form,), text)
    else:
        return tasks
    return {}


def _drafts(findings: Findings, form: _Form, head: Head, tasks: dict[str, object]) -> dict[str, TaskDraft]:
    if form == "tasks":
        return read_transitions(findings, tasks)
    return read_dependencies(findings, tasks, (setting.name for setting in head.initial))


def _assemble(
    form: _Form, head: Head, wiring: Wiring, entries: Sequence[int], dominators: Sequence[int | None]
) -> Graph:
    tasks: dict[str, Task] = {}
    above: dict[str, str] = {}
    for number, name in enumerate(wiring.names):
        draft = wiring.drafts[number]
        edges = tuple(each.edge for each in draft.edges)
        tasks[name] = msgspec.structs.replace(draft.task, join=groups_of(wiring, number), edges=edges)
        dominator = dominators[number]
        # In a dependency graph nothing runs twice, so that no instances of a join have to be told apart.
        if form == "tasks" and tasks[name].join and dominator is not None:
            above[name] = wiring.names[dominator] if dominator >= 0 else ROOT
    return Graph(
        name=head.name,
        tasks=tasks,
        entries=tuple(wiring.names[number] for number in entries),
        inputs=head.inputs,
        variables=head.variables,
        output=head.output,
        limits=head.limits,
        on_unhandled=head.on_unhandled,
        on_cancel=head.on_cancel,
        dominators=above,
        form="transitions" if form == "tasks" else "dependencies",
        description=head.description,
        tags=head.tags,
    )
