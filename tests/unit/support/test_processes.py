"""The tests' own tools: what they promise, other tests rely on."""

from __future__ import annotations

import os
import signal

import nats
import pytest

from jetrun.streams.subjects import App
from support.nats import delete_streams
from support.processes import Processes

SPEAKER = "import sys, time; print('one'); print('two', file=sys.stderr); time.sleep(60)"


async def test_lines_of_both_streams_are_seen(processes: Processes) -> None:
    """A line counts whether it was printed before or after the wait began."""
    child = processes.start_python("-c", SPEAKER)

    await child.wait_line("^one$")
    assert (await child.wait_line("^t(w)o$"))[1] == "w"

    assert sorted(child.lines) == ["one", "two"]


async def test_a_missing_line_shows_the_output(processes: Processes) -> None:
    """A failed wait is readable: what was waited for, and all that was said instead."""
    child = processes.start_python("-c", "print('bye')", name="short")

    with pytest.raises(AssertionError, match=r"waiting for 'hello': short is silent; its output:\nbye"):
        await child.wait_line("hello")

    assert await child.wait_ended() == 0


async def test_pause_resume_kill(processes: Processes) -> None:
    """A paused child says nothing until it is resumed; a killed one tells its signal."""
    child = processes.start_python("-c", "import time\nfor n in range(10**6): print(n); time.sleep(0.01)")
    await child.wait_line("^3$")

    child.pause()
    seen = len(child.lines)
    child.resume()
    await child.wait_line(r"^\d+$", after=seen + 3)
    child.kill()

    assert await child.wait_ended() == -signal.SIGKILL


async def test_nothing_stays_behind() -> None:
    """Children and their children are gone after the block, stopped ones too."""
    grandparent = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid); input()"
    with Processes() as processes:
        child = processes.start(["sh", "-c", "sleep 60 & echo $!; wait"])
        pid = int((await child.wait_line(r"^(\d+)$"))[1])
        child.pause()
        processes.start_python("-c", grandparent)

    assert not child.is_running
    # Killed, and perhaps not yet waited for by whoever adopts orphans here.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:  # noqa: PTH123
        assert stat.read().rpartition(") ")[2].startswith("Z")


async def test_streams_of_one_app_are_deleted(nats_url: str, app: App) -> None:
    """Cleaning takes all of this app's streams and no other's; doing it twice is fine."""
    client = await nats.connect(nats_url)
    jetstream = client.jetstream()
    other = App(f"{app.name}x")
    for stream in (app.log, app.mail, other.log):
        await jetstream.add_stream(name=stream, subjects=[stream])

    await delete_streams(nats_url, app)
    await delete_streams(nats_url, app)

    assert [name for stream in await jetstream.streams_info() if app.name in (name := stream.config.name or "")] == [
        other.log
    ]
    await delete_streams(nats_url, other)
    await client.close()
