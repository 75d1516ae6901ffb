"""Definitions from strangers: each mistake has its kind and its place, and all are found in one pass."""

import time
from pathlib import Path

import pytest

from jetrun.actors.graph_compile import check, compile_graph
from jetrun.actors.graph_kinds import KINDS
from jetrun.actors.graph_problem import GraphInvalid, Problem
from jetrun.actors.graph_source import Document, parse
from support.bad_graphs import ERRORS, ONE, WARNINGS


def problems_of(text: str) -> list[Problem]:
    return check(parse(text, name="bad.yaml"))


@pytest.mark.parametrize("name", ERRORS)
def test_a_mistake_has_its_kind_and_its_place(name: str) -> None:
    text, kind, where = ERRORS[name]

    found = problems_of(text)

    assert (kind, where.replace('"', "'")) in [
        (problem.kind, problem.where.replace('"', "'")) for problem in found if problem.severity == "error"
    ], [str(problem) for problem in found]
    assert all("\n" not in problem.message for problem in found)
    with pytest.raises(GraphInvalid) as refused:
        compile_graph(parse(text, name="bad.yaml"))
    assert all(problem.severity == "error" for problem in refused.value.problems)


@pytest.mark.parametrize("name", WARNINGS)
def test_what_is_hardly_meant_is_a_warning_and_compiles(name: str) -> None:
    """Orquesta takes these, and a run of them has a meaning: refusing them would lose definitions that work."""
    text, kind, where = WARNINGS[name]

    compiled = compile_graph(parse(text, name="odd.yaml"))

    assert [(kind, where)] == [(problem.kind, problem.where) for problem in compiled.warnings]


def test_all_mistakes_are_found_in_one_pass_and_sorted_by_place() -> None:
    text = """\
version: 3
input: [a, a]
vars:
  - x: "{{ ctx.nothing }}"
tasks:
  first:
    acton: core.noop
    retry: {max: 3}
    next:
      - when: maybe
        do: seconds, third
  second:
    action: core.echo message=<% ctx().y %>
    timeout: 5
  noop:
    join: 4
output:
  - o: "{{ ctx.z }}"
"""
    found = problems_of(text)

    assert [(each.kind, each.where, each.mark.line) for each in found if each.severity == "error"] == [
        ("bad_value", "version", 1),
        ("duplicate_name", "input[1]", 2),
        ("undefined_variable", "vars[0].x", 4),
        ("unknown_field", "tasks.first.acton", 7),
        ("missing_field", "tasks.first.retry", 8),
        ("unknown_field", "tasks.first.retry.max", 8),
        ("bad_type", "tasks.first.next[0].when", 10),
        ("undefined_target", "tasks.first.next[0].do", 11),
        ("undefined_target", "tasks.first.next[0].do", 11),
        ("undefined_variable", "tasks.second.action", 13),
        ("bad_type", "tasks.second.timeout", 14),
        ("reserved_name", "tasks.noop", 15),
        ("join_exceeds_inbound", "tasks.noop.join", 16),
        ("undefined_variable", "output[0].o", 18),
    ]
    with pytest.raises(GraphInvalid, match="acton"):
        compile_graph(parse(text, name="bad.yaml"))


def test_places_sort_alike_without_a_text() -> None:
    value = {"tasks": {f"t{number}": {"bad": 1} for number in range(12)}, "nope": 1}

    found = check(Document.of(value, name="built"))

    assert [each.where for each in found] == [*(f"tasks.t{number}.bad" for number in range(12)), "nope"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("Tasks: {a: null}", "did you mean 'tasks'?"),
        ("tasks: {a: {acton: x}}", "did you mean 'action'?"),
        ("tasks: {build: {next: [{do: tset}]}, test: null}", "did you mean 'test'?"),
        ("tasks: {build: {next: [{do: FAIL}]}}", "did you mean 'fail'?"),
        ("steps: {build: null, b: {after: builds}}", "did you mean 'build'?"),
        (ONE + "\ninput: [count]\noutput: {o: '{{ ctx.cuont }}'}", "did you mean 'count'?"),
        (ONE + "\non_unhandled: drian", "did you mean 'drain'?"),
    ],
)
def test_the_nearest_right_name_is_said(text: str, hint: str) -> None:
    assert any(hint in problem.message for problem in problems_of(text))


def test_a_form_in_the_wrong_case_is_one_mistake() -> None:
    """Not that there are no tasks, too: the right name is all that is missing."""
    [found] = problems_of("Steps: {a: {}}")

    assert (found.kind, "did you mean 'steps'" in found.message) == ("unknown_field", True)


def test_a_cycle_is_named_whole() -> None:
    found = problems_of("steps: {a: {after: c}, b: {after: a}, c: {after: b}}")

    assert [each.kind for each in found] == ["dependency_cycle"]
    assert "a -> c -> b -> a" in found[0].message


def test_kinds_are_documented() -> None:
    """The page is what people look a word up in."""
    page = (Path(__file__).parents[3] / "docs" / "graph-definitions.md").read_text()
    documented = {
        line.split("|")[1].strip().strip("`"): line.split("|")[2].strip()
        for line in page.splitlines()
        if line.startswith("| `") and line.count("|") == 3
    }

    assert {kind: documented.get(kind) for kind in KINDS} == KINDS


def test_every_kind_can_be_reported() -> None:
    """A word in the table that nothing reports would be a promise broken."""
    reported = {kind for _, kind, _ in (*ERRORS.values(), *WARNINGS.values())}

    assert reported == set(KINDS)


def test_very_many_unknown_fields_are_told_in_time() -> None:
    """The nearest right name of each took 5 s for a text of 1 MiB; some are told with it, the others with all names."""
    text = "tasks: {a: {}}\n" + "".join(f"naem{n}: 1\n" for n in range(20_000))
    document = parse(text, name="bad.yaml")
    started = time.process_time()

    found = check(document)

    assert time.process_time() - started < 2.0
    assert len(found) == 20_000
    assert found[0].message.endswith("; did you mean 'name'?")
