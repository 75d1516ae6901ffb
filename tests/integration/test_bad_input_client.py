"""Bad input by client: an exception with one clear line, before anything is sent wherever that can be; and what is large
but allowed works. The workers that are sent all this live on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from jetrun.actors import call
from jetrun.actors.errors import (
    InvalidName,
    InvalidValue,
    MessageRefused,
    RunConflict,
    RunEnded,
    RunFailed,
    RunNotFound,
)
from jetrun.actors.limits import ERROR_TEXT_BYTES_MAX, HOOKS_SHOWN_MAX, RECORD_BYTES_MAX, VALUE_BYTES_MAX
from jetrun.actors.names import RunKey
from jetrun.client import Client
from jetrun.streams.jetstream import JetStream
from support import bad_flows
from support.fleet import Fleet
from support.story import kinds

pytestmark = pytest.mark.slow

BAD_RUNS = {
    "empty": ("", "is empty"),
    "dot": ("a.b", "contains '.'"),
    "star": ("*", "contains '*'"),
    "greater": ("a>b", "contains '>'"),
    "space": ("a b", "contains ' '"),
    "line end": ("a\r\nPUB x 1\r\n", r"contains '\r'"),
    "null": ("a\0", r"contains '\x00'"),
    "escape": ("a\x1b[2J", r"contains '\x1b'"),
    "unicode": ("a\u00e4", r"contains '\xe4'"),
    "surrogate": ("a\ud800", r"contains '\ud800'"),
    "right to left": ("a\u202eevil", r"contains '\u202e'"),
    "reserved": ("_x", "starts with '_'"),
    "long": ("a" * 129, "is too long: 129 > 128"),
    "endless": ("a" * 5_000_000, "is too long"),
}


@pytest.fixture
async def client(bad_fleet: Fleet) -> AsyncIterator[Client]:
    async with await Client.connect(bad_fleet.url, app=bad_fleet.app.name) as client:
        yield client


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def is_one_line(error: BaseException) -> bool:
    return "\n" not in str(error) and str(error).isprintable() and len(str(error)) < 500


# --- refused before anything is sent ------------------------------------------------------------------


@pytest.mark.parametrize("case", BAD_RUNS)
async def test_a_name_that_cannot_be_one_is_refused(client: Client, case: str) -> None:
    """A wildcard would reach other runs, a line end the server's protocol."""
    run, reason = BAD_RUNS[case]
    good = await client.start(bad_flows.typed.call("o-1"), run_id="names")
    for attempt in (
        lambda: client.start(bad_flows.typed.call("o-1"), run_id=run),
        lambda: client.start(call(run or ".", "o-1"), run_id="r-1"),
        lambda: client.get("typed", run).status(),
        lambda: client.get("typed", run).hook("approval", 1, before_start=True),
        lambda: client.cancel(f"typed/{run}"),
        lambda: good.hook(run, 1, before_start=True),
    ):
        with pytest.raises((InvalidName, RunEnded)) as refused:
            await attempt()
        if isinstance(refused.value, InvalidName):
            assert is_one_line(refused.value)
    with pytest.raises(InvalidName) as refused:
        await client.start(bad_flows.typed.call("o-1"), run_id=run)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        (object(), "object of type object cannot become JSON"),
        (float("nan"), "nan has no JSON"),
        (2**64, "integer of 65 bits"),
        ("\ud800", "surrogate"),
        ({1, object()}, "object of type object"),
        (nested(10_000), "nested"),
        ("x" * 10_000_000, "at most 8388608"),
    ],
    ids=["object", "nan", "integer", "surrogate", "set", "deep", "10 MB"],
)
async def test_an_argument_that_cannot_be_sent_is_refused_with_its_name(argument: Any, reason: str) -> None:
    """The caller would have to guess which of ten arguments is meant."""
    with pytest.raises(InvalidValue) as refused:
        bad_flows.typed.call(argument)

    assert str(refused.value).startswith("argument 'order_id' of workflow typed: ")
    assert reason in str(refused.value)
    assert is_one_line(refused.value)


