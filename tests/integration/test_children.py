"""Children on a real server: started once, heard of once, let go when their parent ends (R21)."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from jetrun.actors import ChildFailed, FatalError, call, hook, info, sleep, start_child, step, workflow
from jetrun.actors.limits import VALUE_INLINE_BYTES_MAX
from jetrun.actors.registry import Registry
from jetrun.client import RunFailed
from jetrun.streams.subjects import App
from support.engine import running_client
from support.nats import delete_streams
from support.story import wait_status

pytestmark = pytest.mark.anyio

WAIT_S = 20.0


@step
async def double(number: int) -> int:
    return 2 * number


@workflow
async def doubled(number: int) -> int:
    if number < 0:
        raise ValueError(f"{number} is negative")
    return await double(number)


@workflow
async def total(count: int) -> int:
    return sum(await asyncio.gather(*(doubled(number) for number in range(count))))


@workflow
async def grandparent(count: int) -> int:
    return await total(count) + 1


@workflow
async def echo(text: str) -> str:
    return text


@workflow
async def echoed(text: str) -> str:
    return await echo(text)


@workflow
async def careful(number: int) -> str:
    try:
        return str(await doubled(number))
    except ValueError as error:
        return f"{error.run} {error.status}: {error.error.message}" if isinstance(error, ChildFailed) else "?"


@workflow
async def waiting() -> str:
    """Waits for a hook; tells when it is cancelled."""
    try:
        await hook("go")
    except asyncio.CancelledError:
        await sleep(0)
        raise
    return f"went, child of {info().parent}"


@workflow
async def raising(policy: str) -> None:
    start_child(waiting.call(), run_id=f"child-{policy}", parent_close=policy)  # type: ignore[arg-type]
    raise FatalError("on purpose")


@workflow
async def taking(run_id: str) -> str:
    try:
        return await start_child(waiting.call(), run_id=run_id).result()
    except ChildFailed as error:
        return f"{error.status}: {error.error.code}"


@workflow
async def insisting(run_id: str) -> list[str]:
    """Tries the same id again: each try has an answer of its own."""
    return [await taking_one(run_id) for _ in range(3)]


async def taking_one(run_id: str) -> str:
    try:
        return await start_child(waiting.call(), run_id=run_id).result()
    except ChildFailed as error:
        return error.status


@workflow
async def unknown() -> str:
    try:
        return str(await start_child(call("nobody", 1)).result())
    except ChildFailed as error:
        return f"{error.status}: {error.error.code}"


@workflow
async def picky(number: int) -> int:
    return number


@workflow
async def misfit() -> str:
    try:
        return str(await start_child(call("picky", "seven")).result())
    except ChildFailed as error:
        return f"{error.status}: {error.error.code}"


@workflow
async def abroad(app: str, text: str) -> str:
    """Asks another app, by name."""
    child = start_child(call("echo", text), app=app)
    try:
        return f"{child.app}: {await child.result()}"
    except ChildFailed as error:
        return f"{error.status}: {error.error.code}"


@workflow
async def calling_off(app: str) -> str:
    try:
        async with asyncio.timeout(0.2):
            await start_child(call("waiting"), run_id="far", app=app).result()
    except TimeoutError:
        pass
    child = start_child(call("waiting"), run_id="farther", app=app)
    child.cancel("changed its mind")
    try:
        await child.result()
    except ChildFailed as error:
        return error.status
    return "?"


REGISTRY = Registry.of(
    abroad,
    calling_off,
    double,
    doubled,
    total,
    grandparent,
    echo,
    echoed,
    careful,
    waiting,
    raising,
    taking,
    insisting,
    unknown,
    picky,
    misfit,
)


async def test_children_of_children_bring_their_results(nats_url: str, app: App) -> None:
    async with running_client(nats_url, app, REGISTRY) as client:
        with anyio.fail_after(WAIT_S):
            assert await (await client.start(grandparent.call(20), run_id="g-1")).result() == 381
        events = [event.kind async for event in client.get(grandparent, "g-1").tail()]

        assert events == ["run.started", "child.started", "child.completed", "run.completed"]
        assert await client.get(total, "grandparent-g-1-1").result() == 380
        assert await client.get("doubled/total-grandparent-g-1-1-20").result() == 38


async def test_large_values_go_down_and_up(nats_url: str, app: App) -> None:
    text = "x" * (VALUE_INLINE_BYTES_MAX + 10_000)
    async with running_client(nats_url, app, REGISTRY) as client:
        with anyio.fail_after(WAIT_S):
            assert await (await client.start(echoed.call(text), run_id="e-1")).result() == text


async def test_a_childs_error_is_caught_by_its_class(nats_url: str, app: App) -> None:
    async with running_client(nats_url, app, REGISTRY) as client:
        with anyio.fail_after(WAIT_S):
            result = await (await client.start(careful.call(-1), run_id="c-1")).result()

    assert result == "careful-c-1-1 failed: -1 is negative"


@pytest.mark.parametrize(("policy", "status"), [("cancel", "cancelled"), ("terminate", "terminated")])
async def test_children_end_with_their_parent(nats_url: str, app: App, policy: str, status: str) -> None:
    @workflow(name="starter")
    async def starter() -> None:
        start_child(waiting.call(), run_id="child", parent_close=policy)  # type: ignore[arg-type]
        await hook("end")
        raise FatalError("on purpose")

    async with running_client(nats_url, app, Registry.of(starter, waiting)) as client:
        with anyio.fail_after(WAIT_S):
            run = await client.start(starter.call(), run_id="s-1")
            await wait_status(client, "waiting/child", "running")
            await run.hook("end")
            with pytest.raises(RunFailed):
                await run.result()
            await wait_status(client, "waiting/child", status)


async def test_an_abandoned_child_outlives_its_parent(nats_url: str, app: App) -> None:
    async with running_client(nats_url, app, REGISTRY) as client:
        with anyio.fail_after(WAIT_S):
            run = await client.start(raising.call("abandon"), run_id="r-1")
            with pytest.raises(RunFailed):
                await run.result()
            child = client.get(waiting, "child-abandon")
            await wait_status(client, "waiting/child-abandon", "running")
            await child.hook("go")
            assert await child.result() == "went, child of raising/r-1"


async def test_an_id_that_is_taken_fails_the_child_and_leaves_the_other_alone(nats_url: str, app: App) -> None:
    async with running_client(nats_url, app, REGISTRY) as client:
        with anyio.fail_after(WAIT_S):
            other = await client.start(waiting.call(), run_id="w-1")
            result = await (await client.start(taking.call("w-1"), run_id="t-1")).result()

            assert result == "refused: exists"
            await wait_status(client, "waiting/w-1", "running")
            await other.hook("go")
            assert await other.result() == "went, child of None"


async def test_an_id_that_is_taken_is_refused_each_time(nats_url: str, app: App) -> None:
    """The second refusal must not pass for the first one come twice: the parent would wait for ever."""
    async with running_client(nats_url, app, REGISTRY) as client:
        with anyio.fail_after(WAIT_S):
            await client.start(waiting.call(), run_id="w-3")
            assert await (await client.start(insisting.call("w-3"), run_id="i-1")).result() == ["refused"] * 3


@pytest.mark.parametrize(("parent", "reason"), [("unknown", "workflow"), ("misfit", "args")])
async def test_a_child_that_cannot_begin_fails_at_once(nats_url: str, app: App, parent: str, reason: str) -> None:
    async with running_client(nats_url, app, REGISTRY) as client:
        with anyio.fail_after(WAIT_S):
            assert await (await client.start(call(parent), run_id="u-1")).result() == f"refused: {reason}"


async def test_a_stranger_cannot_end_anybodys_child(nats_url: str, app: App) -> None:
    """The token says who was asked to run it (R18)."""
    async with running_client(nats_url, app, REGISTRY) as client:
        with anyio.fail_after(WAIT_S):
            run = await client.start(taking.call("w-2"), run_id="t-2")
            await wait_status(client, "waiting/w-2", "running")
            forged = b'{"command":1,"token":"0","status":"completed","result":"forged"}'
            await client._session.broker.request(f"wf.{app.name}.run.taking.t-2.child", forged, timeout_s=5)
            async for letter in client.dead():
                assert letter.code == "token"
                break
            await client.get(waiting, "w-2").hook("go")

            assert await run.result() == "went, child of taking/t-2"


async def test_children_run_in_other_apps(nats_url: str, app: App) -> None:
    """Their values too; and they are called off there."""
    other = App(f"{app.name}b")
    text = "x" * (VALUE_INLINE_BYTES_MAX + 10_000)
    async with (
        running_client(nats_url, app, Registry.of(abroad, calling_off)) as client,
        running_client(nats_url, other, Registry.of(echo, waiting)) as abroad_client,
    ):
        with anyio.fail_after(WAIT_S):
            run = await client.start(abroad.call(other.name, text), run_id="a-1")
            assert await run.result() == f"{other.name}: {text}"
            child = abroad_client.get(f"echo/{app.name}-abroad-a-1-1")
            assert (await child.status()).parent == ("abroad", "a-1")
            assert await run.children() == []

            off = await client.start(calling_off.call(other.name), run_id="c-1")
            assert await off.result() == "cancelled"
            await wait_status(abroad_client, "waiting/farther", "cancelled")
            await wait_status(abroad_client, "waiting/far", "cancelled")
    await delete_streams(nats_url, other)


async def test_app_that_is_not_there_refuses_the_child(nats_url: str, app: App) -> None:
    async with running_client(nats_url, app, REGISTRY) as client:
        with anyio.fail_after(WAIT_S):
            run = await client.start(abroad.call("nowhere", "hello"), run_id="a-2")
            assert await run.result() == "refused: app"
