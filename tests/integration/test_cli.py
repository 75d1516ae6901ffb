"""wfctl as people and service managers use it: real processes, signals, exit codes, nothing left behind."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jetrun.actors.limits import STEP_CANCEL_GRACE_S
from jetrun.streams.subjects import App
from support.nats import delete_streams
from support.processes import Child, Processes

FLOWS = "support.cli_flows"


class Cli:
    """Starts wfctl against one app."""

    def __init__(self, processes: Processes, url: str, app: App) -> None:
        self.app = app
        self.url = url
        self._processes = processes
        self._options = ("--url", url, "--app", app.name)

    def start(self, *arguments: str) -> Child:
        return self._processes.start_wfctl(*arguments, *self._options)

    async def run(self, *arguments: str, code: int = 0) -> list[str]:
        child = self.start(*arguments)
        assert await child.wait_ended() == code, child.output
        return child.lines

    async def fleet(self) -> tuple[Child, Child]:
        """Provisions, and starts an actor worker and a step worker."""
        await self.run("provision", "-m", FLOWS)
        actors, steps = self.start("worker", "actors", "-m", FLOWS), self.start("worker", "steps", "-m", FLOWS)
        await actors.wait_line(r"^ready: actor worker ")
        await steps.wait_line(r"^ready: step worker ")
        return actors, steps


@pytest.fixture
def cli(processes: Processes, nats_url: str, app: App) -> Cli:
    return Cli(processes, nats_url, app)


@pytest.fixture(scope="module")
async def served(nats_url: str) -> AsyncIterator[Cli]:
    """An app with a fleet that all tests share which end nothing but their own runs."""
    app = App(f"cli{secrets.token_hex(4)}")
    with Processes() as processes:
        cli = Cli(processes, nats_url, app)
        await cli.fleet()
        yield cli
    await delete_streams(nats_url, app)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    if sys.platform != "linux":
        return True
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


async def pid_in(child: Child, what: str) -> int:
    """Reads a worker's process id from its id in the ready line."""
    return int((await child.wait_line(rf"^ready: {what} \S+-(\d+)-[0-9a-f]+ "))[1])


# --- a run from start to end -----------------------------------------------------------------------------


async def test_a_run_is_started_answered_watched_and_exported(served: Cli) -> None:
    """The whole of a run from the command line alone."""
    cli = served

    assert await cli.run("start", "approved", '"ann"', "--run-id", "a-1") == ["approved/a-1"]
    tail = cli.start("tail", "approved/a-1")
    await tail.wait_line("hook.opened")
    assert "hook approval of type Approval" in "\n".join(await cli.run("runs", "show", "a-1"))
    await cli.run("hooks", "send", "approved/a-1", "approval", '{"ok": true}')

    assert await tail.wait_ended() == 0
    assert tail.lines[-1].endswith('"hello ann"')
    assert 'result:     "hello ann"' in await cli.run("runs", "show", "approved/a-1")
    exported = [json.loads(line) for line in await cli.run("runs", "export", "approved/a-1")]
    assert [line["record"]["k"] for line in exported] == list(range(1, len(exported) + 1))
    assert [line["hash"] for line in exported[:-1]] == [line["record"]["prev"] for line in exported[1:]]


