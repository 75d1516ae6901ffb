"""A pull request as an actor, fed by GitHub's webhooks: `opened` starts its run, checks and reviews are its hooks,
`closed` cancels it.

`messages_of` is all that a receiver of webhooks needs: it makes one publish of a delivery, in any language.

Try it:
    wfctl dev -m tests.examples.pull_request
    wfctl start pull_request "$(cat pull_request.opened.json)" --run-id octo_2fhello-7
    wfctl hooks send pull_request/octo_2fhello-7 check_run_completed '{"check_run": {"name": "lint", "conclusion": "success"}}'
    wfctl runs cancel pull_request/octo_2fhello-7
"""

from __future__ import annotations

import asyncio
import re

import msgspec
from msgspec.json import encode

from jetrun.actors import hook, info, shield, step, workflow

# --- deliveries: what is read of them, a little of what GitHub sends ------------------------------------


class User(msgspec.Struct, frozen=True):
    login: str


class Repository(msgspec.Struct, frozen=True):
    full_name: str


class Commit(msgspec.Struct, frozen=True):
    sha: str


class PullRequest(msgspec.Struct, frozen=True):
    number: int
    title: str
    user: User
    head: Commit


class CheckRun(msgspec.Struct, frozen=True):
    name: str
    conclusion: str


class Review(msgspec.Struct, frozen=True):
    state: str
    user: User


class Opened(msgspec.Struct, frozen=True):
    pull_request: PullRequest
    repository: Repository


class CheckRunCompleted(msgspec.Struct, frozen=True):
    check_run: CheckRun


class ReviewSubmitted(msgspec.Struct, frozen=True):
    review: Review


# --- the receiver ---------------------------------------------------------------------------------------


class Numbered(msgspec.Struct, frozen=True):
    number: int


class Checked(msgspec.Struct, frozen=True):
    pull_requests: list[Numbered] = []


class Delivery(msgspec.Struct, frozen=True):
    """What tells the pull request that a delivery is about; there may be none."""

    repository: Repository
    action: str = ""
    pull_request: Numbered | None = None
    check_run: Checked | None = None

    @property
    def numbers(self) -> list[int]:
        if self.pull_request is not None:
            return [self.pull_request.number]
        return [found.number for found in self.check_run.pull_requests] if self.check_run is not None else []


def messages_of(event: str, body: bytes, *, guid: str, app: str = "default") -> list[tuple[str, bytes]]:
    """Makes the messages (subject, payload) of a delivery; none for what no run wants to know.

    Args:
        event: Header `X-GitHub-Event`.
        guid: Header `X-GitHub-Delivery`: a delivery that GitHub repeats is applied once.
    """
    delivery = msgspec.json.decode(body, type=Delivery)
    raw = msgspec.Raw(body)
    match event, delivery.action:
        case "pull_request", "opened":
            verb, payload = "start", encode({"id": guid, "args": [raw]})
        case ("check_run", "completed") | ("pull_request_review", "submitted"):
            verb, payload = f"hook.{event}_{delivery.action}", encode({"id": guid, "payload": raw})
        case "pull_request", "closed":
            verb, payload = "cancel", encode({"id": guid, "reason": "the pull request was closed"})
        case _:
            return []
    runs = [run_id(delivery.repository.full_name, number) for number in delivery.numbers]
    return [(f"wf.{app}.run.pull_request.{run}.{verb}", payload) for run in runs]


def run_id(repository: str, number: int) -> str:
    """Names the run `<repository>-<number>`; what cannot be in a name becomes `_` and its code, so that no two
    repositories share a run.
    """
    token = re.sub(r"[^A-Za-z0-9-]", lambda found: f"_{ord(found[0]):02x}", repository)
    return f"{token}-{number}"


# --- the run --------------------------------------------------------------------------------------------


@step(queue="github")
async def set_status(repository: str, sha: str, context: str, state: str) -> None:
    """Stands for `POST /repos/{repository}/statuses/{sha}`."""


@step
async def deploy_preview(name: str, sha: str) -> str:
    """Deploys the branch for people to look at."""
    return f"https://{name.lower()}.preview.example"


@step(max_retries=20)
async def remove_preview(name: str) -> None:
    """Removes the deployment, if there is one."""


@workflow
async def pull_request(opened: Opened) -> None:
    """Lives as long as the pull request is open. It ends by being cancelled, and leaves nothing behind."""
    repository, sha = opened.repository.full_name, opened.pull_request.head.sha
    name = info().run_id

    async def follow_checks() -> None:
        while True:
            check = (await hook("check_run_completed", CheckRunCompleted)).check_run
            await set_status(repository, sha, check.name, check.conclusion)

    async def follow_reviews() -> None:
        while True:
            review = (await hook("pull_request_review_submitted", ReviewSubmitted)).review
            await set_status(repository, sha, f"review by {review.user.login}", review.state)

    try:
        url = await deploy_preview(name, sha)
        await set_status(repository, sha, "preview", url)
        async with asyncio.TaskGroup() as group:
            group.create_task(follow_checks())
            group.create_task(follow_reviews())
    finally:
        async with shield():
            await remove_preview(name)
