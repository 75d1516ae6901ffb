"""Updates: applied once in the order of the log, refused or answered, and never decided anew on replay."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from jetrun.actors import (
    ReadOnly,
    continue_as_new,
    define_update,
    hook,
    info,
    now,
    set_status,
    sleep,
    step,
    updates_done,
    workflow,
)
from jetrun.actors.decision import owed_in
from jetrun.actors.errors import ErrorInfo, InvalidValue, NotInWorkflow
from jetrun.actors.events import events_of
from jetrun.actors.limits import UPDATES_OPEN_MAX, VALUE_INLINE_BYTES_MAX
from jetrun.actors.messages import Ref, Update
from jetrun.actors.query import Question
from jetrun.actors.records import Answer
from support.log_rig import LogRig, start_body, update_body


@step
async def price(article: str) -> int:
    raise AssertionError


add_item = define_update("add_item", str, int, returns=dict[str, int])
buy = define_update("buy", returns=int)


@workflow
async def cart(limit: int = 10) -> dict[str, int]:
    items: dict[str, int] = {}
    is_bought = asyncio.Event()

    @add_item.validator
    def check(article: str, count: int) -> None:
        if count < 1:
            raise ValueError(f"{count} of {article}")
        if sum(items.values()) + count > limit:
            raise LookupError("the cart is full")

    @add_item.handler
    def add(article: str, count: int) -> dict[str, int]:
        items[article] = items.get(article, 0) + count
        set_status("items", sum(items.values()))
        return items

    @buy.handler
    async def pay() -> int:
        total = 0
        for article, count in items.items():
            total += count * await price(article)
        is_bought.set()
        return total

    await is_bought.wait()
    await updates_done()
    return items


def answers(rig: LogRig) -> list[Answer]:
    return [answer for record in rig.records for answer in record.answers]


def told(rig: LogRig) -> list[object]:
    return [
        msgspec.json.decode(answer.result) if answer.error is None else answer.error.code or answer.error.type
        for answer in answers(rig)
    ]


def test_updates_are_applied_in_order_and_answered() -> None:
    rig = LogRig(cart)
    rig.start()
    rig.update("add_item", "lamp", 2, message_id="u-1")
    assert rig.last.answers[0].id == "u-1"
    assert [answer.id for answer in rig.owed.answers] == ["u-1"]
    rig.update("add_item", "chair", 1)
    assert told(rig) == [{"lamp": 2}, {"lamp": 2, "chair": 1}]
    assert rig.summary.values == {"items": 3}


def test_an_async_handler_runs_steps_and_answers_when_it_is_done() -> None:
    rig = LogRig(cart)
    rig.start()
    rig.update("add_item", "lamp", 2)
    rig.update("buy", message_id="b")
    assert rig.summary.updates_open == 1
    assert rig.asked() == ["price"]
    rig.step(1, 50)
    assert rig.result == {"lamp": 2}
    assert told(rig) == [{"lamp": 2}, 100]
    assert rig.summary.updates_open == 0


def test_a_validator_refuses_and_the_run_is_as_before() -> None:
    rig = LogRig(cart)
    rig.start(limit=3)
    rig.update("add_item", "lamp", 0)
    rig.update("add_item", "lamp", 4)
    rig.update("add_item", "lamp", 3)
    first, second, third = answers(rig)
    assert first.is_refused
    assert first.error is not None
    assert (first.error.type, first.error.message, first.error.code) == ("ValueError", "0 of lamp", "refused")
    assert second.error is not None
    assert "builtins" not in second.error.type
    assert second.error.type == "LookupError"
    assert third.error is None
    assert [event.kind for event in events_of(rig.records[1])] == ["update.received", "update.refused"]


def test_the_same_id_is_applied_once() -> None:
    """Exactly once per intent: a repeat is acked, its answer is the one in the log (R5)."""
    rig = LogRig(cart)
    rig.start()
    rig.update("add_item", "lamp", 2, message_id="u")
    decision = rig.update("add_item", "lamp", 2, message_id="u")
    assert not decision.records
    assert told(rig) == [{"lamp": 2}]


def test_unknown_names_are_refused_with_those_that_are_known() -> None:
    rig = LogRig(cart)
    rig.start()
    rig.update("remove_item", "lamp")
    (answer,) = answers(rig)
    assert answer.is_refused
    assert answer.error is not None
    assert answer.error.code == "unknown_update"
    assert "add_item, buy" in answer.error.message


@pytest.mark.parametrize("args", [["lamp"], ["lamp", "two"], ["lamp", 1, 2]])
def test_arguments_that_do_not_fit_are_refused(args: list[Any]) -> None:
    rig = LogRig(cart)
    rig.start()
    rig.update("add_item", *args)
    assert told(rig) == ["args"]


def test_updates_that_come_before_the_start_are_applied_when_it_comes() -> None:
    rig = LogRig(cart)
    rig.update("add_item", "lamp", 1, message_id="early")
    assert rig.status == "early"
    rig.start()
    assert told(rig) == [{"lamp": 1}]


def test_updates_of_a_run_that_nobody_starts_are_dead_letters() -> None:
    rig = LogRig(cart)
    rig.update("add_item", "lamp", 1)
    rig.tick(25 * 3600)
    assert {code for _, _, code in rig.dead} == {"no_run"} or rig.owed.is_expired


def test_updates_after_the_end_are_dead_letters() -> None:
    rig = LogRig(cart)
    rig.start()
    rig.terminate()
    decision = rig.update("add_item", "lamp", 1)
    assert [verdict.code for verdict in decision.verdicts] == ["ended"]


def test_updates_behind_the_end_in_the_same_turn_are_refused_as_ended() -> None:
    rig = LogRig(cart)
    rig.start()
    rig.update("buy", message_id="b")
    assert rig.result == {}
    rig = LogRig(cart)
    rig.feed(
        rig.message(start_body()),
        rig.message(update_body(), "buy"),
        rig.message(update_body("lamp", 1), "add_item"),
    )
    assert rig.result == {}
    assert told(rig) == [0]
    assert {code for _, _, code in rig.dead} == {"ended"}


def test_paused_runs_apply_them_when_they_go_on() -> None:
    rig = LogRig(cart)
    rig.start()
    rig.pause()
    rig.update("add_item", "lamp", 1)
    assert told(rig) == []
    rig.resume()
    assert told(rig) == [{"lamp": 1}]


def test_parked_runs_apply_them_when_the_code_is_back() -> None:
    rig = LogRig(cart)
    rig.start()
    rig.deploy(None)
    rig.update("add_item", "lamp", 1)
    assert rig.status == "parked"
    rig.deploy(cart)
    rig.resume()
    assert told(rig) == [{"lamp": 1}]


def test_open_updates_fail_when_the_run_ends() -> None:
    """Nobody waits for ever: the end is an answer, too."""
    rig = LogRig(cart)
    rig.start()
    rig.update("add_item", "lamp", 1)
    rig.update("buy")
    rig.terminate("enough")
    assert told(rig) == [{"lamp": 1}, "ended"]
    assert [answer.name for answer in owed_in(rig.key, rig.records).answers] == ["buy"]


def test_errors_of_handlers_fail_the_update_and_not_the_run() -> None:
    odd = define_update("odd", int, returns=str)

    @workflow
    async def flow() -> str:
        @odd.handler
        async def answer(number: int) -> str:
            if number == 1:
                raise KeyError("one")
            if number == 2:
                return 2  # type: ignore[return-value]  # not what it promises
            if number == 3:
                raise asyncio.CancelledError("three")
            if number == 4:
                raise SystemExit(4)
            return str(number)

        await hook("go")
        return "on"

    rig = LogRig(flow)
    rig.start()
    for number in range(6):
        rig.update("odd", number)
    assert [a.error.type.rpartition(".")[2] if a.error else msgspec.json.decode(a.result) for a in answers(rig)] == [
        "0",
        "KeyError",
        "InvalidValue",
        "CancelledError",
        "SystemExit",
        "5",
    ]
    rig.hook("go")
    assert rig.result == "on"


def test_validators_may_read_alone() -> None:
    peek = define_update("peek", str, returns=int)

    @workflow
    async def flow() -> str:
        @peek.validator
        def check(what: str) -> None:
            assert info().workflow == "flow"
            assert now().year > 2000
            match what:
                case "step":
                    raise AssertionError(price("lamp"))
                case "status":
                    set_status("a", 1)
                case "task":
                    asyncio.get_running_loop().create_task(sleep(1))
                case "timer":
                    asyncio.get_running_loop().call_later(1, print)
                case _:
                    pass

        @peek.handler
        def answer(what: str) -> int:
            return 1

        await hook("go")
        return "on"

    rig = LogRig(flow)
    rig.start()
    for what in ("step", "status", "task", "timer", "nothing"):
        rig.update("peek", what)
    assert told(rig) == ["refused"] * 4 + [1]
    assert all(a.error is None or a.error.type == "jetrun.actors.errors.ReadOnly" for a in answers(rig))
    assert issubclass(ReadOnly, RuntimeError)
    rig.hook("go")
    assert rig.result == "on"


def versions(limit: int, *, has_handler: bool = True) -> Any:
    counted = define_update("counted", int, returns=int)

    @workflow(name="counting")
    async def counting() -> int:
        total = 0

        @counted.validator
        def check(number: int) -> None:
            if number > limit:
                raise ValueError(number)

        if has_handler:

            @counted.handler
            def add(number: int) -> int:
                nonlocal total
                total += number
                return total

        await hook("go")
        return total

    return counting


def test_replay_takes_from_the_log_what_was_taken() -> None:
    """A validator that has changed its mind does not change the past."""
    rig = LogRig(versions(5))
    rig.start()
    rig.update("counted", 5)
    rig.update("counted", 7)
    rig.deploy(versions(1))
    rig.update("counted", 5)
    rig.deploy(versions(100))
    rig.update("counted", 7)
    assert told(rig) == [5, "refused", "refused", 12]
    rig.hook("go")
    assert rig.result == 12


def test_code_without_the_handler_of_an_update_that_was_taken_parks_the_run() -> None:
    rig = LogRig(versions(5), check=False)
    rig.start()
    rig.update("counted", 5)
    rig.deploy(versions(5, has_handler=False))
    rig.hook("go")
    assert rig.status == "parked"
    assert rig.last.parked is not None
    assert "update 'counted', which was taken" in rig.last.parked.reason
    rig.deploy(versions(5))
    rig.resume()
    assert rig.result == 5


def test_large_arguments_and_answers_go_by_the_object_store() -> None:
    echo = define_update("echo")

    @workflow
    async def flow() -> str:
        @echo.handler
        def answer(text: str) -> str:
            return text * 2

        await hook("go")
        return "on"

    rig = LogRig(flow)
    rig.start()
    text = "x" * VALUE_INLINE_BYTES_MAX
    rig.objects["0" * 64] = msgspec.json.encode({"args": [text]})
    rig.feed(rig.message(Update(ref=Ref(sha256="0" * 64, size=1)), "echo"))
    (answer,) = answers(rig)
    assert answer.ref is not None
    assert msgspec.json.decode(rig.objects[answer.ref.sha256]) == text * 2


def test_decisions_with_many_large_answers_are_cut_and_finished_by_a_successor() -> None:
    """A crash between two parts: the rest is derived, with the same answers (R10)."""
    echo = define_update("echo")

    @workflow
    async def flow() -> str:
        @echo.handler
        def answer(text: str) -> str:
            return text * 400

        set_status("phase", "open")
        await hook("go")
        return "on"

    for parts in (1, 2, 3):
        rig = LogRig(flow)
        decision = rig.fold(
            rig.message(start_body()), *(rig.message(update_body("x" * 400 + str(n)), "echo") for n in range(9))
        )
        assert len(decision.records) >= 3
        rig.store(decision, parts=parts)
        assert [bytes(answer.result)[-2:-1] for answer in answers(rig)] == [b"%d" % n for n in range(9)]
        assert rig.summary.values == {"phase": "open"}
        assert [record.values for record in rig.records if record.values] == [{"phase": "open"}]
        rig.check()


def test_at_most_so_many_are_at_work_at_once() -> None:
    wait = define_update("wait")

    @workflow
    async def flow() -> str:
        @wait.handler
        async def wait_for_ever() -> None:
            await asyncio.Event().wait()

        await hook("go")
        return "on"

    rig = LogRig(flow, check=False)
    rig.start()
    for _ in range(UPDATES_OPEN_MAX + 1):
        rig.update("wait")
    assert told(rig) == ["full"]
    rig.hook("go")
    assert told(rig) == ["full"] + ["ended"] * UPDATES_OPEN_MAX


def test_calls_are_checked_before_they_are_sent() -> None:
    assert add_item.call("lamp", 2).args == b'["lamp",2]'
    with pytest.raises(InvalidValue):
        add_item.call("lamp")  # type: ignore[call-arg]
    with pytest.raises(NotInWorkflow):
        add_item.handler(lambda article, count: {article: count})


def test_updates_around_a_new_link() -> None:
    """What the old link had at work fails, what comes with the switch is the new link's; nothing is lost in between."""
    put = define_update("put", int, returns=str)

    @workflow
    async def chained(link: int) -> int:
        go = asyncio.Event()
        set_status(f"link-{link}", link)

        @put.handler
        async def take(number: int) -> str:
            if number == 0:
                await asyncio.Event().wait()
            if number == 1:
                go.set()
            return f"{number} by link {link}"

        await go.wait()
        if link < 2:
            continue_as_new(link + 1)
        return link

    rig = LogRig(chained)
    rig.start(1)
    rig.update("put", 0)
    rig.feed(*(rig.message(update_body(number), "put") for number in (5, 1, 6, 7)))
    assert told(rig) == ["5 by link 1", "1 by link 1", "ended"]
    assert rig.summary.status == "running"
    assert isinstance(error := rig.actor.answer("any", Question()).reply.error, ErrorInfo)
    assert error.code == "unavailable"
    rig.update("put", 8)
    assert told(rig)[3:] == ["6 by link 2", "7 by link 2", "8 by link 2"]
    assert rig.summary.values == {"link-2": 2}
    rig.update("put", 1)
    assert rig.result == 2
    actor = rig.new_actor(rig.log)
    actor.skim()
    revival = actor.revival()
    assert revival is not None
    for _ in revival.replay(rig.objects):
        pass
    revival.close()
