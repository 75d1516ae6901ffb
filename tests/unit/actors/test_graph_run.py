"""Graph runs: steps, children, waits, items, guards and joins on the engine's own means."""

from __future__ import annotations

import asyncio

import pytest

from jetrun.actors import GraphInvalid, graph_call, load_graph
from jetrun.actors.commands import Advance
from jetrun.actors.graph_workflow import GRAPHS
from jetrun.client import testing
from jetrun.client.testing_app import AppUnderTest
from support.graph_steps import STEPS, code_of, double, ending_of, graph, ran, seconds_of, story


def app(*graphs: object) -> AppUnderTest:
    return testing.app(*graphs, *STEPS)  # type: ignore[arg-type]  # graphs are workflows


# --- steps --------------------------------------------------------------------------------------
async def test_a_chain_of_steps_hands_on_what_it_publishes() -> None:
    """A task's result is what its edges see; what they publish is what the next task sees."""
    flow = graph("""
input: [n]
tasks:
  a: {action: double, input: {x: "{{ ctx.n }}"}, next: [{publish: [{n: "{{ result() }}"}], do: b}]}
  b: {action: double, input: ["{{ ctx.n }}"], next: [{publish: [{n: "{{ result() }}"}]}]}
output: [{n: "{{ ctx.n }}"}]
""")
    async with app(flow) as tested:
        assert (await ran(tested, flow, n=3)).output == {"n": 12}


async def test_a_tail_tells_moves_between_commands() -> None:
    """Whoever watches a run sees tasks, not only commands."""
    flow = graph("tasks: {a: {action: double x=2, next: [{publish: [{y: '{{ result() }}'}], do: b}]}, b: {wait: 5}}")
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await run.result()
        kinds = [event.kind async for event in run.tail()]

    assert kinds == [
        "run.started",
        *("graph.began", "task.started", "step.scheduled"),
        *("step.completed", "task.succeeded", "task.took", "task.started", "timer.started"),
        *("timer.fired", "task.succeeded", "graph.finished", "run.completed"),
    ]


async def test_a_step_knows_its_task() -> None:
    """Its attempt names the task and the item, for whoever reads its logs."""
    from jetrun.actors import attempt, step

    @step
    def named(x: int) -> str:
        return f"{attempt().task} {x}"

    flow = graph("""
tasks:
  a: {with: "x in {{ [7, 8] }}", action: "named x={{ item('x') }}", next: [{publish: [{all: "{{ result() }}"}]}]}
output: [{all: "{{ ctx.all }}"}]
""")
    async with testing.app(flow, named) as tested:
        assert (await ran(tested, flow)).output == {"all": ["a[0] 7", "a[1] 8"]}


async def test_children_are_workflows_and_graphs() -> None:
    """A graph is a workflow like any other, below and above."""
    inner = graph("""
input: [n]
tasks: {a: {action: "double x={{ ctx.n }}", next: [{publish: [{n: "{{ result() }}"}]}]}}
output: [{n: "{{ ctx.n }}"}]
""", "inner")  # fmt: skip
    flow = graph("""
tasks:
  a: {workflow: inner, input: {n: 20}, next: [{publish: [{n: "{{ result().n }}"}], do: b}]}
  b: {workflow: successor, input: ["{{ ctx.n + 1 }}"], next: [{publish: [{n: "{{ result() }}"}]}]}
output: [{n: "{{ ctx.n }}"}]
""")
    async with app(flow, inner) as tested:
        assert (await ran(tested, flow)).output == {"n": 42}


async def test_a_childs_failure_is_the_tasks() -> None:
    """Its error is what the edges see, and what the run names."""
    inner = graph("tasks: {a: {action: wrong what=inside}}", "inner")
    flow = graph("""
tasks:
  a: {workflow: inner, next: [{when: "{{ failed() }}", publish: [{said: "{{ error().message }}"}], do: noop}]}
output: [{said: "{{ ctx.said }}"}]
""")
    async with app(flow, inner) as tested:
        ending = await ran(tested, flow)

    assert ending.status == "succeeded"
    assert ending.output == {"said": "task 'a' failed: ValueError: inside"}


async def test_large_values_go_through_the_object_store() -> None:
    """Moves, arguments and outputs of any size that values may have."""
    flow = graph("""
tasks:
  a: {action: large size=300000, next: [{publish: [{b: "{{ result() }}"}], do: b}]}
  b: {action: "length text={{ ctx.b }}", next: [{publish: [{n: "{{ result() }}"}]}]}
output: {n: "{{ ctx.n }}", all: "{{ ctx.b }}"}
""")
    async with app(flow) as tested:
        output = (await ran(tested, flow)).output
        records = await tested.client.get("flow/r1").log()

    assert output["n"] == len(output["all"]) == 300_000
    advances = [command for record in records for command in record.commands if isinstance(command, Advance)]
    assert max(len(bytes(advance.moves)) for advance in advances) < 300_000


