"""What type checkers must infer; never run, checked with all other files. `misuse.py.txt` holds what they must refuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, assert_type

from jetrun.actors import (
    Call,
    ChildHandle,
    Graph,
    GraphRetry,
    HookStream,
    Saga,
    Schedule,
    ScheduleSpec,
    Step,
    TypedHook,
    UpdateCall,
    Workflow,
    attempt,
    call,
    complete_later,
    define_hook,
    define_query,
    define_update,
    hook,
    hook_stream,
    info,
    saga,
    set_status,
    start_child,
    step,
    updates_done,
    workflow,
)
from jetrun.actors.records import Record
from jetrun.client import Client, DeadLetter, Event, RunHandle, RunStatus, RunSummary, ScheduleStatus, WaitingHook


@dataclass
class Approval:
    ok: bool
    reviewer: str


@step
async def charge(order_id: str, cents: int) -> float:
    return cents / 100


@step(queue="slow")
def count(words: list[str]) -> dict[str, int]:
    return {word: words.count(word) for word in words}


@step
async def resumed() -> int:
    assert_type(attempt().last_heartbeat_as(Approval), Approval | None)
    assert_type(attempt().completion_token, str)
    attempt().heartbeat(Approval(ok=True, reviewer="ann"))
    attempt().progress(0.5, "half-way")
    complete_later()


@workflow
async def order(order_id: str, *, express: bool = False) -> str:
    assert_type(await charge(order_id, 4200), float)
    assert_type(await charge(order_id, cents=4200), float)
    assert_type(await charge.options(queue="slow", retry_for="1h")(order_id, cents=4200), float)
    assert_type(await hook("approval", Approval), Approval)
    return f"{order_id} {express}"


@workflow
async def parent(order_id: str) -> str:
    child = start_child(order.call(order_id), run_id="c-1", parent_close="abandon")
    assert_type(child, ChildHandle[str])
    assert_type(await child.result(), str)
    assert_type(await order(order_id, express=True), str)
    assert_type(await start_child(call("order", 1)).result(), Any)
    return child.run_id


approval = define_hook("approval", Approval)
anything = define_hook("anything")


@step
async def send_token(token: str) -> int:
    return len(token)


@workflow
async def waiting() -> str:
    assert_type(approval, TypedHook[Approval])
    assert_type(anything, TypedHook[Any])
    assert_type(await approval(timeout="1h", on_created=send_token), Approval)
    assert_type(await hook("approval", Approval, on_created=send_token), Approval)
    assert_type(await anything(), Any)
    assert_type(hook_stream("approval", Approval), HookStream[Approval])
    async for decision in approval.stream(timeout=5):
        assert_type(decision, Approval)
    assert_type([tick async for tick in hook_stream("tick", int)], list[int])
    return "done"


async def recount(words: list[str]) -> None: ...


@workflow
async def careful(order_id: str) -> None:
    async with saga(parallel=True) as s:
        assert_type(s, Saga)
        assert_type(s.compensate(charge, order_id, cents=-4200), None)
        s.compensate(count, ["word"])
        s.compensate(recount, words=["word"])
        s.compensate(lambda: charge(order_id, 1))


@workflow(name="bill", max_duration="7d")
async def billing(number: int) -> Approval | None:
    return None


@step(recover_on_worker_loss=False)
async def wire(cents: int) -> str:
    return str(cents)


@workflow(durable=False, queue="quick", max_recovery_attempts=2, tags=["nightly"])
async def quick(words: list[str]) -> dict[str, int]:
    assert_type(await wire(1), str)
    return await count(words)


@workflow
async def waits_for_quick(words: list[str]) -> None:
    assert_type(await quick(words), dict[str, int])


@workflow(schedule=ScheduleSpec(cron="0 9 * * *", timezone="Europe/Lisbon"))
async def report(kind: str = "daily") -> int:
    assert_type(info().scheduled_at, datetime | None)
    return 1


@workflow(schedule=Schedule(spec=ScheduleSpec(every="1m"), overlap="buffer_one", catch_up="10s"))
async def collect() -> None: ...


async def scheduling(client: Client) -> None:
    schedules = client.schedules
    assert_type(report.call("weekly"), Call[int])
    assert_type(await schedules.create("r", report.call(), ScheduleSpec(every="1h"), overlap="allow_all"), None)
    assert_type(await schedules.get("r"), ScheduleStatus)
    assert_type([one async for one in schedules.list()], list[ScheduleStatus])
    assert_type(await schedules.trigger("r"), RunHandle[Any] | None)
    end = datetime(2027, 1, 1, tzinfo=UTC)
    assert_type(await schedules.backfill("r", end, end), Sequence[str])
    assert_type((await schedules.get("r")).next_times(3), Sequence[datetime])


async def client_side(client: Client) -> None:
    assert_type(quick.call(["a"]), Call[dict[str, int]])
    assert_type(order.call("o-1"), Call[str])
    assert_type(call("order", 1, two=2), Call[Any])

    run = await client.start(
        order.call("o-1", express=True), run_id="o-1", hooks=[("approval", Approval(ok=True, reviewer="ann"))]
    )
    assert_type(run, RunHandle[str])
    assert_type(await run.result(), str)
    assert_type(await run.result(timeout=5), str)
    assert_type(await run.status(), RunStatus)
    assert_type(await run.log(), list[Record])
    assert_type([event async for event in run.tail()], list[Event])

    decision = Approval(ok=True, reviewer="ann")
    assert_type(await run.hook(approval, decision), str)
    assert_type(await run.hook("approval", {"ok": True}, validate=True), str)
    assert_type(await client.send_hook("order/o-1/approval", {"ok": True}), str)
    assert_type(await client.send_hook("order/o-1/approval", decision, hook=approval), str)
    assert_type(await run.hooks(), list[WaitingHook])
    await client.start(waiting.call(), run_id="w-1", hooks=[(approval, decision), ("tick", 1)])

    bill = await client.start(billing.call(7), run_id="b-7", conflict="fail")
    assert_type(await bill.result(), Approval | None)
    takes_any_handle(bill)

    assert_type(await client.complete_step("token", Approval(ok=True, reviewer="ann")), None)
    assert_type(await client.fail_step("token", ValueError()), None)
    assert_type(client.get(billing, "b-7"), RunHandle[Approval | None])
    assert_type(client.get("order/o-1"), RunHandle[Any])
    assert_type([run async for run in client.list(status="running", limit=5)], list[RunSummary])
    assert_type([letter async for letter in client.dead()], list[DeadLetter])

    async with await Client.connect("nats://localhost", app="shop") as connected:
        assert_type(connected, Client)


def takes_any_handle(run: RunHandle[object]) -> None: ...


def takes_definitions(workflow: Workflow[[int], Approval | None], step: Step[[list[str]], dict[str, int]]) -> None: ...


takes_definitions(billing, count)


@dataclass
class Progress:
    done: int


progress = define_query("progress", returns=Progress)
find = define_query("find", str, returns=Approval)
add_item = define_update("add_item", str, int, returns=dict[str, int])


@define_query
def history(since: int = 0, *, limit: int = 100) -> list[str]:
    raise NotImplementedError


@define_update
async def rename(name: str, *, force: bool = False) -> str:
    raise NotImplementedError


@workflow
async def talking(name: str) -> None:
    set_status("phase", {"name": name})

    @progress.handler
    def tell() -> Progress:
        return Progress(1)

    progress.handler(lambda: Progress(2))

    @history.handler
    def recall(since: int = 0, *, limit: int = 100) -> list[str]:
        return [name] * limit

    @add_item.validator
    def look(article: str, count: int) -> None: ...

    @add_item.handler
    async def add(article: str, count: int) -> dict[str, int]:
        return {article: count}

    @rename.handler
    def change(name: str, *, force: bool = False) -> str:
        return name

    await updates_done()


async def asking(client: Client) -> None:
    run = client.get(talking, "t-1")
    assert_type(add_item.call("lamp", 2), UpdateCall[dict[str, int]])
    assert_type(await run.update(add_item.call("lamp", 2), id="u", timeout=5), dict[str, int])
    assert_type(await run.update(rename.call("ann", force=True)), str)
    assert_type(await run.update(define_update("other").call(1, two=2)), Any)
    assert_type(await run.query(progress), Progress)
    assert_type(await run.query(find.call("lamp")), Approval)
    assert_type(await run.query(history), list[str])
    assert_type(await run.query(history.call(3, limit=1), timeout=1), list[str])
    assert_type(await run.query(define_query("other")), Any)
    assert_type((await run.status()).values, dict[str, Any])
    print(len(await run.query(history)))


takes_definitions(billing, count.options(timeout="5s", on_failure={}))


patient: GraphRetry = {"count": "forever", "delay": "1s", "backoff": "linear", "cap": 60}

deploy = (
    Graph("deploy", version=2, tags=["ci"])
    .input("order_id")
    .input("count", default=3)
    .step(charge, input={"order_id": "{{ ctx.order_id }}", "cents": 5}, retry=patient, timeout="5s")
    .step(count, name="words", input=[["a"]], after=[charge, "order"], after_any={"charge"}, on_failure="retry")
    .step("other", with_items="x in {{ ctx.xs }}", concurrency=2, retry="forever", delay=1.5, queue="slow")
    .child(order, input="{{ ctx.arguments }}", after=(name for name in ("words", "charge")))
    .wait("1h", name="pause", after=[order])
    .hook(approval, timeout=5, on_failure="continue")
    .output(total="{{ ctx.charge }}")
    .limits(duration="1d", iterations=5)
    .options(on_unhandled="drain")
)
outer = Graph("outer").child(deploy, input={"order_id": 1}).step(charge, input=["o-1", 1], after=[deploy])


async def graphs(client: Client) -> None:
    assert_type(deploy, Graph)
    assert_type(deploy.call(order_id="o-1"), Call[Any])
    assert_type(deploy.definition(), dict[str, object])
    assert_type(deploy.to_yaml(), str)
    assert_type((await client.start(outer.call(), run_id="g-1")).run_id, str)
    print([problem.message for problem in deploy.check()])