async def test_a_run_is_asked_and_updated(served: Cli) -> None:
    """Answers alone on standard output; what went wrong in one line, with a code that scripts can rely on."""
    cli = served
    await cli.run("start", "counting", "--run-id", "c-1")

    assert await cli.run("update", "counting/c-1", "count", "[3]", "--id", "three") == ["3"]
    assert await cli.run("update", "c-1", "count", "[3]", "--id", "three") == ["3"]
    counted, shown, failed, [unknown], [typo] = await asyncio.gather(
        cli.run("query", "c-1", "counted"),
        cli.run("runs", "show", "c-1"),
        cli.run("update", "c-1", "count", "[-1]", code=1),
        cli.run("query", "c-1", "tally", code=1),
        cli.run("update", "c-1", "count", "3", code=2),
    )
    assert counted == ["3"]
    assert "says:       total 3" in shown
    assert failed == ["error: update 'count' of run counting/c-1 failed: ValueError: no going back"]
    assert unknown.endswith("the run has no handler of query 'tally'; it has: counted")
    assert "is no JSON array or object" in typo
    await cli.run("runs", "terminate", "c-1")
    counted, [ended] = await asyncio.gather(
        cli.run("query", "c-1", "counted"), cli.run("update", "c-1", "count", "[1]", code=1)
    )
    assert counted == ["3"]
    assert "is terminated since" in ended


async def test_start_and_wait_prints_the_result_alone_on_standard_output(served: Cli) -> None:
    """`wfctl start … --wait | jq` works."""
    cli = served

    child = cli.start("start", "greeting", '"ann"', "--wait")
    assert await child.wait_ended() == 0
    failed = cli.start("start", "failing", r'"no\u001b[2J luck"', "--wait")

    assert '"hello ann"' in child.lines
    assert await failed.wait_ended() == 1
    assert r"no\x1b[2J luck" in failed.output
    assert "\x1b" not in failed.output


async def test_tail_of_a_workflow_as_json_ends_clean_on_ctrl_c(served: Cli) -> None:
    """130 and no traceback, however long it has run."""
    tail = served.start("tail", "napping/", "--json")
    await served.run("start", "napping", "0.01", "--run-id", "n-1")
    await tail.wait_line('"run.completed"')

    tail.interrupt()

    assert await tail.wait_ended() == 130
    kinds = [json.loads(line)["kind"] for line in tail.lines]
    assert kinds == ["run.started", "timer.started", "timer.fired", "run.completed"]


async def test_reader_that_leaves_ends_tail_quietly(served: Cli, processes: Processes) -> None:
    """`wfctl tail | head -1` shows no BrokenPipeError."""
    await served.run("start", "greeting", '"ann"')
    call = f"{sys.executable} -m jetrun.cli tail --url {served.url} --app {served.app.name} | head -1"
    piped = processes.start(["sh", "-c", call], cwd=Path("/"))

    await piped.wait_line("run.started")
    await served.run("start", "greeting", '"bob"')

    assert await piped.wait_ended() == 0
    assert len(piped.lines) == 1


# --- workers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_workers_drain_on_a_signal(cli: Cli, number: signal.Signals, code: int) -> None:
    """A deploy ends workers with SIGTERM, a person with Ctrl-C; both are graceful."""
    workers = await cli.fleet()

    for worker in workers:
        worker.signal(number)

    assert [await worker.wait_ended() for worker in workers] == [code, code]
    assert [sum("ready:" in line for line in worker.lines) for worker in workers] == [1, 1]


async def test_running_step_is_finished_before_a_step_worker_ends(cli: Cli, tmp_path: Path) -> None:
    """A drain loses no work that is nearly done."""
    _, steps = await cli.fleet()
    mark = tmp_path / "began"
    waiting = cli.start("start", "slow", json.dumps(str(mark)), "--wait")
    await wait_for_file(mark)

    steps.terminate()

    assert await steps.wait_ended() == 0
    assert await waiting.wait_ended() == 0
    assert '"waited"' in waiting.lines


async def test_second_sigterm_ends_a_worker_at_once(cli: Cli, tmp_path: Path) -> None:
    """Whoever is in a hurry may be."""
    _, steps = await cli.fleet()
    mark = tmp_path / "began"
    await cli.run("start", "slow", json.dumps(str(mark)), "60")
    await wait_for_file(mark)

    steps.terminate()
    await steps.wait_line("steps.draining")
    steps.terminate()

    assert await steps.wait_ended(timeout_s=STEP_CANCEL_GRACE_S - 1) == 1


