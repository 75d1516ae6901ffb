"""Beginning ended graph runs again: from what has failed, or from named tasks; what is taken over, what is done anew."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from jetrun.actors import FatalError, graph_run, step
from jetrun.actors.graph_history import NoGraph
from jetrun.actors.graph_rerun import NoRerun
from jetrun.client import RunConflict, RunHandle, RunNotFound, testing
from jetrun.client.testing_app import AppUnderTest
from support.graph_steps import STEPS, code_of, ending_of, graph, successor


class World:
    """What steps find out there: which of them work."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.ran: list[str] = []


WORLD = World()


@step
def try_it(name: str, x: Any = None) -> Any:
    """Works, or does not."""
    WORLD.ran.append(name)
    if name in WORLD.broken:
        raise FatalError(f"{name} is broken")
    return name if x is None else x


@pytest.fixture(autouse=True)
def world() -> World:
    WORLD.broken.clear()
    WORLD.ran.clear()
    return WORLD


def app(*graphs: object) -> AppUnderTest:
    return testing.app(*graphs, try_it, *STEPS)  # type: ignore[arg-type]  # graphs are workflows


FORK = """
vars: [{x: 0}]
tasks:
  t1: {action: try_it name=t1, next: [{when: "{{ succeeded() }}", do: [t2, t3, t4]}]}
  t2: {action: try_it name=t2, next: [{when: "{{ succeeded() }}", publish: [{x: 2}], do: t5}]}
  t3: {action: try_it name=t3, next: [{when: "{{ succeeded() }}", publish: [{y: 3}], do: t6}]}
  t4: {action: try_it name=t4, next: [{when: "{{ succeeded() }}", publish: [{z: 4}], do: t6}]}
  t5: {action: try_it name=t5, next: [{when: "{{ succeeded() }}", do: t6}]}
  t6: {join: all, action: try_it name=t6}
output: {x: "{{ ctx.x }}", y: "{{ default(ctx.y, 0) }}", z: "{{ default(ctx.z, 0) }}"}
"""


async def again(run: RunHandle[Any], *tasks: str, mended: bool = True, run_id: str = "r2") -> RunHandle[Any]:
    """Begins a run again, in a world where all works."""
    WORLD.ran.clear()
    if mended:
        WORLD.broken.clear()
    return await run.rerun(*tasks, run_id=run_id)


async def test_what_has_failed_is_begun_again_and_the_rest_is_taken_over(world: World) -> None:
    """The join keeps the arrivals of those that succeeded, and what they have published."""
    flow = graph(FORK)
    world.broken.add("t3")
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        first = await ending_of(run)
        assert (first.status, first.output["y"]) == ("failed", 0)
        ran_at_first = sorted(world.ran)
        second = await ending_of(await again(run))
        status = await tested.client.get("flow/r2").graph()

    assert ran_at_first in (["t1", "t2", "t3", "t4"], ["t1", "t2", "t3", "t4", "t5"])
    assert sorted({*ran_at_first, *world.ran}) == ["t1", "t2", "t3", "t4", "t5", "t6"]
    assert "t1" not in world.ran
    assert "t2" not in world.ran
    assert second.output == {"x": 2, "y": 3, "z": 4}
    assert status.of == "r1"


async def test_a_named_task_lets_its_join_fire_and_nothing_else(world: World) -> None:
    """Rerun of t3 only: what is not after it stays as it is."""
    flow = graph(FORK)
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await run.result()
        second = await again(run, "t3")
        output = await second.result()
        status = await second.graph()

    assert world.ran == ["t3", "t6"]
    assert output == {"x": 2, "y": 3, "z": 4}
    assert status.path == ["t3", "t6"]
    assert {name: light.activations for name, light in status.tasks.items()} == {
        **dict.fromkeys(["t1", "t2", "t4", "t5"], 1),
        **dict.fromkeys(["t3", "t6"], 2),
    }


