"""Orquesta's own scenarios, and three loops in its language, on the whole engine: wave by wave, with every outcome given."""

from __future__ import annotations

import itertools
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from jetrun.actors.graph_workflow import GRAPHS
from jetrun.client import Client, RunCancelled, RunFailed
from jetrun.streams.subjects import App
from support.engine import running_client
from support.graph_stage import Asked, Performance, Stage
from support.nats import delete_streams
from support.orquesta import DATA, Case, cases, waves_of

pytestmark = pytest.mark.anyio


class House(NamedTuple):
    """An engine whose steps the test holds."""

    stage: Stage
    client: Client

    async def begin(self, definition: str, inputs: dict[str, Any]) -> Performance:
        call = GRAPHS.call(definition=definition, input=inputs)
        return await Performance.begin(self.stage, self.client, call, f"r-{secrets.token_hex(4)}")


@pytest.fixture(scope="module")
async def house(nats_url: str) -> AsyncIterator[House]:
    """One engine for all scenarios: each is a run of its own."""
    app, stage = App(f"t{secrets.token_hex(5)}"), Stage()
    async with running_client(nats_url, app, stage.registry) as client:
        try:
            yield House(stage, client)
        finally:
            stage.close()
    await delete_streams(nats_url, app)


async def play(performance: Performance, case: Case) -> tuple[list[Counter[str]], list[Asked]]:
    """Ends every wave in the order in which it began; returns the waves, and what Orquesta's scenario leaves running."""
    left: list[Asked] = []
    begun = 0
    waves: list[Counter[str]] = []
    while len(performance.path) > begun:
        waves.append(Counter(performance.path[begun:]))
        begun = len(performance.path)
        for asked in performance.new():
            outcome = case.outcome(asked.task, asked.execution, asked.item)
            if outcome.status == "running":
                left.append(asked)
            else:
                error = "" if outcome.status == "succeeded" else "as the scenario says"
                await performance.end(asked, result=outcome.result, error=error)
    return waves, left


async def outcome(performance: Performance) -> tuple[str, Any]:
    """Waits for the run's end; tells how it was, in Orquesta's words."""
    try:
        return "succeeded", await performance.run.result(20)
    except RunFailed as failed:
        return "failed", failed.output


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in cases()])
async def test_a_scenario_of_orquesta_goes_as_it_goes_there(house: House, case: Case) -> None:
    """Waves, path, status, output and the tasks that fail are Orquesta's: whoever moves a definition here keeps its meaning."""
    performance = await house.begin(case.text, case.inputs)
    waves, left = await play(performance, case)

    assert waves == waves_of(case)
    assert Counter(performance.path) == Counter(case.path)
    if case.expect.status == "running":
        assert performance.finished is None
        assert (await performance.run.status()).status == "running"
        await late_arrival_is_absorbed(performance, case, left)
        return
    status, output = await outcome(performance)
    assert status == case.expect.status
    if "items" in case.id:
        assert output is not None
        assert output["items"][:3] == (case.expect.output or {})["items"]
        assert performance.statuses("task1") == ["failed"]
    elif case.expect.output is not None:
        assert output == case.expect.output


async def late_arrival_is_absorbed(performance: Performance, case: Case, left: list[Asked]) -> None:
    """Orquesta's scenario stops here, and its engine would run the join again (B1); ours goes on to a clean end."""
    while left:
        for asked in left:
            await performance.end(asked)
        left = performance.new()
    assert (await outcome(performance))[0] == "succeeded"
    joins = [name for name, task in case.graph.tasks.items() if task.join]
    assert [performance.path.count(join) for join in joins] == [1] * len(joins)


async def test_what_orquesta_leaves_to_the_reader_is_cancelled_with_its_output(house: House) -> None:
    """A cancel amid a wave: nothing new begins, and the output is rendered all the same."""
    text = """
vars: [{x: 1}]
tasks:
  a: {action: core.noop, next: [{publish: [{x: 2}], do: b}]}
  b: {action: core.noop, next: [{publish: [{x: 3}], do: c}]}
  c: {action: core.noop}
output: [{x: <% ctx().x %>}]
"""
    performance = await house.begin(text, {})
    (a,) = performance.new()
    await performance.end(a)
    await performance.run.cancel(reason="enough")
    with pytest.raises(RunCancelled) as cancelled:
        await performance.run.result(20)

    assert cancelled.value.output == {"x": 2}
    assert performance.path == ["a", "b"]


