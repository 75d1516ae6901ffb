"""Graph runs that continue as new: long loops, with what goes over from link to link."""

from __future__ import annotations

import pytest

from jetrun.actors import graph_run
from jetrun.client import testing
from support.graph_steps import STEPS, code_of, ending_of, graph, ran, seconds_of

LOOP = """
vars: [{n: 0}]
limits: {iterations: 1000}
tasks:
  s: {next: [{do: a}]}
  a:
    action: "double x={{ ctx.n }}"
    next:
      - {when: "{{ ctx.n < 40 }}", publish: [{n: "{{ ctx.n + 1 }}"}], do: a}
output: [{n: "{{ ctx.n }}"}]
"""


@pytest.fixture(autouse=True)
def short_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Links of ten records, so that a few rounds make several."""
    monkeypatch.setattr(graph_run, "GRAPH_RECORDS", 10)
    monkeypatch.setattr(graph_run, "GRAPH_RECORDS_HOLD", 30)


async def test_a_loop_goes_on_link_by_link() -> None:
    """No log grows for ever; who waits for the run waits for its last link."""
    flow = graph(LOOP)
    async with testing.app(flow, *STEPS) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        assert await run.result() == {"n": 40}
        links = await run.chain()

        assert len(tested.calls()) == 41
    assert len(links) >= 4
    assert max(link.records for link in links) <= 12


async def test_counts_and_limits_go_over() -> None:
    """A16: a new link resets no count."""
    flow = graph(LOOP.replace("iterations: 1000", "iterations: 33"))
    async with testing.app(flow, *STEPS) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        ending = await ending_of(run)

        assert len(tested.calls()) == 33
        assert len(await run.chain()) > 1
        assert (await run.graph()).tasks["a"].activations == 33
    assert (code_of(ending), ending.output) == ("iteration_limit", {"n": 33})


async def test_the_duration_goes_over_with_its_pauses() -> None:
    """A15: it is the chain's, from the first link's start."""
    flow = graph("""
limits: {duration: 100s}
vars: [{n: 0}]
tasks:
  s: {next: [{do: a}]}
  a: {action: slow seconds=1, next: [{publish: [{n: "{{ ctx.n + 1 }}"}], do: a, when: "{{ succeeded() }}"}]}
output: [{n: "{{ ctx.n }}"}]
""")
    async with testing.app(flow, *STEPS) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await tested.skip("20500ms")
        await run.pause()
        await tested.skip("1000s")
        await run.resume()
        ending = await ending_of(run)
        links = await run.chain()

    assert len(links) > 5
    assert code_of(ending) == "duration_limit"
    assert round((links[-1].ended_at_us - links[0].started_at_us) / 1e6) == 1100


async def test_hooks_timers_and_delays_that_are_waited_for_go_over() -> None:
    """A branch that waits does not keep the log of a loop beside it; what it waits for reaches the newest link."""
    flow = graph("""
vars: [{n: 0}]
tasks:
  s: {next: [{do: [loop, hook, timer, delayed, late]}]}
  loop:
    action: "double x=1"
    next:
      - {when: "{{ ctx.n < 30 }}", publish: [{n: "{{ ctx.n + 1 }}"}], do: loop}
  hook: {hook: go, next: [{publish: [{got: "{{ result() }}"}], do: j}]}
  timer: {wait: 100s, next: [{publish: [{timer: true}], do: j}]}
  delayed: {action: echo x=5, delay: 50, next: [{publish: [{delayed: "{{ result() }}"}], do: j}]}
  late: {hook: never, timeout: 80s, next: [{when: "{{ timed_out() }}", publish: [{late: true}], do: j}]}
  j: {join: all, next: [{publish: [{done: true}]}]}
output: {n: "{{ ctx.n }}", got: "{{ ctx.got }}", timer: "{{ ctx.timer }}", delayed: "{{ ctx.delayed }}", late: "{{ ctx.late }}", done: "{{ ctx.done }}"}
""")
    async with testing.app(flow, *STEPS) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await tested.skip(10)
        links = await run.chain()
        await run.hook("go", {"a": 1})
        ending = await ending_of(run)

    assert len(links) > 1
    assert ending.output == {"n": 30, "got": {"a": 1}, "timer": True, "delayed": 5, "late": True, "done": True}
    assert ending.at_s == 90.0


async def test_hooks_that_came_early_go_over() -> None:
    """A message is taken by the task that asks, in whatever link."""
    flow = graph(
        LOOP.replace(
            "do: a}\noutput",
            'do: a}\n      - {when: "{{ ctx.n >= 40 }}", do: h}\n  h: {hook: go, next: [{publish: [{n: "{{ result() }}"}]}]}\noutput',
        )
    )
    async with testing.app(flow, *STEPS) as tested:
        with tested.held():
            run = await tested.client.start(flow.call(), run_id="r1")
            await run.hook("go", "early")

        assert await run.result() == {"n": "early"}


async def test_joins_with_some_arrivals_go_over() -> None:
    """Who arrived in one link is met in another, with what each branch has set last."""
    flow = graph("""