async def test_a_definition_comes_with_the_start() -> None:
    """`jetrun-graph` runs what it is given, from where it is told."""
    definition = "tasks: {a: {action: wrong}, b: {action: double x=4, next: [{publish: [{y: '{{ result() }}'}]}]}}\noutput: [{y: '{{ ctx.y }}'}]"
    async with testing.app(GRAPHS, *STEPS) as tested:
        run = await tested.client.start(GRAPHS.call(definition=definition, input={}, start=["b"]), run_id="r1")

        assert await run.result() == {"y": 8}
        assert (await run.graph()).path == ["b"]


async def test_a_definition_as_data_comes_with_the_start() -> None:
    """A program that makes definitions needs no text."""
    definition = {"steps": {"a": {"step": "double", "input": {"x": 4}}}, "output": {"a": "{{ ctx.a }}"}}
    async with testing.app(GRAPHS, *STEPS) as tested:
        run = await tested.client.start(GRAPHS.call(definition=definition), run_id="r1")

        assert await run.result() == {"a": 8}


async def test_a_run_keeps_the_definition_that_it_began_with() -> None:
    """The module's graph may change under it; no version is needed."""
    old = graph(
        "tasks: {a: {hook: go, next: [{do: b}]}, b: {action: double x=1, next: [{publish: [{y: '{{ result() }}'}]}]}}\noutput: [{y: '{{ ctx.y }}'}]"
    )
    new = graph("tasks: {c: {action: wrong}}")
    async with app(old) as tested:
        run = await tested.client.start(old.call(), run_id="r1")
        await tested.until_waiting(run, "go")
        tested.crash_actor_worker()
        tested._registry.workflows["flow"] = new
        await run.hook("go")

        assert await run.result() == {"y": 2}
        assert code_of(await ran(tested, new, "r2")) == "task_failed"


# --- waits ---------------------------------------------------------------------------------------
async def test_waits_delays_and_hooks_take_their_time() -> None:
    """Timers are durable ones, in the run's time."""
    flow = graph("""
tasks:
  a: {wait: 30s, next: [{do: b}]}
  b: {action: core.noop, delay: 12.5, next: [{do: c}]}
  c: {hook: go, next: [{publish: [{got: "{{ result().n }}"}]}]}
output: [{got: "{{ ctx.got }}"}]
""")
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await tested.until_waiting(run, "go")
        assert await seconds_of(run, "step.scheduled") == [42.5]
        await run.hook("go", {"n": 7})

        assert await run.result() == {"got": 7}


async def test_a_timer_fires_while_a_step_runs() -> None:
    """W21: what is due waits for nobody."""
    flow = graph("""
tasks:
  long: {action: slow seconds=5}
  soon: {wait: 100ms, next: [{do: quick}]}
  quick: {action: core.noop}
""")
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await run.result()
        begun = await seconds_of(run, "step.scheduled")

    assert begun == [0.0, 0.1]


async def test_hooks_are_kept_for_a_task_that_has_not_begun() -> None:
    """A message that comes early is not lost."""
    flow = graph("""
tasks:
  a: {wait: 60, next: [{do: b}]}
  b: {hook: go, next: [{publish: [{got: "{{ result() }}"}]}]}
output: [{got: "{{ ctx.got }}"}]
""")
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await run.hook("go", "early")

        assert await run.result() == {"got": "early"}


async def test_timeouts_of_steps_children_and_hooks() -> None:
    """Each has the status `timeout`, which `failed()` and `timed_out()` see."""
    inner = graph("tasks: {a: {wait: 1h}}", "inner")
    flow = graph("""
tasks:
  s: {action: slow seconds=100, timeout: 2s, next: [{when: "{{ timed_out() and failed() }}", publish: [{s: "{{ error().code }}"}], do: j}]}
  c: {workflow: inner, timeout: 3s, next: [{when: "{{ timed_out() }}", publish: [{c: "{{ error().code }}"}], do: j}]}
  h: {hook: go, timeout: 4s, next: [{when: "{{ timed_out() }}", publish: [{h: "{{ error().code }}"}], do: j}]}
  j: {join: all}
output: {s: "{{ ctx.s }}", c: "{{ ctx.c }}", h: "{{ ctx.h }}"}
""")
    async with app(flow, inner) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        ending = await ending_of(run)
        [child] = await run.children()
        told = await ending_of(child)

    assert ending.output == {"s": "step_timeout", "c": "child_timeout", "h": "hook_timeout"}
    assert told.status == "cancelled"


