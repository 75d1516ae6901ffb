"""docs/messages.md is true: what it shows is published as it stands, and what it says of it is what happens."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import anyio
import nats
import pytest
from nats.aio.client import Client as Connection
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from jetrun.actors import limits
from jetrun.actors.messages import DEAD_CODES, PUBLIC_VERBS
from jetrun.actors.values import encode
from jetrun.client import Client, DeadLetter, Event
from support.fleet import Fleet
from support.story import wait_run_events

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "messages.md").read_text("utf-8")
IN_WORDS = {"update"}
"""It has a section of its own: the orders of this page take none."""
INSTANT = 1_700_000_000_000_000
"""In November 2023: what is far below is no time in microseconds."""


class Section(NamedTuple):
    """A part of the page: its heading, and its fenced blocks by language."""

    heading: str
    json: list[str]
    sh: list[str]


def sections() -> Iterator[Section]:
    for part in re.split(r"^##+ ", PAGE, flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"^```(\w+)\n(.*?)\n```$", part, flags=re.MULTILINE | re.DOTALL)
        bodies = [text for language, text in blocks if language == "json"]
        lines = [line for language, text in blocks if language == "sh" for line in text.splitlines()]
        yield Section(part.partition("\n")[0], bodies, lines)


def section(heading: str) -> Section:
    return next(found for found in sections() if found.heading == heading)


VERBS = {
    heading.strip("`").partition(".")[0]: found for found in sections() if (heading := found.heading).startswith("`")
}
BODIES = [(verb, body) for verb, found in VERBS.items() for body in found.json]


def requests(lines: list[str], app: str) -> Iterator[tuple[str, str]]:
    """Reads `nats req <subject> '<body>'` lines, for another app."""
    for line in lines:
        program, verb, subject, body = shlex.split(line)
        assert (program, verb) == ("nats", "req")
        yield subject.replace("wf.default.", f"wf.{app}.", 1), body


class Wire:
    """A NATS client and nothing else."""

    def __init__(self, connection: Connection, app: str) -> None:
        self._connection = connection
        self.app = app

    async def request(self, subject: str, body: str | bytes = "") -> dict[str, Any]:
        payload = body if isinstance(body, bytes) else body.encode()
        return dict(json.loads((await self._connection.request(subject, payload, timeout=5)).data))

    async def send(self, run: str, verb: str, body: str | bytes = "{}", *, workflow: str = "order") -> None:
        """Sends a message to a run; it is stored on return."""
        ack = await self.request(f"wf.{self.app}.run.{workflow}.{run}.{verb}", body)
        assert "error" not in ack, ack

    async def ask(self, run: str, query: str = "status", *, workflow: str = "order") -> dict[str, Any]:
        return await self.request(f"wf.{self.app}.ask.{workflow}.{run}.{query}")

    async def done(self, run: str, *, workflow: str = "order") -> Subscription:
        return await self._connection.subscribe(f"wf.{self.app}.done.{workflow}.{run}")


async def next_notice(notices: Subscription) -> dict[str, Any]:
    message: Msg = await notices.next_msg(timeout=20)
    return dict(json.loads(message.data))


async def next_of(notices: Subscription, status: str) -> dict[str, Any]:
    """Waits for the notice of that status."""
    while (notice := await next_notice(notices))["status"] != status:
        pass
    return notice


@pytest.fixture
async def wire(fleet: Fleet) -> AsyncIterator[Wire]:
    async with await nats.connect(fleet.url) as connection:
        yield Wire(connection, fleet.app.name)


# --- the verbs ------------------------------------------------------------------------------------------


def test_every_public_verb_is_documented() -> None:
    """Each with JSON, and with a line to paste whose body is of the documented shape."""
    assert set(VERBS) == set(PUBLIC_VERBS) - IN_WORDS
    for verb, found in VERBS.items():
        assert len(found.json) >= 2
        ((subject, body),) = requests(found.sh, "default")
        assert subject.split(".")[5] == verb
        fields = {field for shown in found.json for field in json.loads(shown)}
        assert set(json.loads(body)) <= fields


@pytest.mark.parametrize(("verb", "body"), BODIES, ids=[f"{verb}-{n}" for n, (verb, _) in enumerate(BODIES)])
async def test_documented_body_is_applied(verb: str, body: str, wire: Wire, client: Client, fleet: Fleet) -> None:
    """It is published as it stands, and the run's log shows what came of it."""
    run = f"doc-{verb}-{BODIES.index((verb, body))}"
    sent = json.loads(body)
    if "ref" in sent:
        await put_object(fleet, f"order/{run}/{sent['ref']['sha256']}", b'{"args":["o-7"]}')
    if verb != "start":
        await wire.send(run, "start", '{"args": ["o-7"]}')
    if verb == "resume":
        await wire.send(run, "pause")

    await wire.send(run, "hook.approval" if verb == "hook" else verb, body)

    async def wait(kind: str) -> Event:
        return await wait_run_events(client, "order", run, kind)

    match verb:
        case "start":
            started = await wait("run.started")
            assert "ref" in sent or started.data["args"] == sent["args"]
            charged = await wait("step.scheduled")
            kwargs = sent.get("kwargs", {})
            assert charged.data["args"] == ["o-7" if "ref" in sent else "o-1", kwargs.get("cents", 4200)]
        case "hook":
            received = await wait("hook.received")
            assert received.data == {"name": "approval", "payload": sent["payload"]}
            await wait("run.completed" if sent["payload"]["ok"] else "run.failed")
        case "cancel":
            assert (await wait("run.cancelled")).text == sent.get("reason", "")
        case "terminate":
            assert (await wait("run.terminated")).text == sent.get("reason", "")
        case "pause":
            assert (await wait("run.paused")).text == sent.get("reason", "")
            assert (await wire.ask(run))["status"] == "paused"
        case "resume":
            await wait("run.resumed")
            assert (await wire.ask(run))["status"] == "running"
        case _:
            raise AssertionError(verb)


