"""Rehearsal files: what they may hold, and every problem of what they may not."""

from __future__ import annotations

import pytest

from jetrun.actors.graph_coverage import coverage_of
from jetrun.actors.graph_problem import GraphInvalid
from jetrun.actors.graph_scenario import Scenario
from jetrun.actors.graph_scenario_file import read_rehearsal, references
from jetrun.actors.graph_source import parse
from jetrun.actors.graph_verdict import judge

GRAPH = """
input: [{n: 1}]
tasks:
  build: {action: build, next: [{when: "{{ succeeded() }}", do: "test, lint"}, {when: "{{ failed() }}", do: noop}]}
  test: {action: test, next: [{publish: [{passed: "{{ result() }}"}], do: done}]}
  lint: {action: lint, next: [{do: done}]}
  done: {join: all}
  later: {wait: 1s, next: [{publish: [{passed: false}]}]}
output: [{passed: "{{ ctx.passed }}"}, {n: "{{ ctx.n }}"}]
"""


def read(text: str) -> list[Scenario]:
    document = parse(text, name="rehearsal")
    found = {path: parse(GRAPH, name=path) for path in references(document) if path.endswith("graph.yaml")}
    return read_rehearsal(document, {**dict.fromkeys(references(document), "no such file"), **found})


def problems(text: str) -> list[str]:
    with pytest.raises(GraphInvalid) as raised:
        read(text)
    return [str(problem) for problem in raised.value.problems]


def test_scenario_has_what_stands_above_it_and_its_own() -> None:
    """Input by name, mocks by task; a scenario's own come first."""
    first, second = read("""
graph: graph.yaml
input: {n: 2}
mock: {build: failed, test: {result: 1}}
scenarios:
  one: null
  two: {input: {n: 3}, mock: {build: succeeded}, start: build}
""")

    assert (first.name, first.input, first.mocks["build"][0].status) == ("one", {"n": 2}, "failed")
    assert (second.name, second.input, second.mocks["build"][0].status) == ("two", {"n": 3}, "succeeded")
    assert second.mocks["test"][0].result == 1
    assert (first.start, second.start) == ((), ("build",))


