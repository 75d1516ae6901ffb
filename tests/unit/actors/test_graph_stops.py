"""How graph runs end: failures, handled and not, `fail`, cancel, pause, limits; what they leave."""

from __future__ import annotations

import asyncio

import pytest

from jetrun.client import testing
from jetrun.client.testing_app import AppUnderTest
from support.graph_steps import STEPS, code_of, echo, ending_of, graph, noop, ran, seconds_of, slow, story


def app(*graphs: object) -> AppUnderTest:
    return testing.app(*graphs, *STEPS)  # type: ignore[arg-type]  # graphs are workflows


# --- failures -------------------------------------------------------------------------------------
BRANCHES = """
on_unhandled: {policy}
tasks:
  s: {{next: [{{do: [bad, good]}}]}}
  bad: {{action: wrong, delay: 1}}
  good: {{action: slow seconds=5, next: [{{publish: [{{x: 1}}], do: later}}]}}
  later: {{action: core.noop}}
output: [{{x: "{{{{ default(ctx.x, 0) }}}}"}}]
"""


@pytest.mark.parametrize(("policy", "later"), [("fail_fast", 0), ("drain", 1)])
async def test_after_a_failure_nothing_new_starts_or_independent_branches_finish(policy: str, later: int) -> None:
    """W24: what runs may end in any case, and its edges are taken; the output has what they publish."""
    flow = graph(BRANCHES.format(policy=policy))
    async with app(flow) as tested:
        ending = await ran(tested, flow)

        assert len(tested.calls(noop)) == later
    assert (ending.status, code_of(ending), ending.output, ending.at_s) == ("failed", "task_failed", {"x": 1}, 5.0)


async def test_steps_drain_and_tasks_fail_fast_unless_told_otherwise() -> None:
    """What each model's users expect."""
    steps = graph(
        "steps: {bad: {step: wrong}, a: {wait: 1}, b: {step: core.noop, after: a}, c: {step: echo, after: bad}}"
    )
    tasks = graph("tasks: {bad: {action: wrong}, a: {wait: 1, next: [{do: b}]}, b: {action: core.noop}}", "tasks")
    async with app(steps, tasks) as tested:
        drained = await ran(tested, steps)
        assert len(tested.calls(noop)) == 1
        await ran(tested, tasks)
        assert len(tested.calls(noop)) == 1
        assert tested.calls(echo) == []

    assert drained.error is not None
    assert drained.error.message == "task 'bad' failed: ValueError: wrong; blocked: c (by bad)"


async def test_a_failure_names_the_tasks_that_failed_and_their_errors() -> None:
    """W20: not the one that began last."""
    flow = graph("""
steps:
  a: {step: wrong, input: {what: first}}
  b: {step: wrong, input: {what: second}, delay: 1}
  c: {step: slow, input: {seconds: 3}, timeout: 2s}
  d: {step: slow, input: {seconds: 4}}
""")
    async with app(flow) as tested:
        ending = await ran(tested, flow)

    assert ending.error is not None
    assert ending.error.code == "task_failed"
    one, two, three = ending.error.message.split("; ")
    assert (one, two) == ("task 'a' failed: ValueError: first", "task 'b' failed: ValueError: second")
    assert three.startswith("task 'c' timed out: ")


@pytest.mark.parametrize(
    ("do", "status"), [("noop", "succeeded"), ("b", "succeeded"), ("continue", "failed"), ("fail", "failed")]
)
async def test_what_handles_a_failure(do: str, status: str) -> None:
    """Any target but `continue`; `fail` handles it, and fails the run. What is published is in the output."""
    flow = graph(
        f"tasks: {{a: {{action: wrong, next: [{{when: '{{{{ failed() }}}}', publish: [{{x: 1}}], do: {do}}}]}}, b: {{action: core.noop}}}}\nstart: a\noutput: [{{x: '{{{{ ctx.x }}}}'}}]"
    )
    async with app(flow) as tested:
        ending = await ran(tested, flow)

    assert (ending.status, ending.output) == (status, {"x": 1})
    assert code_of(ending) == {"continue": "task_failed", "fail": "fail"}.get(do)


