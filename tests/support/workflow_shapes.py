"""Shapes of workflows: one of each kind of orchestration, with the inputs that bring it to its end.

Golden logs are recorded from them and replay for ever: a shape that has a golden log is never changed, only added to.
"""

from __future__ import annotations

import asyncio
from asyncio import as_completed
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from jetrun.actors import (
    FatalError,
    HookExpired,
    StepFailed,
    Workflow,
    hook,
    info,
    now,
    random,
    shield,
    sleep,
    step,
    uuid4,
    workflow,
)
from jetrun.actors.commands import RunStep
from jetrun.actors.errors import ErrorInfo
from jetrun.actors.messages import Body, Cancel, Hook, Pause, Resume, Terminate
from support.hook_flows import counted, invited
from support.limit_shapes import limits, no_luck
from support.shape_answers import body_answers, body_fails

from . import graph_logs
from .talking_shapes import TALK, shelf


class OutOfStock(Exception):
    pass


@dataclass
class Approval:
    ok: bool
    reviewer: str


class Receipt(msgspec.Struct):
    order: str
    amount: Decimal
    tags: list[str] = []


@step
async def double(x: int) -> int:
    return 2 * x


@step(max_retries=2, retry_delay="exponential", retry_cap="20s")
async def flaky(x: int) -> int:
    return x


@step(max_retries=3, retry_delay="2s", non_retryable=(OutOfStock,), queue="payments", timeout="30s")
def reserve(item: str, *, count: int = 1) -> str:
    return f"{item} x {count}"


@step(max_retries=0)
async def pay(order: str, amount: Decimal) -> Receipt:
    return Receipt(order, amount)


@step(max_retries=0)
async def refund(order: str) -> str:
    return f"refunded {order}"


@step
async def echo(value: Any) -> Any:
    return value


# --- the workflows --------------------------------------------------------------------------------


@workflow
async def chain(x: int) -> int:
    for _ in range(3):
        x = await double(x)
    return x


@workflow
async def fan_out(width: int) -> list[int]:
    return list(await asyncio.gather(*(double(n) for n in range(width))))


@workflow
async def retries(x: int) -> list[str]:
    found: list[str] = []
    for attempt in (flaky, double):
        try:
            found.append(str(await attempt(x)))
        except StepFailed as error:
            found.append(f"{error.step} {error.attempts} {error.error.type}")
    return found


@workflow
async def saga(order: str) -> str:
    await reserve(order, count=2)
    try:
        async with asyncio.TaskGroup() as group:
            paid = group.create_task(pay(order, Decimal("42.00")))
            group.create_task(reserve("gift"))
    except ExceptionGroup as errors:
        await refund(order)
        return f"undone after {len(errors.exceptions)}"
    return paid.result().order


@workflow
async def approval() -> str:
    try:
        decision = await hook("approval", Approval, timeout="1h")
    except HookExpired:
        return "expired"
    return decision.reviewer if decision.ok else "refused"


@workflow
async def race() -> str:
    waiting = asyncio.create_task(hook("answer"), name="hook")
    timer: asyncio.Task[Any] = asyncio.create_task(asyncio.sleep(10), name="timer")
    done, pending = await asyncio.wait([waiting, timer], return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    return ",".join(task.get_name() for task in done)


@workflow
async def in_order_of_completion(width: int) -> list[int]:
    found = [await one for one in as_completed([double(n) for n in range(width)])]
    found += [await one for one in asyncio.as_completed([double(n) for n in range(width, 2 * width)])]
    return found


@workflow
async def impatient(x: int) -> list[str]:
    seen: list[str] = []
    for _ in range(3):
        try:
            seen.append(str(await asyncio.wait_for(double(x), 2)))
        except TimeoutError:
            seen.append("late")
    try:
        async with asyncio.timeout(5):
            seen.append(str(await flaky(x)))
    except TimeoutError:
        seen.append("gave up")
    return seen


@workflow
async def assembly(items: int) -> list[int]:
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=2)
    lock, room = asyncio.Lock(), asyncio.Semaphore(2)
    made: list[int] = []

    async def work() -> None:
        while True:
            item = await queue.get()
            async with room:
                result = await double(item)
            async with lock:
                await asyncio.sleep(0.5)
                made.append(result)
            queue.task_done()

    workers = [asyncio.create_task(work()) for _ in range(3)]
    for item in range(items):
        await queue.put(item)
    await queue.join()
    for worker in workers:
        worker.cancel()
    return sorted(made)


@workflow
async def monitor(rounds: int) -> int:
    seen = 0
    for _ in range(rounds):
        seen += await echo(random().randint(1, 9))
        await sleep("30s")
    return seen


@workflow
async def cancelled(order: str) -> None:
    try:
        async with shield():
            await reserve(order)
            await sleep(20)
        await sleep("1d")
    finally:
        await refund(order)


@workflow
async def stubborn() -> str:
    try:
        await sleep("1h")
    except asyncio.CancelledError as error:
        return f"went on: {await echo(str(error))}"
    return "slept"