@pytest.mark.parametrize("body", section("Completing a step").json)
async def test_step_is_completed_by_a_plain_publish(body: str, wire: Wire, client: Client, tmp_path: Path) -> None:
    """The documented body, with the token that the step has passed on in the place of the one shown."""
    sent = json.loads(body)
    run = f"token-{'failed' if 'error' in sent else 'completed'}"
    await wire.send(run, "start", json.dumps({"args": [run, str(tmp_path)]}), workflow="contract")
    await wait_run_events(client, "contract", run, "step.deferred")
    workflow, named, command, attempt, secret = (tmp_path / run).read_text().split("/")
    assert (workflow, named, len(secret)) == ("contract", run, len(sent["token"]))

    filled = {**sent, "command": int(command), "attempt": int(attempt), "token": secret}
    await wire.send(run, "step", json.dumps(filled), workflow="contract")

    ended = await wait_run_events(client, "contract", run, "run.completed")
    assert ended.data["result"].endswith("signed by nobody" if "error" in sent else "signed by ada")


@pytest.mark.parametrize("body", section("Graphs").json)
async def test_graph_is_started_by_a_plain_publish(body: str, wire: Wire) -> None:
    """The documented body runs a definition that no worker has registered."""
    notices = await wire.done("greeting", workflow="jetrun-graph")
    await wire.send("greeting", "start", body, workflow="jetrun-graph")

    assert (await next_of(notices, "completed"))["result"] == {"text": "hello ann"}


async def put_object(fleet: Fleet, name: str, data: bytes) -> None:
    async with await nats.connect(fleet.url) as connection:
        store = await connection.jetstream().object_store(fleet.app.values)
        await store.put(name, data)


@pytest.mark.parametrize("verb", ["hook.approval", "cancel"])
async def test_an_id_counts_once(verb: str, wire: Wire, client: Client) -> None:
    """The same id twice is one intent; it shows in the log once."""
    run = f"twice-{verb.partition('.')[0]}"
    body = '{"id": "same", "payload": {"ok": true, "reviewer": "ada"}}' if "hook" in verb else '{"id": "same"}'
    for _ in range(2):
        await wire.send(run, verb, body)
    await wire.send(run, "start", '{"args": ["o-7"]}')

    await wait_run_events(client, "order", run, "run.completed" if "hook" in verb else "run.cancelled")
    messages = [message.verb for record in await client.get("order", run).log() for message in record.messages]
    assert messages.count(verb.partition(".")[0]) == 1