async def test_killed_supervisor_takes_its_worker_with_it(cli: Cli) -> None:
    """Nothing is orphaned by kill -9."""
    actors, _ = await cli.fleet()
    worker = await pid_in(actors, "actor worker")
    assert worker != actors.pid

    actors.kill()

    deadline = time.monotonic() + 5.0  # an orphan would live on for as long as it likes
    while is_alive(worker) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(worker)


async def test_killed_worker_ends_its_supervisor_with_the_signals_code(cli: Cli) -> None:
    """A service manager sees the crash and restarts both."""
    actors, _ = await cli.fleet()

    os.kill(await pid_in(actors, "actor worker"), signal.SIGKILL)

    assert await actors.wait_ended() == 128 + signal.SIGKILL
    assert actors.lines[-1] == "actor worker: was killed by SIGKILL"


async def test_worker_that_a_workflow_blocks_is_replaced(cli: Cli) -> None:
    """One workflow that blocks costs its own run alone: it is parked, the others go on (R16)."""
    await cli.run("provision", "-m", FLOWS)
    actors = cli.start("worker", "actors", "-m", FLOWS, "--blocked-warn", "0.3", "--blocked-max", "1")
    steps = cli.start("worker", "steps", "-m", FLOWS)
    await steps.wait_line("^ready:")
    first = await pid_in(actors, "actor worker")
    await cli.run("start", "blocking", '"python"', "--run-id", "b-1")

    await actors.wait_line(rf"^ready: actor worker \S+-(?!{first}-)\d+-", after=1)

    assert '"hello ann"' in await cli.run("start", "greeting", '"ann"', "--wait")
    await wait_for_status(cli, "blocking/b-1", "parked")


@pytest.mark.slow
async def test_worker_that_cannot_even_watch_itself_is_replaced(cli: Cli) -> None:
    """A process that is stopped whole is killed by its supervisor, and the run that did it is parked (R16)."""
    await cli.run("provision", "-m", FLOWS)
    actors = cli.start("worker", "actors", "-m", FLOWS, "--blocked-warn", "0.3", "--blocked-max", "1")
    first = await pid_in(actors, "actor worker")
    await cli.run("start", "blocking", '"stop"', "--run-id", "b-1")

    await actors.wait_line("gave no sign of life for 6 s while it ran blocking/b-1: killed, to be replaced")
    await actors.wait_line(rf"^ready: actor worker \S+-(?!{first}-)\d+-", after=1)

    await wait_for_status(cli, "blocking/b-1", "parked")


# --- what is wrong ----------------------------------------------------------------------------------------------


async def test_worker_without_provisioning_names_the_command(cli: Cli, app: App) -> None:
    """The way out is in the line."""
    for kind in ("actors", "steps"):
        (line,) = await cli.run("worker", kind, "-m", FLOWS, code=1)
        assert f"run `wfctl provision -m {FLOWS} --app {app.name}`" in line


async def test_doctor_finds_what_is_missing_and_what_mends_it(served: Cli, cli: Cli, app: App) -> None:
    """Exit 1 while something is wrong, 0 when all is well."""
    before = await cli.run("doctor", "-m", FLOWS, code=1)
    after = await served.run("doctor", "-m", FLOWS, "--json")

    assert f"-> wfctl provision -m {FLOWS} --app {app.name}" in "\n".join(before)
    levels = {json.loads(line)["what"]: json.loads(line)["level"] for line in after}
    assert (levels["streams"], levels["actor worker"], levels["step worker"]) == ("ok", "ok", "ok")
    assert levels["durability"] == levels["accounts"] == "warning"


async def test_fleet_and_queues_are_shown(served: Cli) -> None:
    """Who is there, and what waits."""
    workers = [json.loads(line) for line in await served.run("workers", "--json")]
    queues = [json.loads(line) for line in await served.run("queues", "--json")]

    assert sorted(worker["kind"] for worker in workers) == ["actors", "steps"]
    assert [(queue["queue"], queue["workers"]) for queue in queues] == [("default", 1)]