async def test_a_join_itself_is_begun_again(world: World) -> None:
    """With what was brought to it."""
    flow = graph(
        FORK.replace(
            "action: try_it name=t6",
            'action: "try_it name=t6 x={{ ctx.x + ctx.y + ctx.z }}", next: [{publish: [{x: "{{ result() }}"}]}]',
        )
    )
    world.broken.add("t6")
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await ending_of(run)

        assert await (await again(run)).result() == {"x": 9, "y": 3, "z": 4}
    assert world.ran == ["t6"]


async def test_what_is_downstream_of_another_is_left_to_it(world: World) -> None:
    """Named twice, or below one another, a task is done once."""
    flow = graph(FORK)
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await run.result()
        await (await again(run, "t6", "t5", "t2", "t2")).result()

    assert world.ran == ["t2", "t5", "t6"]


async def test_variables_of_what_is_done_anew_are_taken_back(world: World) -> None:
    """What a branch will publish again is not there before it has."""
    flow = graph(
        FORK.replace(
            '{when: "{{ succeeded() }}", publish: [{x: 2}], do: t5}',
            '{when: "{{ succeeded() }}", publish: [{x: "{{ ctx.x + 2 }}"}], do: t5}',
        )
    )
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        assert (await run.result())["x"] == 2

        assert (await (await again(run, "t2")).result())["x"] == 2
        assert (await (await again(run, "t1", run_id="r3")).result())["x"] == 2


async def test_what_was_withheld_begins_though_nothing_is_named(world: World) -> None:
    """After a fail-fast end, tasks that were ready and never begun go on, too."""
    flow = graph("""
tasks:
  bad: {action: try_it name=bad}
  slow: {wait: 5, next: [{do: after}]}
  after: {action: try_it name=after}
  steady: {action: slow seconds=5, next: [{do: later}]}
  later: {action: try_it name=later}
""")
    world.broken.add("bad")
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        assert (await ending_of(run)).status == "failed"
        await (await again(run)).result()

    assert sorted(world.ran) == ["after", "bad", "later"]


async def test_a_failure_that_is_not_begun_again_stays_one(world: World) -> None:
    """Nobody is told that all went well while something has failed."""
    flow = graph("on_unhandled: drain\ntasks: {a: {action: try_it name=a}, b: {action: try_it name=b}}")
    world.broken.update("ab")
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await ending_of(run)
        second = await again(run, "a")
        ending = await ending_of(second)
        assert world.ran == ["a"]
        assert ending.error is not None
        assert ending.error.message == "task 'b' failed: jetrun.actors.errors.FatalError: b is broken"

        third = await again(run, run_id="r3")
        assert (await ending_of(third)).status == "succeeded"
    assert sorted(world.ran) == ["a", "b"]


LOOP = """
vars: [{n: 0}]
tasks:
  init: {next: [{do: f}]}
  f: {action: "try_it name=f", next: [{when: "{{ succeeded() }}", publish: [{n: "{{ ctx.n + 1 }}"}], do: [p, q]}]}
  p: {action: "try_it name={{ 'p' ~ ctx.n }}", next: [{when: "{{ succeeded() }}", do: d}]}
  q: {action: "try_it name={{ 'q' ~ ctx.n }}", next: [{when: "{{ succeeded() }}", do: d}]}
  d: {join: all, next: [{when: "{{ ctx.n < 3 }}", do: f}, {when: "{{ ctx.n >= 3 }}", do: e}]}
  e: {action: try_it name=e}
output: [{n: "{{ ctx.n }}"}]
"""


