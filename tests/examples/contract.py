"""A contract that somebody signs elsewhere: the step ends, and whoever has its token completes it, days later perhaps.

Try it:
    wfctl dev -m tests.examples.contract
    wfctl start contract '"c-1"' '"/tmp/letters"' --run-id c-1
    python -m tests.examples.contract /tmp/letters/c-1 ada
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from jetrun.actors import attempt, complete_later, step, workflow
from jetrun.client import Client


@dataclass
class Signature:
    by: str


@step(inline=True)
async def draft(number: str) -> str:
    """Short work: the actor worker does it itself, nothing is queued."""
    return f"contract {number}"


@step(schedule_to_close="30d", on_failure=Signature(by="nobody"))
async def sign(text: str, letters: str, number: str) -> Signature:
    """Sends a letter with the token, and ends. No process waits, no queue holds it."""
    folder = Path(letters)
    folder.mkdir(exist_ok=True)
    await asyncio.to_thread((folder / number).write_text, attempt().completion_token)  # stands for a mail
    complete_later()


@workflow
async def contract(number: str, letters: str, patience: str = "30d") -> str:
    """Drafts a contract and waits for its signature."""
    text = await draft(number)
    signature = await sign.options(schedule_to_close=patience)(text, letters, number)
    return f"{text}, signed by {signature.by}"


async def answer(letter: Path, by: str) -> None:
    """What the one who gets the letter does."""
    async with await Client.connect() as client:
        await client.complete_step(letter.read_text(), Signature(by))


if __name__ == "__main__":
    asyncio.run(answer(Path(sys.argv[1]), sys.argv[2]))
