"""Workflows and steps that go wrong in every way, run by real worker processes in the tests of bad input."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from dataclasses import dataclass

import msgspec

from jetrun.actors import hook, step, workflow
from jetrun.actors.limits import VALUE_BYTES_MAX


class Approval(msgspec.Struct):
    ok: bool


@dataclass
class Trap:
    """A type whose own code runs while its JSON is read."""

    how: str

    def __post_init__(self) -> None:
        match self.how:
            case "exit":
                sys.exit("leave")
            case "spin":
                while True:
                    pass
            case "raise":
                raise OSError("no such thing")
            case _:
                return


@step
async def echo(text: str) -> str:
    return text


@step(max_retries=0)
async def give_object() -> object:
    return object()


@step(max_retries=0)
async def give_wrong_type() -> int:
    return "four"  # type: ignore[return-value]  # wrong on purpose


@step(max_retries=0)
async def give_bytes(count: int) -> str:
    return "x" * count


@step(max_retries=0)
async def raise_long(count: int) -> None:
    raise ValueError("\x1b[2J" + "m" * count)


@step(max_retries=0)
async def exit_step() -> None:
    sys.exit("leave")


@step(max_retries=0)
def exit_thread_step() -> None:
    sys.exit(3)


@workflow
async def typed(order_id: str, cents: int = 0, *, note: str = "") -> str:
    return f"{order_id} {cents} {note}"


@workflow
async def echoed(text: str) -> str:
    return await echo(text)


@workflow
async def trapped(first: Trap) -> str:
    return first.how + (await hook("second", Trap)).how


@workflow
async def approved() -> bool:
    return (await hook("approval", Approval)).ok


@workflow
async def returns_object() -> object:
    return object()


@workflow
async def returns_wrong_type() -> int:
    return "four"  # type: ignore[return-value]  # wrong on purpose


@workflow
async def passes_object() -> object:
    return await echo(object())  # type: ignore[arg-type]  # wrong on purpose


@workflow
async def step_result(name: str) -> object:
    steps = {"object": give_object, "type": give_wrong_type, "exit": exit_step, "thread": exit_thread_step}
    return await steps[name]()  # type: ignore[operator]


@workflow
async def large(count: int) -> str:
    return await give_bytes(count)


@workflow
async def echoes_largest() -> int:
    """Passes arguments of exactly the size that any value may have."""
    return len(await echo("x" * (VALUE_BYTES_MAX - len('[""]'))))


@workflow
async def long_error(count: int) -> None:
    await raise_long(count)


@workflow
async def fan_out(count: int, size: int) -> int:
    texts = [f"{number:04}" + "x" * (size - 4) for number in range(count)]
    results = await asyncio.gather(*(echo(text) for text in texts))
    assert list(results) == texts
    return sum(map(len, results))


@workflow
async def opens_hooks(count: int) -> int:
    return len(await asyncio.gather(*(hook(f"h{number}") for number in range(count))))


@workflow
async def misbehaves_later(how: str) -> object:
    await hook("go")
    if how == "os._exit":
        os._exit(9)
    return how


@workflow
async def misbehaves(how: str) -> object:
    match how:
        case "sys.exit":
            sys.exit("leave")
        case "os._exit":
            os._exit(9)
        case "recursion":
            return _descend(0)
        case "memory":
            return ["x"] * 2**62
        case "spin":
            while True:
                pass
        case "regex":
            return re.fullmatch(r"(a+)+b", "a" * 40)
        case "power":
            return 10**10**8
        case "never_rests":
            while True:
                await asyncio.sleep(0)
        case "swallows":
            while True:
                try:
                    while True:
                        pass
                except BaseException:
                    continue
        case _:
            raise ValueError(how)


def _descend(depth: int) -> int:
    return _descend(depth + 1) + 1
