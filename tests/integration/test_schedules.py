"""Schedules on a real server: they go on after every crash, and no time starts two runs (I23, F46)."""

from __future__ import annotations

import json
import os
import secrets
import signal
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from jetrun.actors import ScheduleSpec
from jetrun.actors.commands import StartChild
from jetrun.actors.schedule import SCHEDULE_WORKFLOW
from jetrun.client import Client, OutcomeUnknown, ScheduleStatus
from jetrun.streams.server import EmbeddedServer
from jetrun.streams.subjects import App
from support.nats import delete_streams
from support.processes import Child, Processes
from support.schedule_flows import second, ticked
from support.story import wait_run_events, wait_status

FLOWS = "support.schedule_flows"
EVERY_SECOND = ScheduleSpec(every="1s")
WAIT_S = 20.0


class Crew:
    """The workers of one app, to be killed and started again."""

    def __init__(self, processes: Processes, url: str, app: str) -> None:
        self._processes = processes
        self._where = ("--url", url, "--app", app)
        self.actors: Child
        self.steps: Child

    async def provision(self) -> None:
        provision = self.start("provision", "-m", FLOWS)
        assert await provision.wait_ended() == 0, provision.output

    async def begin(self) -> None:
        await self.provision()
        self.steps = self.start("worker", "steps", "-m", FLOWS)
        await self.steps.wait_line("^ready: ")
        await self.begin_actors()

    async def begin_actors(self) -> None:
        self.actors = self.start("worker", "actors", "-m", FLOWS)
        await self.actors.wait_line("^ready: ")

    def kill_actors(self) -> None:
        """kill -9 for the worker and for its supervisor."""
        os.killpg(self.actors.pid, signal.SIGKILL)
        self.actors.kill()

    def kill_all(self) -> None:
        self.kill_actors()
        self.steps.kill()

    def start(self, *arguments: str) -> Child:
        return self._processes.start_wfctl(*arguments, *self._where)


@pytest.fixture(scope="module")
async def crew(nats_url: str) -> AsyncIterator[tuple[Crew, Client]]:
    app = App(f"sch{secrets.token_hex(4)}")
    with Processes() as processes:
        crew = Crew(processes, nats_url, app.name)
        await crew.begin()
        async with await Client.connect(nats_url, app=app.name) as client:
            yield crew, client
    await delete_streams(nats_url, app)


async def wait_runs(client: Client, schedule: str, count: int) -> ScheduleStatus:
    """Waits until so many runs of a schedule have completed."""
    await wait_run_events(client, SCHEDULE_WORKFLOW, schedule, "child.completed", count)
    return await client.schedules.get(schedule)


async def wait_run_end(client: Client, run: str) -> None:
    """Waits for the end of a run that may be still to come."""
    await wait_status(client, run, "completed")


async def started(client: Client, schedule: str) -> Counter[str]:
    """Counts how often each run was asked for."""
    log = await client.get(SCHEDULE_WORKFLOW, schedule).log()
    return Counter(c.run for record in log for c in record.commands if isinstance(c, StartChild))


def times_of(schedule: str, runs: Counter[str]) -> list[datetime]:
    stamps = sorted(run.removeprefix(f"{schedule}-") for run in runs)
    return [datetime.strptime(f"{stamp}+0000", "%Y%m%dT%H%M%SZ%z") for stamp in stamps]


def check_no_time_is_left_out(schedule: str, runs: Counter[str]) -> None:
    assert set(runs.values()) == {1}
    times = times_of(schedule, runs)
    assert times == [times[0] + timedelta(seconds=n) for n in range(len(times))]


@pytest.mark.slow
async def test_a_schedule_goes_on_after_the_kill_of_its_worker(
    processes: Processes, own_server: EmbeddedServer
) -> None:
    """In the middle of ticks, again and again: each second has its run, and only one."""
    crew = Crew(processes, own_server.url, "default")
    await crew.begin()
    async with await Client.connect(own_server.url, app="default") as client:
        await client.schedules.create("each", ticked.call(0.2, 0.2), EVERY_SECOND, overlap="allow_all")
        for kills in range(1, 3):
            await wait_run_events(client, SCHEDULE_WORKFLOW, "each", "child.started", 2 * kills)
            crew.kill_actors()
            await crew.begin_actors()
        status = await wait_runs(client, "each", 8)

        assert status.missed == status.skipped == status.failed == 0
        check_no_time_is_left_out("each", await started(client, "each"))
        run = status.last_run
        assert str(times_of("each", Counter([run]))[0]) == await client.get(ticked, run).result(timeout=WAIT_S)


