"""Surface form 1, the transition graph: `tasks` with `next`, `join`, and the words `continue`, `noop`, `fail`, `retry`.

Every definition that Orquesta takes is one.
"""

from __future__ import annotations

from typing import Final, Literal, cast

import msgspec

from .graph_assignments import read_assignments
from .graph_draft import EdgeDraft, TaskDraft, Use
from .graph_expression import Expression
from .graph_fields import Fields, check_task_name
from .graph_findings import Findings, shown
from .graph_model import Attempts, Edge, Task
from .graph_problem import Path
from .graph_tasks import COMMON_FIELDS, read_task, task_fields
from .graph_template import Template

RESERVED: Final = ("continue", "fail", "noop", "retry")
"""What `do` can name besides tasks."""

TASK_FIELDS: Final = (*COMMON_FIELDS, "join", "match", "next")
TRANSITION_FIELDS: Final = ("when", "publish", "do")
_RETRY_COUNT: Final = 3
"""Of `do: retry`, as Orquesta has it."""

_COMPLETED: Final = Expression("completed()")


def read_transitions(findings: Findings, tasks: dict[str, object]) -> dict[str, TaskDraft]:
    """Reads all tasks, in the order of the definition."""
    return {name: _task(findings, ("tasks", name), name, value) for name, value in tasks.items()}


def _task(findings: Findings, path: Path, name: str, value: object) -> TaskDraft:
    if check_task_name(findings, path, name) and name in RESERVED:
        text = f"{name!r} is a word of 'do'; call the task otherwise"
        findings.error_at_key("reserved_name", path, text)
    uses: list[Use] = []
    fields = task_fields(findings, path, value, TASK_FIELDS, uses)
    task = read_task(fields, name)
    task = msgspec.structs.replace(
        task, match=cast("Literal['all', 'first']", fields.choice("match", ("all", "first"), "all"))
    )
    edges: list[EdgeDraft] = []
    for index, each in enumerate(_next(fields)):
        task = _transition(fields, (*path, "next", index), each, task, edges)
    return TaskDraft(task=task, path=path, uses=tuple(uses), edges=tuple(edges), join=_join(fields))


def _next(fields: Fields) -> list[object]:
    value = fields.values.get("next")
    if isinstance(value, list):
        return cast("list[object]", value)
    if value is not None:
        fields.bad("next", "write a list of transitions, each with 'when', 'publish' and 'do'")
    return []


def _join(fields: Fields) -> int | Literal["all"] | None:
    if not fields.has("join"):
        return None
    if fields.values["join"] == "all":
        return "all"
    value = fields.values["join"]
    if isinstance(value, bool) or not isinstance(value, int):
        fields.bad("join", "use all, or the number of tasks to wait for")
        return None
    return max(1, fields.whole("join", 1, low=0, high=1_000_000))


def _transition(of_task: Fields, path: Path, value: object, task: Task, edges: list[EdgeDraft]) -> Task:
    """Reads one transition into `edges`. Returns the task, changed where the transition is a `retry`."""
    findings = of_task.findings
    uses: list[Use] = []
    fields = Fields(findings, path, value, what="a transition", known=TRANSITION_FIELDS, uses=uses)
    when = fields.condition("when")
    publish, settings = read_assignments(findings, fields.at("publish"), fields.values.get("publish"), inline=True)
    named = _targets(fields)
    words = {name for name, _ in named if name in RESERVED}
    targets = [(name, place) for name, place in named if name not in RESERVED]
    if "retry" in words:
        task = _with_retry(fields, task, when)
        if len(named) == 1:
            if publish:
                text = "what a transition to 'retry' alone publishes is never seen: leave it out"
                findings.warning("bad_combination", fields.at("publish"), text)
            of_task.reads.uses.extend(uses)
            return task  # no edge, as Orquesta has it: after the last attempt others handle the failure, or none
    edge = Edge(
        when=when,
        publish=publish,
        targets=tuple(name for name, _ in targets),
        handles=bool(targets) or bool(words & {"noop", "fail"}),
        fails="fail" in words,
    )
    places = tuple(place for _, place in targets)
    edges.append(EdgeDraft(edge=edge, path=path, target_paths=places, uses=tuple(uses), settings=settings))
    return task


def _targets(fields: Fields) -> list[tuple[str, Path]]:
    """Reads `do`; each target once."""
    found: dict[str, Path] = {}
    path = fields.at("do")
    for name, place in fields.names("do"):
        if name not in found:
            found[name] = place
        elif place == path:  # in a text Orquesta lets it pass
            text = f"{name!r} is there twice; it is begun once"
            fields.findings.warning("duplicate_target", place, text)
        else:
            fields.findings.error("duplicate_target", place, f"{shown(name)} is there twice; leave one out")
    return list(found.items())


def _with_retry(fields: Fields, task: Task, when: Expression | None) -> Task:
    if task.attempts is not None:
        text = "the task has another retry; this one takes its place"
        fields.findings.warning("bad_combination", fields.at("do"), text)
    attempts = Attempts(count=Template(_RETRY_COUNT), when=when or _COMPLETED)
    return msgspec.structs.replace(task, attempts=attempts)
