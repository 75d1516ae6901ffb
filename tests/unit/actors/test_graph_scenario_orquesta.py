"""Orquesta's own rehearsal files, and its conformance scenarios in both formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from jetrun.actors.graph_problem import GraphInvalid
from jetrun.actors.graph_scenario_file import Found, read_rehearsal, references
from jetrun.actors.graph_scenario_orquesta import task_of
from jetrun.actors.graph_source import Document, parse
from jetrun.actors.graph_transitions import RESERVED
from jetrun.actors.graph_verdict import Verdict, judge

FIXTURES = Path(__file__).resolve().parents[4] / "shared" / "data" / "orquesta"
"""The twelve files of upstream and their scenarios, where they are at hand."""

JOIN = """
tasks:
  s: {next: [{do: "a, b, c"}]}
  a: {action: core.noop, next: [{when: <% succeeded() %>, do: j}, {when: <% failed() %>, do: noop}]}
  b: {action: core.noop, next: [{when: <% succeeded() %>, do: j}, {when: <% failed() %>, do: noop}]}
  c: {action: core.noop, next: [{when: <% succeeded() %>, do: j}, {when: <% failed() %>, do: noop}]}
  j: {action: core.noop, join: 2}
"""
LOOP = """
vars: [{n: 0}, {seen: []}]
tasks:
  s: {next: [{do: w}]}
  w:
    action: core.noop
    next:
      - {when: <% ctx().n < 2 %>, publish: [{n: <% ctx().n + 1 %>}, {seen: <% ctx().seen + list(result()) %>}], do: "w, f"}
  f: {}
output: [{seen: <% ctx().seen %>}]
"""
OURS: list[dict[str, Any]] = [
    {
        "id": "running",
        "file": JOIN,
        "mock": [{"task": "c", "status": "running"}],
        "expect": {"sequence": ["s", "a", "b", "c", "j"], "status": "running"},
    },
    {
        "id": "unreachable",
        "file": JOIN,
        "mock": [{"task": "b", "status": "failed"}, {"task": "c", "status": "failed"}],
        "expect": {
            "sequence": ["s", "a", "b", "c", "noop__r1", "noop__r2"],
            "status": "failed",
            "errors": [{"type": "error", "message": "UnreachableJoinError: The join task|route ..."}],
        },
    },
    {
        "id": "entries",
        "file": LOOP,
        "mock": [
            {"task": "w", "result": 1, "at_sequence_index": 1},
            {"task": "w", "result": 2, "at_sequence_index": 3},
        ],
        "expect": {
            "sequence": ["s", "w", "f__r1", "w", "f__r2", "w"],
            "status": "succeeded",
            "output": {"seen": [1, 2]},
        },
    },
]


def cases() -> list[dict[str, Any]]:
    if not (FIXTURES / "cases.json").exists():
        return OURS
    return [*OURS, *msgspec.json.decode((FIXTURES / "cases.json").read_bytes())["cases"]]


def found(document: Document, case: dict[str, Any]) -> Found:
    """Reads the definition: a file's name, or a text."""
    text = case["file"] if "\n" in case["file"] else (FIXTURES / case["file"]).read_bytes()
    return {path: parse(text, name="definition") for path in references(document)}


def output_of(case: dict[str, Any]) -> dict[str, Any] | None:
    """The output that upstream's engine has; it leaves out items that its harness never ran, we have null for them."""
    output = case["expect"].get("output")
    return {"items": ["fee", "fi", None, None]} if case["id"] == "items_one_failed_handled" else output


def theirs(case: dict[str, Any]) -> dict[str, Any]:
    """Writes a case as Orquesta's rehearsals are written."""
    names = {"task": "task_id", "item": "item_id", "at_sequence_index": "seq_id", "times": "num_iter"}
    mocks = [{names.get(name, name): value for name, value in mock.items()} for mock in case["mock"]]
    made = {
        "workflow": "definition",
        "inputs": case.get("inputs", {}),
        "mock_action_executions": [{"num_iter": 100, **mock} for mock in mocks],
        "expected_task_sequence": case["expect"]["sequence"],
        "expected_workflow_status": case["expect"]["status"],
        "expected_routes": case["expect"].get("routes", [[]]),
        "expected_errors": case["expect"].get("errors"),
        "expected_output": output_of(case),
    }
    return {name: value for name, value in made.items() if value is not None}


