"""The workflows and steps of a simulation: each workflow leans on another part of the engine. All steps are async."""

from __future__ import annotations

import asyncio

from jetrun.actors import (
    ChildFailed,
    FatalError,
    HookExpired,
    StepFailed,
    attempt,
    continue_as_new,
    define_hook,
    define_update,
    hook,
    info,
    set_status,
    shield,
    sleep,
    start_child,
    step,
    updates_done,
    workflow,
)

from .notebook import begin, broke, end, fresh

RECOVERIES = 1000
"""A simulation kills workers far more often than a life does; no step may count as deadly for that."""

PAUSES_S = (0.0, 0.01, 0.05, 0.4, 2.5)
"""How long steps take."""

enter = define_update("enter", int, returns=int)
arrival = define_hook("item", int)


class Sold(FatalError):
    """Nothing is left; trying again cannot help."""


@step(max_recovery_attempts=RECOVERIES)
async def double(number: int) -> int:
    begin(number)
    await asyncio.sleep(PAUSES_S[number % 5])
    return end(2 * number)


@step(max_recovery_attempts=RECOVERIES, queue="slow")
async def linger(seconds: float) -> float:
    begin(seconds)
    await asyncio.sleep(seconds)
    return end(seconds)


@step(max_recovery_attempts=RECOVERIES, max_retries=3, retry_delay=["300ms", "2s", "0s"])
async def flaky(number: int, failures: int) -> int:
    begin(number, failures)
    await asyncio.sleep(PAUSES_S[number % 4])
    if attempt().number <= failures:
        broke()
        raise ValueError(f"attempt {attempt().number} of {failures + 1}")
    return end(number)


@step(max_recovery_attempts=RECOVERIES)
async def stamp(number: int) -> str:
    """Returns another value each time: only one of them may ever be seen."""
    begin(number)
    await asyncio.sleep(PAUSES_S[number % 4])
    return end(f"{number}/{fresh()}")


@step(max_recovery_attempts=RECOVERIES)
async def echo(text: str) -> str:
    begin(text)
    return end(text[::-1])


@step(max_recovery_attempts=RECOVERIES)
async def book(seat: int, seats: int) -> int:
    begin(seat, seats)
    if seat > seats:
        broke()
        raise Sold(f"seat {seat} of {seats}")
    await asyncio.sleep(PAUSES_S[seat % 4])
    return end(seat)


@step(max_recovery_attempts=RECOVERIES)
async def unbook(seat: int) -> int:
    begin(seat)
    return end(seat)


@step(max_recovery_attempts=RECOVERIES, inline=True, max_retries=3, retry_delay=["300ms"])
async def weigh(number: int, failures: int) -> int:
    """Runs in the actor worker first, then as others do."""
    begin(number, failures)
    await asyncio.sleep(PAUSES_S[number % 4])
    if attempt().number <= failures:
        broke()
        raise ValueError(f"attempt {attempt().number} of {failures + 1}")
    return end(number + 1)


@step(max_recovery_attempts=RECOVERIES)
async def instead(number: int, failures: int) -> int:
    begin(number, failures)
    return end(2 * number)


@step(
    max_recovery_attempts=RECOVERIES,
    max_retries=3,
    retry_delay=["600ms"],
    schedule_to_close="1500ms",
    on_failure=instead,
)
async def hasty(number: int, failures: int) -> int:
    begin(number, failures)
    await asyncio.sleep(PAUSES_S[number % 4])
    if attempt().number <= failures:
        broke()
        raise ValueError(f"attempt {attempt().number} of {failures + 1}")
    return end(number)


@step(max_recovery_attempts=RECOVERIES, queue="slow", schedule_to_close="2s", on_failure=-1.0)
async def dawdle(seconds: float) -> float:
    begin(seconds)
    await asyncio.sleep(seconds)
    return end(seconds)