@pytest.mark.parametrize("broken", ["p1", "q2", "p3"])
async def test_in_a_loop_the_round_that_failed_is_begun_again(world: World, broken: str) -> None:
    """The join of that round keeps its other arrival, and the rounds after it have joins of their own."""
    flow = graph(LOOP)
    world.broken.add(broken)
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        assert (await ending_of(run)).status == "failed"
        before = list(world.ran)

        assert await (await again(run)).result() == {"n": 3}
    assert sorted({*before, *world.ran}) == ["e", "f", "p1", "p2", "p3", "q1", "q2", "q3"]
    rounds = int(broken[1])
    assert world.ran.count("f") == 3 - rounds
    assert f"{'q' if broken[0] == 'p' else 'p'}{rounds}" not in world.ran


async def test_in_a_loop_a_named_task_is_its_newest_activation(world: World) -> None:
    """The last round is done again."""
    flow = graph(LOOP)
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await run.result()

        assert await (await again(run, "p")).result() == {"n": 3}
    assert world.ran == ["p3", "e"]


async def test_after_a_cancel_what_was_given_up_is_begun_again(world: World) -> None:
    """Steps, waits and children that a cancel has ended."""
    flow = graph("""
tasks:
  a: {action: try_it name=a, next: [{do: j}]}
  w: {wait: 100, next: [{do: j}]}
  s: {action: slow seconds=50, next: [{do: j}]}
  j: {join: all, action: try_it name=j}
""")
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await tested.skip(10)
        await run.cancel()
        assert (await ending_of(run)).status == "cancelled"
        second = await again(run)
        ending = await ending_of(second)

    assert world.ran == ["j"]
    assert (ending.status, ending.at_s) == ("succeeded", 100.0)


async def test_a_rerun_that_fails_is_begun_again(world: World) -> None:
    """What two runs before have done is taken over: arrivals and variables, too."""
    flow = graph(FORK)
    world.broken.update(["t3", "t5"])
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await ending_of(run)
        world.broken.discard("t5")
        second = await again(run, mended=False)
        assert (await ending_of(second)).status == "failed"
        third = await again(second, run_id="r3")

        assert await third.result() == {"x": 2, "y": 3, "z": 4}
        with pytest.raises(NoRerun, match="never begun in that run; it has begun r1 again"):
            await second.rerun("t1", run_id="r4")
    assert world.ran == ["t3", "t6"]


async def test_a_rerun_is_one_run_by_its_id(world: World) -> None:
    """Asking again finds it; asking for another under its id is a conflict."""
    flow = graph(FORK)
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await run.result()
        one, other = await asyncio.gather(again(run, "t3"), run.rerun("t3", run_id="r2"))
        assert await one.result() == await other.result()
        await (await run.rerun("t3", run_id="r2")).result()
        with pytest.raises(RunConflict):
            await (await run.rerun("t4", run_id="r2")).result()

    assert world.ran == ["t3", "t6"]


async def test_the_ended_log_is_not_touched(world: World) -> None:
    """What has been stays as it was."""
    flow = graph(FORK)
    world.broken.add("t3")
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await ending_of(run)
        before = [msgspec.json.encode(record) for record in await run.log()]
        await (await again(run)).result()

        assert [msgspec.json.encode(record) for record in await run.log()] == before
        assert (await ending_of(run)).status == "failed"


async def test_a_rerun_under_another_definition_is_refused(world: World) -> None:
    """A workflow runs what it is registered as: whoever may start it cannot have it run what it was."""
    flow = graph(FORK)
    world.broken.add("t3")
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await ending_of(run)
        tested.crash_actor_worker()
        tested._registry.workflows["flow"] = graph("tasks: {z: {action: wrong}}")
        ending = await ending_of(await again(run))

        assert world.ran == []
        as_it_was = await ending_of(await run.rerun(run_id="r3", workflow="jetrun-graph"))

    assert ending.error is not None
    assert "a run cannot be begun again as it was" in ending.error.message
    assert (as_it_was.status, world.ran) == ("succeeded", ["t3", "t6"])