@pytest.mark.slow
async def test_times_that_a_dead_server_has_missed_are_made_up_for(
    processes: Processes, own_server: EmbeddedServer
) -> None:
    """All is killed in the middle of a tick. The server fires a delayed message once, however many times have passed:
    catching up is ours.
    """
    crew = Crew(processes, own_server.url, "default")
    await crew.begin()
    async with await Client.connect(own_server.url, app="default") as client:
        await client.schedules.create("each", ticked.call(0.2), EVERY_SECOND, overlap="allow_all")
        await wait_run_events(client, SCHEDULE_WORKFLOW, "each", "child.started", 2)
        crew.kill_all()
        os.kill(own_server.pid, signal.SIGKILL)
        await anyio.sleep(2.5)  # more than two times pass while there is nothing
        own_server.restart()
        await crew.begin()
        status = await wait_runs(client, "each", 6)

        assert status.missed == status.skipped == status.failed == 0
        check_no_time_is_left_out("each", await started(client, "each"))


@pytest.mark.slow
async def test_a_schedule_is_there_before_any_worker_is(
    nats_url: str, app: App, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked for is durable; that nobody has taken it yet is said, and it is taken later."""
    monkeypatch.setattr("jetrun.client.schedules.ORDER_TIMEOUT_S", 1.0)
    crew = Crew(processes, nats_url, app.name)
    await crew.provision()
    async with await Client.connect(nats_url, app=app.name) as client:
        await client.schedules.create("early", ticked.call(), ScheduleSpec(cron="0 0 1 1 *"))
        assert (await client.schedules.get("early")).status == "active"
        with pytest.raises(OutcomeUnknown, match="has not taken it yet"):
            await client.schedules.pause("early")
        await crew.begin_actors()
        await wait_run_events(client, SCHEDULE_WORKFLOW, "early", "hook.received")
        assert (await client.schedules.get("early")).status == "paused"


async def test_orders_are_plain_messages(crew: tuple[Crew, Client]) -> None:
    """What docs/schedules.md shows works from anything that speaks NATS."""
    _, client = crew
    broker, app = client._session.broker, client.app
    where = f"wf.{app}.run.jetrun-schedule.plain"
    start = (
        b'{"args": [{"call": {"workflow": "nightly", "args": ["eu"]}, "schedule": {"spec": {"cron": "30 2 * * *"}}}]}'
    )
    update = b'{"payload": {"order": {"do": "update", "spec": {"cron": "0 3 * * *"}}}}'
    await broker.request(f"{where}.start", start, timeout_s=5)
    await broker.request(f"{where}.hook.order", b'{"id": "p-1", "payload": {"order": {"do": "pause"}}}', timeout_s=5)
    await broker.request(f"{where}.hook.order", update, timeout_s=5)
    await wait_run_events(client, SCHEDULE_WORKFLOW, "plain", "hook.received", 2)

    status = await client.schedules.get("plain")
    assert (status.status, status.spec.cron, bytes(status.args)) == ("paused", "0 3 * * *", b'["eu"]')


@pytest.mark.slow
async def test_a_long_schedule_goes_on_as_new(crew: tuple[Crew, Client]) -> None:
    """More runs than one link of its log holds, each of them once, and steered all the while."""
    _, client = crew
    schedules = client.schedules
    await schedules.create("long", second.call(), ScheduleSpec(every="1m"), overlap="buffer_all", is_paused=True)
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    for hours in (20, 12, 4):
        runs = await schedules.backfill("long", end - timedelta(hours=hours), end - timedelta(hours=max(0, hours - 8)))
        await wait_run_end(client, f"{second.name}/{runs[-1]}")
    await schedules.resume("long")
    status = await schedules.get("long")
    chain = await client.get(SCHEDULE_WORKFLOW, "long").chain()

    assert status.completed >= status.runs - 1 >= 1199
    assert (status.status, status.skipped, status.failed) == ("active", 0, 0)
    assert [link.number for link in chain] == [1, 2]
    assert set((await started(client, "long")).values()) == {1}
    await schedules.delete("long")
    assert (await schedules.get("long")).runs == status.runs


async def test_declared_schedules_begin_with_their_worker(crew: tuple[Crew, Client]) -> None:
    _, client = crew
    await wait_run_events(client, SCHEDULE_WORKFLOW, "auto-nightly", "run.started")
    status = await client.schedules.get("auto-nightly")
    assert status.spec == ScheduleSpec(cron="0 3 * * *", timezone="Europe/Lisbon")
    assert (await wait_runs(client, "auto-second", 2)).workflow == second.name


@pytest.mark.slow
async def test_an_operator_steers_a_schedule_by_wfctl(crew: tuple[Crew, Client]) -> None:
    workers, client = crew

    async def wfctl(*arguments: str, code: int = 0) -> list[str]:
        child = workers.start("schedules", *arguments)
        assert await child.wait_ended() == code, child.output
        return child.lines

    assert await wfctl("create", "hand", "ticked", "0.1", "--cron", "0 9 * * *", "--timezone", "Asia/Tokyo") == [
        "create: schedule hand starts ticked"
    ]
    assert await wfctl("update", "hand", "--jitter", "5m", "--overlap", "buffer_all") == ["update: schedule hand"]
    assert await wfctl("pause", "hand") == ["pause: schedule hand"]
    (run,) = await wfctl("trigger", "hand")
    await wait_status(client, run, "completed")
    assert await wfctl("resume", "hand") == ["resume: schedule hand"]
    (line,) = await wfctl("show", "hand", "--json", "-n", "2")
    shown = json.loads(line)
    assert (shown["status"], shown["runs"], shown["args"]) == ("active", 1, [0.1])
    assert [text[11:] for text in shown["next_times"]] == ["00:00:00Z", "00:00:00Z"]
    shown_lines = await wfctl("show", "hand")
    assert "when:       cron 0 9 * * * Asia/Tokyo, jitter 5m" in shown_lines
    assert sum(text.startswith("next:") for text in shown_lines) == 5
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    back = await wfctl("backfill", "hand", str(today - timedelta(days=2)), str(today - timedelta(seconds=1)))
    assert len(back) == 2
    assert any(text.startswith("hand ") for text in await wfctl("list"))
    assert await wfctl("delete", "hand") == ["delete: schedule hand"]
    assert not any(text.startswith("hand ") for text in await wfctl("list"))
    assert any(text.startswith("hand ") for text in await wfctl("list", "--all"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("create", "x", "ticked"), "a schedule needs --cron, --every or --at"),
        (("create", "x", "ticked", "--cron", "99 * * * *"), "minute"),
        (("create", "x.y", "ticked", "--every", "1h"), "schedule id 'x.y' contains '.'"),
        (("create", "x", "ticked", "--every", "1h", "--overlap", "queue"), "use one of skip"),
        (("create", "x", "ticked", "--at", "2027-01-01T00:00:00"), "has no time zone"),
        (("create", "x", "ticked", "--every", "1h", "--catch-up", "1s"), "use '2s' or more"),
        (("update", "x"), "nothing to change"),
        (("show", "nope"), "no schedule 'nope'"),
        (("pause", "nope"), "no schedule 'nope'"),
        (("backfill", "x", "yesterday", "today"), "'yesterday' is no time"),
    ],
)
async def test_what_cannot_be_is_told_in_one_line(
    crew: tuple[Crew, Client], arguments: tuple[str, ...], told: str
) -> None:
    child = crew[0].start("schedules", *arguments)

    assert await child.wait_ended() in (1, 2)
    assert len(child.lines) == 1, child.output
    assert told in child.lines[0]


async def test_lists_of_runs_leave_schedules_out(crew: tuple[Crew, Client]) -> None:
    workers, client = crew
    await wait_runs(client, "auto-second", 2)
    plain = workers.start("runs", "list", "--limit", "0")
    with_them = workers.start("runs", "list", "--limit", "0", "--schedules")
    for child in (plain, with_them):
        assert await child.wait_ended() == 0

    assert SCHEDULE_WORKFLOW not in plain.output
    assert f"{SCHEDULE_WORKFLOW}/auto-second" in with_them.output
