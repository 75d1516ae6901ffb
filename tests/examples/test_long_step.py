"""The long step in a thread."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from examples.long_step import film
from jetrun.client import Client, RunCancelled


async def test_film_is_encoded(client: Client, tmp_path: Path) -> None:
    target = tmp_path / "film.mkv"
    run = await client.start(film.call(str(target), 20), run_id="film-1")

    assert await run.result() == "20480 bytes"
    assert target.stat().st_size == 20480


async def test_thread_sees_that_nobody_waits(client: Client, tmp_path: Path) -> None:
    """The workflow's timeout closes the step; the flag reaches the thread, which cleans up and ends early."""
    target = tmp_path / "film.mkv"
    run = await client.start(film.call(str(target), 100_000, patience_s=0.5), run_id="film-2")

    assert await run.result() == "given up"
    with anyio.fail_after(5):
        while target.exists():
            await anyio.sleep(0.01)


async def test_thread_sees_that_the_run_was_cancelled(client: Client, tmp_path: Path) -> None:
    """It has begun to write, is told, and leaves nothing behind."""
    target = tmp_path / "film.mkv"
    run = await client.start(film.call(str(target), 100_000), run_id="film-3")
    with anyio.fail_after(10):
        while not target.exists():
            await anyio.sleep(0.01)
        await run.cancel(reason="bad cut", wait=True)
        while target.exists():
            await anyio.sleep(0.01)

    with pytest.raises(RunCancelled, match="bad cut"):
        await run.result()
