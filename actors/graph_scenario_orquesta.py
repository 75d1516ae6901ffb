"""Rehearsal files of Orquesta (`orquesta-rehearse`), read as they are.

Its harness counts waves in which every task takes part, with or without an action; within a wave its order is that of names,
ours that of the definition: waves are compared without order. Its entries `noop`, `continue`, `fail`, `retry` are no tasks of
ours, and an instance that it calls `task4__r1` is an activation of `task4`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

import msgspec

from .graph_fields import Fields
from .graph_findings import Findings, shown
from .graph_problem import Path
from .graph_scenario import Expected, OutcomeStatus, Rule, RunStatus, Scenario, Subject
from .graph_transitions import RESERVED
from .limits import GRAPH_ACTIVATIONS, GRAPH_ITEMS_MAX

FIELDS: Final = (
    "workflow",
    "inputs",
    "mock_action_executions",
    "expected_task_sequence",
    "expected_workflow_status",
    "expected_output",
    "expected_errors",
    "expected_inspection_errors",
    "expected_routes",
    "expected_term_tasks",
)
MOCK_FIELDS: Final = ("task_id", "route", "seq_id", "item_id", "iter_id", "num_iter", "status", "result", "result_path")

_OUTCOMES: Final[dict[str, OutcomeStatus]] = {
    "succeeded": "succeeded",
    "failed": "failed",
    "timeout": "timeout",
    "abandoned": "failed",
    "canceled": "cancelled",
    "running": "running",
    "pending": "running",
}
_STATUSES: Final[dict[str, RunStatus]] = {
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "cancelled",
    "running": "running",
}
_REFUSED: Final = ("workflow_state", "rerun_tasks", "context")
"""Of each is told why, not that it is unknown."""

_UNREACHABLE: Final = "UnreachableJoinError"


def is_orquesta(value: Mapping[str, object]) -> bool:
    """Tells whether it is a rehearsal of Orquesta, by its words."""
    return any(name in value for name in (*FIELDS, "workflow_state"))


def read_orquesta(findings: Findings, subject_of: Callable[[Path, str], Subject | None]) -> Scenario:
    """Reads the file's one scenario; problems are noted.

    Args:
        subject_of: Finds a definition by its file's name.
    """
    value = findings.document.value
    if "workflow_state" in value:
        text = "a rehearsal that runs again from a state of Orquesta's engine cannot be taken over; describe the run from its start"
        findings.error_at_key("bad_combination", ("workflow_state",), text)
    if "context" in value:
        text = "there is no context beside the input; declare what the definition reads as its input, and write it in 'inputs'"
        findings.error_at_key("bad_combination", ("context",), text)
    known = (*FIELDS, *(name for name in _REFUSED if name in value))
    fields = Fields(findings, (), value, what="the rehearsal", known=known, uses=[])
    subject: Subject | None = None
    workflow = value.get("workflow")
    if isinstance(workflow, str) and workflow:
        subject = subject_of(("workflow",), workflow)
    elif "workflow_state" not in value:
        findings.error("missing_field", (), "there is no 'workflow'; write the definition's file")
    sequence = _sequence(fields)
    inputs = value.get("inputs")
    if inputs is not None and not isinstance(inputs, dict):
        fields.bad("inputs", "write a mapping")
    return Scenario(
        name=findings.document.name,
        subject=subject or Subject(name="", graph=None),
        input=cast("dict[str, object]", inputs) if isinstance(inputs, dict) else {},
        mocks=_mocks(fields, sequence, subject),
        expected=_expected(fields, sequence),
        is_paced=True,
    )


def task_of(entry: str) -> str:
    """Returns the task of an entry of Orquesta's sequences: `task4__r1` is of `task4`."""
    name, mark, route = entry.rpartition("__r")
    return name if mark and route.isdecimal() else entry