@pytest.mark.parametrize(
    ("args", "kwargs", "line"),
    [
        ((), {}, "argument 'order_id' of workflow typed: missing"),
        (("o-1", 1, 2), {}, "arguments of workflow typed: takes at most 2 by position, got 3"),
        (("o-1",), {"cent": 1}, "argument 'cent' of workflow typed: no such parameter; it takes order_id, cents, note"),
    ],
)
async def test_a_call_that_does_not_fit_is_refused(args: tuple[Any, ...], kwargs: dict[str, Any], line: str) -> None:
    """As Python itself would refuse it."""
    with pytest.raises(InvalidValue) as refused:
        bad_flows.typed.call(*args, **kwargs)

    assert str(refused.value) == line


@pytest.mark.parametrize("payload", [object(), nested(10_000), "x" * 10_000_000], ids=["object", "deep", "10 MB"])
async def test_a_payload_that_cannot_be_sent_is_refused(client: Client, payload: Any) -> None:
    """A hook is sent whole or not at all."""
    run = await client.start(bad_flows.approved.call(), run_id="payloads")

    with pytest.raises(InvalidValue, match="payload of hook 'approval'") as refused:
        await run.hook("approval", payload)

    assert is_one_line(refused.value)
    assert (await run.status()).status == "running"


# --- refused by the actor ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "args", "code", "reason"),
    [
        ("typd", ("o-1",), "workflow", "workflow 'typd' is not registered; this app has: approved"),
        ("typed", (1,), "args", "argument 'order_id' of workflow typed: expected str, got int"),
        ("typed", ("o-1", "x" * 2_000_000), "args", "argument 'cents' of workflow typed: expected int, got str"),
        ("typed", (), "args", "argument 'order_id' of workflow typed: missing"),
        ("typed", ("o-1", 1, 2), "args", "takes at most 2 by position, got 3"),
    ],
    ids=["workflow", "type", "large", "missing", "extra"],
)
@pytest.mark.parametrize("conflict", ["existing", "fail"])
async def test_a_start_by_name_that_does_not_fit_is_told(
    client: Client, name: str, args: tuple[Any, ...], code: str, reason: str, conflict: Any
) -> None:
    """Who waits for its result would wait for ever."""
    run_id = f"by-name-{conflict}-{code}-{len(args)}-{len(str(args))}"

    async def ask() -> Any:
        return await (await client.start(call(name, *args), run_id=run_id, conflict=conflict)).result(timeout=10)

    with pytest.raises(MessageRefused) as refused:
        await ask()

    assert refused.value.code == code
    assert reason in str(refused.value)
    assert is_one_line(refused.value)


async def test_a_start_under_a_taken_id_is_a_conflict(client: Client) -> None:
    """Its caller would take another order's result for its own."""
    await (await client.start(bad_flows.typed.call("o-1"), run_id="taken-1")).result(timeout=10)

    with pytest.raises(RunConflict, match="run typed/taken-1 was started before, with other arguments; use") as refused:
        await client.start(bad_flows.typed.call("o-2"), run_id="taken-1")

    assert is_one_line(refused.value)


async def test_a_hook_for_an_unknown_run_and_for_an_ended_one(client: Client) -> None:
    """Two mistakes with two ways out."""
    run = await client.start(bad_flows.typed.call("o-1"), run_id="ended-1")
    await run.result(timeout=10)

    with pytest.raises(RunEnded, match=r"run typed/ended-1 is completed since .* UTC; it takes no more messages"):
        await run.hook("approval", 1)
    with pytest.raises(
        RunNotFound, match=r"no run typed/ended-2 in app .*, its log is empty; start it, or check"
    ) as unknown:
        await client.get("typed/ended-2").hook("approval", 1)

    assert is_one_line(unknown.value)