# --- items ----------------------------------------------------------------------------------------
ITEMS = """
tasks:
  a:
    with: {{items: "x in {{{{ [2, 4, 5, 6, 8] }}}}", concurrency: {concurrency}, on_failure: {policy}}}
    action: {action}
    next:
      - when: "{{{{ completed() }}}}"
        publish: [{{got: "{{{{ result() }}}}"}}, {{how: "{{{{ task_status('a') }}}}"}}]
        do: noop
output: {{got: "{{{{ ctx.got }}}}"}}
"""


def items(policy: str, concurrency: int, action: str = "picky x={{ item('x') }}") -> str:
    return ITEMS.format(policy=policy, concurrency=concurrency, action=action)


async def test_items_are_run_so_many_at_once_and_results_are_in_order() -> None:
    """`concurrency` is the number under way."""
    flow = graph(items("run_all", 2, "slow seconds={{ item('x') }}"))
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        assert await run.result() == {"got": [2, 4, 5, 6, 8]}
        begun = await seconds_of(run, "step.scheduled")

    assert begun == [0.0, 0.0, 2.0, 4.0, 7.0]


@pytest.mark.parametrize(
    ("policy", "got"),
    [
        ("run_all", [2, 4, None, 6, 8]),
        ("finish_started", [2, 4, None, 6, None]),
        ("cancel_rest", [2, 4, None, None, None]),
    ],
)
async def test_after_a_failed_item(policy: str, got: list[object]) -> None:
    """All others are run, or those that were begun, or none; the task has failed, and says what it has."""
    flow = graph(items(policy, 2))
    async with app(flow) as tested:
        ending = await ran(tested, flow)
        status = await tested.client.get("flow/r1").graph()

    assert ending.output == {"got": got}
    assert status.tasks["a"].state == "failed"


async def test_items_of_children_and_none_at_all() -> None:
    """A child per item; an empty list succeeds with an empty result."""
    flow = graph("""
tasks:
  a: {with: "n in {{ [1, 2] }}", workflow: successor, input: ["{{ item('n') }}"], next: [{publish: [{got: "{{ result() }}"}], do: b}]}
  b: {with: "n in {{ [] }}", action: "double x={{ item('n') }}", next: [{publish: [{none: "{{ result() }}"}]}]}
output: {got: "{{ ctx.got }}", none: "{{ ctx.none }}"}
""")
    async with app(flow) as tested:
        assert (await ran(tested, flow)).output == {"got": [2, 3], "none": []}


async def test_a_failure_of_items_names_the_first_and_the_last() -> None:
    """The run's error tells how many."""
    flow = graph("tasks: {a: {with: 'x in {{ [1, 2, 3] }}', action: \"picky x={{ item('x') }}\"}}")
    async with app(flow) as tested:
        ending = await ran(tested, flow)

    assert ending.error is not None
    assert "ItemsFailed: 2 of 3 items failed, the first is item 0; last: ValueError: 3 is odd" in ending.error.message


# --- guards ---------------------------------------------------------------------------------------
async def test_a_chain_of_skipped_steps_ends_at_once() -> None:
    """W31: fifty ends and their bookkeeping are one step; nothing is ever seen between them."""
    steps = "\n".join(
        f"  s{n}: {{step: double, input: [1], after: [s{n - 1}], run_if: '{{{{ false }}}}'}}" for n in range(1, 51)
    )
    flow = graph(
        f"steps:\n  s0: {{step: double, input: [1]}}\n{steps}\n  last: {{step: double, input: [4], after: s50}}\noutput: {{last: '{{{{ ctx.last }}}}'}}"
    )
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        assert await run.result() == {"last": 8}
        told = story(await run.events(), "task.skipped", "step.scheduled")
        records = await run.log()

    assert len(told) == 52
    assert len({record.k for record in records}) == 3


async def test_a_skipped_step_has_no_result_and_its_dependents_go_on() -> None:
    """Skipped counts as satisfied; its variable is not defined."""
    flow = graph("""
input: [{wants_lint: false}]
steps:
  build: {step: double, input: {x: 2}}
  lint: {step: double, input: {x: 3}, after: build, run_if: "{{ ctx.wants_lint }}"}
  notify: {step: echo, after: [build, lint], input: {x: "{{ default(ctx.lint, 'none') }}"}}
output: {notify: "{{ ctx.notify }}", lint: "{{ defined('lint') }}"}
""")
    async with app(flow) as tested:
        assert (await ran(tested, flow)).output == {"notify": "none", "lint": False}
        assert (await ran(tested, flow, "r2", wants_lint=True)).output == {"notify": 6, "lint": True}