@step(max_recovery_attempts=RECOVERIES, max_retries=3, retry_delay=["300ms"], heartbeat_timeout="30s")
async def crawl(rows: int, failures: int) -> list[int]:
    """Goes on where the attempt before has said that it was."""
    begin(rows, failures)
    place = attempt().last_heartbeat_as(int) or 0
    for row in range(place + 1, rows + 1):
        await asyncio.sleep(0.3)
        attempt().heartbeat(row)
        if row == rows // 2 and attempt().number <= failures:
            broke()
            raise ValueError(f"stopped at row {row}")
    return end([place, rows])


@step(max_recovery_attempts=RECOVERIES)
async def announce(token: str) -> None:
    begin(token)
    await asyncio.sleep(PAUSES_S[len(token) % 4])
    end(None)


@step(max_recovery_attempts=RECOVERIES)
async def tally(first: int, steps: int) -> int:
    begin(first, steps)
    await asyncio.sleep(PAUSES_S[first % 4])
    return end(first + steps)


@workflow
async def chain(first: int, steps: int) -> int:
    """Steps one after the other."""
    total = 0
    for number in range(first, first + steps):
        total += await double(number)
    return total


@workflow(max_duration="7d")
async def fan(first: int, width: int) -> list[int]:
    """Steps side by side."""
    return await asyncio.gather(*[double(number) for number in range(first, first + width)])


@workflow
async def retrying(number: int, failures: int) -> list[int]:
    """A step that fails at first, and one that always does."""
    found = await flaky(number, failures)
    try:
        await flaky(number, 99)
    except StepFailed as failed:
        return [found, failed.attempts]
    return [found, -1]


@workflow
async def sleepy(milliseconds: list[int]) -> int:
    """Sleeps between steps, short and long."""
    total = 0
    for index, span in enumerate(milliseconds):
        await sleep(span / 1000)
        total += await double(index)
    return total


@workflow
async def monitor(rounds: int) -> int:
    """Many short sleeps: one tick after the other."""
    for _ in range(rounds):
        await asyncio.sleep(0.2)
    return rounds


@workflow
async def collect(count: int) -> list[int]:
    """Takes hooks in the order in which they were sent, before or after it waits for them."""
    found: list[int] = []
    for _ in range(count):
        item = await hook("item", int)
        found.append(item)
        if item % 2:
            await double(item)
    return found


@workflow
async def relay(count: int, per_link: int, found: list[int]) -> list[int]:
    """Takes hooks as `collect` does, so many per link of its chain; works and sleeps between them.

    It sleeps longer than a worker serves timers itself: what a late end of the link before takes along is missed.
    """
    for _ in range(per_link):
        item = await hook("item", int)
        found.append(item)
        if len(found) == count:
            return found
        if item % 3 == 0:
            await double(item)
        elif item % 3 == 1:
            await asyncio.sleep(2.5)
    continue_as_new(count, per_link, found)


@workflow(max_retries=3, retry_delay=["300ms", "1s", "0s"])
async def fickle(number: int, failures: int) -> list[int]:
    """A workflow that fails as a whole at first, and takes what it was sent meanwhile in the try that does not."""
    found = await double(number)
    if info().attempt <= failures:
        raise ValueError(f"try {info().attempt} of {failures + 1}")
    return [found, await hook("item", int), info().attempt]


@workflow
async def race(milliseconds: int) -> int:
    """A hook against its timeout."""
    try:
        return await hook("go", int, timeout=milliseconds / 1000)
    except HookExpired:
        return -1


@workflow
async def limited(seconds: float, limit: float) -> str:
    """A step against a timeout of the workflow."""
    try:
        async with asyncio.timeout(limit):
            await linger(seconds)
    except TimeoutError:
        return "late"
    return "done"


@workflow
async def stamps(count: int) -> list[str]:
    """Results that a second attempt would not repeat."""
    return await asyncio.gather(*[stamp(number) for number in range(count)])