def test_all_problems_are_told_with_their_places() -> None:
    """One pass, the nearest right name, in the order of the text."""
    assert problems("""\
graph: graph.yaml
expxt: 3
scenarios:
  a:
    mock: {tset: failed, test: {statsu: failed}, build: {item: 3}, done: failed, later: failed, lint: faxld}
    order: [bxild]
    cancel: {at: 3}
    expect: {status: ok, path: [build, tset], problems: [x], activations: {build: x}, tasks: {build: fine}, waves: 3}
  b: {graph: nowhere.yaml, expect: {waves: [3], errors: [3]}}
  c: {graph: {tasks: {}}, expect: 3, cancel: {at: 3s, activation: 2}}
  d: {cancel: {started: build, ended: build}, mock: {build: [{results: []}, {results: [1], times: 2}, {error: {kind: x}}]}}
  e: {cancel: {}, mock: {build: {status: succeeded, error: x}}, input: 3}
""") == [
        "2:1: unknown_field at expxt: the rehearsal has no field 'expxt'; did you mean 'expect'?",
        "5:12: undefined_target at scenarios.a.mock.tset: the graph has no task 'tset'; did you mean 'test'?",
        "5:33: unknown_field at scenarios.a.mock.test.statsu: an outcome has no field 'statsu'; did you mean 'status'?",
        "5:64: bad_combination at scenarios.a.mock.build.item: task 'build' has no items: no 'with'",
        "5:68: bad_combination at scenarios.a.mock.done: task 'done' runs nothing and succeeds at once: it cannot be mocked",
        "5:82: bad_combination at scenarios.a.mock.later: task 'later' is a timer, whose time passes: it cannot be mocked",
        (
            "5:103: bad_value at scenarios.a.mock.lint: 'faxld' is no outcome; use succeeded, failed, timeout, cancelled, running, "
            "or a mapping such as {result: 1}; did you mean 'failed'?"
        ),
        "6:13: undefined_target at scenarios.a.order[0]: the graph has no task 'bxild'; did you mean 'build'?",
        "7:18: bad_type at scenarios.a.cancel.at: at is 3; a duration needs its unit: write '3s' or '3m'",
        "8:22: bad_value at scenarios.a.expect.status: status is 'ok'; use one of succeeded, failed, cancelled, running",
        "8:40: undefined_target at scenarios.a.expect.path[1]: the graph has no task 'tset'; did you mean 'test'?",
        (
            "8:47: bad_combination at scenarios.a.expect.problems: a definition that is not valid does not run: leave everything "
            "but 'problems' out"
        ),
        "8:83: bad_type at scenarios.a.expect.activations.build: build is 'x'; use a whole number",
        (
            "8:102: bad_value at scenarios.a.expect.tasks.build: build is 'fine'; use one of succeeded, failed, timeout, skipped, "
            "cancelled; did you mean 'failed'?"
        ),
        "8:116: bad_type at scenarios.a.expect.waves: waves is 3; write a list, of each wave its tasks: [[a], [b, c]]",
        "9:14: bad_value at scenarios.b.graph: 'nowhere.yaml' cannot be read: no such file",
        "9:45: bad_type at scenarios.b.expect.waves[0]: a wave is 3; write a task's name, or a list of them",
        "9:57: bad_type at scenarios.b.expect.errors: errors is a list; write a list of texts: kinds, or parts of messages",
        (
            "10:14: bad_type at scenarios.c.graph: graph is a mapping; a scenario names a file; a definition in place can stand "
            "above 'scenarios' alone"
        ),
        (
            "10:35: bad_type at scenarios.c.expect: expect is 3, not a mapping of status, path, waves, output, errors, activations, "
            "tasks, problems"
        ),
        "10:55: bad_combination at scenarios.c.cancel.activation: 'activation' is of a task, not of a time",
        "11:15: bad_combination at scenarios.d.cancel: say when: one of 'at: 30s', 'started: task', 'ended: task'",
        "11:72: bad_type at scenarios.d.mock.build[0].results: results is a list; write a list of results",
        (
            "11:92: bad_combination at scenarios.d.mock.build[1].times: 'results' are one after the other, each once: leave "
            "'times' out"
        ),
        (
            "11:112: unknown_field at scenarios.d.mock.build[2].error.kind: an error (a text is its message) has no field 'kind'; "
            "there are type, message, code"
        ),
        "12:15: missing_field at scenarios.e.cancel: say when: one of 'at: 30s', 'started: task', 'ended: task'",
        "12:60: bad_combination at scenarios.e.mock.build.error: work that is succeeded has no error",
        "12:72: bad_type at scenarios.e.input: input is 3; write a mapping",
    ]


def test_what_belongs_to_scenarios_does_not_stand_above_them() -> None:
    """An expectation that is never compared would be worse than none."""
    text = "graph: graph.yaml\nexpect: {}\nscenarios: {a: {}}"
    assert problems(text) == [
        (
            "2:1: bad_combination at expect: 'expect' belongs to each scenario; only graph, input, start, mock can stand above "
            "'scenarios'"
        )
    ]
    assert problems("graph: graph.yaml\nscenarios: {}")[0].startswith(
        "2:12: missing_field at scenarios: there are no scenarios"
    )
    assert problems("mock: {a: failed}")[0].startswith("1:1: missing_field: there is no 'graph'")
    assert problems("graph: 3")[0].startswith("1:8: bad_type at graph: graph is 3; write the definition's file")


def test_problems_of_a_definition_in_place_have_their_places_in_the_rehearsal() -> None:
    """An editor jumps to the right line."""
    (scenario,) = read("graph:\n  tasks:\n    a: {next: [{do: nobody}]}\nexpect: {status: succeeded}")

    assert judge(scenario).lines() == [
        "not ok rehearsal",
        "  rehearsal:3:21: undefined_target at tasks.a.next[0].do: there is no task 'nobody'; did you mean 'noop'?",
    ]