# --- joins ----------------------------------------------------------------------------------------
async def test_a_step_that_is_ready_for_several_reasons_starts_once() -> None:
    """W12: two dependencies that end in one record, and a later one."""
    flow = graph("""
steps:
  a: {step: double, input: [1], run_if: "{{ false }}"}
  b: {step: double, input: [1], run_if: "{{ false }}"}
  c: {wait: 5}
  any: {step: double, input: [1], after_any: [a, b, c], delay: 1}
""")
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await run.result()
        status = await run.graph()

    assert status.tasks["any"].activations == 1
    assert len(tested.calls(double)) == 1


async def test_branches_write_no_more_than_they_publish() -> None:
    """W30: who skips, fails, or only reads overwrites nobody's data, in any order of ends."""
    flow = graph("""
vars: [{x: 1}, {y: 1}]
tasks:
  s: {next: [{do: [reads, writes, skips, fails]}]}
  writes: {wait: 1, next: [{publish: [{x: 2}], do: j}]}
  skips: {action: double x=1, run_if: "{{ false }}", next: [{do: j}]}
  fails: {action: wrong, delay: 2, next: [{when: "{{ failed() }}", publish: [{y: 3}], do: j}]}
  reads: {action: "double x={{ ctx.x }}", delay: 4, next: [{publish: [{read: "{{ result() }}"}], do: j}]}
  j: {join: all}
output: {x: "{{ ctx.x }}", y: "{{ ctx.y }}", read: "{{ ctx.read }}"}
""")
    async with app(flow) as tested:
        assert (await ran(tested, flow)).output == {"x": 2, "y": 3, "read": 2}


async def test_an_attempt_is_two_durable_writes() -> None:
    """W34: its start is in the record of what led to it, its end in one of its own, and neither repeats the run's data."""
    flow = graph("""
input: [n, payload]
tasks:
  s: {next: [{do: a}]}
  a:
    action: "double x={{ ctx.n }}"
    next: [{when: "{{ ctx.n > 0 }}", publish: [{n: "{{ ctx.n - 1 }}"}], do: a}]
""")
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(n=20, payload="p" * 5_000), run_id="r1")
        await run.result()
        records = await run.log()

        assert len(tested.calls()) == 21
    moves = [[command.moves for command in record.commands if isinstance(command, Advance)] for record in records]
    assert len(records) <= 22
    assert max(len(bytes(raw)) for some in moves[1:] for raw in some) < 1_000


async def test_two_runs_know_nothing_of_each_other() -> None:
    """A definition is shared, a state is not."""
    flow = graph(
        "input: [n]\ntasks: {a: {action: 'double x={{ ctx.n }}', next: [{publish: [{n: '{{ result() }}'}]}]}}\noutput: [{n: '{{ ctx.n }}'}]"
    )
    async with app(flow) as tested:
        endings = await asyncio.gather(*(ran(tested, flow, f"r{n}", n=n) for n in range(20)))

    assert [ending.output["n"] for ending in endings] == [2 * n for n in range(20)]


def test_a_workflow_needs_a_name() -> None:
    """A definition without one is no workflow."""
    from jetrun.actors import InvalidName

    with pytest.raises(InvalidName):
        load_graph("tasks: {a: {wait: 1}}")


async def test_a_definition_comes_with_its_start() -> None:
    """No worker has to know it; what is wrong with it is said before anything is sent."""
    text = "input: [n]\ntasks: {a: {action: 'double x={{ ctx.n }}', next: [{publish: [{r: '{{ result() }}'}]}]}}\noutput: [{r: '{{ ctx.r }}'}]"
    async with testing.app(*STEPS) as app:
        run = await app.client.start(graph_call(text, {"n": 4}), run_id="g-1")
        assert await run.result() == {"r": 8}
        assert (await (await app.client.start(graph_call(text, {"n": 1}, start=["a"]), run_id="g-2")).result()) == {
            "r": 2
        }

    with pytest.raises(GraphInvalid, match="undefined_target"):
        graph_call("tasks: {a: {next: [{do: nobody}]}}")


async def test_a_run_on_pause_is_shown_as_such() -> None:
    """Where nothing has ended yet, the run's own status says why nothing happens."""
    flow = graph("tasks: {a: {wait: 1h}}")
    async with testing.app(flow) as app:
        run = await app.client.start(flow.call(), run_id="r1")
        await asyncio.sleep(1)
        assert (await run.graph()).status == "running"
        await run.pause()
        await asyncio.sleep(1)
        assert (await run.graph()).status == "paused"
        await run.terminate(wait=True)
        assert (await run.graph()).status == "terminated"