vars: [{n: 0}, {x: 0}]
tasks:
  s: {next: [{do: [first, loop]}]}
  first: {action: core.noop, next: [{publish: [{x: 1}], do: j}]}
  loop:
    action: "double x=1"
    next:
      - {when: "{{ ctx.n < 30 }}", publish: [{n: "{{ ctx.n + 1 }}"}], do: loop}
      - {when: "{{ ctx.n >= 30 }}", do: j}
  j: {join: all}
output: {n: "{{ ctx.n }}", x: "{{ ctx.x }}"}
""")
    async with testing.app(flow, *STEPS) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        assert await run.result() == {"n": 30, "x": 1}
        status = await run.graph()

        assert len(await run.chain()) > 1
    assert status.tasks["j"].activations == 1


async def test_a_long_log_waits_for_steps_and_then_holds_new_ones_back() -> None:
    """Steps are never cut off by a new link: beyond a second bound nothing new starts until none is under way."""
    flow = graph("""
vars: [{n: 0}]
tasks:
  s: {next: [{do: [a, long]}]}
  a: {action: slow seconds=1, next: [{when: "{{ ctx.n < 60 }}", publish: [{n: "{{ ctx.n + 1 }}"}], do: a}]}
  long: {action: slow seconds=50, next: [{publish: [{long: "{{ result() }}"}]}]}
output: {n: "{{ ctx.n }}", long: "{{ ctx.long }}"}
""")
    async with testing.app(flow, *STEPS) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        assert await run.result() == {"n": 60, "long": 50}
        links = await run.chain()

    assert 30 <= links[0].records <= 33
    assert len(links) > 2


async def test_a_new_link_keeps_the_definition() -> None:
    """It is the first link's, whatever the module has meanwhile."""
    flow = graph(LOOP.replace('"double x={{ ctx.n }}"', "slow seconds=1"))
    other = graph("tasks: {z: {action: wrong}}")
    async with testing.app(flow, *STEPS) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await tested.skip("15500ms")
        assert len(await run.chain()) == 2
        tested.crash_actor_worker()
        tested._registry.workflows["flow"] = other

        assert await run.result() == {"n": 40}
        assert code_of(await ran(tested, other, "r2")) == "task_failed"


async def test_failures_so_far_go_over() -> None:
    """W20: what drains names in its last link what failed in its first."""
    flow = graph("on_unhandled: drain\n" + LOOP.replace("tasks:", "tasks:\n  bad: {action: wrong}"))
    async with testing.app(flow, *STEPS) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        ending = await ending_of(run)

        assert len(await run.chain()) > 1
    assert ending.error is not None
    assert ending.error.message == "task 'bad' failed: ValueError: wrong"
    assert ending.output == {"n": 40}


async def test_a_cancel_finds_the_newest_link() -> None:
    """Whoever cancels names the run."""
    flow = graph(LOOP.replace("< 40", "< 90").replace("output:", "  w: {wait: 1h}\noutput:"))
    async with testing.app(flow, *STEPS) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await tested.skip(1)
        await run.cancel()
        ending = await ending_of(run)

    assert ending.status == "cancelled"
    assert ending.output["n"] > 10


@pytest.mark.slow
def test_links_survive_every_crash() -> None:
    """Moves, carries and new links are the same ones, whichever worker makes them."""
    flow = graph(LOOP.replace("< 40", "< 18"))

    assert testing.survives_every_crash(flow.call(), flow, *STEPS).crashes > 40


async def test_the_state_of_a_loop_does_not_grow() -> None:
    """A19: a carry is what is alive, however many rounds there were."""
    flow = graph(LOOP.replace("< 40", "< 300"))
    async with testing.app(flow, *STEPS) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await run.result()
        links = await run.chain()
        logs = [await tested.client.get(f"flow/{link.run_id}").log() for link in links[1:]]
        seconds = await seconds_of(run, "run.completed")

    sizes = [len(bytes(log[0].continued.args)) for log in logs if log[0].continued is not None]
    assert len(sizes) >= 20
    assert max(sizes) - min(sizes) < 100
    assert seconds == [0.0]