# --- too early, too late --------------------------------------------------------------------------------


async def test_before_the_start(wire: Wire) -> None:
    """A hook and a cancel wait for their run, what needs one is refused."""
    notices = await wire.done("early-hook")
    await wire.send("early-hook", "hook.approval", VERBS["hook"].json[0])
    for verb in ("terminate", "pause", "resume"):
        await wire.send("early-hook", verb)
        assert (await next_of(notices, "refused"))["error"]["code"] == "no_run"
    assert (await wire.ask("early-hook"))["status"] == "early"
    await wire.send("early-hook", "start", '{"args": ["o-7"]}')
    assert (await next_of(notices, "completed"))["result"]["reviewer"] == "ada"

    notices = await wire.done("early-cancel")
    await wire.send("early-cancel", "cancel")
    await wire.send("early-cancel", "start", '{"args": ["o-7"]}')
    assert await next_of(notices, "cancelled")


async def test_a_paused_run_can_be_cancelled(wire: Wire) -> None:
    """Who cancels it wants it to end, not to stay paused."""
    notices = await wire.done("paused")
    await wire.send("paused", "start", '{"args": ["o-7"]}')
    await wire.send("paused", "pause")
    await wire.send("paused", "cancel")

    assert await next_of(notices, "cancelled")


async def test_after_the_end(wire: Wire) -> None:
    """The end stands: only a hook, and a start that means something else, are told that they come too late."""
    notices = await wire.done("late")
    await wire.send("late", "start", '{"args": ["o-7"]}')
    await wire.send("late", "hook.nobody-waits", '{"id": "zero"}')
    await wire.send("late", "terminate")
    heard = [await next_notice(notices) for _ in range(2)]  # what is refused for it may be announced before the end

    for verb in ("cancel", "terminate", "pause", "resume"):
        await wire.send("late", verb)
    await wire.send("late", "start", '{"args": ["o-7"]}')
    await wire.send("late", "hook.approval", '{"id": "one"}')
    await wire.send("late", "start", '{"id": "two", "args": ["o-8"]}')
    heard += [await next_notice(notices) for _ in range(2)]

    assert [notice["status"] for notice in heard if "error" not in notice] == ["terminated"]
    refused = {notice["id"]: notice["error"]["code"] for notice in heard if "error" in notice}
    assert refused == {"zero": "ended", "one": "ended", "two": "exists"}
    assert (await wire.ask("late", "result"))["status"] == "terminated"


# --- notices and answers --------------------------------------------------------------------------------


def with_instants(answer: dict[str, Any]) -> dict[str, Any]:
    """Checks that instants are such, and takes them out."""
    plain = {name: value for name, value in answer.items() if not name.endswith("_at_us")}
    assert all(value > INSTANT for name, value in answer.items() if name.endswith("_at_us"))
    return plain | {name: 0 for name in answer if name.endswith("_at_us")}


async def test_the_lines_of_the_page_lead_to_its_notices_and_answers(wire: Wire, client: Client) -> None:
    """The page from top to bottom, as somebody would paste it."""
    done = {run: await wire.done(run) for run in ("o-1", "o-2", "o-3")}
    for run in ("o-2", "o-3", "o-4", "o-5"):
        await wire.send(run, "start", json.dumps({"args": [run]}))
    for found in VERBS.values():
        for subject, body in requests(found.sh, wire.app):
            assert "error" not in await wire.request(subject, body)
            if subject.endswith(".start"):  # nobody pastes as fast as a program: the orders wait by then
                await wait_run_events(client, "order", "o-1", "hook.opened")
                await wait_run_events(client, "order", "o-5", "hook.opened")
    ends = [await next_of(done["o-1"], "completed"), await next_of(done["o-2"], "cancelled")]
    await wire.send("o-1", "start", '{"id": "basket-2", "args": ["o-2"]}')
    ends.append(await next_of(done["o-1"], "refused"))
    assert ends == [json.loads(text) for text in section("How a run ends").json]
    assert (await next_of(done["o-3"], "terminated"))["reason"] == "started by mistake"

    asking = section("Asking")
    status, result = [await wire.request(subject, body) for subject, body in requests(asking.sh, wire.app)]
    assert result == ends[0]
    waiting, ended = (with_instants(json.loads(text)) for text in asking.json)
    assert with_instants(status) == ended
    assert with_instants(await wire.ask("o-5")) == waiting
    assert await wire.ask("o-9") == {"error": {"code": "not_found", "message": "no run order/o-9"}}
    assert (await wire.ask("o-1", "weather"))["error"]["code"] == "query"