async def test_limits_count_what_was_before(world: World) -> None:
    """A16: a rerun resets no count."""
    flow = graph(
        "limits: {iterations: 3}\ntasks: {s: {next: [{do: a}]}, a: {action: try_it name=a, next: [{when: '{{ succeeded() }}', do: a}]}}"
    )
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        assert code_of(await ending_of(run)) == "iteration_limit"
        assert code_of(await ending_of(await again(run, "a"))) == "iteration_limit"

    assert world.ran == ["a"]


async def test_a_run_in_links_is_begun_again_from_its_last(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What earlier links have published and brought to joins is there."""
    monkeypatch.setattr(graph_run, "GRAPH_RECORDS", 10)
    flow = graph("""
vars: [{n: 0}, {x: 0}]
tasks:
  s: {next: [{do: [first, loop]}]}
  first: {action: try_it name=first, next: [{publish: [{x: 1}], do: j}]}
  loop:
    action: "double x=1"
    next:
      - {when: "{{ ctx.n < 30 }}", publish: [{n: "{{ ctx.n + 1 }}"}], do: loop}
      - {when: "{{ ctx.n >= 30 }}", do: last}
  last: {action: try_it name=last, next: [{when: "{{ succeeded() }}", do: j}]}
  j: {join: all}
output: {n: "{{ ctx.n }}", x: "{{ ctx.x }}"}
""")
    world.broken.add("last")
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        first = await ending_of(run)
        rerun = await again(run)
        second = await ending_of(rerun)
        assert (await rerun.graph()).of == "r1"
        with pytest.raises(NoRerun, match=r"never begun in that run's link \d; an earlier one may"):
            await run.rerun("first", run_id="r3")

    assert (first.status, second.status) == ("failed", "succeeded")
    assert second.output == {"n": 30, "x": 1}
    assert world.ran == ["last"]


async def test_arrivals_that_are_enough_meet_a_join_at_once(world: World) -> None:
    """All of one group and any of another: where the other one of `any` has arrived, nobody waits for the one begun again."""
    flow = graph("""
steps:
  x: {step: try_it, input: {name: x}}
  y: {step: try_it, input: {name: y}}
  p: {step: try_it, input: {name: p}, delay: 5}
  end: {step: try_it, input: {name: end}, after: p, after_any: [x, y]}
""")
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await run.result()
        world.broken.add("x")
        second = await again(run, "x", mended=False)
        ending = await ending_of(second)

    assert sorted(world.ran) == ["end", "x"]
    assert ending.error is not None
    assert ending.error.message == "task 'x' failed: jetrun.actors.errors.FatalError: x is broken"


async def test_what_cannot_be_begun_again_is_refused(world: World) -> None:
    """One clear line each, and no run is started."""
    flow = graph(FORK.replace("start", "start"))
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await run.result()
        with pytest.raises(NoRerun, match="no task of run r1 has failed, and none is named"):
            await run.rerun(run_id="r2")
        with pytest.raises(NoRerun, match="the graph has no task 't9'; it has t1, t2, t3, t4, t5, t6"):
            await run.rerun("t9", run_id="r2")
        with pytest.raises(RunNotFound):
            await tested.client.get("flow/r2").status()

        world.broken.add("t1")
        failed = await tested.client.start(flow.call(), run_id="r3")
        await ending_of(failed)
        with pytest.raises(NoRerun, match="task 't2' has never begun in that run"):
            await failed.rerun("t2", run_id="r4")

        with pytest.raises(RunNotFound):
            await tested.client.get("flow/r9").rerun(run_id="r10")
        other = await tested.client.start(successor.call(1), run_id="r5")
        await other.result()
        with pytest.raises(NoGraph, match="it runs another workflow"):
            await other.rerun(run_id="r6")


async def test_a_run_that_goes_on_is_not_begun_again() -> None:
    """Two runs of one would do things twice."""
    flow = graph("tasks: {a: {wait: 100}}")
    async with app(flow) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await tested.skip(1)
        with pytest.raises(NoRerun, match="run r1 has not ended; cancel it first"):
            await run.rerun("a", run_id="r2")
