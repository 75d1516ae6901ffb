"""Hooks: kept until somebody waits, given once, refused with a reason, never dropped (P1, I7)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from jetrun.actors import HookExpired, hook, sleep, workflow
from jetrun.actors.errors import DefinitionError
from jetrun.actors.inbox import Inbox
from jetrun.actors.limits import HOOKS_KEPT_BYTES_MAX, HOOKS_KEPT_MAX, HOOKS_SHOWN_MAX
from jetrun.actors.messages import Hook, Ref, decode_body
from support.log_rig import SECOND, START_US, LogRig, hook_body


@dataclass
class Approval:
    ok: bool


@workflow
async def waiting() -> Any:
    return await hook("go", Approval, timeout="10s")


@workflow
async def late() -> list[Any]:
    await sleep(10)
    return [await hook("go", int), await hook("go", int), await hook("other")]


@workflow
async def two_waiters() -> list[Any]:
    return list(await asyncio.gather(hook("go", int), hook("go", str), hook("go")))


@workflow
async def sleeper() -> None:
    await sleep(10)


@workflow
async def patient() -> str:
    try:
        await hook("go", timeout=5)
    except HookExpired as error:
        return str(error)
    return "came"


def refused(rig: LogRig) -> list[tuple[int, str]]:
    return [(one.seq, one.code) for record in rig.records for one in record.refused]


def test_payload_is_given_to_who_waits_as_its_type() -> None:
    rig = LogRig(waiting)
    rig.start()

    rig.hook("go", {"ok": True})

    assert rig.result == {"ok": True}


def test_open_hooks_are_in_the_summary() -> None:
    rig = LogRig(waiting)
    rig.start()

    assert [(wait.n, wait.name, wait.type) for wait in rig.summary.hooks_open] == [(1, "go", "Approval")]


def test_payload_that_does_not_fit_is_refused_and_the_run_waits_on() -> None:
    rig = LogRig(waiting)
    rig.start()

    rig.hook("go", {"ok": "yes"})

    (one,) = rig.last.refused
    assert (one.seq, one.code) == (2, "payload")
    assert one.reason == "payload of hook 'go': $.ok: expected bool, got str"
    assert [verdict.message.seq for verdict in rig.owed.refused] == [2]
    rig.hook("go", {"ok": False})
    assert rig.result == {"ok": False}


def test_hooks_before_anybody_waits_are_kept_in_order() -> None:
    rig = LogRig(late)
    rig.start(at_s=0)
    for number in (1, 2):
        rig.hook("go", number)
    rig.hook("other", "x")

    rig.tick(10)

    assert rig.result == [1, 2, "x"]


def test_kept_payload_that_does_not_fit_is_refused_when_somebody_waits() -> None:
    """It was accepted before its type was known; its sender must learn that it was not applied."""
    rig = LogRig(late)
    rig.start(at_s=0)
    rig.hook("go", "not a number", at_s=1)
    rig.hook("go", 1, at_s=2)

    rig.tick(10)

    assert refused(rig) == [(2, "payload")]
    assert [verdict.message.seq for verdict in rig.owed.refused] == [2]
    rig.hook("go", 2)
    rig.hook("other")
    assert rig.result == [1, 2, None]


def test_hooks_that_nobody_waited_for_are_refused_at_the_end() -> None:
    rig = LogRig(sleeper)
    rig.start(at_s=0)
    rig.hook("b", 1, at_s=1)
    rig.hook("a", 2, at_s=2)

    rig.tick(10)

    assert refused(rig) == [(2, "ended"), (3, "ended")]
    assert "did not wait for this hook" in rig.last.refused[0].reason


def test_hook_in_the_turn_in_which_time_ends_the_run_is_refused() -> None:
    """Its time makes a timer fire, and that ends the run before the hook is applied."""
    rig = LogRig(sleeper)
    rig.start(at_s=0)

    rig.hook("any", at_s=11)

    assert rig.status == "completed"
    assert refused(rig) == [(2, "ended")]


def test_waiters_are_served_in_the_order_of_asking_by_what_fits() -> None:
    rig = LogRig(two_waiters)
    rig.start()

    rig.hook("go", "text")
    rig.hook("go", 5)
    rig.hook("go", 6)

    assert rig.result == [5, "text", 6]


def test_timeout_ends_the_wait() -> None:
    rig = LogRig(patient)
    rig.start(at_s=0)

    rig.tick(5.01, n=2)

    assert rig.result == "hook 'go': no payload in time"
    assert [command.n for command in rig.owed.closed_steps] == []


def test_payload_accepted_at_the_deadline_is_too_late() -> None:
    """Before a message of time t the timers due at t fire (R14)."""
    rig = LogRig(patient)
    rig.start(at_s=0)

    rig.hook("go", at_s=5)

    assert rig.result == "hook 'go': no payload in time"
    assert refused(rig) == [(2, "ended")]


def test_taken_hook_closes_its_timeout() -> None:
    @workflow
    async def then_sleep() -> None:
        await hook("go", timeout="1h")
        await sleep(1)

    rig = LogRig(then_sleep)
    rig.start(at_s=0)
    assert rig.owed.timers == [("2", START_US + 3_600 * SECOND)]

    rig.hook("go", at_s=1)

    assert rig.owed.closed_timers == [2]
    assert rig.owed.timers == [("4", START_US + 2 * SECOND)]


def test_id_that_comes_twice_is_applied_once() -> None:
    """A sender that has no answer repeats its message, for ever if need be (P1)."""
    rig = LogRig(late)
    rig.start(at_s=0)
    rig.hook("go", 1, message_id="a")

    (verdict,) = rig.hook("go", 1, message_id="a").verdicts

    assert (verdict.code, verdict.is_repeat) == ("", False)
    rig.load()
    assert rig.hook("go", 1, message_id="a").verdicts


def test_large_payload_is_read_from_the_store() -> None:
    @workflow
    async def size() -> int:
        return len(await hook("go", str))

    rig = LogRig(size)
    rig.start()
    data = b'"' + b"x" * 300_000 + b'"'
    ref = Ref(sha256=sha256(data).hexdigest(), size=len(data))
    rig.objects[ref.sha256] = data

    rig.feed(rig.message(Hook(ref=ref), "go"))

    assert rig.result == 300_000


def test_keys_written_in_escapes_are_keys() -> None:
    """JSON allows it: a run must not become one that cannot be read again, nor an id one that is forgotten."""

    @workflow
    async def sizes() -> list[int]:
        return [len(await hook("go", str)) for _ in range(3)]

    rig = LogRig(sizes)
    rig.start()
    data = b'"' + b"x" * 300_000 + b'"'
    digest = sha256(data).hexdigest()
    rig.objects[digest] = data
    raw = b'{"\\u0072ef":{"sha256":"%b","size":%d},"\\u0069d":"once"}' % (digest.encode(), len(data))
    for _ in range(2):
        message = rig.message(hook_body(), "go")
        rig.feed(msgspec.structs.replace(message, raw=raw, body=decode_body("hook", "go", raw)))

    assert rig.new_actor(rig.log).refs() == {digest}
    assert len(rig.log) == 2
    rig.load()
    assert not rig.actor.is_spent


def test_hook_of_a_type_that_no_json_fits_fails_where_it_is_asked_for() -> None:
    """Not with the first payload, when nobody knows why."""

    @workflow
    async def impossible() -> str:
        try:
            await hook("go", asyncio.Queue)
        except DefinitionError as error:
            return str(error)
        return ""

    rig = LogRig(impossible)
    rig.start()

    assert rig.result.startswith("type of hook 'go': asyncio.queues.Queue cannot be read from JSON")


def test_kept_hooks_are_bounded_in_number_and_size() -> None:
    rig = LogRig(sleeper)
    rig.start(at_s=0)
    inbox = rig.actor._execution.inbox if rig.actor._execution else Inbox()
    inbox._kept_count, inbox._kept_bytes = HOOKS_KEPT_MAX, 0

    inbox.give(rig.message(hook_body(1), "go"), b"1")
    inbox._kept_count, inbox._kept_bytes = 1, HOOKS_KEPT_BYTES_MAX
    inbox.give(rig.message(hook_body(1), "go"), b"1")

    assert [verdict.code for verdict in inbox.refused] == ["full", "full"]


def test_summary_names_the_first_hooks_and_counts_the_rest() -> None:
    """It is in every record: ten thousand names would fill it."""

    @workflow
    async def many(count: int) -> None:
        await asyncio.gather(*(hook(f"h{n}") for n in range(count)))

    rig = LogRig(many)
    rig.start(HOOKS_SHOWN_MAX + 5)

    assert len(rig.summary.hooks_open) == HOOKS_SHOWN_MAX
    assert rig.summary.hooks_more == 5
    rig.hook("h0")
    assert rig.summary.hooks_more == 4
    assert rig.summary.hooks_open[0].name == "h1"
