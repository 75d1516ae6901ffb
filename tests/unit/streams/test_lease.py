"""Leases are renewed once a period, from the first period on, by whoever runs them."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import cast

import anyio

from jetrun.streams.lease import LoopLease, ThreadLease, renew
from jetrun.streams.ports import Broker


class Wire:
    """The part of a broker that a lease uses."""

    def __init__(self) -> None:
        self.is_connected = True
        self.sent: list[str] = []
        self.threads: set[str] = set()
        self.is_closed = False

    def in_progress(self, reply: str) -> None:
        self.sent.append(reply)
        self.threads.add(threading.current_thread().name)

    async def close(self) -> None:
        self.is_closed = True

    @property
    def broker(self) -> Broker:
        return cast("Broker", self)


class Row:
    def __init__(self, reply: str) -> None:
        self.reply = reply
        self.renewed_at_s = 0.0
        self.lease_until_s = 0.0


def test_short_work_is_never_renewed_and_long_work_once_a_period() -> None:
    """A no-op step costs nothing; a long one never comes near its ack wait."""
    wire = Wire()
    held = {(1, 1): Row("long")}

    for second in range(1, 31):
        if second == 5:
            held[2, 1] = Row("short")
        if second == 12:
            del held[2, 1]
        renew(held, wire.broker, now_s=second, every_s=8)

    assert wire.sent == ["long"] * 3


def test_work_whose_step_is_silent_is_let_go() -> None:
    """A step that blocks the worker's loop cannot be given up there: another worker gets it."""
    wire = Wire()
    row = Row("silent")
    row.lease_until_s = 20.0

    for second in range(1, 41):
        renew({(1, 1): row}, wire.broker, now_s=second, every_s=8)

    assert wire.sent == ["silent"] * 2


def test_the_newest_handle_is_renewed() -> None:
    """After a redelivery the old handle may mean nothing to the server."""
    wire = Wire()
    row = Row("first")
    held = {(1, 1): row}

    renew(held, wire.broker, now_s=1, every_s=8)
    row.reply = "second"
    renew(held, wire.broker, now_s=9, every_s=8)

    assert wire.sent == ["second"]


def test_what_fell_due_without_a_server_is_renewed_as_soon_as_it_answers() -> None:
    """A reconnect does not wait for another period."""
    wire = Wire()
    held = {(1, 1): Row("one")}

    renew(held, wire.broker, now_s=1, every_s=8)
    wire.is_connected = False
    renew(held, wire.broker, now_s=10, every_s=8)
    wire.is_connected = True
    renew(held, wire.broker, now_s=11, every_s=8)

    assert wire.sent == ["one"]


async def test_a_loop_lease_ends_with_its_task() -> None:
    wire = Wire()
    held = {(1, 1): Row("one")}

    with anyio.move_on_after(0.1):
        await LoopLease(wire.broker, every_s=0.01).run(held)

    assert wire.sent


async def test_a_thread_lease_renews_while_the_loop_is_blocked() -> None:
    """An async step that blocks keeps its work (F52)."""
    wire = Wire()
    held = {(1, 1): Row("one")}
    during = 0

    async def connect() -> Broker:
        return wire.broker

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ThreadLease(connect, every_s=0.02).run, held)
        await anyio.sleep(0.05)
        before = len(wire.sent)
        time.sleep(0.5)  # blocks the loop on purpose
        during = len(wire.sent) - before
        tasks.cancel_scope.cancel()

    assert during >= 5
    assert wire.threads == {"jetrun-lease"}
    assert wire.is_closed


async def test_a_thread_lease_connects_again_after_a_failure() -> None:
    """A lease that ended silently would lose every long step."""
    wire = Wire()
    tries = 0

    async def connect() -> Broker:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OSError("not yet")
        return wire.broker

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ThreadLease(connect, every_s=0.01).run, {(1, 1): Row("one")})
        with anyio.fail_after(10):
            while not wire.sent:
                await asyncio.sleep(0.01)
        tasks.cancel_scope.cancel()

    assert tries == 2