async def test_provision_says_what_it_does_and_then_does_nothing(cli: Cli, app: App) -> None:
    """Safe to repeat; a dry run changes nothing."""
    dry = await cli.run("provision", "-m", FLOWS, "--partitions", "4", "--dry-run")
    made = await cli.run("provision", "-m", FLOWS, "--partitions", "4")
    again = await cli.run("provision", "-m", FLOWS)

    assert "nothing was changed" in dry[-1]
    assert f"created stream WF_{app.name}_MAIL" in made
    assert again == [f"app {app.name} is provisioned, 0 changes"]


async def test_port_and_store_in_use_are_told_apart(processes: Processes, nats_url: str, tmp_path: Path) -> None:
    """Two different problems with two different ways out."""
    port = nats_url.rpartition(":")[2]
    server = processes.start_wfctl("server", "--port", "0", "--store", str(tmp_path / "a"))
    await server.wait_line("^ready: server nats://")

    taken = processes.start_wfctl("server", "--port", port, "--store", str(tmp_path / "b"))
    held = processes.start_wfctl("server", "--port", "0", "--store", str(tmp_path / "a"))

    assert (await taken.wait_ended(), await held.wait_ended()) == (1, 1)
    assert f"error: port {port} of 127.0.0.1 is in use" in taken.output
    assert "is served at nats://" in held.output
    server.terminate()
    assert await server.wait_ended() == 0


async def test_tail_ends_with_70_when_the_server_is_gone_for_good(processes: Processes, tmp_path: Path) -> None:
    """Its own exit code, and one line."""
    server = processes.start_wfctl("server", "--port", "0", "--store", str(tmp_path))
    url = (await server.wait_line("^ready: server (.*)"))[1]
    cli = Cli(processes, url, App("lost"))
    await cli.run("provision", "--queue", "default")
    tail = cli.start("tail")
    time.sleep(0.5)

    server.terminate()

    assert await tail.wait_ended(timeout_s=40) == 70
    assert tail.lines[-1].startswith("error: ")


# --- dev and demo ---------------------------------------------------------------------------------------------------


async def test_dev_runs_all_in_one_and_leaves_nothing(processes: Processes, tmp_path: Path) -> None:
    """One command to try an app; Ctrl-C ends server and workers; the next one finds the runs where they were."""
    dev = processes.start_wfctl("dev", "-m", FLOWS, "--port", "0", "--store", str(tmp_path))
    url = (await dev.wait_line(r"^server: (nats://\S+),"))[1]
    await dev.wait_line("^ready: actor worker")
    await dev.wait_line("^ready: step worker")
    worker = await pid_in(dev, "actor worker")
    cli = Cli(processes, url, App())
    assert '"hello ann"' in await cli.run("start", "greeting", '"ann"', "--run-id", "g-1", "--wait")

    dev.interrupt()
    assert await dev.wait_ended() == 130
    assert not is_alive(worker)
    await cli.run("runs", "list", code=70)

    again = processes.start_wfctl("dev", "-m", FLOWS, "--port", "0", "--store", str(tmp_path))
    url = (await again.wait_line(r"^server: (nats://\S+),"))[1]
    await again.wait_line("^ready: actor worker")
    shown = await Cli(processes, url, App()).run("runs", "show", "greeting/g-1")
    assert "status:     completed" in shown
    again.terminate()
    assert await again.wait_ended() == 0


async def test_dev_with_a_module_that_does_not_import_is_one_line(processes: Processes, tmp_path: Path) -> None:
    """The error is the last line, and nothing stays behind."""
    dev = processes.start_wfctl("dev", "-m", "no_such_module", "--port", "0", "--store", str(tmp_path))

    assert await dev.wait_ended() == 1
    assert dev.lines[-1].startswith("error: module 'no_such_module' does not import")