def _sequence(fields: Fields) -> list[str]:
    value = fields.values.get("expected_task_sequence")
    if value is None and fields.has("expected_task_sequence"):
        fields.bad("expected_task_sequence", "write a list of names")
    entries = cast("list[object]", value) if isinstance(value, list) else []
    names = [each for each in entries if isinstance(each, str)]
    if value is not None and (not isinstance(value, list) or len(names) < len(entries)):
        fields.bad("expected_task_sequence", "write a list of names")
    return [task_of(each) for each in names]


def _mocks(fields: Fields, sequence: Sequence[str], subject: Subject | None) -> dict[str, tuple[Rule, ...]]:
    value = fields.values.get("mock_action_executions")
    if value is None:
        return {}
    if not isinstance(value, list):
        fields.bad("mock_action_executions", "write a list of outcomes")
        return {}
    rules: dict[str, list[Rule]] = {}
    for index, each in enumerate(cast("list[object]", value)):
        path = (*fields.at("mock_action_executions"), index)
        inner = Fields(fields.findings, path, each, what="a mock", known=MOCK_FIELDS, uses=[])
        task = inner.text("task_id")
        if inner.has("result_path"):
            text = "results are not read from other files; write the file's content as 'result'"
            fields.findings.error_at_key("bad_combination", inner.at("result_path"), text)
        graph = None if subject is None else subject.graph
        if not task:
            fields.findings.error("missing_field", path, "a mock needs its 'task_id'")
        elif graph is not None and task not in graph.tasks:
            text = f"the graph has no task {shown(task)}{fields.findings.nearest(task, graph.tasks)}"
            fields.findings.error("undefined_target", inner.at("task_id"), text)
        rules.setdefault(task, []).append(_rule(inner, task, sequence))
    return {task: tuple(each) for task, each in rules.items()}


def _rule(inner: Fields, task: str, sequence: Sequence[str]) -> Rule:
    activation = None
    if inner.has("seq_id"):
        at = inner.whole("seq_id", 0, low=0, high=GRAPH_ACTIVATIONS)
        if at < len(sequence) and sequence[at] == task:
            activation = sequence[: at + 1].count(task)
        else:
            there = f"is {sequence[at]!r}" if at < len(sequence) else "does not exist"
            text = f"entry {at} of expected_task_sequence {there}: it should be {task!r}"
            inner.findings.error("bad_value", inner.at("seq_id"), text)
    inner.whole("route", 0, low=0, high=GRAPH_ACTIVATIONS)
    inner.whole("iter_id", 0, low=0, high=GRAPH_ACTIVATIONS)
    item = inner.whole("item_id", 0, low=0, high=GRAPH_ITEMS_MAX - 1) if inner.has("item_id") else None
    return Rule(
        status=_OUTCOMES[inner.choice("status", tuple(_OUTCOMES), "succeeded")],
        result=inner.values.get("result"),
        times=max(1, inner.whole("num_iter", 1, low=0, high=GRAPH_ACTIVATIONS)),
        item=item,
        activation=activation,
    )


def _expected(fields: Fields, sequence: Sequence[str]) -> Expected:
    if fields.values.get("expected_inspection_errors"):
        return Expected(problems=())
    status = fields.choice("expected_workflow_status", tuple(_STATUSES), "succeeded")
    has_sequence = fields.values.get("expected_task_sequence") is not None
    output = fields.values.get("expected_output")
    return Expected(
        status=_STATUSES[status],
        path=tuple(task for task in sequence if task not in RESERVED) if has_sequence else None,
        output=output if output is not None else msgspec.UNSET,
        errors=_errors(fields.values.get("expected_errors")),
    )


def _errors(value: object) -> tuple[str, ...] | None:
    """Takes over what has an equal here: Orquesta's texts are its own, and it lists handled failures, too."""
    errors = cast("list[object]", value) if isinstance(value, list) else []
    return ("join_unreachable",) if any(_UNREACHABLE in str(each) for each in errors) else None
