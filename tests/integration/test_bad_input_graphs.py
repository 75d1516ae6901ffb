"""Definitions and messages of strangers to graph runs, through the door that every service has. Real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from jetrun.actors import ChildFailed, load_graph, step, workflow
from jetrun.actors.registry import Registry
from jetrun.client import Client
from jetrun.streams.subjects import App
from support.door import Door, open_door
from support.engine import running_engine

pytestmark = pytest.mark.slow

ONE: dict[str, Any] = {"tasks": {"a": {}}}


@step
def double(x: int) -> int:
    return x * 2


@step(name="core.echo")
def echo(**given: Any) -> Any:
    return given


@step
def large(size: int) -> str:
    return "{{" * size


@step
def refuse() -> None:
    raise ValueError("no")


FIRST = """
tasks:
  ask: {hook: answer, next: [{publish: [{got: "{{ result() }}"}], do: after}]}
  after: {step: double, input: {x: "{{ ctx.got }}"}, next: [{publish: [{doubled: "{{ result() }}"}]}]}
output: [{doubled: "{{ ctx.doubled }}"}]
"""
SECOND = """
tasks:
  other: {step: core.echo, input: {x: 1}}
output: [{doubled: nothing}]
"""
FAILING = """
tasks:
  good: {step: double, input: {x: 1}, next: [{publish: [{got: "{{ result() }}"}], do: bad}]}
  bad: {step: refuse}
