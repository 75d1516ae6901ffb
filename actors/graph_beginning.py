"""How a graph run begins: with which variables, and where."""

from __future__ import annotations

from .graph_evaluation import Evaluation, Misfit
from .graph_events import Beginning
from .graph_model import Graph


def begun(graph: Graph, evaluation: Evaluation, event: Beginning) -> tuple[dict[str, object], list[str], list[Misfit]]:
    """Tells variables and first tasks of a run, and everything that keeps it from beginning."""
    variables: dict[str, object] = {}
    declared = {name for name, _ in graph.inputs}
    given = event.input
    unknown = sorted(given.keys() - declared)
    misfits: list[Misfit] = []
    if graph.takes_any_input:
        variables.update({name: given[name] for name in unknown})
    elif unknown and graph.form == "dependencies":
        takes = ", ".join(sorted(declared)) or "none"
        misfits.append(Misfit("input", "input", f"no input {unknown[0]!r}; it takes {takes}"))
    try:
        for name, default in graph.inputs:
            value: object = None
            if name in given:
                value = given[name]
            elif default is not None:
                value = evaluation.value(default, evaluation.of_variables(variables), f"input.{name}")
            variables[name] = evaluation.bounded(value, f"input.{name}")
        variables.update(evaluation.assigned(graph.variables, evaluation.of_variables(variables), "vars"))
    except Misfit as misfit:
        misfits.append(misfit)
    entries = list(event.start or graph.entries)
    missing = [task for task in entries if task not in graph.tasks]
    if missing:
        misfits.append(Misfit("input", "start", f"no task {missing[0]!r}"))
    elif not entries:
        misfits.append(Misfit("no_entry", "start", "every task has an inbound edge; name the tasks to start with"))
    return variables, entries, misfits
