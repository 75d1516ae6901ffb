"""Steps as workflow code sees them: options, results, failures, arguments, and what they may ask for (docs/behaviours.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pydantic
import pytest

from jetrun.actors import (
    FatalError,
    InvalidValue,
    NotInWorkflow,
    RetryableError,
    Step,
    StepFailed,
    Workflow,
    attempt,
    call,
    hook,
    info,
    now,
    sleep,
    start_child,
    step,
    workflow,
)
from jetrun.actors.attempt import Attempt
from jetrun.client import testing


class Address(pydantic.BaseModel):
    street: str


class Customer(pydantic.BaseModel):
    name: str
    address: Address
    age: int = 0


@step
async def poll(order_id: str) -> int:
    """Gives the number of its command: a result that was kept from another call would be seen."""
    return attempt().command


@workflow
async def polling(order_id: str) -> list[int]:
    found = [await poll(order_id), await poll(order_id)]
    await sleep("1m")
    return [*found, await poll(order_id)]


def test_options_of_a_step_are_kept() -> None:
    """What is written on a step can be read there."""

    @step(name="charging", queue="payments", max_retries=7, retry_delay=["1s", "5s"], timeout="90s")
    async def charge() -> None: ...

    assert (charge.name, charge.queue, charge.retry.max_retries) == ("charging", "payments", 7)
    assert charge.timeout_us == 90_000_000
    assert (poll.name, poll.queue, poll.retry.max_retries, poll.timeout_us) == ("poll", "default", 3, 0)


async def test_the_same_call_again_runs_again() -> None:
    """A loop that polls would be given its first answer for ever, were results kept by arguments; replay keeps them apart."""
    async with testing.app(polling) as app:
        run = await app.client.start(polling.call("o-1"), run_id="p-1")
        await app.skip("30s")
        app.crash_actor_worker()

        assert await run.result() == [1, 2, 4]
        assert [(one.args, one.command) for one in app.calls(poll)] == [(("o-1",), n) for n in (1, 2, 4)]


def test_the_same_call_again_survives_every_crash() -> None:
    """No call takes the result of another, whoever replays and when."""
    testing.survives_every_crash(polling.call("o-1"))


# --- failures --------------------------------------------------------------------------------------


@step(max_retries=2, retry_delay="10s", jitter=False)
async def fetch(page: int) -> str:
    raise NotImplementedError(page)


@workflow
async def fetched(page: int) -> str:
    try:
        return await fetch(page)
    except StepFailed as error:
        return f"{type(error).__mro__[1].__name__} after {error.attempts}: {error.error.message}"


@pytest.mark.parametrize(
    ("outcomes", "attempts", "seconds", "result"),
    [
        ([ValueError("bad")], 3, 20, "StepFailed after 3: bad"),  # any exception is tried again
        ([FatalError("stolen")], 1, 0, "StepFailed after 1: stolen"),
        ([RetryableError("busy", retry_after="30s"), "page"], 2, 30, "page"),
        ([RetryableError("busy"), "page"], 2, 10, "page"),
        ([OSError(), FatalError("gone")], 2, 10, "StepFailed after 2: gone"),
    ],
)
async def test_failures_are_tried_again_unless_they_are_fatal(
    outcomes: list[Any], attempts: int, seconds: float, result: str
) -> None:
    """With the delays that step or error ask for, by a clock that nobody has to watch."""
    async with testing.app(fetched, steps={fetch: outcomes}) as app:
        began = app.now()
        run = await app.client.start(fetched.call(1), run_id="f-1")

        assert await run.result() == result
        assert [one.attempt for one in app.calls(fetch)] == list(range(1, attempts + 1))
        assert (app.now() - began).total_seconds() == seconds
        kinds = [event.kind for event in await run.events()]
        assert kinds.count("step.scheduled") == 1
        assert kinds.count("step.failed") + kinds.count("step.completed") == attempts
        assert kinds.count("step.retrying") == attempts - 1


# --- arguments and results --------------------------------------------------------------------------


@step
async def typed(
    number: int = 0,
    ratio: float = 0.5,
    text: str = "",
    maybe: int | None = None,
    either: int | str = 0,
    numbers: list[int] = [],  # noqa: B006  never changed
    by_name: dict[str, int] = {},  # noqa: B006  never changed
    anything: Any = None,
    customer: Customer | None = None,
) -> str:
    given = (number, ratio, text, maybe, either, numbers, by_name, anything, customer)
    return repr([one for one in given if one not in (0, 0.5, "", None, [], {})])


@step
def typed_sync(number: int) -> int:
    return number + 1


async def bare(value: object, other: object = None) -> object:
    return [value, other]


bare.__annotations__.clear()
untyped = step(name="untyped")(bare)


@step
async def nothing() -> str:
    return "ran"


@workflow
async def calling(name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    steps: dict[str, Any] = {"typed": typed, "typed_sync": typed_sync, "untyped": untyped, "nothing": nothing}
    try:
        return await steps[name](*args, **kwargs)
    except InvalidValue as error:
        return f"refused {error}"
    except StepFailed as error:
        return f"failed after {error.attempts}: {error.error.message}"


ADA = {"name": "ada", "address": {"street": "Main"}}


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "result"),
    [
        ("typed", [1], {}, "[1]"),
        ("typed", [], {"number": 1, "text": "x"}, "[1, 'x']"),
        ("typed", [1, 2.5, "x"], {"maybe": 3}, "[1, 2.5, 'x', 3]"),
        ("typed", [], {"either": "x"}, "['x']"),
        ("typed", [], {"either": 4}, "[4]"),
        ("typed", [], {"numbers": [1, 2]}, "[[1, 2]]"),
        ("typed", [], {"by_name": {"a": 1}}, "[{'a': 1}]"),
        ("typed", [], {"anything": [{"a": "b"}]}, "[[{'a': 'b'}]]"),
        ("typed", [], {"customer": ADA}, "[Customer(name='ada', address=Address(street='Main'), age=0)]"),
        ("typed", [], {}, "[]"),
        ("typed_sync", [1], {}, 2),
        ("untyped", [{"a": 1}], {"other": "x"}, [{"a": 1}, "x"]),
        ("nothing", [], {}, "ran"),
    ],
)
async def test_arguments_arrive_as_their_annotations_say(
    name: str, args: list[Any], kwargs: dict[str, Any], result: Any
) -> None:
    """By position and by name, optional, in unions, lists and dicts, models in models, without annotations, none at all."""
    async with testing.app(calling, typed, typed_sync, untyped, nothing) as app:
        run = await app.client.start(calling.call(name, args, kwargs), run_id="c-1")

        assert await run.result() == result


@pytest.mark.parametrize(
    ("name", "kwargs", "reason"),
    [
        ("typed", {"number": "5"}, "argument 'number' of step typed: expected int, got str"),
        ("typed", {"number": 5.5}, "argument 'number' of step typed: expected int, got float"),
        ("typed", {"number": True}, "argument 'number' of step typed: expected int, got bool"),
        ("typed", {"ratio": "x"}, "argument 'ratio' of step typed: expected float, got str"),
        ("typed", {"text": 1}, "argument 'text' of step typed: expected str, got int"),
        ("typed", {"maybe": "x"}, "argument 'maybe' of step typed: expected int | null, got str"),
        ("typed", {"either": []}, "argument 'either' of step typed: expected int | str, got array"),
        ("typed", {"numbers": [1, "x"]}, "argument 'numbers' of step typed: $[1]: expected int, got str"),
        ("typed", {"by_name": {"a": "x"}}, "argument 'by_name' of step typed: $[...]: expected int, got str"),
        ("typed", {"customer": {"name": "ada", "address": {}}}, "argument 'customer' of step typed: address.street"),
        ("typed_sync", {"number": "x"}, "argument 'number' of step typed_sync: expected int, got str"),
    ],
)
async def test_arguments_that_do_not_fit_are_refused_for_good(name: str, kwargs: dict[str, Any], reason: str) -> None:
    """With step, parameter, and both types; the function is not entered, nothing is tried again, the code may catch it."""
    async with testing.app(calling, typed, typed_sync, untyped, nothing) as app:
        run = await app.client.start(calling.call(name, [], kwargs), run_id="c-1")

        found = await run.result()
        assert reason in found
        assert app.calls() == []
        assert "step.retrying" not in [event.kind for event in await run.events()]


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "reason"),
    [
        ("typed_sync", [], {}, "refused argument 'number' of step typed_sync: missing"),
        ("typed_sync", [1, 2], {}, "refused arguments of step typed_sync: takes at most 1 by position, got 2"),
        ("typed_sync", [1], {"colour": 1}, "refused argument 'colour' of step typed_sync: no such parameter"),
    ],
)
async def test_calls_that_do_not_bind_are_refused_where_they_are_made(
    name: str, args: list[Any], kwargs: dict[str, Any], reason: str
) -> None:
    """Before anything is decided: the log holds no step."""
    async with testing.app(calling, typed, typed_sync, untyped, nothing) as app:
        run = await app.client.start(calling.call(name, args, kwargs), run_id="c-1")

        assert (await run.result()).startswith(reason)
        assert "step.scheduled" not in [event.kind for event in await run.events()]


# --- what a step may ask for ---------------------------------------------------------------------------


@step(timeout="1h")
async def paced() -> str:
    """Waits as any asyncio program does."""
    await asyncio.sleep(5)
    return f"{attempt().workflow}/{attempt().run}"


@workflow
async def pacing() -> str:
    return await paced()


async def test_step_that_sleeps_waits_in_place() -> None:
    """No timer, no event: the step holds its slot, as its code says."""
    async with testing.app(pacing) as app:
        began = app.now()
        run = await app.client.start(pacing.call(), run_id="p-1")

        assert await run.result() == "pacing/p-1"
        assert (app.now() - began).total_seconds() == 5
        assert "timer.started" not in [event.kind for event in await run.events()]


@workflow
async def inner(number: int) -> int:
    if number < 0:
        raise ValueError("below zero")
    return 2 * number


@pytest.mark.parametrize(
    "ask",
    [
        lambda: sleep("1s"),
        lambda: hook("go"),
        lambda: start_child(inner.call(1)),
        info,
        now,
    ],
    ids=["sleep", "hook", "start_child", "info", "now"],
)
async def test_what_needs_a_log_is_refused_in_a_step_with_the_way_out(ask: Callable[[], Any]) -> None:
    """A step is repeated as a whole: a wait or a child inside of it could not be told from those of its other attempts."""

    @step(max_retries=0)
    async def asking() -> str:
        try:
            found = ask()
            if asyncio.iscoroutine(found):
                await found
        except NotInWorkflow as error:
            return str(error)
        return "not refused"

    @workflow
    async def asks() -> str:
        return await asking()

    async with testing.app(asks, asking, inner) as app:
        run = await app.client.start(asks.call(), run_id="a-1")

        assert "works inside a workflow" in await run.result()


@step(max_retries=0)
async def delegating(number: int) -> int:
    raise NotImplementedError(number)


@workflow
async def delegates(number: int) -> int:
    return await delegating(number)


async def test_step_starts_another_run_by_a_client_and_waits_for_it() -> None:
    """The id is made of the attempt's own place, so that a second attempt finds the first one's run."""

    async def delegate(number: int) -> int:
        here: Attempt = attempt()
        run = await app.client.start(inner.call(number), run_id=f"{here.run}-{here.command}")
        if len(app.calls(delegating)) == 1:
            app.crash_step_worker()
        return await run.result()

    app = testing.app(delegates, delegating, inner, steps=[testing.stub(delegating, delegate)])
    async with app:
        run = await app.client.start(delegates.call(4), run_id="d-1")

        assert await run.result() == 8
        assert len(app.calls(delegating)) == 2
        assert [one.run_id async for one in app.client.list(workflow="inner")] == ["d-1-1"]

        failing = await app.client.start(delegates.call(-1), run_id="d-2")
        with pytest.raises(ValueError, match="below zero"):
            await failing.result()


def test_definitions_are_called_as_functions_outside_of_runs() -> None:
    """A unit test of a step or of a workflow's code needs no engine."""
    plain: Any = typed_sync(1)
    one: Step[[int], int] = typed_sync
    other: Workflow[[int], int] = inner

    assert plain == 2
    assert asyncio.run(inner(4)) == 8
    assert (one.function(1), other.name) == (2, "inner")
    assert call("inner", 4).args == inner.call(4).args
