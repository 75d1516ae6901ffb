"""Defined hooks, streams of hooks, and steps that are run when a hook is opened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import msgspec
import pytest
from pydantic import BaseModel

from jetrun.actors import (
    DefinitionError,
    HookExpired,
    InvalidName,
    NotInWorkflow,
    StepFailed,
    Workflow,
    continue_as_new,
    define_hook,
    hook,
    hook_stream,
    sleep,
    step,
    workflow,
)
from jetrun.actors.commands import Close, OpenHook, RunStep, StartTimer
from jetrun.actors.hook_schema import ANYTHING, schema_of
from jetrun.actors.limits import HOOK_SCHEMA_BYTES_MAX
from support.log_rig import SECOND, START_US, LogRig, hook_body, start_body


class Approval(msgspec.Struct):
    ok: bool
    by: str = ""


class Order(BaseModel):
    cents: int


class Bundle(BaseModel):
    orders: list[Order]


approval = define_hook("approval", Approval)
ticks = define_hook("tick", int)


@step(max_retries=0)
async def announce(token: str) -> None: ...


@workflow
async def approved() -> bool:
    return (await approval(timeout="1h")).ok


@workflow
async def announced() -> str:
    try:
        decision = await approval(timeout="10s", on_created=announce)
    except HookExpired:
        return "expired"
    except StepFailed:
        return f"not announced, then {(await approval()).by}"
    return decision.by


@workflow
async def announced_in_vain() -> None:
    with_cancel = asyncio.create_task(approval(on_created=announce))
    try:
        async with asyncio.timeout(5):
            await with_cancel
    except TimeoutError:
        await sleep(5)


@workflow
async def announced_beside_another() -> list[Any]:
    async def first() -> Any:
        try:
            return await hook("go", on_created=announce)
        except StepFailed:
            return "failed"

    return list(await asyncio.gather(first(), hook("go", int)))


@workflow
async def renewed(number: int) -> Any:
    if number:
        return [await hook("approval"), await approval(on_created=announce)]
    held = asyncio.create_task(approval(on_created=announce))
    await hook("go")
    held.cancel()
    continue_as_new(1)


@workflow
async def adding(limit: int) -> list[int]:
    found: list[int] = []
    async for tick in hook_stream("tick", int):
        found.append(tick)
        if tick == limit:
            break
        await sleep(10)
    return [*found, await ticks()]


@workflow
async def impatient() -> list[int]:
    found: list[int] = []
    try:
        async for tick in ticks.stream(timeout="5s"):
            found.append(tick)  # noqa: PERF401  # the loop may raise
    except HookExpired:
        found.append(-1)
    return found


@workflow
async def two_streams() -> list[list[int]]:
    async def take(count: int) -> list[int]:
        found: list[int] = []
        async for tick in ticks.stream():
            found.append(tick)
            if len(found) == count:
                break
        return found

    return list(await asyncio.gather(take(2), take(2)))


@workflow
async def changing() -> None:
    await hook("go", Approval)
    await hook("go", Approval)
    await hook("go")
    await hook("go", int)
    await hook("other", Approval)


def opened(rig: LogRig) -> list[OpenHook]:
    return [command for record in rig.records for command in record.commands if isinstance(command, OpenHook)]


def refused(rig: LogRig) -> list[tuple[int, str]]:
    return [(one.seq, one.code) for record in rig.records for one in record.refused]


def kinds(rig: LogRig) -> list[type]:
    return [type(command) for record in rig.records for command in record.commands]


# --- defined hooks ---------------------------------------------------------------------------------
def test_defined_hook_waits_for_its_type_and_says_so() -> None:
    """Senders learn from the log what the payload has to look like, and until when it is waited for."""
    rig = LogRig(approved)
    rig.start(at_s=0)

    (command,) = opened(rig)
    assert (command.name, command.type, command.due_at_us) == ("approval", "Approval", START_US + 3600 * SECOND)
    assert command.schema is not None
    assert msgspec.json.decode(command.schema)["$defs"]["Approval"]["required"] == ["ok"]
    rig.hook("approval", {"ok": "yes"})
    assert refused(rig) == [(2, "payload")]
    rig.hook("approval", {"ok": True})
    assert rig.result is True


def test_schema_is_published_when_it_changes_and_not_in_summaries() -> None:
    """A hook in a loop does not fill the log, and summaries, which are in each record, stay small."""
    rig = LogRig(changing)
    rig.start()
    for payload in ({"ok": True}, {"ok": True}, "any", 1, {"ok": True}):
        assert b"schema" not in msgspec.json.encode(rig.summary)
        rig.hook("other" if rig.summary.hooks_open[0].name == "other" else "go", payload)

    schemas = [bytes(one.schema) if one.schema is not None else None for one in opened(rig)]
    assert schemas == [schema_of(Approval), None, ANYTHING, schema_of(int), schema_of(Approval)]


def test_log_without_schemas_replays() -> None:
    """Logs of before, and logs whose schema was another, lead to the same run: a schema is no decision."""
    for schema in (None, msgspec.Raw(b'{"type":"string"}')):
        rig = LogRig(approved, check=False)
        decision = rig.fold(rig.message(start_body()))
        rig.store(decision)
        record = rig.last
        (command, timer) = record.commands
        assert isinstance(command, OpenHook)
        old = msgspec.structs.replace(command, schema=schema, due_at_us=0)
        raw = msgspec.json.encode(msgspec.structs.replace(record, commands=[old, timer]))
        rig.log[0] = (raw, rig.log[0][1])
        rig.load()

        rig.hook("approval", {"ok": True})

        assert rig.result is True


@pytest.mark.parametrize(
    ("type_", "found"),
    [
        (Any, {}),
        (int, {"type": "integer"}),
        (list[Order], {"type": "array"}),
        (Order, {"type": "object", "required": ["cents"]}),
        (Order | None, {"anyOf": None}),
        (Annotated[int, []], {"type": "integer"}),
        (set[int], {"type": "array"}),
    ],
)
def test_schemas_of_types(type_: object, found: dict[str, object]) -> None:
    """What msgspec and pydantic can describe; of anything else nothing is published, and everything may be sent."""
    schema = msgspec.json.decode(schema_of(type_))

    assert {key for key, value in found.items() if value is not None and schema.get(key) != value} == set()
    assert set(found) <= set(schema)


class Basket(msgspec.Struct):
    orders: list[Order]
    bundles: list[Bundle]
    notes: Iterable[str] = ()


def test_what_cannot_be_described_within_a_type_fits_anything() -> None:
    """The rest of the type is described all the same; a model with definitions of its own is one such part."""
    fields = msgspec.json.decode(schema_of(Basket))["$defs"]["Basket"]["properties"]

    assert fields["orders"]["items"]["required"] == ["cents"]
    assert fields["bundles"]["items"] == {"title": "Bundle"}
    assert "type" not in fields["notes"]


def test_model_without_schema_has_none() -> None:
    """A type that can be read must not fail a run because it cannot be described."""

    class Odd(BaseModel):
        model_config = {"arbitrary_types_allowed": True}
        call: Callable[[int], int] | None = None

    assert schema_of(Odd) == ANYTHING


def test_schema_that_is_too_large_is_not_published() -> None:
    """A record must not be filled by a description."""
    large = msgspec.defstruct("Large", [(f"field_{n}_{'x' * 50}", int) for n in range(HOOK_SCHEMA_BYTES_MAX // 50)])

    assert schema_of(large) == ANYTHING


def test_definitions_that_cannot_work() -> None:
    with pytest.raises(DefinitionError, match="type of hook 'go'"):
        define_hook("go", object.__init__.__class__)
    with pytest.raises(InvalidName):
        define_hook("a.b", int)
    with pytest.raises(InvalidName):
        define_hook(7)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


def test_outside_of_workflows_hooks_say_where_they_work() -> None:
    """A clear error instead of a wait without end."""

    async def outside() -> None:
        with pytest.raises(NotInWorkflow, match="hook 'approval' works inside a workflow"):
            await approval()
        with pytest.raises(NotInWorkflow, match=r"hook\(\) works inside a workflow"):
            await hook("go")
        with pytest.raises(NotInWorkflow, match=r"hook_stream\(\) works inside a workflow"):
            hook_stream("go")
        with pytest.raises(NotInWorkflow, match="hook 'tick' works inside a workflow"):
            ticks.stream()

    asyncio.run(outside())


# --- on_created ------------------------------------------------------------------------------------
def test_step_gets_the_token_right_after_the_hook_is_open() -> None:
    """It is an ordinary step, decided once, in the record that opens the hook."""
    rig = LogRig(announced)
    rig.start()

    opening, timer, asked = rig.last.commands
    assert (type(opening), type(timer)) == (OpenHook, StartTimer)
    assert isinstance(asked, RunStep)
    assert bytes(asked.args) == b'["announced/r-1/approval"]'
    rig.step(3)
    rig.hook("approval", {"ok": True, "by": "ann"})
    assert rig.result == "ann"
    assert rig.asked() == ["announce"]


def test_payload_that_comes_while_the_step_runs_is_held() -> None:
    """Who is fast does not have to answer twice, and the step is not cut off."""
    rig = LogRig(announced)
    rig.start()
    rig.hook("approval", {"ok": True, "by": "ann"})
    assert rig.status == "running"

    rig.step(3)

    assert rig.result == "ann"


def test_payload_that_came_before_is_announced_all_the_same() -> None:
    rig = LogRig(announced)
    rig.feed(
        rig.message(start_body()),
        rig.message(hook_body({"ok": True, "by": "early"}), "approval"),
    )
    assert rig.status == "running"

    rig.step(3)

    assert rig.result == "early"


def test_failure_of_the_step_fails_the_code_that_waits_and_keeps_the_payload() -> None:
    """The answer is for whoever waits next, not lost with the failure."""
    rig = LogRig(announced)
    rig.start()
    rig.hook("approval", {"ok": True, "by": "ann"})

    rig.fail(3)

    assert rig.result == "not announced, then ann"


def test_failure_without_payload_closes_the_hook() -> None:
    rig = LogRig(announced)
    rig.start()

    rig.fail(3)

    assert [(wait.n, wait.name) for wait in rig.summary.hooks_open] == [(6, "approval")]
    assert kinds(rig)[3:5] == [Close, Close]
    rig.hook("approval", {"ok": True, "by": "bob"})
    assert rig.result == "not announced, then bob"


def test_timeout_ends_hook_and_step() -> None:
    """A step that is retried for ever does not hold up the timeout branch."""
    rig = LogRig(announced)
    rig.start(at_s=0)

    rig.tick(10)

    assert rig.result == "expired"
    assert [command.n for command in rig.owed.closed_steps] == [3]


def test_payload_is_given_back_when_its_waiter_leaves() -> None:
    """What nobody has come to use is refused at the end, with the reason, and never vanishes (I7)."""
    rig = LogRig(announced_in_vain)
    rig.start(at_s=0)
    rig.hook("approval", {"ok": True}, at_s=1)
    rig.tick(5)
    assert rig.status == "running"

    rig.tick(10)

    assert refused(rig) == [(2, "ended")]


def test_payload_that_is_held_when_the_run_ends_is_refused() -> None:
    rig = LogRig(announced)
    rig.start()
    rig.hook("approval", {"ok": True, "by": "ann"})

    rig.terminate()

    assert refused(rig) == [(2, "ended")]


def test_payload_that_is_given_back_goes_to_who_waits_already() -> None:
    rig = LogRig(announced_beside_another)
    rig.start()
    rig.hook("go", 1)

    rig.fail(next(n for n, command in commands_of(rig) if isinstance(command, RunStep)))

    assert rig.result == ["failed", 1]


def test_payload_that_is_held_goes_along_to_the_next_link() -> None:
    """A run that continues as new loses nothing, and publishes its schemas anew."""
    rig = LogRig(renewed)
    rig.start(0)
    rig.hook("approval", {"ok": True, "by": "ann"})
    rig.hook("go")
    rig.hook("approval", {"ok": True, "by": "bob"})
    rig.step(next(n for n, command in reversed(commands_of(rig)) if isinstance(command, RunStep)))

    assert rig.result == [{"ok": True, "by": "ann"}, {"ok": True, "by": "bob"}]
    assert [one.schema is not None for one in opened(rig) if one.name == "approval"] == [True, False, True]


def commands_of(rig: LogRig) -> list[tuple[int, object]]:
    return [(command.n, command) for record in rig.records for command in record.commands]


def test_only_a_step_can_be_run_on_creation() -> None:
    @workflow
    async def wrong() -> str:
        try:
            await hook("go", on_created=print)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
        except DefinitionError as error:
            return str(error)
        return ""

    rig = LogRig(wrong)
    rig.start()

    assert "on_created of hook 'go' takes a step" in rig.result


# --- streams ---------------------------------------------------------------------------------------
def test_stream_gives_each_payload_once_in_order() -> None:
    """Also those that come while the body is busy; what is left goes to the next wait of that name."""
    rig = LogRig(adding)
    rig.start(3, at_s=0)
    rig.hook("tick", 1, at_s=1)
    assert rig.summary.hooks_open == []
    for number, at_s in ((2, 2), (3, 3), (4, 4)):
        rig.hook("tick", number, at_s=at_s)

    rig.tick(11)
    rig.tick(21)

    assert rig.result == [1, 2, 3, 4]


def test_payloads_before_the_stream_are_its_first() -> None:
    rig = LogRig(two_streams)
    rig.feed(rig.message(start_body()), *(rig.message(hook_body(n), "tick") for n in (1, 2, 3, 4)))

    assert sorted(n for part in rig.result for n in part) == [1, 2, 3, 4]


def test_payload_that_does_not_fit_is_refused_and_the_stream_goes_on() -> None:
    rig = LogRig(impatient)
    rig.start(at_s=0)
    rig.hook("tick", "one", at_s=1)
    rig.hook("tick", 2, at_s=2)
    rig.hook("tick", 3, at_s=6)

    rig.tick(11)

    assert rig.result == [2, 3, -1]
    assert refused(rig) == [(2, "payload")]


@pytest.mark.parametrize("evict", [False, True])
def test_two_streams_of_one_name_share_the_payloads(evict: bool) -> None:
    """In the order of asking, whoever hosts the run."""
    rig = LogRig(two_streams, evict=evict)
    rig.start()
    for number in range(1, 5):
        rig.hook("tick", number)

    assert rig.result == [[1, 3], [2, 4]]


@pytest.mark.parametrize("flow", [announced, announced_in_vain, announced_beside_another])
def test_replay_after_each_record_leads_to_the_same_state(flow: Workflow[[], Any]) -> None:
    """The payload that is held is held by every successor."""
    rig = LogRig(flow, evict=True)
    rig.start(at_s=0)
    rig.hook("approval", {"ok": True, "by": "ann"}, at_s=1)
    rig.hook("go", 1, at_s=1)
    n = next(n for n, command in commands_of(rig) if isinstance(command, RunStep))
    rig.step(n, at_s=2)
    rig.hook("go", 2, at_s=3)
    rig.tick(20)

    assert rig.last.outcome is not None
    assert rig.last.outcome.status == "completed"