@pytest.mark.parametrize("retry", ["forever", "{count: forever, delay: 1, when: '{{ failed() }}'}"])
@pytest.mark.parametrize("at_s", [15, 10.5])
async def test_after_a_failure_a_task_is_not_tried_again(retry: str, at_s: float) -> None:
    """What runs may end; a task that is tried for ever does not keep a failed run from its end."""
    flow = graph(f"""
tasks:
  a: {{action: slow seconds=100, timeout: 10s, retry: {retry}}}
  b: {{action: wrong, delay: {at_s}}}
""")
    async with app(flow) as tested:
        ending = await ran(tested, flow)

        assert len(tested.calls(slow)) == (2 if at_s == 15 else 1)
    assert (code_of(ending), ending.at_s <= 22) == ("task_failed", True)


async def test_siblings_of_fail_have_one_go() -> None:
    """`do: cleanup, fail`: the clean-up runs, what would follow it does not."""
    flow = graph("""
tasks:
  a: {action: core.noop, next: [{do: "cleanup, fail"}]}
  cleanup: {action: echo x=1, delay: 2, retry: {count: 1}, next: [{publish: [{clean: true}], do: after}]}
  after: {action: slow}
output: [{clean: "{{ ctx.clean }}"}]
""")
    async with app(flow) as tested:
        ending = await ran(tested, flow)

        assert (len(tested.calls(echo)), len(tested.calls(slow))) == (1, 0)
    assert (code_of(ending), ending.output, ending.at_s) == ("fail", {"clean": True}, 2.0)


@pytest.mark.parametrize("form", ["steps", "tasks"])
async def test_continue_on_failure_goes_on_as_after_success(form: str) -> None:
    """W32: the task counts as skipped after its last attempt, and its dependents run."""
    if form == "steps":
        flow = graph(
            "steps: {a: {step: wrong, on_failure: continue, retry: {count: 1}}, b: {step: echo, input: [1], after: a}, c: {step: echo, input: [1], after_any: [a]}}"
        )
    else:
        flow = graph(
            "tasks: {a: {action: wrong, on_failure: continue, retry: {count: 1}, next: [{when: '{{ skipped() }}', do: [b, c]}]}, b: {action: echo x=1}, c: {action: echo x=1}}"
        )
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        ending = await ending_of(run)

        assert len(tested.calls(echo)) == 2
        assert (await run.graph()).tasks["a"].state == "skipped"
    assert ending.status == "succeeded"


async def test_a_join_that_cannot_be_met_fails_the_run() -> None:
    """It says who arrived and who is missing; one that nobody has arrived at is no matter."""
    flow = graph("""
tasks:
  a: {action: core.noop, next: [{do: j}]}
  b: {action: core.noop, next: [{when: "{{ failed() }}", do: [j, k]}]}
  c: {action: core.noop, next: [{when: "{{ failed() }}", do: k}]}
  j: {join: all}
  k: {join: all}
output: [{x: 1}]
""")
    async with app(flow) as tested:
        ending = await ran(tested, flow)

    assert ending.error is not None
    assert (code_of(ending), ending.output) == ("join_unreachable", {"x": 1})
    assert ending.error.message == (
        "join 'j' is partially satisfied and cannot be reached: a arrived, 1 more of b would be needed"
    )


async def test_all_conditions_that_break_are_told_together() -> None:
    """The good edges are taken in the log all the same, and nothing new starts."""
    flow = graph("""
tasks:
  a:
    action: echo x=1
    next:
      - {when: "{{ result() }}", do: b}
      - {when: "{{ result().y.z == 1 }}", do: b}
      - {publish: [{x: "{{ result() }}"}], do: b}
  b: {action: core.noop}
output: [{x: "{{ ctx.x }}"}]
""")
    async with app(flow) as tested:
        ending = await ran(tested, flow)

        assert tested.calls(noop) == []
    assert ending.error is not None
    assert (code_of(ending), ending.output) == ("expression_error", {"x": 1})
    assert "tasks.a.next[0].when: a condition is true or false, and this is the number 1" in ending.error.message
    assert "tasks.a.next[1].when" in ending.error.message


