"""Asking: what clients are told, when all is quiet, of runs that have ended and of the updates that were sent to them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar, cast

import msgspec

from jetrun.actors.errors import (
    JetrunError,
    RunCancelled,
    RunEnded,
    RunFailed,
    RunTerminated,
    UpdateFailed,
    UpdateRefused,
)
from jetrun.actors.names import RunKey
from jetrun.client import Client
from jetrun.streams.subjects import App

from .flows import enter
from .plans import Plan

ASKS_AT_ONCE: Final = 32
ASK_S: Final = 10.0

K = TypeVar("K")
V = TypeVar("V")


async def ask_results(url: str, app: App, keys: Iterable[RunKey]) -> dict[RunKey, str]:
    """Asks for every ended run as any client would."""
    async with await Client.connect(url, app=app.name) as client:
        return await _all_of(keys, lambda key: _status(client, key))


async def ask_updates(url: str, app: App, plans: Iterable[Plan], acked: set[str]) -> dict[str, str]:
    """Sends every update once more under its id, twice: nothing is applied again, and the answers are those given."""
    letters = {
        letter.id: (plan.key, cast("list[int]", letter.body["args"])[0])
        for plan in plans
        for letter in plan.letters
        if letter.verb == "update" and letter.id in acked
    }
    async with await Client.connect(url, app=app.name) as client:

        async def ask(update_id: str) -> str:
            key, number = letters[update_id]
            told = {await _answer(client, key, number, update_id) for _ in range(2)}
            return " and then ".join(sorted(told))

        return await _all_of(letters, ask)


async def _all_of(keys: Iterable[K], ask: Callable[[K], Awaitable[V]]) -> dict[K, V]:
    gate = asyncio.Semaphore(ASKS_AT_ONCE)
    told: dict[K, V] = {}

    async def one(key: K) -> None:
        async with gate:
            told[key] = await ask(key)

    async with asyncio.TaskGroup() as tasks:
        for key in keys:
            tasks.create_task(one(key))
    return told


async def _status(client: Client, key: RunKey) -> str:
    try:
        await client.get(key.workflow, key.run).result(timeout=ASK_S)
    except RunCancelled:
        return "cancelled"
    except RunTerminated:
        return "terminated"
    except RunFailed:
        return "failed"
    except (JetrunError, TimeoutError) as error:
        return repr(error)
    return "completed"


async def _answer(client: Client, key: RunKey, number: int, update_id: str) -> str:
    try:
        value = await client.get(key.workflow, key.run).update(enter.call(number), id=update_id, timeout=ASK_S)
    except RunEnded:
        return "ended"
    except (UpdateRefused, UpdateFailed) as error:
        return error.error.code
    except (JetrunError, TimeoutError) as error:
        return repr(error)
    return msgspec.json.encode(value).decode()
