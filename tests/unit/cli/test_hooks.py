"""`wfctl hooks` on the in-memory twin: what is shown, what is sent, how a hook is addressed."""

from __future__ import annotations

import json

import msgspec
import pytest

from jetrun.actors.commands import OpenHook
from jetrun.actors.errors import InvalidName, InvalidValue, JetrunError, RunNotFound
from jetrun.actors.messages import Hook
from jetrun.actors.records import OpenWait, Summary
from jetrun.cli import hooks
from jetrun.cli.exits import UsageProblem
from support.client_rig import KEY, ClientRig, on_twin
from support.screen import Screen

WAITING = Summary(
    status="running", started_at_us=1_700_000_000_000_000, hooks_open=[OpenWait(n=1, name="approval", type="Approval")]
)


@on_twin
async def test_hooks_list_reads_the_log_not_the_index(rig: ClientRig) -> None:
    """The index tells which runs there are; what they wait for may have changed since."""
    await rig.record(start=rig.mark("o-1"), summary=WAITING)
    await rig.index("open", KEY, "running")
    of_all = Screen(rig)

    await hooks.list_hooks(of_all.connection, None)

    assert of_all.lines[1].split() == ["order/o-1", "approval", "Approval", "2023-11-14T22:13:20.000Z"]


async def wait_for_approval(rig: ClientRig) -> None:
    schema = msgspec.Raw(b'{"type":"object","properties":{"ok":{"type":"boolean"}},"required":["ok"]}')
    opened = OpenHook(n=1, name="approval", type="Approval", due_at_us=1_700_000_009_000_000, schema=schema)
    await rig.record(start=rig.mark("o-1"), commands=[opened], summary=WAITING)


@on_twin
async def test_hooks_of_a_run_have_expiry_and_token(rig: ClientRig) -> None:
    """Who is to answer sees by when, and what to write."""
    await wait_for_approval(rig)
    as_text, as_json = Screen(rig), Screen(rig, is_json=True)

    await hooks.list_hooks(as_text.connection, "order/o-1")
    await hooks.list_hooks(as_json.connection, "o-1")

    assert as_text.lines[0].split() == ["HOOK", "TYPE", "SINCE", "EXPIRES", "TOKEN"]
    shown = as_text.lines[1].split()
    assert [*shown[:2], *shown[3:]] == ["approval", "Approval", "2023-11-14T22:13:29.000Z", "order/o-1/approval"]
    assert as_json.json[0] | {"since_us": 0} == {
        "workflow": "order",
        "run": "o-1",
        "hook": "approval",
        "type": "Approval",
        "token": "order/o-1/approval",
        "since_us": 0,
        "expires_at_us": 1_700_000_009_000_000,
        "schema": {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]},
        "run_started_at_us": 1_700_000_000_000_000,
    }


@on_twin
async def test_hook_info_prints_the_schema(rig: ClientRig) -> None:
    """What a payload has to look like, without a look at the code."""
    await wait_for_approval(rig)
    screen = Screen(rig)

    await hooks.show_hook(screen.connection, "order/o-1", "approval")

    assert screen.lines[:4] == [
        "run:      order/o-1",
        "hook:     approval",
        "type:     Approval",
        "token:    order/o-1/approval",
    ]
    schema = json.loads("".join(screen.lines[6:]))
    assert schema["required"] == ["ok"]
    assert schema == await hooks.read_schema(screen.connection, "order/o-1", "approval")
    assert await hooks.read_schema(screen.connection, "order/o-1", "other") == {}
    with pytest.raises(JetrunError, match="does not wait for hook 'other'"):
        await hooks.show_hook(screen.connection, "order/o-1", "other")


@on_twin
async def test_hook_can_be_validated_before_it_is_sent(rig: ClientRig) -> None:
    await wait_for_approval(rig)
    screen = Screen(rig)

    with pytest.raises(InvalidValue, match="lacks field 'ok'"):
        await hooks.send_hook(
            screen.connection, "o-1", "approval", msgspec.Raw(b"{}"), early=False, message_id=None, validate=True
        )

    assert await rig.mail() == []


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("order/o-1", "go", "1"), ("order/o-1", "go", "1")),
        (("o-1", "go", None), ("o-1", "go", None)),
        (("order/o-1/go", "1", None), ("order/o-1", "go", "1")),
        (("order/o-1/go", None, None), ("order/o-1", "go", None)),
    ],
)
def test_a_hook_is_addressed_by_run_and_name_or_by_token(
    words: tuple[str, str | None, str | None], found: tuple[str, str, str | None]
) -> None:
    assert hooks.read_address(*words) == found


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("order/o-1", None, None), "the hook's name is missing"),
        (("order/o-1/go", "1", "2"), "names the hook"),
        (("order/o-1/a b", None, None), "hook name 'a b'"),
        (("order/o-1/go/on", "go", "1"), "run id 'o-1/go/on'"),
    ],
)
def test_addresses_that_cannot_be_meant(words: tuple[str, str | None, str | None], reason: str) -> None:
    with pytest.raises((UsageProblem, InvalidName), match=reason):
        hooks.read_address(*words)


@on_twin
async def test_hook_is_sent_as_typed(rig: ClientRig) -> None:
    """The payload reaches the workflow digit for digit."""
    await rig.begin("o-1")
    screen = Screen(rig)

    await hooks.send_hook(
        screen.connection, "o-1", "approval", msgspec.Raw(b'{"n": 1.10}'), early=False, message_id="m-1"
    )

    ((verb, body),) = await rig.mail()
    assert isinstance(body, Hook)
    assert (verb, bytes(body.payload), body.id) == ("hook.approval", b'{"n": 1.10}', "m-1")
    assert screen.lines == ["hook approval: sent to order/o-1, id m-1"]


@on_twin
async def test_hook_before_the_start_has_to_be_meant(rig: ClientRig) -> None:
    """A wrong run id is an error; `--early` says that the run is to come."""
    screen = Screen(rig)

    with pytest.raises(RunNotFound):
        await hooks.send_hook(
            screen.connection, "order/o-1", "approval", msgspec.Raw(b"1"), early=False, message_id=None
        )
    await hooks.send_hook(screen.connection, "order/o-1", "approval", msgspec.Raw(b"1"), early=True, message_id=None)

    assert [verb for verb, _ in await rig.mail()] == ["hook.approval"]