async def test_an_output_that_has_no_value_fails_the_run_and_the_rest_is_there() -> None:
    """As much as there is."""
    flow = graph(
        "input: [n]\ntasks: {a: {action: core.noop}}\noutput: [{x: 1}, {y: '{{ ctx.n.m }}'}, {z: '{{ ctx.x + 1 }}'}]"
    )
    async with app(flow) as tested:
        ending = await ran(tested, flow)

    assert (ending.status, code_of(ending), ending.output) == ("failed", "expression_error", {"x": 1, "z": 2})


async def test_bad_inputs_end_a_run_before_any_task() -> None:
    """A dependency graph takes what it declares."""
    flow = graph("input: [name]\nsteps: {a: {step: core.noop}}")
    async with app(flow) as tested:
        ending = await ran(tested, flow, "r1", nom="x")

        assert tested.calls() == []
    assert ending.error is not None
    assert (code_of(ending), ending.error.message) == ("input", "input: no input 'nom'; it takes name")


async def test_a_task_to_start_with_that_does_not_exist_is_named() -> None:
    """And nothing runs."""
    from jetrun.actors.graph_workflow import GRAPHS

    async with testing.app(GRAPHS, *STEPS) as tested:
        run = await tested.client.start(GRAPHS.call(definition="tasks: {a: {wait: 1}}", start=["b"]), run_id="r1")
        ending = await ending_of(run)

    assert ending.error is not None
    assert (code_of(ending), ending.error.message) == ("input", "start: no task 'b'")


# --- cancel -----------------------------------------------------------------------------------------
CANCELLED = """
on_cancel: {policy}
tasks:
  a: {{action: slow seconds=20, next: [{{when: "{{{{ succeeded() }}}}", publish: [{{a: 1}}], do: later}}]}}
  timer: {{wait: 1h}}
  hook: {{hook: go}}
  retried: {{action: wrong, retry: {{count: 3, delay: 1h}}}}
  polled: {{action: core.noop, retry: {{count: 3, delay: 1h, when: "{{{{ succeeded() }}}}"}}}}
  child: {{workflow: inner}}
  later: {{action: echo x=1}}
output: [{{a: "{{{{ default(ctx.a, 0) }}}}"}}]
"""
INNER = "tasks: {a: {action: slow seconds=30}}"


@pytest.mark.parametrize(("policy", "at_s", "a"), [("cancel_running", 0.0, 0), ("allow_finish", 25.0, 1)])
async def test_a_cancel_gives_up_waits_and_stops_steps_or_lets_them_finish(policy: str, at_s: float, a: int) -> None:
    """W23: nothing new starts; the output is rendered; the run ends as cancelled, once."""
    flow, inner = graph(CANCELLED.format(policy=policy)), graph(INNER, "inner")
    async with app(flow, inner) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await tested.skip(5)
        await run.cancel(reason="because")
        ending = await ending_of(run)
        [child] = await run.children()
        of_child = await ending_of(child)
        events = await run.events()

        assert tested.calls(echo) == []
    assert (ending.status, ending.output, ending.at_s) == ("cancelled", {"a": a}, at_s)
    assert of_child.status == ("cancelled" if policy == "cancel_running" else "succeeded")
    assert story(events, "run.cancelled", "graph.stopping") == ["graph.stopping cancelled", "run.cancelled because"]


async def test_a_cancel_comes_before_a_failure_that_comes_later() -> None:
    """Cancelled is what it is, whatever tasks make of it."""
    flow = graph("on_cancel: allow_finish\ntasks: {a: {action: slow seconds=20, timeout: 10s}}")
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await tested.skip(5)
        await run.cancel()
        await run.cancel()
        ending = await ending_of(run)
        status = await run.graph()

    assert ending.status == "cancelled"
    assert status.tasks["a"].state == "timeout"