output: [{got: "{{ ctx.got }}"}]
"""
first = load_graph(FIRST, name="deploy")
failing = load_graph(FAILING, name="failing")


@workflow
async def parent() -> list[Any]:
    try:
        await failing()
    except ChildFailed as failed:
        return [failed.status, failed.error.code, str(failed.error.message)]
    return []


REGISTRY = Registry.of(first, failing, parent, double, echo, large, refuse)


@pytest.fixture
async def door(nats_url: str, app: App) -> AsyncIterator[Door]:
    async with running_engine(nats_url, app, REGISTRY), open_door(nats_url, app) as door:
        yield door


def body(args: list[object] | None = None, **kwargs: object) -> str:
    return json.dumps({"args": args or [], "kwargs": kwargs})


def carry(**changed: object) -> dict[str, object]:
    tasks = {"a": {"action": "double", "input": {"x": 1}}, "b": {}, "j": {"join": "all"}}
    data = {"definition": {"tasks": tasks}, "started_at_us": 1, "scopes": [{}], "activated": 1}
    return {**data, **changed}


def activation(**changed: object) -> list[dict[str, object]]:
    return [{"id": 1, "task": "a", "scope": 0, **changed}]


REFUSED = {
    "unknown argument": (body(definition=ONE, zonk=1), "argument 'zonk' of workflow jetrun-graph: no such parameter"),
    "input is a list": (body(definition=ONE, input=[1]), "argument 'input' of workflow jetrun-graph: expected object"),
    "start is a text": (body(definition=ONE, start="a"), "argument 'start' of workflow jetrun-graph: expected array"),
    "start has a number": (body(definition=ONE, start=[1]), "expected str, got int"),
    "two by position": (body([None, 1], definition=ONE), "takes at most 1 by position, got 2"),
    "a list as carry": (body([[1]]), "argument 'carry' of workflow jetrun-graph: expected object"),
    "an empty carry": (body([{}]), "missing required field definition"),
}
FAILED = {
    "nothing": (body(), "a graph's definition is a mapping or a text, not NoneType"),
    "a list": (body(definition=[1]), "a graph's definition is a mapping or a text, not list"),
    "a number": (body(definition=7), "not int"),
    "no YAML": (body(definition="a: [b"), "yaml_syntax"),
    "an alias": (body(definition="a: &a [1]\nb: *a"), "alias_not_allowed"),
    "many brackets": (body(definition="[" * 100_000), "too_deep"),
    "no tasks": (body(definition={}), "no_tasks"),
    "two errors": (body(definition={"tasks": {"a": {"zz": 1}, "b": {"yy": 1}}}), "tasks.b.yy"),
    "an unknown start": (body(definition=ONE, start=["zz"]), "no task 'zz'"),
    "an expression without value": (
        body(definition={"tasks": {"a": {}, "b": {"run_if": "{{ 1 / 0 > 1 }}"}}}),
        "/ divides by zero",
    ),
    "a bomb": (
        body(definition={"tasks": {"a": {"run_if": "{{ 'x' * 1000000000 == '' }}"}}}),
        "run_if",
    ),
    "a look into an object": (
        body(definition={"input": ["n"], "tasks": {"a": {"run_if": "{{ ctx.n.__class__ == 1 }}"}}}, input={"n": {}}),
        "__class__",
    ),
    "no name of a step": (body(definition={"input": ["n"], "tasks": {"a": {"step": "{{ ctx.n }}"}}}), "this is null"),
    "a bad name of a workflow": (
        body(definition={"input": ["n"], "tasks": {"a": {"workflow": "{{ ctx.n }}"}}}, input={"n": "a b"}),
        "workflow name 'a b' contains ' '",
    ),
    "a bad name of a hook": (
        body(definition={"input": ["n"], "tasks": {"a": {"hook": "{{ ctx.n }}"}}}, input={"n": "*"}),
        "hook name '*' contains '*'",
    ),
    "a carry and a definition": (body([carry()], definition=ONE), "takes nothing else"),
    "a carry whose definition is none": (body([carry(definition=7)]), "a definition is a mapping, this is a number"),
    "a carry with an unknown task": (body([carry(activations=activation(task="zz"))]), "does not hold together"),
    "a carry with work that nobody does": (
        body([carry(activations=activation(task="b", phase="running"))]),
        "does not hold together",
    ),
    "a carry of the year 300000": (
        body([carry(activations=activation(phase="delayed", due_at_us=2**63 - 1))]),
        "does not hold together",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_start_whose_arguments_do_not_fit_is_a_dead_letter(door: Door, case: str) -> None:
    """Its sender reads why; nothing has begun."""
    sent, reason = REFUSED[case]

    letter = await door.dead(await door.send("jetrun-graph.r-1.start", sent))

    assert letter["code"] == "args"
    assert reason in letter["reason"]


async def test_a_definition_that_cannot_work_is_a_run_that_failed(door: Door) -> None:
    """Each with one clear error, at once: no run hangs or parks, and the worker goes on."""
    for number, (sent, _) in enumerate(FAILED.values()):
        await door.send(f"jetrun-graph.r-{number}.start", sent)
    for number, (case, (_, reason)) in enumerate(FAILED.items()):
        notice = await door.notice(f"jetrun-graph.r-{number}")
        assert (notice["status"], reason in notice["error"]["message"]) == ("failed", True), (case, notice)

    await door.send("jetrun-graph.last.start", body(definition=ONE))

    assert (await door.notice("jetrun-graph.last"))["status"] == "completed"


async def test_ten_thousand_tasks_at_once_do_not_hold_the_worker(door: Door) -> None:
    """A run that holds the loop for ten seconds is parked."""
    for name, task in {"waiting": {"wait": "1h"}, "instant": {}}.items():
        await door.send(f"jetrun-graph.{name}.start", body(definition={"tasks": {f"t{n}": task for n in range(5_000)}}))

    assert (await door.notice("jetrun-graph.instant"))["status"] == "completed"
    await door.send("jetrun-graph.waiting.cancel", b"{}")
    assert (await door.notice("jetrun-graph.waiting"))["status"] == "cancelled"


async def test_a_start_of_a_registered_graph_cannot_bring_another_definition(door: Door) -> None:
    """Who may start `deploy` may not run any step of the app: that is what `jetrun-graph` is for."""
    await door.send("deploy.r-1.start", body([carry(activations=activation())]))

    notice = await door.notice("deploy.r-1")

    assert notice["status"] == "failed"
    assert "begin it as a run of jetrun-graph" in notice["error"]["message"]


async def test_hooks_are_kept_until_a_task_waits_and_taken_once(door: Door) -> None:
    """What is sent before the run has begun, or twice, is one message."""
    for _ in range(2):
        await door.send("deploy.r-1.hook.answer", json.dumps({"id": "h-1", "payload": 4}))
    await door.send("deploy.r-1.hook.nobody-asks", json.dumps({"id": "h-2", "payload": {"{{ 1 }}": "{{ 1 + 1 }}"}}))
    await door.send("deploy.r-1.start", body())

    assert (await door.notice("deploy.r-1", "completed"))["result"] == {"doubled": 8}


async def test_updates_are_refused(door: Door) -> None:
    """A graph has no handlers, and says so; the run goes on."""
    await door.send("deploy.r-1.start", body())
    await door.send("deploy.r-1.update.change", json.dumps({"id": "u-1", "args": [], "kwargs": {}}))

    letter = await door.notice("deploy.r-1", "refused")

    assert "change" in letter["error"]["message"]
    await door.send("deploy.r-1.hook.answer", json.dumps({"payload": 1}))
    assert (await door.notice("deploy.r-1", "completed"))["result"] == {"doubled": 2}


async def test_results_are_data(door: Door, nats_url: str, app: App) -> None:
    """Whatever a step returns: texts that look like expressions, names of Python's, values for the object store."""
    odd = {"__class__": "{{ 1 + 1 }}", "self": "<% 1 %>", "deep": [[[{"a b": None}]]]}
    then = {"publish": {"large": "{{ result() }}"}, "do": "b"}
    tasks = {
        "a": {"step": "large", "input": {"size": 150_000}, "next": [then]},
        "b": {"step": "core.echo", "input": "{{ ctx.odd }}", "next": [{"publish": {"seen": "{{ result() }}"}}]},
    }
    output = {"seen": "{{ ctx.seen }}", "large": "{{ ctx.large }}"}
    definition = {"input": ["odd"], "tasks": tasks, "output": output}
    await door.send("jetrun-graph.r-1.start", body(definition=definition, input={"odd": odd}))

    async with await Client.connect(nats_url, app=app.name) as client:
        result = await client.get("jetrun-graph", "r-1").result()

    assert result == {"seen": odd, "large": "{{" * 150_000}


