"""The pull request, fed with webhook deliveries by plain publishes: GitHub's own where they are at hand, and small ones
of the same shape.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import nats
import pytest
from msgspec.json import encode
from nats.aio.client import Client as Connection

from examples.pull_request import messages_of, pull_request, run_id
from jetrun.client import Client, RunCancelled
from support.fleet import Fleet
from support.story import kinds, scheduled, wait_run_events

GITHUB = Path(__file__).resolve().parents[3] / "shared" / "data" / "github_webhooks"

_REPOSITORY = {"id": 1, "name": "tea", "full_name": "kay/tea.pot", "private": False}
_PULL_REQUEST = {"number": 7, "title": "Pour", "user": {"login": "kay"}, "head": {"ref": "pour", "sha": "c0ffee"}}
_CHECK = {"name": "taste", "status": "completed", "conclusion": "success", "pull_requests": [{"number": 7}]}
_REVIEW = {"user": {"login": "lin"}, "state": "approved", "body": "good"}
_OF_PULL_REQUEST = {"number": 7, "pull_request": _PULL_REQUEST, "repository": _REPOSITORY}
OURS = {
    "pull_request.opened": encode({"action": "opened", **_OF_PULL_REQUEST}),
    "check_run.created": encode({"action": "created", "check_run": _CHECK, "repository": _REPOSITORY}),
    "check_run.completed": encode({"action": "completed", "check_run": _CHECK, "repository": _REPOSITORY}),
    "pull_request_review.submitted": encode({"action": "submitted", "review": _REVIEW, **_OF_PULL_REQUEST}),
    "push": encode({"ref": "refs/heads/pour", "repository": _REPOSITORY}),
    "pull_request.closed": encode({"action": "closed", **_OF_PULL_REQUEST}),
}


class Case(msgspec.Struct, frozen=True):
    """Deliveries of one pull request, and what they say."""

    deliveries: dict[str, bytes]
    run: str
    repository: str
    sha: str
    statuses: list[tuple[str, str]]


def cases() -> list[Case]:
    ours = Case(
        deliveries=OURS,
        run="kay_2ftea_2epot-7",
        repository="kay/tea.pot",
        sha="c0ffee",
        statuses=[("taste", "success"), ("review by lin", "approved")],
    )
    if not GITHUB.is_dir():
        return [ours]
    real = Case(
        deliveries={path.name.removesuffix(".json"): path.read_bytes() for path in GITHUB.glob("*.json")},
        run="Codertocat_2fHello-World-2",
        repository="Codertocat/Hello-World",
        sha="ec26c3e57ca3a959ca5aad62de7213c562f8c821",
        statuses=[("Octocoders-linter", "success"), ("review by Codertocat", "commented")],
    )
    return [ours, real]


class Receiver:
    """What stands between GitHub and NATS: no jetrun code but the example's own."""

    def __init__(self, connection: Connection, app: str, case: Case) -> None:
        self._connection = connection
        self._app = app
        self._case = case

    async def receive(self, name: str, *, guid: str = "") -> int:
        """Publishes what a delivery leads to, and tells how many messages that were."""
        body = self._case.deliveries[name]
        messages = messages_of(name.partition(".")[0], body, guid=guid or f"guid-of-{name}", app=self._app)
        for subject, payload in messages:
            ack = msgspec.json.decode((await self._connection.request(subject, payload)).data)
            assert "error" not in ack, ack
        return len(messages)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.run)
async def test_deliveries_move_the_run_from_opened_to_closed(case: Case, fleet: Fleet, client: Client) -> None:
    """`opened` starts, checks and reviews are hooks, `closed` cancels, and the clean-up is done by then."""
    async with await nats.connect(fleet.url) as connection:
        receiver = Receiver(connection, fleet.app.name, case)

        assert await receiver.receive("pull_request.opened") == 1
        assert await receiver.receive("pull_request.opened") == 1  # GitHub repeats what it got no answer to in time
        assert await receiver.receive("check_run.created") == 0
        assert await receiver.receive("check_run.completed") == 1
        assert await receiver.receive("check_run.completed") == 1
        assert await receiver.receive("pull_request_review.submitted") == 1
        assert await receiver.receive("push") == 0
        await wait_run_events(client, "pull_request", case.run, "step.completed", 2 + len(case.statuses))
        assert await receiver.receive("pull_request.closed") == 1
        run = client.get(pull_request, case.run)
        with pytest.raises(RunCancelled, match="the pull request was closed"):
            await run.result(timeout=20)
        assert await receiver.receive("pull_request.closed") == 1

    events = await run.events()
    assert scheduled(events) == ["deploy_preview", *["set_status"] * 3, "remove_preview"]
    assert kinds(events).count("hook.received") == 2
    assert kinds(events).count("step.completed") == 5
    assert kinds(events)[-1] == "run.cancelled"
    assert [event.data["args"] for event in events if event.data.get("name") == "set_status"] == [
        [case.repository, case.sha, "preview", f"https://{case.run.lower()}.preview.example"],
        *([case.repository, case.sha, context, state] for context, state in case.statuses),
    ]
    assert [letter.reason async for letter in client.dead(workflow="pull_request", run_id=case.run)] == []


async def test_closed_while_the_preview_is_being_deployed(fleet: Fleet, client: Client) -> None:
    """Whatever the run is doing, what it may have made is removed."""
    opened = OURS["pull_request.opened"].replace(b'"number":7', b'"number":8')
    closed = OURS["pull_request.closed"].replace(b'"number":7', b'"number":8')
    async with await nats.connect(fleet.url) as connection:
        for body in (opened, closed):
            for subject, payload in messages_of("pull_request", body, guid="", app=fleet.app.name):
                await connection.request(subject, payload)

    run = "kay_2ftea_2epot-8"
    await wait_run_events(client, "pull_request", run, "run.cancelled")
    assert scheduled(await client.get(pull_request, run).events())[-1] == "remove_preview"


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.run)
def test_only_four_kinds_of_deliveries_matter(case: Case) -> None:
    """All others make no message; each that does names the one pull request that it is about."""
    verbs = {
        name: [subject.removeprefix(f"wf.default.run.pull_request.{case.run}.") for subject, _ in messages]
        for name, body in case.deliveries.items()
        if (messages := messages_of(name.partition(".")[0], body, guid="g"))
    }

    openings = {name: ["start"] for name in case.deliveries if name.startswith("pull_request.opened")}
    assert verbs == {
        **openings,
        "check_run.completed": ["hook.check_run_completed"],
        "pull_request_review.submitted": ["hook.pull_request_review_submitted"],
        "pull_request.closed": ["cancel"],
    }


def test_no_two_repositories_share_a_run() -> None:
    names = ["a/b-c", "a-b/c", "a/b.c", "a/b_c", "a/b_2ec", "a/b/c"]

    assert len({run_id(name, 1) for name in names}) == len(names)
