"""What an event loop offers and a workflow cannot have: a named error that says what to use instead (R13)."""

from __future__ import annotations

import asyncio
import inspect
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from jetrun.actors.errors import NotDeterministic
from jetrun.actors.loop import STANDARD_AS_COMPLETED, Loop
from jetrun.actors.refusals import REFUSED
from jetrun.actors.stand_ins import adopt_globals
from support.loop_bench import LoopBench


async def threads() -> None:
    await asyncio.to_thread(print)


async def executor() -> None:
    await asyncio.get_running_loop().run_in_executor(None, print)


async def sockets() -> None:
    await asyncio.open_connection("127.0.0.1", 1)


async def server() -> None:
    await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)


async def names() -> None:
    await asyncio.get_running_loop().getaddrinfo("localhost", 80)


async def child() -> None:
    await asyncio.create_subprocess_exec("true")


async def shell() -> None:
    await asyncio.create_subprocess_shell("true", stdout=subprocess.PIPE)


async def other_thread() -> None:
    asyncio.get_running_loop().call_soon_threadsafe(print)


async def signals() -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, print)


async def file_descriptors() -> None:
    asyncio.get_running_loop().add_reader(0, print)


async def stopping() -> None:
    asyncio.get_running_loop().stop()


async def no_end() -> None:
    await asyncio.sleep(float("inf"))


@pytest.mark.parametrize(
    ("code", "name", "instead"),
    [
        (threads, "run_in_executor", "step"),
        (executor, "run_in_executor", "step"),
        (sockets, "getaddrinfo|create_connection", "step"),
        (server, "create_server", "step"),
        (names, "getaddrinfo", "step"),
        (child, "subprocess_exec", "step"),
        (shell, "subprocess_shell", "step"),
        (other_thread, "call_soon_threadsafe", "hook"),
        (signals, "add_signal_handler", "hook"),
        (file_descriptors, "add_reader", "hook"),
        (stopping, "stop", "await"),
        (no_end, "timer", "leave the timeout away"),
    ],
)
def test_what_has_no_meaning_says_what_to_use_instead(
    code: Callable[[], Awaitable[None]], name: str, instead: str
) -> None:
    bench = LoopBench()

    async def main() -> None:
        await code()

    with pytest.raises(NotDeterministic, match=f"(?:{name}).*{instead}"):
        bench.run(main())


def test_every_method_of_a_loop_is_ours_or_refused() -> None:
    """A method that asyncio adds later would raise a bare NotImplementedError."""
    inherited = [
        name
        for name, method in inspect.getmembers(asyncio.AbstractEventLoop, inspect.isfunction)
        if not name.startswith("__") and getattr(Loop, name) is method
    ]

    assert inherited == []


def test_refused_methods_exist() -> None:
    """A misspelt name in the table would refuse nothing."""
    assert [name for name in REFUSED if not hasattr(asyncio.AbstractEventLoop, name)] == []


def test_as_completed_taken_before_jetrun_was_imported_is_refused() -> None:
    """It would number its tasks by memory address."""
    bench = LoopBench()

    async def main() -> None:
        for one in STANDARD_AS_COMPLETED([asyncio.sleep(0)]):
            await one

    with pytest.raises(NotDeterministic, match=r"asyncio\.as_completed"):
        bench.run(main())


def test_module_of_workflows_gets_our_as_completed_under_whatever_name() -> None:
    namespace: dict[str, Any] = {"done_first": STANDARD_AS_COMPLETED, "other": sys}

    adopt_globals(namespace)

    assert namespace == {"done_first": asyncio.as_completed, "other": sys}
    assert asyncio.as_completed is not STANDARD_AS_COMPLETED
