"""Bad input by plain publish: each becomes a dead letter with code, reason and original bytes, a `done` notice where
workflow and run can be read, and one line in the worker's log. Nothing of it stops a worker, nothing waits for ever.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import pytest
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from nats.js.errors import APIError

from jetrun.actors.limits import BODY_BYTES_MAX, MAIL_MESSAGE_BYTES_MAX, OBJECT_BYTES_MAX
from jetrun.actors.messages import DEAD_CODES
from support.door import Door, body_of, open_door
from support.fleet import Fleet

pytestmark = pytest.mark.slow

GOOD = b'{"args":["o-1"]}'


@pytest.fixture
async def door(bad_fleet: Fleet) -> AsyncIterator[Door]:
    async with open_door(bad_fleet.url, bad_fleet.app) as door:
        yield door


async def log_lines(fleet: Fleet, seq: int) -> list[dict[str, Any]]:
    """Waits for the worker's line about a message, then returns all that it has said of it."""
    await fleet.actors.wait_line(rf'"event":"message\.dead".*"seq":{seq}\b')
    lines = [json.loads(line) for line in fleet.actors.lines if '"message.dead"' in line]
    return [line for line in lines if line["seq"] == seq]


def start(args: str) -> bytes:
    return f'{{"args":{args}}}'.encode()