# --- pause ------------------------------------------------------------------------------------------
async def test_a_pause_lets_end_what_runs_and_nothing_new_starts() -> None:
    """After a resume it goes on as if nothing had been."""
    flow = graph("""
tasks:
  a: {action: slow seconds=10, next: [{do: b}]}
  b: {action: echo x=1}
""")
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await tested.skip(5)
        await run.pause(reason="lunch")
        await tested.skip(100)
        assert (len(tested.calls(slow)), len(tested.calls(echo))) == (1, 0)
        assert (await run.status()).status == "paused"
        await run.resume()
        await run.result()

        assert len(tested.calls(echo)) == 1


async def test_a_paused_run_can_be_cancelled() -> None:
    """Its output is rendered, too."""
    flow = graph("tasks: {a: {wait: 10, next: [{do: b}]}, b: {action: echo x=1}}\noutput: [{x: 1}]")
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await run.pause()
        await tested.skip(20)
        await run.cancel()
        ending = await ending_of(run)

    assert (ending.status, ending.output) == ("cancelled", {"x": 1})


# --- limits -----------------------------------------------------------------------------------------
LASTING = """
limits: {duration: 100s}
tasks:
  a: {wait: 60s, next: [{publish: [{x: 1}], do: b}]}
  b: {wait: 30s, next: [{publish: [{x: 2}], do: c}]}
  c: {wait: 30s, next: [{publish: [{x: 3}]}]}
output: [{x: "{{ ctx.x }}"}]
"""


async def test_the_limit_of_the_duration_ends_a_run_with_its_output() -> None:
    """A15: what waits is given up, what runs is stopped."""
    flow = graph(LASTING)
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        tested.crash_actor_worker()
        ending = await ending_of(run)
        status = await run.graph()

    assert ending.error is not None
    assert (code_of(ending), ending.output, ending.at_s) == ("duration_limit", {"x": 2}, 100.0)
    assert ending.error.message == "the run took longer than limits.duration (100 s)"
    assert status.tasks["c"].state == "cancelled"


async def test_pauses_do_not_count_as_duration() -> None:
    """A15: the limit is of the time in which something could happen; a takeover changes nothing about it."""
    flow = graph("""
limits: {duration: 100s}
tasks:
  a: {action: slow seconds=60, next: [{publish: [{x: 1}], do: b}]}
  b: {action: slow seconds=500}
output: [{x: "{{ ctx.x }}"}]
""")
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await tested.skip(10)
        await run.pause()
        await tested.skip(1000)
        await run.resume()
        await tested.skip(50)
        tested.crash_actor_worker()
        ending = await ending_of(run)
        ended = await seconds_of(run, "run.failed")

    assert (code_of(ending), ending.output) == ("duration_limit", {"x": 1})
    assert ended == [1100.0]


async def test_running_steps_may_finish_at_the_limit_where_a_cancel_lets_them() -> None:
    """`on_cancel` says it for both."""
    flow = graph(
        "limits: {duration: 10s}\non_cancel: allow_finish\ntasks: {a: {action: slow seconds=20, next: [{publish: [{x: 1}], do: b}]}, b: {action: echo x=1}}\noutput: [{x: '{{ ctx.x }}'}]"
    )
    async with app(flow) as tested:
        ending = await ran(tested, flow)

        assert tested.calls(echo) == []
    assert (code_of(ending), ending.output, ending.at_s) == ("duration_limit", {"x": 1}, 20.0)


async def test_a_loop_without_end_is_ended_by_its_limit() -> None:
    """A16: the task and the limit are named; retries and items do not count."""
    flow = graph(
        "limits: {iterations: 5}\ntasks: {s: {next: [{do: a}]}, a: {action: flaky good=2, retry: {count: 1}, next: [{when: '{{ succeeded() }}', do: a}]}}"
    )
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        ending = await ending_of(run)

        assert (await run.graph()).tasks["a"].activations == 5
        assert len(tested.calls()) == 10
    assert ending.error is not None
    assert (code_of(ending), ending.error.message) == (
        "iteration_limit",
        "task 'a' would begin once more, activation 6; limits.iterations allows 5",
    )