async def test_a_workflow_sees_how_a_graph_has_failed(door: Door) -> None:
    """A graph as a child is a child like every other."""
    await door.send("parent.r-1.start", body())

    status, code, message = (await door.notice("parent.r-1"))["result"]

    assert (status, code) == ("failed", "task_failed")
    assert message.startswith("task 'bad' failed: ValueError: no")


async def test_a_run_goes_on_under_the_definition_that_it_began_with(nats_url: str, app: App) -> None:
    """Also where the new one lacks all of its tasks; where the graph is gone the run is parked, and says why."""
    async with open_door(nats_url, app) as door:
        async with running_engine(nats_url, app, REGISTRY):
            for run in ("r-1", "r-2"):
                await door.send(f"deploy.{run}.start", body())
            await wait_hook(door, app, "r-2")
        async with running_engine(nats_url, app, Registry.of(double, echo), worker_id="2"):
            await door.send("deploy.r-1.hook.answer", json.dumps({"payload": 4}))
            await wait_status(door, app, "r-1", b'"parked"')
        second = load_graph(SECOND, name="deploy", version=2)
        async with running_engine(nats_url, app, Registry.of(second, double, echo), worker_id="3"):
            await door.send("deploy.r-2.hook.answer", json.dumps({"payload": 5}))

            assert (await door.notice("deploy.r-2", "completed"))["result"] == {"doubled": 10}
            assert (await door.notice("deploy.r-1", "completed"))["result"] == {"doubled": 8}


async def ask(door: Door, app: App, run: str) -> bytes:
    return (await door.nats.request(f"wf.{app.name}.ask.deploy.{run}.status", timeout=5)).data


async def wait_status(door: Door, app: App, run: str, wanted: bytes) -> None:
    async with asyncio.timeout(10):
        while wanted not in await ask(door, app, run):
            await asyncio.sleep(0.02)


async def wait_hook(door: Door, app: App, run: str) -> None:
    await wait_status(door, app, run, b"answer")