@workflow
async def bulky(letter: str, size: int, pieces: int) -> int:
    """Values that go to the object store, and decisions larger than a record."""
    texts = await asyncio.gather(*[echo(letter * size + str(piece)) for piece in range(pieces)])
    return sum(len(text) for text in texts)


@workflow
async def tour(seats: int, wanted: int) -> int:
    """A saga: what was booked is given back, newest first, when a later part fails or the run is cancelled."""
    booked: list[int] = []
    try:
        for seat in range(1, wanted + 1):
            booked.append(seat)
            await book(seat, seats)
    except (Exception, asyncio.CancelledError):
        async with shield():
            for seat in reversed(booked):
                await unbook(seat)
        raise
    return len(booked)


@workflow
async def patient(step_first: bool) -> int:
    """Would wait for an hour: somebody has to end it."""
    if step_first:
        await double(3)
    await asyncio.gather(sleep("1h"), sleep("2h"))
    return 0


@workflow(max_duration="9s")
async def capped(steps: int) -> int:
    """Ends by its limit unless it is done before."""
    for _ in range(steps):
        await double(4)
    await hook("never")
    return 0


@workflow
async def picky(count: int) -> list[int]:
    """Refuses every payload that is no number."""
    return [await hook("number", int) for _ in range(count)]


@workflow
async def ledger(count: int) -> list[int]:
    """Takes updates, half of them by way of a step, and refuses negative numbers."""
    taken: list[int] = []
    is_full = asyncio.Event()

    @enter.validator
    def look(number: int) -> None:
        if number < 0:
            raise ValueError(number)

    @enter.handler
    async def write(number: int) -> int:
        taken.append(number)
        set_status("taken", len(taken))
        if number % 2:
            await double(number)
        if len(taken) == count:
            is_full.set()
        return 10 * number

    await is_full.wait()
    await updates_done()
    return sorted(taken)


@workflow
async def family(first: int, width: int, grace: float) -> list[object]:
    """Children: awaited together, let go, cancelled, left to themselves."""
    start_child(chain.call(first, 2), parent_close="abandon")
    waiting = start_child(patient.call(True), parent_close="terminate")
    sums = await asyncio.gather(*[chain(first + number, 2) for number in range(width)])
    try:
        async with asyncio.timeout(grace):
            await patient(False)
    except TimeoutError:
        waiting.cancel("the family is complete")
    try:
        await waiting.result()
    except ChildFailed as failed:
        return [*sums, failed.status]
    return [*sums, "completed"]


@workflow
async def inlined(first: int, count: int) -> int:
    """Inline steps, one after the other and side by side, some of them with retries in the queue."""
    total = 0
    for number in range(first, first + count):
        total += await weigh(number, number % 3)
    return total + sum(await asyncio.gather(*[weigh(number, 0) for number in range(count)]))


@workflow
async def hurried(number: int, failures: int, seconds: float) -> list[float]:
    """Steps with a time by which they are over, and what stands in for them."""
    return list(await asyncio.gather(hasty(number, failures), dawdle(seconds)))


@workflow
async def crawling(rows: int, failures: int) -> list[int]:
    """A step that says how far it is."""
    return await crawl(rows, failures)


@workflow
async def announced(count: int) -> list[int]:
    """Hooks that somebody is told of before they count."""
    return [await arrival(on_created=announce) for _ in range(count)]


@workflow
async def streamed(count: int) -> list[int]:
    """Takes hooks as `collect` does, out of a stream."""
    found: list[int] = []
    async for item in arrival.stream():
        found.append(item)
        if item % 2:
            await double(item)
        if len(found) == count:
            break
    return found


@workflow(durable=False, max_recovery_attempts=RECOVERIES)
async def transient(first: int, steps: int) -> int:
    """Runs whole on a step worker: its first step has the number and the input of the one that the log knows."""
    total = await tally(first, steps)
    await sleep(PAUSES_S[steps % 4])
    return total


@workflow
async def ticked(seconds: float) -> str:
    """What schedules start."""
    await linger(seconds)
    return str(info().scheduled_at)