BODIES: dict[str, tuple[str, bytes, str, str]] = {
    "malformed": ("start", b'{"args": [', "json", "truncated"),
    "trailing": ("start", b"{}{}", "json", "trailing"),
    "empty": ("start", b"", "json", "empty body"),
    "byte-order-mark": ("start", b"\xef\xbb\xbf{}", "json", "malformed"),
    "utf-16": ("start", '{"args":["o-1"]}'.encode("utf-16"), "json", "utf-8"),
    "latin-1": ("hook.approval", b'{"payload":"\xe4"}', "json", "utf-8"),
    "not-a-number": ("start", start('["o-1",NaN]'), "json", "invalid character"),
    "infinite": ("start", start('["o-1",1e999]'), "json", "out of range"),
    "integer-of-65-bits": ("start", start('["o-1",18446744073709551616]'), "json", r"\$\.args\[1\]: integer of 65 bits"),
    "integer-of-5000-digits": ("start", start(f'["o-1",{"9" * 5000}]'), "json", "out of range"),
    "lone-surrogate": ("start", start('["\\ud800"]'), "json", ""),
    "10000-deep": ("start", start("[" * 10_000 + "]" * 10_000), "depth", "more than 64 levels"),
    "10000-deep-objects": ("hook.approval", b'{"payload":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001, "depth", "more than 64"),
    "65-deep": ("start", start("[" * 64 + "]" * 64), "depth", "more than 64 levels"),
    "null": ("start", b"null", "schema", "got `null`"),
    "array": ("start", b"[]", "schema", "got `array`"),
    "text": ("cancel", b'"now"', "schema", "got `str`"),
    "unknown-field": ("start", b'{"arg":["o-1"]}', "schema", "unknown field `arg`"),
    "endless-field": ("start", b'{"%b":1}' % (b"f" * 100_000), "schema", "unknown field"),
    "stray-pub-ack": ("cancel", b'{"stream":"X","seq":7}', "schema", "unknown field"),
    "id-of-wrong-type": ("start", b'{"args":["o-1"],"id":5}', "schema", r"\$\.id"),
    "reason-of-wrong-type": ("cancel", b'{"reason":["no"]}', "schema", r"\$\.reason"),
    "ref-of-wrong-type": ("start", b'{"ref":"abc"}', "schema", r"\$\.ref"),
    "ref-that-is-no-hash": ("start", b'{"ref":{"sha256":"../../etc/passwd","size":5}}', "schema", r"\$\.ref\.sha256"),
    "ref-beyond-bounds": ("start", b'{"ref":{"sha256":"%b","size":99999999999}}' % (b"0" * 64), "schema", r"\$\.ref\.size"),
    "ref-to-nothing": ("start", b'{"ref":{"sha256":"%b","size":5}}' % (b"0" * 64), "missing_value", "no object 0000"),
    "parent-that-is-no-run": ("start", b'{"parent":{"workflow":"a.b","run":"*","command":1}}', "schema", r"\$\.parent"),
    "args-text": ("start", start('"o-1"'), "args", "expected array, got str"),
    "args-object": ("start", start("{}"), "args", "expected array, got object"),
    "args-null": ("start", start("null"), "args", "expected array, got null"),
    "kwargs-array": ("start", b'{"args":["o-1"],"kwargs":[1]}', "args", "expected object, got array"),
    "argument-missing": ("start", b"{}", "args", "argument 'order_id' of workflow typed: missing"),
    "argument-extra": ("start", start('["o-1",1,2]'), "args", "takes at most 2 by position, got 3"),
    "argument-of-wrong-type": ("start", start('["o-1","4200"]'), "args", "argument 'cents' of workflow typed: expected int, got str"),
    "argument-unknown": ("start", b'{"args":["o-1"],"kwargs":{"cent":1}}', "args", "argument 'cent' of workflow typed: no such"),
    "argument-twice": ("start", b'{"args":["o-1",1],"kwargs":{"cents":1}}', "args", "argument 'cents' of workflow typed: given twice"),
    "verb-unknown": ("begin", GOOD, "verb", "unknown verb 'begin'"),
    "verb-misspelt": ("cancl", b"{}", "verb", "unknown verb 'cancl'; one of start, hook, cancel"),
    "verb-with-name": ("start.now", GOOD, "verb", "unknown verb 'start.now'"),
    "verb-wildcard": ("*", GOOD, "verb", r"unknown verb '\*'"),
    "hook-without-name": ("hook", b"{}", "verb", "hook and update take a name"),
    "hook-of-two-names": ("hook.a.b", b"{}", "verb", "unknown verb 'hook.a.b'"),
    "hook-named-wildcard": ("hook.>", b"{}", "verb", "unknown verb 'hook.>'"),
    "update-without-name": ("update", b"{}", "verb", "hook and update take a name"),
    "update-with-reply": ("update.price", b'{"reply":"$SYS.x"}', "schema", "contains unknown field `reply`"),
    "forged-result": ("step", b'{"command":1,"attempt":1,"token":"guess","result":1}', "token", "is wrong"),
    "terminate-unknown": ("terminate", b"{}", "no_run", "no run typed/.* was started"),
    "pause-unknown": ("pause", b"{}", "no_run", "pause needs one"),
    "resume-unknown": ("resume", b"{}", "no_run", "resume needs one"),
    "too-large": ("start", b'{"args":["%b"]}' % (b"a" * BODY_BYTES_MAX), "size", "at most 262144"),
    "all-escapes": ("start", b'{"args":["' + b"\x01" * 250_000 + b'"]}', "json", "invalid character"),
}  # fmt: skip


@pytest.mark.parametrize("case", BODIES)
async def test_a_bad_body_is_a_dead_letter_a_notice_and_a_line(bad_fleet: Fleet, door: Door, case: str) -> None:
    """A sender with a bug would wait for ever, or stop the workers of everybody."""
    verb, body, code, reason = BODIES[case]
    run = f"typed.{case}"

    seq = await door.send(f"{run}.{verb}", body, headers={"Trace": case})

    letter = await door.dead(seq)
    assert (letter["code"], letter["tokens"]) == (code, ["typed", case])
    assert letter["subject"].endswith(f".{run}.{verb}")
    assert body_of(letter) == body
    assert letter["headers"] == {"Trace": case}
    notice = await door.notice(run)
    assert (notice["workflow"], notice["run"], notice["status"]) == ("typed", case, "refused")
    assert notice["error"] == {"type": "MessageRefused", "code": code, "message": letter["reason"]}
    [line] = await log_lines(bad_fleet, seq)
    assert (line["code"], line["reason"]) == (code, letter["reason"])
    assert len(letter["reason"]) <= 1000
    assert_matches(reason, letter["reason"])


RUNS: dict[str, tuple[str, str]] = {
    "*": (r"run id '\*' contains '\*'", "typed.*.start"),
    ">": (r"run id '>' contains '>'", "typed.>.start"),
    "star inside": (r"contains '\*'", "typed.a*b.start"),
    "all wildcards": (r"workflow name '\*'", "*.*.*"),
    "workflow >": (r"workflow name '>'", ">.o-1.start"),
    "control character": (r"contains '\\x1b'", "typed.\x1b[2J.start"),
    "null": (r"contains '\\x00'", "typed.a\0b.start"),
    "unicode": (r"contains '\\xe4'", "typed.\u00e4pfel.start"),
    "right to left": (r"contains '\\u202e'", "typed.\u202eevil.start"),
    "emoji": (r"contains '\\U0001f600'", "typed.\U0001f600.start"),
    "reserved": (r"starts with '_'", "typed._INBOX.start"),
    "dollar": (r"contains '\$'", "typed.$JS.start"),
    "percent": (r"contains '%'", "typed.a%b.start"),
    "slash": ("contains '/'", "typed.a/b.start"),
    "too long": ("is too long: 129 > 128", f"typed.{'a' * 129}.start"),
    "far too long": ("is too long: 2000 > 128", f"typed.{'a' * 2000}.start"),
}


@pytest.mark.parametrize("case", RUNS)
async def test_a_run_id_that_cannot_be_one_is_a_dead_letter(bad_fleet: Fleet, door: Door, case: str) -> None:
    """The server stores such subjects; used to read or purge, one with a wildcard would reach other runs (R10)."""
    reason, to = RUNS[case]

    seq = await door.send(to, GOOD)

    letter = await door.dead(seq)
    assert (letter["code"], letter["tokens"][0]) == ("subject", "_")
    assert_matches(reason, letter["reason"])
    assert (letter["subject"].split(".", 3)[3].removeprefix("0.").lstrip("0123456789.") or to).endswith(to[-100:])
    assert body_of(letter) == GOOD
    assert len(await log_lines(bad_fleet, seq)) == 1


async def test_a_run_id_with_a_dot_is_a_verb_that_nobody_knows(door: Door) -> None:
    """`a.b` is two tokens: run `a`, verb `b`."""
    seq = await door.send("typed.a.b.start", GOOD)

    letter = await door.dead(seq)

    assert (letter["code"], letter["tokens"]) == ("verb", ["typed", "a"])
    assert "unknown verb 'b.start'" in letter["reason"]


@pytest.mark.parametrize("run", ["", "a b", "a\tb", "a\r\nPUB stolen 2\r\nhi"])
async def test_what_cannot_be_in_a_subject_is_never_stored(bad_fleet: Fleet, door: Door, run: str) -> None:
    """Spaces and line ends are the protocol's own: the sender's library refuses them, the server does without one."""
    name = f"wf.{bad_fleet.app.name}"
    before = (await door.nats.jetstream().stream_info(f"WF_{bad_fleet.app.name}_MAIL")).state.last_seq

    with pytest.raises(NatsError):
        await door.nats.jetstream().publish(f"{name}.run.typed.{run}.start", GOOD)
    raw_publish(bad_fleet.url, f"{name}.run.typed.{run}.start", GOOD)

    assert (await door.nats.jetstream().stream_info(f"WF_{bad_fleet.app.name}_MAIL")).state.last_seq == before


async def test_an_unknown_workflow_is_told_which_there_are(bad_fleet: Fleet, door: Door) -> None:
    """A misspelt name would wait for a worker that never comes."""
    seq = await door.send("typd.o-1.start", GOOD)

    letter = await door.dead(seq)

    assert (letter["code"], letter["tokens"]) == ("workflow", ["typd", "o-1"])
    assert_matches("workflow 'typd' is not registered; this app has: approved, .*typed", letter["reason"])
    assert (await door.notice("typd.o-1"))["error"]["code"] == "workflow"
    assert len(await log_lines(bad_fleet, seq)) == 1


async def test_a_hook_for_an_unknown_workflow_is_dead_at_once(door: Door) -> None:
    """Nobody could ever start its run."""
    assert (await door.dead(await door.send("typd.o-2.hook.approval", b"{}")))["code"] == "workflow"


async def test_a_hook_for_an_ended_run_is_dead(bad_fleet: Fleet, door: Door) -> None:
    """Its sender would believe that somebody has read it."""
    await door.send("typed.ended.start", GOOD)
    assert (await door.notice("typed.ended"))["status"] == "completed"

    seq = await door.send("typed.ended.hook.approval", b'{"payload":{"ok":true},"id":"late"}')

    letter = await door.dead(seq)
    assert (letter["code"], letter["reason"]) == ("ended", "the run has ended (completed); it takes no more hooks")
    assert (await door.notice("typed.ended", "refused"))["id"] == "late"
    assert len(await log_lines(bad_fleet, seq)) == 1


async def test_a_start_under_a_taken_id_is_dead_and_the_run_unharmed(door: Door) -> None:
    """The caller of the second start would take the first one's result for its own."""
    await door.send("typed.taken.start", GOOD)
    await door.notice("typed.taken", "completed")

    seq = await door.send("typed.taken.start", b'{"args":["other"],"id":"second"}')

    assert (await door.dead(seq))["code"] == "exists"
    assert (await door.notice("typed.taken", "refused"))["id"] == "second"
    assert [notice["status"] for notice in door.notices("typed.taken")] == ["completed", "refused"]


async def test_a_payload_that_does_not_fit_is_dead_and_the_run_waits_on(door: Door) -> None:
    """One wrong answer would end an order that a right one completes."""
    await door.send("approved.misfit.start", b"{}")

    seq = await door.send("approved.misfit.hook.approval", b'{"payload":{"ok":"yes"}}', headers={"Trace": "t-1"})
    letter = await door.dead(seq)
    await door.send("approved.misfit.hook.approval", b'{"payload":{"ok":true}}')

    assert (letter["code"], letter["headers"]) == ("payload", {"Trace": "t-1"})
    assert_matches(r"payload of hook 'approval': \$\.ok: expected bool, got str", letter["reason"])
    assert (await door.notice("approved.misfit", "completed"))["result"] is True


@pytest.mark.parametrize(
    ("data", "code", "reason"),
    [
        (b'{"args":["o-1"]', "args", "truncated"),
        (b'{"args":["o-1","x"],"kwargs":null}', "args", "argument 'cents' of workflow typed: expected int"),
        (b'{"args":[' + b"[" * 10_000 + b"]" * 10_000 + b'],"kwargs":null}', "args", "nested"),
        (b'["o-1"]', "args", "Expected `object`, got `array`"),
        (b'{"args":["o-1"],"kwargs":null,"more":"%b"}' % (b"x" * OBJECT_BYTES_MAX), "missing_value", "at most 8388608"),
    ],
    ids=["malformed", "wrong type", "deep", "array", "too large"],
)
async def test_a_start_whose_stored_arguments_do_not_fit_is_dead(
    bad_fleet: Fleet, door: Door, data: bytes, code: str, reason: str
) -> None:
    """What is in the object store is as much a stranger's as what is in a message."""
    run, digest = f"stored-{sha256(data).hexdigest()[:8]}", sha256(data).hexdigest()
    store = await door.nats.jetstream().object_store(f"WF_{bad_fleet.app.name}_VALUES")
    await store.put(f"typed/{run}/{digest}", data)

    seq = await door.send(f"typed.{run}.start", f'{{"ref":{{"sha256":"{digest}","size":16}}}}')

    letter = await door.dead(seq)
    assert letter["code"] == code
    assert_matches(reason, letter["reason"])


async def test_an_object_under_a_wrong_hash_is_not_taken_for_the_value(bad_fleet: Fleet, door: Door) -> None:
    """Who may store objects could change the arguments of a start that somebody else sends."""
    digest = sha256(b"something else").hexdigest()
    store = await door.nats.jetstream().object_store(f"WF_{bad_fleet.app.name}_VALUES")
    await store.put(f"typed/swapped/{digest}", b'{"args":["o-1"]}')

    letter = await door.dead(await door.send("typed.swapped.start", f'{{"ref":{{"sha256":"{digest}","size":16}}}}'))

    assert letter["code"] == "missing_value"


async def test_above_the_doors_size_the_server_refuses_and_stores_nothing(bad_fleet: Fleet, door: Door) -> None:
    """260 KiB to 1 MiB: the sender is told by JetStream. Beyond: by its own library, or by a closed connection."""
    subject = f"wf.{bad_fleet.app.name}.run.typed.large.start"
    jetstream = door.nats.jetstream()

    with pytest.raises(APIError) as refused:
        await jetstream.publish(subject, b"x" * (MAIL_MESSAGE_BYTES_MAX + 1))
    with pytest.raises(MaxPayloadError):
        await jetstream.publish(subject, b"x" * 10_000_000)
    answer = raw_publish(bad_fleet.url, subject, b"x", claimed_bytes=10_000_000)

    assert refused.value.err_code == 10054
    assert b"Maximum Payload Violation" in answer
    await door.send("typed.after-large.start", GOOD)
    assert (await door.notice("typed.after-large"))["status"] == "completed"


async def test_headers_that_command_streams_do_nothing(bad_fleet: Fleet, door: Door) -> None:
    """With one of them a publisher could wipe the mailbox, or plant a message in another stream."""
    await door.send("approved.kept.start", b"{}")
    for headers in (
        {"Nats-Rollup": "all"},
        {"Nats-Schedule": "@at 2030-01-01T00:00:00Z", "Nats-Schedule-Target": f"wf.{bad_fleet.app.name}.log.typed.x"},
        {"Nats-TTL": "1s"},
        {"Nats-Expected-Last-Subject-Sequence": "12345"},
    ):
        with pytest.raises(APIError):
            await door.send("approved.kept.hook.approval", b'{"payload":{"ok":false}}', headers=headers)

    await door.send("approved.kept.hook.approval", b'{"payload":{"ok":true}}', headers={"Status": "503"})

    assert (await door.notice("approved.kept"))["result"] is True


async def test_a_flood_of_bad_messages_does_not_hold_up_the_good_ones(bad_fleet: Fleet, door: Door) -> None:
    """One broken client would be an outage for all."""
    bad = [door.send(f"typed.flood-{number}.start", b'{"args":[') for number in range(500)]
    good = [door.send(f"typed.fine-{number}.start", GOOD) for number in range(100)]

    await asyncio.gather(*(send for pair in zip(bad, good * 5, strict=False) for send in pair[:1]), *good)

    for number in range(100):
        assert (await door.notice(f"typed.fine-{number}"))["status"] == "completed"
    for number in range(500):
        assert (await door.notice(f"typed.flood-{number}"))["error"]["code"] == "json"


async def test_nothing_bad_is_left_in_the_mailbox(bad_fleet: Fleet, door: Door) -> None:
    """Whatever is acknowledged to its sender is applied or dead; the rest would come again and again."""
    await door.dead(await door.send("typed.last.cancl", b"{}"))
    jetstream = door.nats.jetstream()

    async with asyncio.timeout(10):
        while (await jetstream.stream_info(f"WF_{bad_fleet.app.name}_MAIL")).state.messages:
            await asyncio.sleep(0.05)


def test_every_code_is_documented() -> None:
    """The codes are a contract with programs that read dead letters."""
    shown = {code for _, _, code, _ in BODIES.values()} | {"subject", "workflow", "ended", "exists", "payload"}

    assert shown == set(DEAD_CODES) - {"full"}  # which takes ten thousand messages: tests of the actor do that


def assert_matches(pattern: str, text: str) -> None:
    assert re.search(pattern, text), text


def raw_publish(url: str, subject: str, body: bytes, *, claimed_bytes: int = 0) -> bytes:
    """Publishes without any library's checks; returns what the server says until it has answered a ping or hung up."""
    size = claimed_bytes or len(body)
    host, _, port = url.removeprefix("nats://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        said = connection.recv(65536)
        connection.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\n')
        try:
            connection.sendall(b"PUB %b %d\r\n%b\r\nPING\r\n" % (subject.encode(), size, body))
            while b"PONG" not in said and b"-ERR" not in said:
                chunk = connection.recv(65536)
                if not chunk:
                    break
                said += chunk
        except (ConnectionError, TimeoutError):
            said += b" hung up"
    return said
