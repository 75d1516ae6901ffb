"""Hooks on a real server: addressed by tokens, asked for on a terminal, kept, refused, taken once."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from examples.sign_off import Settled, Verdict, lead, purchase
from jetrun.cli.main import main
from jetrun.client import Client, RunEnded
from support.fleet import Fleet, running_fleet
from support.story import wait_event

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fleet(nats_url: str) -> Iterator[Fleet]:
    with running_fleet(nats_url, ["examples.sign_off"]) as fleet:
        yield fleet


@pytest.fixture
async def client(fleet: Fleet) -> AsyncIterator[Client]:
    async with await Client.connect(fleet.url, app=fleet.app.name) as client:
        yield client


async def wfctl(fleet: Fleet, *words: str, typed: str | None = None) -> tuple[int, str, str]:
    """Runs wfctl; with `typed` on a terminal of its own, where that is typed."""
    ours, theirs = pty.openpty() if typed is not None else (None, None)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jetrun.cli", "--url", fleet.url, "--app", fleet.app.name, *words),
        stdin=asyncio.subprocess.DEVNULL if theirs is None else theirs,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        if ours is not None:
            os.write(ours, (typed or "").encode())
        out, complaints = await process.communicate()
    finally:
        for end in (ours, theirs):
            if end is not None:
                os.close(end)
    assert process.returncode is not None
    return process.returncode, out.decode(), complaints.decode()


async def test_a_payload_is_asked_for_on_a_terminal(fleet: Fleet, client: Client) -> None:
    """Field by field, with what is wrong told at once."""
    run = await client.start(purchase.call("a lamp", 1), run_id="h-1")
    await wait_event(run, "hook.opened", "lead")

    code, out, complaints = await wfctl(fleet, "hooks", "send", "purchase/h-1", "lead", typed="perhaps\ny\nann\n\n")

    assert code == 0, complaints
    assert out.startswith("hook lead: sent to purchase/h-1, id ")
    assert complaints.split(": ") == [
        "approved (y/n)",
        "type y or n\napproved (y/n)",
        "by (text)",
        'note (text, empty for "")',
        "",
    ]
    assert await run.result() == Settled("ordered", "signed by ann")


async def test_without_a_terminal_nothing_is_asked(fleet: Fleet, client: Client) -> None:
    """A script that has lost its payload is told so, and does not hang."""
    run = await client.start(purchase.call("a lamp", 1), run_id="h-2")

    code, out, complaint = await wfctl(fleet, "hooks", "send", "purchase/h-2/lead")

    assert (code, out) == (2, "")
    assert complaint.startswith("error: payload is missing; give it as JSON")
    assert (await run.status()).status == "running"


async def test_terminal_that_is_closed_sends_nothing(fleet: Fleet, client: Client) -> None:
    run = await client.start(purchase.call("a lamp", 1), run_id="h-3")
    await wait_event(run, "hook.opened", "lead")

    code, _, complaint = await wfctl(fleet, "hooks", "send", "purchase/h-3", "lead", typed="y\n\x04")

    assert code == 2
    assert "the input has ended before the payload was whole" in complaint


async def test_a_hook_is_seen_and_answered_from_the_command_line(fleet: Fleet, client: Client) -> None:
    run = await client.start(purchase.call("a lamp", 1), run_id="h-4")
    await wait_event(run, "hook.opened", "lead")

    _, listed, _ = await wfctl(fleet, "hooks", "list", "purchase/h-4")
    _, shown, _ = await wfctl(fleet, "hooks", "info", "purchase/h-4/lead", "--json")
    refused = await wfctl(fleet, "hooks", "send", "purchase/h-4/lead", '{"approved": 1}', "--validate")
    sent = await wfctl(fleet, "hooks", "send", "purchase/h-4/lead", '{"approved": true, "by": "ann"}', "--validate")

    assert listed.splitlines()[1].split()[::4] == ["lead", "purchase/h-4/lead"]
    assert json.loads(shown)["schema"]["$defs"]["Verdict"]["required"] == ["approved", "by"]
    assert refused[0] == 1
    assert refused[2] == "error: payload of hook 'lead': $: lacks field 'by'\n"
    assert sent[0] == 0
    assert (await run.result()).status == "ordered"


async def test_payload_before_the_wait_twice_under_one_id_and_after_the_end(client: Client) -> None:
    """Kept, taken once, and refused at last."""
    run = client.get(purchase, "h-5")
    for _ in range(2):
        await run.hook(lead, Verdict(True, "ann"), id="once", before_start=True)
    started = await client.start(purchase.call("a lathe", 450_000), run_id="h-5")
    await wait_event(started, "hook.opened", "finance")
    await client.send_hook("purchase/h-5/finance", {"approved": "?"})
    await wait_event(started, "message.refused")
    await client.send_hook("purchase/h-5/finance", {"approved": True, "by": "max"})

    assert await started.result() == Settled("ordered", "signed by ann, max")
    with pytest.raises(RunEnded):
        await client.send_hook("purchase/h-5/lead", {"approved": True, "by": "late"})


def test_usage_is_told_before_a_server_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--url", "nats://127.0.0.1:1", "hooks", "info", "purchase"]) == 2
    assert "the hook's name is missing" in capsys.readouterr().err
