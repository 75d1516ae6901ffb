"""Surface form 2, the dependency graph: `steps` with `after` and `after_any`; compiled to edges and joins of form 1.

An edge leads to every dependent when a step has succeeded, which publishes its result under its own name, or was skipped,
which publishes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from .graph_assignments import read_assignments
from .graph_cycles import cycle_in, knots
from .graph_draft import EdgeDraft, Setting, TaskDraft, Use
from .graph_expression import Expression
from .graph_fields import Fields, check_task_name
from .graph_findings import Findings, shown
from .graph_model import Assignment, Edge, Group, Task
from .graph_problem import Path
from .graph_tasks import COMMON_FIELDS, read_task, task_fields
from .graph_template import Template

STEP_FIELDS: Final = (*COMMON_FIELDS, "after", "after_any", "publish")
_SHOWN_MAX: Final = 20
"""Steps of a cycle that a message names."""

_SUCCEEDED: Final = Expression("succeeded()")
_SKIPPED: Final = Expression("skipped()")
_RESULT: Final = Template("{{ result() }}")


class _Step(msgspec.Struct, kw_only=True):
    """A step as it was read, before it is known who depends on it."""

    task: Task
    path: Path
    uses: tuple[Use, ...]
    after: tuple[str, ...]
    after_any: tuple[str, ...]
    publish: tuple[Assignment, ...]
    settings: tuple[Setting, ...]

    @property
    def before(self) -> list[str]:
        return list(dict.fromkeys((*self.after, *self.after_any)))


def read_dependencies(findings: Findings, steps: dict[str, object], taken: Iterable[str]) -> dict[str, TaskDraft]:
    """Reads all steps, in the order of the definition.

    Args:
        taken: Names of inputs and variables, which steps cannot have.
    """
    read = {name: _step(findings, ("steps", name), name, value, steps) for name, value in steps.items()}
    _check_names(findings, read, frozenset(taken))
    _check_cycles(findings, read)
    dependents: dict[str, list[str]] = {name: [] for name in read}
    for name, step in read.items():
        for before in step.before:
            dependents[before].append(name)
    return {name: _draft(step, tuple(dependents[name])) for name, step in read.items()}


def _step(findings: Findings, path: Path, name: str, value: object, steps: dict[str, object]) -> _Step:
    if check_task_name(findings, path, name) and name.startswith("__"):
        text = f"{name!r} begins with '__', which is the engine's; call the step otherwise"
        findings.error_at_key("reserved_name", path, text)
    uses: list[Use] = []
    fields = task_fields(findings, path, value, STEP_FIELDS, uses)
    publish, settings = read_assignments(findings, fields.at("publish"), fields.values.get("publish"), inline=True)
    return _Step(
        task=read_task(fields, name, default_step=name),
        path=path,
        uses=tuple(uses),
        after=_dependencies(fields, "after", name, steps),
        after_any=_dependencies(fields, "after_any", name, steps),
        publish=publish,
        settings=settings,
    )


def _dependencies(fields: Fields, field: str, name: str, steps: dict[str, object]) -> tuple[str, ...]:
    found: list[str] = []
    seen: set[str] = set()
    for each, place in fields.names(field):
        if each == name:
            fields.findings.error("dependency_cycle", place, f"{name!r} waits for itself: {name} -> {name}")
        elif each not in steps:
            hint = fields.findings.nearest(each, steps)
            text = f"{name!r} waits for {shown(each)}, which does not exist{hint}"
            fields.findings.error("missing_dependency", place, text)
        elif each in seen:
            fields.findings.error("duplicate_target", place, f"{each!r} is there twice; leave one out")
        else:
            seen.add(each)
            found.append(each)
    return tuple(found)


def _check_names(findings: Findings, steps: dict[str, _Step], taken: frozenset[str]) -> None:
    for name, step in steps.items():
        if name in taken:
            text = f"{name!r} is an input or a variable, too; the step's result is published under its name: rename one"
            findings.error_at_key("name_conflict", step.path, text)
        for setting in step.settings:
            if setting.name in steps:
                text = f"{setting.name!r} is a step, whose result has that name; publish it under another"
                findings.error("name_conflict", setting.path, text)


def _check_cycles(findings: Findings, steps: dict[str, _Step]) -> None:
    names = list(steps)
    numbers = {name: number for number, name in enumerate(names)}
    before = [[numbers[each] for each in step.before] for step in steps.values()]
    for knot in knots(before):
        cycle = [names[number] for number in cycle_in(before, knot)]
        named = [*cycle[:_SHOWN_MAX], f"… {len(cycle) - _SHOWN_MAX} more"] if len(cycle) > _SHOWN_MAX else cycle
        text = f"steps wait for each other: {' -> '.join([*named, cycle[0]])}; take one of these dependencies out"
        step = steps[cycle[0]]
        field = "after" if cycle[1] in step.after else "after_any"
        findings.error("dependency_cycle", (*step.path, field), text)


def _draft(step: _Step, dependents: tuple[str, ...]) -> TaskDraft:
    name = step.task.name
    places = tuple(step.path for _ in dependents)
    succeeded = EdgeDraft(
        edge=Edge(when=_SUCCEEDED, publish=((name, _RESULT), *step.publish), targets=dependents),
        path=step.path,
        target_paths=places,
        settings=(Setting(name=name, path=step.path), *step.settings),
    )
    can_skip = step.task.guard is not None or step.task.on_failure == "continue"
    skipped = EdgeDraft(
        edge=Edge(when=_SKIPPED, targets=dependents), path=step.path, target_paths=places, is_unlikely=not can_skip
    )
    task = msgspec.structs.replace(step.task, join=_groups(step))
    return TaskDraft(
        task=task, path=step.path, uses=step.uses, edges=(succeeded, skipped) if dependents else (succeeded,)
    )


def _groups(step: _Step) -> tuple[Group, ...]:
    """Makes the join: none where one step alone comes before, since it comes once."""
    if len(step.before) <= 1:
        return ()
    groups: list[Group] = []
    if step.after:
        groups.append(Group(predecessors=frozenset(step.after), need=len(step.after)))
    if step.after_any:
        groups.append(Group(predecessors=frozenset(step.after_any), need=1))
    return tuple(groups)