async def test_updates_and_queries_of_the_page(wire: Wire) -> None:
    """Sent, announced, asked for: as the page shows it."""
    notices = await wire.done("c-1", workflow="cart")
    await wire.send("c-1", "start", '{"args": ["ann"]}', workflow="cart")
    sent, announced = section("Updates").json
    ((subject, body),) = requests(section("Updates").sh, wire.app)
    assert json.loads(sent) == json.loads(body)

    assert "error" not in await wire.request(subject, body)

    assert await next_notice(notices) == json.loads(announced)
    asking = section("Queries and answers")
    progress, answer = [await wire.request(subject, body) for subject, body in requests(asking.sh, wire.app)]
    assert progress == json.loads(asking.json[0])
    assert answer == json.loads(announced)
    missing = await wire.request(f"wf.{wire.app}.ask.cart.c-1.answer", '{"id": "basket-8"}')
    assert missing["error"]["code"] == "not_found"
    unknown = await wire.request(f"wf.{wire.app}.ask.cart.c-1.query.nothing")
    assert unknown["error"]["code"] == "unknown_query"


@pytest.mark.parametrize(
    ("words", "has_result", "has_ref"), [(100, True, False), (10_000, False, False), (20_000, False, True)]
)
async def test_large_results(wire: Wire, fleet: Fleet, words: int, *, has_result: bool, has_ref: bool) -> None:
    """Above 64 KiB the notice leaves the result out, above 192 KiB it is in the object store."""
    run = f"large-{words}"
    text = " ".join(f"w{number}" for number in range(words))
    notices = await wire.done(run, workflow="concordance")
    await wire.send(run, "start", json.dumps({"args": [text]}), workflow="concordance")

    notice = await next_of(notices, "completed")

    assert ("result" in notice, "ref" in notice) == (has_result, has_ref)
    answer = await wire.ask(run, "result", workflow="concordance")
    if has_ref:
        assert answer["ref"] == notice["ref"]
        name = f"concordance/{run}/{notice['ref']['sha256']}"
        async with await nats.connect(fleet.url) as connection:
            stored = await (await connection.jetstream().object_store(fleet.app.values)).get(name)
        result = json.loads(stored.data or b"")
    else:
        result = answer["result"]
    assert result["words"] == words


# --- dead letters ---------------------------------------------------------------------------------------

ADDRESS = "order.{run}"
WRONG = {
    "subject": ("order.-{run}.start", b"{}"),
    "verb": (f"{ADDRESS}.sing", b"{}"),
    "json": (f"{ADDRESS}.start", b'{"args": ["o-1"'),
    "schema": (f"{ADDRESS}.start", b'{"arguments": ["o-1"]}'),
    "depth": (f"{ADDRESS}.start", b'{"args": [' + b"[" * 64 + b"]" * 64 + b"]}"),
    "size": (f"{ADDRESS}.start", b'{"args": ["%b"]}' % (b"o" * 256 * 1024)),
    "workflow": ("odrer.{run}.start", b"{}"),
    "args": (f"{ADDRESS}.start", b'{"args": [1]}'),
    "exists": (f"{ADDRESS}.start", b'{"args": ["o-2"]}'),
    "ended": (f"{ADDRESS}.hook.approval", b"{}"),
    "no_run": (f"{ADDRESS}.pause", b"{}"),
    "payload": (f"{ADDRESS}.hook.approval", b'{"payload": {"ok": "maybe"}}'),
    "missing_value": (f"{ADDRESS}.start", b'{"ref": {"sha256": "%b", "size": 1}}' % (b"0" * 64)),
    "token": (f"{ADDRESS}.step", b'{"command": 1, "attempt": 1, "token": "guessed", "result": 1}'),
}


