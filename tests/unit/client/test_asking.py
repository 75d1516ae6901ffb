"""Updates and queries from the client's side, on the twin: missed notices, late answers, ends, silence."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from examples.cart import OutOfStock, Progress, add_item, cart, check_out, progress
from jetrun.actors import call, define_query, define_update, hook, sleep, workflow
from jetrun.actors.errors import InvalidName, InvalidValue
from jetrun.actors.limits import QUERY_BYTES_MAX
from jetrun.actors.records import Answer, Folded
from jetrun.client import MessageRefused, QueryFailed, RunEnded, RunNotFound, UpdateFailed, UpdateRefused, testing
from jetrun.client.testing_run import on_own_loop
from support.client_rig import ClientRig, on_twin

slow = define_update("slow", returns=str)
broken = define_update("broken", returns=int)


@workflow
async def sleeper() -> str:
    @slow.handler
    async def wait() -> str:
        await sleep("1h")
        return "done"

    @broken.handler
    def fail() -> int:
        raise KeyError("nothing")

    return await hook("end", str)


@on_twin
async def test_an_update_is_answered_although_its_notice_was_lost(rig: ClientRig) -> None:
    """The log is the truth; a notice only says when to look (R19)."""
    await rig.begin("o-1")
    run = rig.client.get("order/o-1")
    waiting = asyncio.ensure_future(run.update(slow.call(), id="u"))
    await asyncio.sleep(1)
    assert not waiting.done()
    await rig.record(answers=[Answer(source="m", seq=1, id="other", name="slow"), answer("u", '"done"')])
    assert await waiting == "done"


@on_twin
async def test_an_update_to_a_start_that_nobody_has_seen_goes_behind_it(rig: ClientRig) -> None:
    run = await rig.started()
    waiting = asyncio.ensure_future(run.update(slow.call(), id="u"))
    await asyncio.sleep(1)
    assert [verb for verb, _ in await rig.mail()] == ["start", "update.slow"]
    await rig.begin("o-1")
    await rig.record(answers=[answer("u", '"done"')])
    rig.notice(status="answered", id="u")
    assert await waiting == "done"


@on_twin
async def test_an_update_that_was_taken_by_a_run_whose_end_says_nothing_of_it_has_failed(rig: ClientRig) -> None:
    """A parked run that is terminated: nobody knows its handlers, and the caller does not wait for ever."""
    await rig.begin("o-1")
    waiting = asyncio.ensure_future(rig.client.get("order/o-1").update(slow.call(), id="u"))
    await asyncio.sleep(1)
    await rig.record(
        messages=[Folded(source="m", seq=1, at_us=1, verb="update", name="slow", body=msgspec.Raw(b'{"id":"u"}'))]
    )
    await rig.end("o-1")
    with pytest.raises(UpdateFailed, match="the run has ended") as failed:
        await waiting
    assert failed.value.error.code == "ended"
    assert not isinstance(failed.value, UpdateRefused)


@on_twin
async def test_strangers_messages_in_the_log_are_passed_over(rig: ClientRig) -> None:
    """What does not chain was not written by a worker (R4)."""
    await rig.begin("o-1")
    waiting = asyncio.ensure_future(rig.client.get("order/o-1").update(slow.call(), id="u"))
    await asyncio.sleep(1)
    await rig.append_strange_record()
    await rig.append_strange(b"{}")
    await rig.record(answers=[answer("u", '"done"')])
    assert await waiting == "done"


@on_twin
async def test_an_update_that_is_a_dead_letter_was_refused(rig: ClientRig) -> None:
    await rig.begin("o-1")
    waiting = asyncio.ensure_future(rig.client.get("order/o-1").update(slow.call(), id="u"))
    await asyncio.sleep(1)
    await rig.bury(b'{"id":"u"}', code="missing_value", reason="no object")
    with pytest.raises(UpdateRefused, match="no object") as refused:
        await waiting
    assert refused.value.error.code == "missing_value"


def answer(id_: str, result: str) -> Answer:
    return Answer(source="m", seq=2, id=id_, name="slow", result=msgspec.Raw(result.encode()))


def test_an_update_outlives_its_caller() -> None:
    """A timeout ends the waiting, not the update: the same id brings the answer, also after the end."""

    async def main() -> None:
        async with testing.app(sleeper) as app:
            run = await app.client.start(sleeper.call(), run_id="s")
            with pytest.raises(TimeoutError, match="it stands, under the id 'u'"):
                await run.update(slow.call(), id="u", timeout=60)
            assert (await run.status()).updates_open == 1
            assert await run.update(slow.call(), id="u") == "done"
            assert (await run.status()).updates_open == 0
            await run.hook("end", "over")
            await run.result()
            assert await run.update(slow.call(), id="u") == "done"
            with pytest.raises(RunEnded):
                await run.update(slow.call(), id="v")
            with pytest.raises(RunEnded):
                await run.update(slow.call())

    on_own_loop(main())


def test_what_an_update_can_come_to() -> None:
    async def main() -> None:
        async with testing.app(cart, sleeper) as app:
            run = await app.client.start(sleeper.call(), run_id="s")
            with pytest.raises(KeyError) as failed:
                await run.update(broken.call())
            assert isinstance(failed.value, UpdateFailed)
            assert not isinstance(failed.value, UpdateRefused)
            assert (failed.value.workflow, failed.value.run, failed.value.error.type) == ("sleeper", "s", "KeyError")
            with pytest.raises(UpdateRefused, match="it has: broken, slow"):
                await run.update(add_item.call("lamp", 1))
            waiting = asyncio.ensure_future(run.update(slow.call()))
            await app.until_settled()
            await run.terminate(wait=True)
            with pytest.raises(UpdateFailed) as ended:
                await waiting
            assert ended.value.error.code == "ended"
            other = await app.client.start(cart.call("ann"), run_id="c")
            with pytest.raises(OutOfStock):
                await other.update(add_item.call("unicorn", 1))
            with pytest.raises(RunNotFound):
                await app.client.get(cart, "none").update(check_out.call())

    on_own_loop(main())


def test_an_update_behind_a_start_that_is_refused_does_not_wait_for_ever() -> None:
    async def main() -> None:
        async with testing.app(cart) as app:
            run = await app.client.start(call("cart", 1), run_id="c")
            await app.until_settled()
            with pytest.raises(MessageRefused):
                await run.update(add_item.call("lamp", 1))

    on_own_loop(main())


def test_queries_are_asked_again_while_a_worker_is_away() -> None:
    async def main() -> None:
        async with testing.app(cart) as app:
            run = await app.client.start(cart.call("ann"), run_id="c")
            await run.update(add_item.call("lamp", 1))
            app.crash_actor_worker()
            assert await run.query(progress) == Progress({"lamp": 1}, is_open=True)

    on_own_loop(main())


def test_silence_is_an_error_after_a_bounded_wait() -> None:
    async def main() -> None:
        async with testing.app(cart) as app:
            run = await app.client.start(cart.call("ann"), run_id="c")
            await app.until_settled()
            app.twin.actors.end()
            with pytest.raises(QueryFailed, match="no actor worker has answered within 10 s") as caught:
                await run.query(progress)
            assert caught.value.error.code == "unanswered"
            app.twin.actors.begin()

    on_own_loop(main())


def test_what_cannot_be_sent_is_told_before() -> None:
    async def main() -> None:
        async with testing.app(cart) as app:
            run = await app.client.start(cart.call("ann"), run_id="c")
            with pytest.raises(InvalidValue, match="at most"):
                await run.query(define_query("find").call("x" * QUERY_BYTES_MAX))
            with pytest.raises(InvalidName):
                define_query("a b")
            with pytest.raises(InvalidName):
                define_update("a.b", str, returns=str)

    on_own_loop(main())