@workflow
async def chances() -> list[str]:
    about = info()
    seen = [about.run_id, str(about.commands), str(uuid4()), str(random().random()), now().isoformat()]
    await sleep(1.5)
    return [*seen, str(uuid4()), str(random().sample(range(100), 5)), now().isoformat(), str(info().commands)]


@workflow
async def letters(count: int) -> list[object]:
    await sleep(5)
    taken: list[object] = [await hook("letter", int) for _ in range(count)]
    return [*taken, await hook("other")]


async def _pages(count: int) -> AsyncIterator[int]:
    for number in range(count):
        try:
            yield await double(number)
        finally:
            await asyncio.sleep(0)


@workflow
async def generator(count: int) -> int:
    total = 0
    async for page in _pages(count):
        total += page
        if total > 10:
            break
    return total


@workflow
async def large(size: int) -> int:
    text = await echo("x" * size)
    return len(await echo(text))


@workflow
async def background() -> list[int]:
    seen: list[int] = []

    async def beat() -> None:
        while True:
            await asyncio.sleep(3)
            seen.append(len(seen))

    asyncio.create_task(beat())  # noqa: RUF006  it ends with its run
    await double(1)
    await sleep(10)
    return seen


@workflow
async def signals() -> str:
    event, condition = asyncio.Event(), asyncio.Condition()
    order: list[str] = []

    async def wait(name: str) -> None:
        await event.wait()
        async with condition:
            order.append(name)
            condition.notify_all()

    waiters = [asyncio.create_task(wait(name)) for name in "abc"]
    await hook("go")
    event.set()
    async with condition:
        await condition.wait_for(lambda: len(order) == 3)
    await asyncio.gather(*waiters)
    return "".join(order)


@workflow(max_duration="1m")
async def endless() -> None:
    while True:
        await asyncio.gather(sleep(20), double(1))


@workflow
async def failing(item: str) -> str:
    try:
        return await reserve(item)
    except OutOfStock:
        raise FatalError("nothing left") from None


@workflow
async def many_timers(count: int) -> float:
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(sleep(1 + n % 3) for n in range(count)))
    handle = loop.call_later(100, print)
    handle.cancel()
    return loop.time()


@workflow
async def by_sets(width: int) -> list[object]:
    single: list[asyncio.Future[Any]] = [asyncio.create_task(double(n)) for n in range(width)]
    several: list[asyncio.Future[Any]] = [asyncio.gather(double(n), echo(n)) for n in range(width)]
    done, _ = await asyncio.wait([*single, *several])
    return [await echo(future.result()) for future in done]


@workflow(durable=False, max_recovery_attempts=1)
async def not_durable(x: int) -> int:
    return await double(x) - 6


# --- with what they are fed -----------------------------------------------------------------------

Answer = Callable[[RunStep, int], object]
"""What an attempt of a step comes to: a value, or an `ErrorInfo`."""


@dataclass(frozen=True)
class Input:
    """A message from outside."""

    at_s: float
    body: Body
    name: str = ""


@dataclass(frozen=True)
class Shape:
    """A workflow and what happens to it."""

    name: str
    workflow: Workflow[..., Any]
    args: tuple[object, ...] = ()
    inputs: tuple[Input, ...] = ()
    answer: Answer | None = None
    step_s: float = 1.0
    """About how long steps take."""
    fields: dict[str, object] = field(default_factory=dict[str, object])


def plain(command: RunStep, attempt: int) -> object:
    """What the steps above return."""
    if command.ref is not None:
        return "y" * 300_000
    args = msgspec.json.decode(command.args)
    kwargs = msgspec.json.decode(command.kwargs) if command.kwargs is not None else {}
    match command.name:
        case "double":
            return 2 * args[0]
        case "pay":
            return {"order": args[0], "amount": args[1]}
        case "reserve":
            return f"{args[0]} x {kwargs.get('count', 1)}"
        case "refund":
            return f"refunded {args[0]}"
        case _:
            return args[0]


def _failing_first(command: RunStep, attempt: int) -> object:
    return ErrorInfo(type="OSError", message="no luck") if attempt < 3 else plain(command, attempt)


def _failing_always(command: RunStep, attempt: int) -> object:
    return ErrorInfo(type="ValueError", message="never", bases=["Exception"])


def _pay_fails(command: RunStep, attempt: int) -> object:
    failure = ErrorInfo(type="PaymentError", message="declined")
    return failure if command.name == "pay" else plain(command, attempt)


def _out_of_stock(command: RunStep, attempt: int) -> object:
    return ErrorInfo(type=f"{OutOfStock.__module__}.OutOfStock", message="sold out")


def _hook(at_s: float, name: str, payload: object, message_id: str = "") -> Input:
    return Input(at_s, Hook(id=message_id, payload=msgspec.Raw(msgspec.json.encode(payload))), name)


_VOTES = tuple({"ok": n != 5, "by": "abcdef"[n]} for n in range(6))