def test_every_dead_code_is_documented() -> None:
    """The table is the whole list."""
    table = PAGE.partition("## Dead letters")[2].partition("## Values")[0]

    assert set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)) == set(DEAD_CODES)
    assert set(WRONG) == set(DEAD_CODES) - {"full"}  # which takes ten thousand messages: tests of the actor do that


@pytest.mark.parametrize("code", WRONG)
async def test_wrong_message_becomes_a_dead_letter_under_its_code(code: str, wire: Wire, client: Client) -> None:
    """With its reason and its own bytes, and nothing else happens to the run."""
    run = f"dead-{code}"
    subject, body = WRONG[code]
    if code in ("exists", "ended", "payload"):
        await wire.send(run, "start", '{"args": ["o-1"]}')
        await wait_run_events(client, "order", run, "hook.opened")
    if code == "ended":
        await wire.send(run, "terminate")

    ack = await wire.request(f"wf.{wire.app}.run.{subject.format(run=run)}", body)

    assert "error" not in ack
    letter = await wait_letter(client, int(ack["seq"]))
    assert letter.code == code
    assert letter.reason
    assert letter.body == body.decode()


async def wait_letter(client: Client, seq: int) -> DeadLetter:
    """Waits for the dead letter of the message of that sequence; some are announced nowhere, for they name no run."""
    with anyio.fail_after(20):
        while True:
            async for letter in client.dead():
                if letter.seq == seq:
                    return letter


async def test_the_dead_letter_of_the_page(wire: Wire, fleet: Fleet) -> None:
    """Field by field, but for sequence and time."""
    (shown,) = section("Dead letters").json
    notices = await wire.done("o-1")
    await wire.request(f"wf.{wire.app}.run.order.o-1.cancel", "")
    await next_of(notices, "refused")

    async with await nats.connect(fleet.url) as connection:
        stored = await connection.jetstream().get_last_msg(fleet.app.dead, f"wf.{wire.app}.dead.order.o-1")
    assert stored.data is not None
    letter = json.loads(stored.data)

    expected = json.loads(shown)
    assert list(letter) == list(expected)
    assert letter["subject"].replace(f"wf.{wire.app}.", "wf.default.") == expected["subject"]
    same = ("code", "reason", "body")
    assert [letter[name] for name in same] == [expected[name] for name in same]


# --- numbers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "bound"),
    [
        (f"at most {limits.TOKEN_BYTES_MAX}, the first", limits.TOKEN_BYTES_MAX),
        ("of at most 256 KiB", limits.BODY_BYTES_MAX // 1024),
        ("64 levels", limits.BODY_DEPTH_MAX),
        ("newest 10,000 ids", limits.MESSAGE_IDS_MAX // 1000),
        ("above 192 KiB go", limits.VALUE_INLINE_BYTES_MAX // 1024),
        ("to 8 MiB travels", limits.VALUE_BYTES_MAX // 1024**2),
        ("for 30 days", limits.DEAD_AGE_S // 86_400),
    ],
)
def test_numbers_are_the_bounds(shown: str, bound: int) -> None:
    """A bound that changes changes the page."""
    assert shown in " ".join(PAGE.split())
    assert str(bound) in shown


# --- values ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        Decimal("3.10"),
        datetime(2026, 3, 1, 12, tzinfo=UTC),
        date(2026, 3, 1),
        time(12),
        timedelta(seconds=90),
        UUID("e4eaaaf2-d142-11e1-b3e4-080027620cdd"),
        b"\x00\x01\x02",
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_are_written_as_the_page_says(value: object) -> None:
    rows = re.findall(r"^\| (`.*) \| (.*) \|$", PAGE.partition("## Values")[2], flags=re.MULTILINE)
    shown = next(how for types, how in rows if f"`{type(value).__name__}`" in types)

    assert f"`{encode(value, where='the page').decode()}`" in shown
