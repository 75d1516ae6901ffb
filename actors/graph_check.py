"""The structure of a graph: targets that exist, a way in, a way to every task, and cycles that can end."""

from __future__ import annotations

from .graph_cycles import cycle_in, knots
from .graph_draft import TaskDraft, Wiring
from .graph_findings import Findings, shown
from .graph_problem import Path
from .graph_transitions import RESERVED

_NAMES_SHOWN_MAX = 10


def check_targets(findings: Findings, drafts: dict[str, TaskDraft]) -> None:
    """Notes targets of transitions that are no tasks."""
    for draft in drafts.values():
        for edge in draft.edges:
            for name, path in zip(edge.edge.targets, edge.target_paths, strict=True):
                if name not in drafts:
                    hint = findings.nearest(name, (*drafts, *RESERVED))
                    findings.error("undefined_target", path, f"there is no task {shown(name)}{hint}")


def read_start(findings: Findings, names: list[tuple[str, Path]], wiring: Wiring) -> list[int]:
    """Finds the tasks that `start` names, in its order."""
    found: list[int] = []
    seen: set[int] = set()
    for name, path in names:
        number = wiring.numbers.get(name)
        if number is None:
            hint = findings.nearest(name, wiring.names)
            findings.error("undefined_target", path, f"there is no task {shown(name)}{hint}")
        elif number in seen:
            findings.error("duplicate_target", path, f"{name!r} is there twice; leave one out")
        else:
            seen.add(number)
            found.append(number)
    return found


def check_reachable(findings: Findings, wiring: Wiring, start: list[int], path: Path) -> None:
    """Notes tasks that no run can come to.

    Args:
        start: Where runs begin if the definition says so; else at the tasks to which none leads.
        path: Of the tasks.
    """
    roots = wiring.roots()
    if not roots and not start:
        text = "every task has an inbound edge; add a task that leads in, or name where to begin: 'start: [name]'"
        findings.error("no_entry", path, text)
        return
    reached = wiring.reachable(start or roots)
    possible = wiring.reachable([*start, *roots])
    for number, draft in enumerate(wiring.drafts):
        if number not in possible:
            text = "no run comes to this task: what leads to it is itself out of reach, as in a cycle without a way in"
            findings.error("unreachable_task", draft.path, text)
        elif number not in reached:
            text = "a run comes to this task only if it is begun elsewhere than 'start' says"
            findings.warning("unreachable_task", draft.path, text)


def check_cycles(findings: Findings, wiring: Wiring) -> None:
    """Warns of cycles whose transitions are all taken always: nothing but a limit, or a failure, ends them."""
    always = [_always(wiring, number) for number in range(len(wiring.names))]
    for knot in knots(always):
        cycle = cycle_in(always, knot)
        names = [wiring.names[number] for number in (*cycle[:_NAMES_SHOWN_MAX], cycle[0])]
        text = f"{' -> '.join(names)} goes round for ever: none of these transitions has a condition"
        path = (*wiring.drafts[cycle[0]].path, "next")
        findings.warning("unconditional_cycle", path, f"{text}; a limit will end it, or a failure: add 'when' to one")


def _always(wiring: Wiring, number: int) -> list[int]:
    """Lists targets without a join to which a task leads however it ends."""
    found: list[int] = []
    task = wiring.drafts[number].task
    for index, (draft, targets) in enumerate(wiring.edges[number]):
        if draft.edge.when is None and not draft.is_unlikely and (task.match == "all" or index == 0):
            found.extend(target for target in targets if wiring.drafts[target].join is None)
    return list(dict.fromkeys(found))
