"""Hooks from outside: listed with their schemas, addressed by tokens, checked before they are sent."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from jetrun.actors.commands import OpenHook
from jetrun.actors.errors import InvalidName, InvalidValue, RunNotFound
from jetrun.actors.hook_schema import schema_of
from jetrun.actors.messages import Hook
from jetrun.actors.records import Continued, OpenWait, Summary
from jetrun.client import call, define_hook
from support.client_rig import KEY, ClientRig, on_twin


class Approval(msgspec.Struct):
    ok: bool


approval = define_hook("approval", Approval)


def summary(*waits: OpenWait) -> Summary:
    return Summary(status="running", started_at_us=1, hooks_open=list(waits))


async def waiting(rig: ClientRig) -> None:
    """A run that has taken one approval and waits for the next, and for anything by another name."""
    schema = msgspec.Raw(schema_of(Approval))
    await rig.record(
        start=rig.mark("o-1"),
        commands=[OpenHook(n=1, name="approval", type="Approval", schema=schema)],
        summary=summary(OpenWait(n=1, name="approval", type="Approval")),
    )
    await rig.record(
        start=rig.mark("o-1"),
        commands=[OpenHook(n=2, name="approval", type="Approval", due_at_us=99), OpenHook(n=3, name="go")],
        summary=summary(OpenWait(n=2, name="approval", type="Approval"), OpenWait(n=3, name="go")),
    )


async def payloads(rig: ClientRig) -> list[bytes]:
    return [bytes(body.payload) for _, body in await rig.mail() if isinstance(body, Hook)]


@on_twin
async def test_list_has_type_schema_token_and_expiry(rig: ClientRig) -> None:
    """A schema is in the first command of its hook alone; later waits have it all the same."""
    await waiting(rig)

    first, second = await rig.client.hooks("order/o-1")

    assert (first.name, first.type, first.token, first.expires_at_us) == (
        "approval",
        "Approval",
        "order/o-1/approval",
        99,
    )
    assert first.schema["$defs"]["Approval"]["required"] == ["ok"]
    assert first.since_us > 0
    assert (second.name, second.type, second.schema, second.expires_at_us) == ("go", "", {}, 0)


@on_twin
async def test_schema_is_that_of_the_link_that_goes_on(rig: ClientRig) -> None:
    """A new link publishes anew: what an earlier one said of the name does not hold any more."""
    await waiting(rig)
    await rig.record(start=rig.mark("o-1"), continued=Continued(link=2, hash="h"), summary=summary())
    await rig.record(
        start=rig.mark("o-1"),
        commands=[OpenHook(n=4, name="approval")],
        summary=summary(OpenWait(n=4, name="approval")),
    )

    (found,) = await rig.client.hooks("order/o-1")

    assert (found.schema, found.token) == ({}, "order/o-1/approval")


@on_twin
async def test_ended_run_waits_for_nothing(rig: ClientRig) -> None:
    await waiting(rig)
    await rig.end("o-1")

    assert await rig.client.get(str(KEY)).hooks() == []
    with pytest.raises(RunNotFound):
        await rig.client.hooks("order/o-2")


@on_twin
async def test_token_addresses_the_hook(rig: ClientRig) -> None:
    """Who answers needs no more than the text that a step has sent."""
    await waiting(rig)

    await rig.client.send_hook("order/o-1/approval", {"ok": True}, id="once")
    await rig.client.send_hook("order/o-1/approval", Approval(ok=False), hook=approval)

    assert await payloads(rig) == [b'{"ok":true}', b'{"ok":false}']
    with pytest.raises(InvalidName, match="not of hook 'approval'"):
        await rig.client.send_hook("order/o-1/go", Approval(ok=True), hook=approval)
    with pytest.raises(InvalidName, match="three parts"):
        await rig.client.send_hook("order/o-1", 1)


@on_twin
async def test_defined_hook_refuses_what_does_not_fit(rig: ClientRig) -> None:
    """In one line, and nothing is sent."""
    await waiting(rig)
    run = rig.client.get(str(KEY))

    untyped: Any = {"ok": "yes"}
    with pytest.raises(InvalidValue, match=r"^payload of hook 'approval': \$\.ok: expected bool, got str$"):
        await run.hook(approval, untyped)
    await run.hook(approval, Approval(ok=True))

    assert await payloads(rig) == [b'{"ok":true}']


@on_twin
async def test_published_schema_is_asked_where_that_is_wanted(rig: ClientRig) -> None:
    """A sender that has no type can be as careful as one that has; by default the run is the judge."""
    await waiting(rig)
    run = rig.client.get(str(KEY))

    with pytest.raises(InvalidValue, match=r"^payload of hook 'approval': \$\.ok: expected boolean, got string$"):
        await run.hook("approval", {"ok": "yes"}, validate=True)
    with pytest.raises(InvalidValue, match="has not come to that hook"):
        await run.hook("other", 1, validate=True)
    await run.hook("approval", {"ok": "yes"})
    await run.hook("go", "anything", validate=True)

    assert await payloads(rig) == [b'{"ok":"yes"}', b'"anything"']


@on_twin
async def test_start_takes_defined_hooks(rig: ClientRig) -> None:
    await rig.client.start(call("order", "o-9"), run_id="o-9", hooks=[(approval, Approval(ok=True)), ("go", 1)])

    assert await payloads(rig) == [b'{"ok":true}', b"1"]