def test_definition_that_is_not_valid_can_be_expected() -> None:
    """By kind, or by a part of what is told."""
    text = "graph: {tasks: {a: {next: [{do: nobody}]}}}\nexpect: {problems: [undefined_target, no task 'nobody'%s]}"

    assert judge(read(text % "")[0]).is_as_expected
    assert judge(read(text % ", no_entry")[0]).differences == ("problems: expected 'no_entry'; got undefined_target",)
    assert judge(read("graph: graph.yaml\nexpect: {problems: no_entry}")[0]).differences == (
        "graph.yaml is valid; expected problems: no_entry",
    )


def test_every_difference_is_told() -> None:
    """A reader of CI's output needs no second run."""
    (scenario,) = read(
        """
graph: graph.yaml
mock: {test: {result: {a: [1, true], b: 1}}, lint: {item: 0}}
expect:
  path: build, test, later
  waves: [[build, later], [test, lint]]
  status: failed
  output: {passed: {a: [1.0, 1], c: 2}, n: 1}
  errors: [nothing]
  activations: {build: 2}
  tasks: {done: failed}
""".replace(", lint: {item: 0}", "")
    )

    assert judge(scenario).lines() == [
        "not ok rehearsal",
        "  wave 3: expected nothing; got done",
        "  expected waves: build later > test lint",
        "  got waves:      build later > test lint > done",
        "  path, wave 1: expected build test; got build later",
        "  expected path: build test later",
        "  got path:      build later > test lint > done",
        "  status: expected failed, got succeeded",
        '  output.passed: expected {"a":[1.0,1],"c":2}, got false',
        "  errors: expected 'nothing'; got none",
        "  activations of build: expected 2, got 1",
        "  task done: expected failed, got succeeded",
    ]


def test_output_is_compared_as_json() -> None:
    """A number is the same with and without fraction, true is not 1, and order of keys says nothing."""
    text = (
        "graph: {tasks: {a: {action: x, next: [{publish: [{v: '{{ result() }}'}]}]}}, output: [{v: '{{ ctx.v }}'}]}\n"
    )
    for wanted, got, told in [
        ("{a: 1, b: [1.0]}", "{b: [1], a: 1.0}", []),
        ("true", "1", ["output.v: expected true, got 1"]),
        ("[1, {a: 2}]", "[1, {a: 3}]", ["output.v[1].a: expected 2, got 3"]),
        ("[1]", "[1, 2]", ["output.v: expected [1], got [1,2]"]),
        ("{a: 1}", "{b: null}", ["output.v.a: expected 1, got nothing", "output.v.b: expected nothing, got null"]),
    ]:
        (scenario,) = read(f"{text}mock: {{a: {{result: {got}}}}}\nexpect: {{output: {{v: {wanted}}}}}")
        assert list(judge(scenario).differences) == told


def test_coverage_counts_what_no_scenario_has_come_to() -> None:
    """Tasks and transitions of a transition graph; of a dependency graph tasks alone."""
    scenarios = read("graph: graph.yaml\nscenarios: {a: {}, b: {mock: {build: failed}}}")
    first = coverage_of([judge(scenarios[0])])
    both = coverage_of(map(judge, scenarios))

    assert str(first[0]) == "coverage of graph.yaml: 5 of 5 tasks, 4 of 5 transitions; never: tasks.build.next[1]"
    assert (round(first[0].percent), both[0].percent) == (90, 100)
    steps = read("graph: {steps: {a: {}, b: {after: a}, c: {}}}\nmock: {a: failed}")
    assert str(coverage_of(map(judge, steps))[0]) == "coverage of rehearsal: 2 of 3 tasks; never: b"


def test_definition_itself_is_a_scenario() -> None:
    """To explore: everything succeeds with null."""
    (scenario,) = read("tasks: {a: {action: x, next: [{do: b}]}, b: {}}")

    assert judge(scenario).lines() == ["ok rehearsal", "  path: a > b", "  status: succeeded"]