# --- the three examples ------------------------------------------------------------------------------------
class Row(NamedTuple):
    """One row of what an example comes to."""

    file: str
    inputs: dict[str, Any]
    outcomes: dict[str, list[Any]]
    """Results by task, one after the other; `FAILS` for a failure, null once they are used up."""
    path: list[str]
    status: str
    output: dict[str, Any]


FAILS = object()
MONITORING, RETRY = "monitoring-loop.yaml", "retry-with-cycle.yaml"
CHECK = "check_health"


def states(*names: str) -> list[Any]:
    return [{"state": name} for name in names]


ROWS = [
    Row(MONITORING, {}, {CHECK: states("starting", "running", "done")},
        ["init", CHECK, CHECK, CHECK, "report"], "succeeded", {"state": "done", "checks": 3}),
    Row(MONITORING, {"max_checks": 2}, {CHECK: states("starting", "running")},
        ["init", CHECK, CHECK, "report"], "failed", {"state": "gave_up", "checks": 2}),
    Row(MONITORING, {}, {CHECK: [*states("starting"), FAILS]},
        ["init", CHECK, CHECK], "failed", {"state": "starting", "checks": 1}),
    Row(RETRY, {}, {"work": [FAILS, FAILS]},
        ["init", "work", "repair", "work", "repair", "work", "done"], "succeeded", {"attempt": 2}),
    Row(RETRY, {}, {"work": [FAILS] * 3},
        ["init", "work", "repair", "work", "repair", "work"], "failed", {"attempt": 3}),
    Row(RETRY, {}, {"work": [FAILS], "repair": [FAILS]}, ["init", "work", "repair"], "failed", {"attempt": 1}),
]  # fmt: skip


def example(name: str) -> str:
    path = DATA / "graph_examples" / name
    if not path.exists():
        pytest.skip(f"{path} is not at hand")
    return path.read_text()


@pytest.mark.parametrize("row", [pytest.param(row, id=f"{row.file[:-5]}-{n % 3 + 1}") for n, row in enumerate(ROWS)])
async def test_a_loop_takes_the_path_that_its_outcomes_lead_along(house: House, row: Row) -> None:
    """Left on success, given up after its last round, or broken off by a failure: path, status and output are known."""
    performance = await house.begin(example(row.file), row.inputs)
    while new := performance.new():
        for asked in new:
            results = row.outcomes.get(asked.task, [])
            result = results[asked.execution] if asked.execution < len(results) else None
            if result is FAILS:
                await performance.end(asked, error="on purpose")
            else:
                await performance.end(asked, result=result)

    assert (performance.path, await outcome(performance)) == (row.path, (row.status, row.output))


PAGES = [
    {"items": [1, 2], "more": True},
    {"items": [3], "more": True},
    {"items": [4], "more": False},
]


@pytest.mark.parametrize("slow", [*itertools.product(["audit", "process"], repeat=3)], ids="-".join)
async def test_a_fork_in_a_loop_has_one_result_in_every_finishing_order(house: House, slow: tuple[str, ...]) -> None:
    """Whichever branch of a round ends last, no page is lost: Orquesta's stale overwrite leaves [1, 2] (B4)."""
    performance = await house.begin(example("conditional-loop.yaml"), {})
    rounds = 0
    while new := performance.new():
        if len(new) == 2:
            new.sort(key=lambda asked: asked.task == slow[rounds])
            rounds += 1
        for asked in new:
            await performance.end(asked, result=PAGES[asked.execution] if asked.task == "fetch" else None)

    path = performance.path
    assert path == ["init", *(["fetch", "process", "audit", "decide"] * 3), "complete"]
    assert await outcome(performance) == ("succeeded", {"page": 2, "seen": [1, 2, 3, 4]})