# --- what workflows and steps do -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "type_", "message"),
    [
        (bad_flows.returns_object.call(), "InvalidValue", "result of workflow returns_object: object of type object"),
        (
            bad_flows.returns_wrong_type.call(),
            "InvalidValue",
            "result of workflow returns_wrong_type: expected int, got str",
        ),
        (bad_flows.passes_object.call(), "InvalidValue", "argument 'text' of step echo: object of type object"),
        (bad_flows.step_result.call("object"), "StepFailed", "result of step give_object: object of type object"),
        (bad_flows.step_result.call("type"), "StepFailed", "result of step give_wrong_type: expected int, got str"),
        (bad_flows.step_result.call("exit"), "StepFailed", "SystemExit: leave"),
        (bad_flows.step_result.call("thread"), "StepFailed", "SystemExit: 3"),
        (bad_flows.large.call(VALUE_BYTES_MAX + 1), "StepFailed", "at most 8388608"),
    ],
    ids=["object", "wrong type", "argument", "step object", "step type", "step exit", "thread exit", "step too large"],
)
async def test_what_cannot_be_a_result_fails_the_run_and_nothing_else(
    client: Client, start: Any, type_: str, message: str, request: pytest.FixtureRequest
) -> None:
    """A value without JSON must not stop the worker that holds it."""
    run = await client.start(start, run_id=f"result-{abs(hash(request.node.name))}")

    with pytest.raises(RunFailed) as failed:
        await run.result(timeout=20)

    assert type_ in failed.value.error.type or type_ in str(failed.value.error.bases)
    assert message in failed.value.error.message


async def test_a_step_that_raises_ten_megabytes_is_recorded_in_short(client: Client) -> None:
    """One careless `raise ValueError(response.text)` would make a log that nobody can read."""
    run = await client.start(bad_flows.long_error.call(10_000_000), run_id="long-error")

    with pytest.raises(RunFailed) as failed:
        await run.result(timeout=20)

    error = failed.value.error
    assert len(error.message.encode()) < 2 * ERROR_TEXT_BYTES_MAX
    assert "mmm" in error.message
    assert all(len(str(record)) < RECORD_BYTES_MAX for record in await run.log())


@pytest.mark.parametrize("size", [200_000, 2_000_000, VALUE_BYTES_MAX - 100])
async def test_large_values_travel_by_claim_check(client: Client, size: int) -> None:
    """Below 8 MiB nobody has to think of sizes: argument of a start, result of a step, result of the run."""
    text = "x" * size
    typed = await client.start(bad_flows.typed.call(text), run_id=f"large-{size}")
    stepped = await client.start(bad_flows.large.call(size), run_id=f"large-{size}")
    echoed = await client.start(bad_flows.echoed.call(text), run_id=f"large-{size}")

    assert await typed.result(timeout=20) == f"{text} 0 "
    assert await stepped.result(timeout=20) == text
    assert await echoed.result(timeout=20) == text


async def test_the_largest_arguments_that_may_be(client: Client) -> None:
    """The words around them in the object store must not make them too large for their step."""
    run = await client.start(bad_flows.echoes_largest.call(), run_id="largest")

    assert await run.result(timeout=20) == VALUE_BYTES_MAX - 4


async def test_five_hundred_steps_of_ten_kilobytes(bad_fleet: Fleet, client: Client) -> None:
    """10 MB through one run: no record above its bound, and the decision that asks for all of it spans several."""
    run = await client.start(bad_flows.fan_out.call(500, 10_000), run_id="wide")

    assert await run.result(timeout=30) == 5_000_000

    broker = await JetStream.connect(bad_fleet.url, name="test")
    stored = await broker.read(bad_fleet.app.log, bad_fleet.app.log_of(RunKey("fan_out", "wide")))
    await broker.close()
    assert max(len(message.payload) for message in stored) <= RECORD_BYTES_MAX
    records = await run.log()
    assert sum(record.more for record in records) >= 9
    assert [record.k for record in records] == list(range(1, len(records) + 1))
    assert kinds(await run.events()).count("step.completed") == 500


async def test_thousands_of_hooks_waited_for_at_once(client: Client) -> None:
    """Each record carries the run's summary: it must not carry them all."""
    run = await client.start(bad_flows.opens_hooks.call(5_000), run_id="hooks")
    async with asyncio.timeout(20):
        while not (await run.status()).hooks_open:
            await asyncio.sleep(0.05)

    status = await run.status()
    await asyncio.gather(*(run.hook(f"h{number}", number) for number in range(0, 5_000, 10)))
    await run.terminate(wait=True)

    assert len(status.hooks_open) <= HOOKS_SHOWN_MAX
    assert all(len(str(record.summary)) < RECORD_BYTES_MAX // 8 for record in await run.log())