async def test_demo_audits_this_environment_and_leaves_nothing(processes: Processes, tmp_path: Path) -> None:
    """The first thing that anybody runs: no input, a report, exit 0, no traces."""
    demo = processes.start_wfctl("demo", env={"TMPDIR": str(tmp_path)})

    assert await demo.wait_ended(timeout_s=50) == 0
    assert any(line.strip().startswith("distributions:") for line in demo.lines)
    assert "  approved by:     wfctl demo" in demo.lines
    assert any("nats req" in line for line in demo.lines)
    assert not list(tmp_path.glob("jetrun-demo-*"))
    assert "told twice" not in demo.output


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 1)])
async def test_interrupted_demo_leaves_nothing(
    processes: Processes, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """Ctrl-C in the middle ends server and workers and removes the store."""
    demo = processes.start_wfctl("demo", env={"TMPDIR": str(tmp_path)})
    pid = int((await demo.wait_line(r"^process: wfctl worker steps \(pid (\d+)\)"))[1])

    demo.signal(number)

    assert await demo.wait_ended() == code
    assert not is_alive(pid)
    assert not list(tmp_path.glob("jetrun-demo-*"))
    assert "Traceback" not in demo.output


# --- waiting --------------------------------------------------------------------------------------------------------


async def wait_for_file(path: Path, timeout_s: float = 20.0) -> None:
    """Waits until another process has written a file: files tell nobody."""
    deadline = time.monotonic() + timeout_s
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} was not written in {timeout_s} s"
        time.sleep(0.02)


async def wait_for_status(cli: Cli, run: str, status: str, timeout_s: float = 20.0) -> None:
    """Reads a run's status until it is the one wanted."""
    deadline = time.monotonic() + timeout_s
    while f"status:     {status}" not in (shown := await cli.run("runs", "show", run)):
        assert time.monotonic() < deadline, "\n".join(shown)


# --- replay ----------------------------------------------------------------------------------------------


CHANGED = """
from jetrun.actors import sleep, workflow
from support.cli_flows import greet

@workflow
async def greeting(name: str) -> str:
    await sleep(1)
    return await greet(name)
"""


async def test_logs_are_replayed_against_the_code_of_today(served: Cli, processes: Processes, tmp_path: Path) -> None:
    """A change that would park runs fails in CI, before it is deployed."""
    await served.run("start", "greeting", '"ann"', "--run-id", "g-1", "--wait")
    await served.run("start", "failing", '"no luck"', "--run-id", "f-1")
    exported = tmp_path / "runs.jsonl"
    exported.write_text("\n".join(await served.run("runs", "export", "greeting/g-1")) + "\n")
    (tmp_path / "changed_flows.py").write_text(CHANGED)
    where = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[1]}"}

    same = await served.run("replay", "greeting/g-1", str(exported), "-m", FLOWS)
    changed = processes.start_wfctl("replay", str(exported), "-m", "changed_flows", "--app", served.app.name, env=where)

    assert same == ["greeting/g-1: 2 records, replays"] * 2
    assert await changed.wait_ended() == 1
    assert "the log holds step 'greet'" in changed.output
    assert "the code asked for timer (sleep)" in changed.output
    assert "changed_flows.py:7" in changed.output


async def test_what_cannot_be_replayed_is_said_in_one_line(served: Cli, tmp_path: Path) -> None:
    """A typo must not look like a log that replays."""
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"workflow":"greeting","run":"g-1","hash":"x","record":{}}\n')

    typo = await served.run("replay", "no-such-file.jsonl", "-m", FLOWS, code=2)
    unreadable = await served.run("replay", str(broken), "-m", FLOWS, code=1)
    unknown = await served.run("replay", "greeting/nobody", "-m", FLOWS, code=1)

    assert "neither a file nor a run" in typo[-1]
    assert "broken.jsonl, line 1: not a record" in unreadable[-1]
    assert unknown == ["greeting/nobody: no records: no such run, or its log is gone"]