def ours(case: dict[str, Any]) -> dict[str, Any]:
    """Writes a case as our rehearsals are written."""
    sequence = [task_of(entry) for entry in case["expect"]["sequence"]]
    mocks: dict[str, list[dict[str, Any]]] = {}
    for mock in case["mock"]:
        outcome = {name: value for name, value in mock.items() if name in ("status", "result", "times", "item")}
        if "at_sequence_index" in mock:
            outcome["activation"] = sequence[: mock["at_sequence_index"] + 1].count(mock["task"])
        mocks.setdefault(mock["task"], []).append(outcome)
    expect = {"path": [task for task in sequence if task not in RESERVED], "status": case["expect"]["status"]}
    if output_of(case) is not None:
        expect["output"] = output_of(case)
    return {"graph": "definition", "input": case.get("inputs", {}), "mock": mocks, "expect": expect}


def verdict_of(value: dict[str, Any], case: dict[str, Any]) -> Verdict:
    document = Document.of(value, name=case["id"])
    (scenario,) = read_rehearsal(document, found(document, case))
    return judge(scenario)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case["id"])
def test_scenario_in_orquestas_words_is_as_orquesta_has_it(case: dict[str, Any]) -> None:
    """Who comes from there brings the rehearsals along; the path is compared wave by wave."""
    assert verdict_of(theirs(case), case).lines()[1:] == []


@pytest.mark.parametrize("case", cases(), ids=lambda case: case["id"])
def test_scenario_in_our_words_is_as_orquesta_has_it(case: dict[str, Any]) -> None:
    """Everything of the conformance scenarios can be said; tasks that run nothing end at once in ours."""
    assert verdict_of(ours(case), case).lines()[1:] == []


def problems_of(text: str) -> list[str]:
    document = parse(text, name="rehearsal")
    with pytest.raises(GraphInvalid) as raised:
        read_rehearsal(document, {path: parse(JOIN, name=path) for path in references(document)})
    return [str(problem) for problem in raised.value.problems]


def test_what_cannot_be_taken_over_is_told() -> None:
    """A rehearsal that means something else here must not pass."""
    assert problems_of("workflow_state: {}\nexpected_task_sequence: [a]") == [
        (
            "1:1: bad_combination at workflow_state: a rehearsal that runs again from a state of Orquesta's engine cannot be "
            "taken over; describe the run from its start"
        )
    ]
    assert problems_of("workflow: x\nexpected_task_sequnce: [a]") == [
        (
            "2:1: unknown_field at expected_task_sequnce: the rehearsal has no field 'expected_task_sequnce'; "
            "did you mean 'expected_task_sequence'?"
        )
    ]
    text = """\
workflow: x
inputs: 3
mock_action_executions:
  - {task_id: a, status: fine}
  - {task_id: z, status: failed, seq_id: 1}
  - {status: failed, num_iter: -1}
expected_task_sequence: [a, b]
expected_workflow_status: paused
"""
    told = [problem.partition(": ")[2].partition(":")[0] for problem in problems_of(text)]
    assert told == [
        "bad_type at inputs",
        "bad_value at mock_action_executions[0].status",
        "undefined_target at mock_action_executions[1].task_id",
        "bad_value at mock_action_executions[1].seq_id",
        "missing_field at mock_action_executions[2]",
        "limit_out_of_range at mock_action_executions[2].num_iter",
        "bad_value at expected_workflow_status",
    ]
    assert problems_of("expected_task_sequence: a")[0].startswith("1:1: missing_field: there is no 'workflow'")


def test_mock_counts_once_unless_it_says_otherwise() -> None:
    """Upstream's `num_iter` is 1: the second execution succeeds."""
    text = "workflow: x\nmock_action_executions: [{task_id: w, status: failed}]\nexpected_task_sequence: [s, w]"
    document = parse(text, name="rehearsal")
    (scenario,) = read_rehearsal(
        document, {"x": parse("tasks: {s: {next: [{do: w}]}, w: {action: x, retry: {count: 1}}}", name="x")}
    )

    assert judge(scenario).is_as_expected


def test_expected_inspection_errors_ask_for_an_invalid_definition() -> None:
    """Which errors these are is Orquesta's own; that there are any is not."""
    text = "workflow: x\nexpected_inspection_errors: {semantics: [{message: no}]}\nexpected_task_sequence: []"
    document = parse(text, name="rehearsal")

    (good,) = read_rehearsal(document, {"x": parse("tasks: {a: {next: [{do: nobody}]}}", name="x")})
    (bad,) = read_rehearsal(document, {"x": parse("tasks: {a: {}}", name="x")})

    assert judge(good).is_as_expected
    assert judge(bad).differences == ("x is valid; expected problems: any",)