SHAPES: tuple[Shape, ...] = (
    Shape("chain", chain, (1,)),
    Shape("fan_out", fan_out, (12,)),
    Shape("retries", retries, (7,), answer=_failing_first),
    Shape("retries_in_vain", retries, (7,), answer=_failing_always),
    Shape("saga", saga, ("o-1",)),
    Shape("saga_undone", saga, ("o-1",), answer=_pay_fails),
    Shape("approval", approval, (), (_hook(5, "approval", {"ok": True, "reviewer": "ann"}),)),
    Shape(
        "approval_after_misfits",
        approval,
        (),
        (
            _hook(1, "approval", "yes"),
            _hook(2, "approval", {"ok": 1, "reviewer": "ann"}),
            _hook(3, "approval", {"ok": False, "reviewer": "bob"}, "once"),
            _hook(4, "approval", {"ok": True, "reviewer": "eve"}, "once"),
        ),
    ),
    Shape("approval_expired", approval),
    Shape("race_hook", race, (), (_hook(4, "answer", 1),)),
    Shape("race_timer", race, (), (_hook(10.0, "answer", 1),)),
    Shape("in_order_of_completion", in_order_of_completion, (5,)),
    Shape("impatient", impatient, (3,), step_s=2.0),
    Shape("impatient_with_failures", impatient, (3,), answer=_failing_first, step_s=2.0),
    Shape("assembly", assembly, (7,)),
    Shape("monitor", monitor, (10,)),
    Shape("cancelled", cancelled, ("o-1",), (Input(3, Cancel(reason="enough")),)),
    Shape("cancelled_asleep", cancelled, ("o-1",), (Input(3_000, Cancel(reason="enough")), Input(3_001, Cancel()))),
    Shape("stubborn", stubborn, (), (Input(3, Cancel(reason="please")), Input(4, Cancel(reason="now")))),
    Shape("terminated", fan_out, (5,), (Input(0.5, Terminate(reason="gone")),)),
    Shape("chances", chances),
    Shape(
        "letters",
        letters,
        (3,),
        (
            *(_hook(1 + n, "letter", n) for n in range(2)),
            _hook(2.5, "letter", "not a number"),
            _hook(3.0, "other", {"a": [1]}),
            *(_hook(8 + n, "letter", n) for n in range(3)),
        ),
    ),
    Shape("generator", generator, (9,)),
    Shape("large", large, (300_000,)),
    Shape("background", background),
    Shape("limits", limits, (3,)),
    Shape("limits_missed", limits, (3,), answer=lambda c, attempt: no_luck(c) or plain(c, attempt), step_s=2.5),
    Shape("signals", signals, (), (_hook(2, "go", None),)),
    Shape("endless", endless),
    Shape("failing", failing, ("spoon",), answer=_out_of_stock),
    Shape("many_timers", many_timers, (40,)),
    Shape("by_sets", by_sets, (9,)),
    Shape(
        "paused",
        letters,
        (2,),
        (
            Input(1, Pause()),
            _hook(2, "letter", 1),
            _hook(3, "other", "x"),
            _hook(20, "letter", 2),
            Input(30, Resume()),
        ),
    ),
    Shape("talked_with", shelf, (3,), tuple(Input(*one) for one in TALK)),
    Shape("paused_and_cancelled", saga, ("o-1",), (Input(0.2, Pause()), Input(9, Cancel(reason="over")))),
    Shape("not_durable", not_durable, (7,), answer=body_answers),
    Shape("not_durable_failing", not_durable, (7,), answer=body_fails),
    Shape("invited", invited, ("20s",), (_hook(0.5, "vote", _VOTES[0]), _hook(9, "other-vote", _VOTES[1]))),
    Shape(
        "invited_in_vain",
        invited,
        ("20s",),
        (_hook(1, "vote", _VOTES[0]), _hook(60, "other-vote", _VOTES[1])),
        _failing_always,
    ),
    Shape(
        "invited_late", invited, ("5s",), (_hook(4, "vote", {"ok": 1}), _hook(4.5, "vote", _VOTES[0])), _failing_first
    ),
    Shape("counted", counted, ("10s",), tuple(_hook(n / 2, "vote", _VOTES[n]) for n in range(6))),
    Shape("graph_rounds", graph_logs.ROUNDS),
    Shape("graph_rounds_cancelled", graph_logs.ROUNDS, (), (Input(3, Cancel(reason="enough")),)),
    Shape("graph_parts", graph_logs.PARTS, answer=_failing_first),
    Shape("graph_parts_in_vain", graph_logs.PARTS, answer=_failing_always),
    Shape("graph_dependencies", graph_logs.DEPENDENCIES, (), (_hook(9, "answer", 1),)),
    Shape("graph_dependencies_unasked", graph_logs.DEPENDENCIES, (), (Input(2, Pause()), Input(40, Resume()))),
    Shape(
        "invited_and_cancelled", invited, ("20s",), (_hook(0.1, "vote", _VOTES[0]), Input(0.2, Cancel(reason="off")))
    ),
)