async def test_all_activations_together_have_a_limit() -> None:
    """Two tasks in turn, each below its own."""
    flow = graph(
        "limits: {activations: 7}\ntasks: {s: {next: [{do: a}]}, a: {action: core.noop, next: [{when: '{{ succeeded() }}', do: b}]}, b: {next: [{when: '{{ succeeded() }}', do: a}]}}"
    )
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        ending = await ending_of(run)
        path = (await run.graph()).path

    assert path == ["s", "a", "b", "a", "b", "a", "b"]
    assert code_of(ending) == "activation_limit"


async def test_a_loop_that_waits_for_nothing_ends() -> None:
    """It would hold its worker else."""
    flow = graph(
        "limits: {iterations: 1000000}\ntasks: {s: {next: [{do: a}]}, a: {next: [{when: '{{ succeeded() }}', do: a}]}}"
    )
    async with app(flow) as tested:
        ending = await ran(tested, flow)

    assert ending.error is not None
    assert code_of(ending) == "activation_limit"
    assert "without waiting for anything" in ending.error.message


async def test_what_had_nothing_to_wait_for_ends_though_a_sibling_cannot_begin() -> None:
    """An input without a value withholds what would start, and leaves nothing behind that never ends."""
    flow = graph("""
input: [n]
tasks:
  s: {next: [{do: [a, b, c]}]}
  a: {next: [{publish: [{x: 1}], do: c}]}
  b: {action: "echo x={{ ctx.n.m }}"}
  c: {action: core.noop}
output: [{x: "{{ ctx.x }}"}]
""")
    async with app(flow) as tested:
        ending = await ran(tested, flow)

        assert tested.calls() == []
    assert (code_of(ending), ending.output) == ("expression_error", {"x": 1})


@pytest.mark.parametrize("limit", ["cancel", "limit"])
@pytest.mark.parametrize("retry", ["forever", "{count: forever, delay: 1, when: '{{ failed() }}'}"])
async def test_a_task_that_may_finish_is_not_tried_again(retry: str, limit: str) -> None:
    """A cancelled run ends with the attempts that run, whoever makes them, and however often they would be made."""
    flow = graph(
        f"on_cancel: allow_finish\nlimits: {{duration: 25s}}\ntasks: {{a: {{action: slow seconds=100, timeout: 10s, retry: {retry}}}}}"
    )
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await tested.skip(15)
        if limit == "cancel":
            await run.cancel()
        ending = await ending_of(run)

        assert len(tested.calls(slow)) == (2 if limit == "cancel" else 3)
    assert (ending.status, code_of(ending)) == (
        ("cancelled", None) if limit == "cancel" else ("failed", "duration_limit")
    )


async def test_values_and_items_have_limits() -> None:
    """A variable that grows in a loop, and a list that is too long."""
    grows = graph(
        "limits: {value: 1KiB}\nvars: [{x: [1]}]\ntasks: {s: {next: [{do: a}]}, a: {action: core.noop, next: [{when: '{{ succeeded() }}', publish: [{x: '{{ ctx.x + ctx.x }}'}], do: a}]}}"
    )
    many = graph("input: [xs]\ntasks: {a: {with: 'x in {{ ctx.xs }}', action: \"echo x={{ item('x') }}\"}}", "many")
    async with app(grows, many) as tested:
        assert code_of(await ran(tested, grows)) == "value_limit"
        assert code_of(await ran(tested, many, "r2", xs=[0] * 10_001)) == "items_limit"
        assert tested.calls(echo) == []


async def test_entries_that_are_none_are_told() -> None:
    """A3: a cycle without a way in runs where it is told to begin, and else says why not."""
    text = (
        "tasks: {a: {action: core.noop, next: [{when: '{{ false }}', do: b}]}, b: {action: core.noop, next: [{do: a}]}}"
    )
    from jetrun.actors import GraphInvalid

    with pytest.raises(GraphInvalid, match="no_entry"):
        graph(text)
    flow = graph(f"start: b\n{text}")
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await run.result()

        assert (await run.graph()).path == ["b", "a"]
        await asyncio.sleep(0)
