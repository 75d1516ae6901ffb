"""The configuration at work: workers, commands and clients that are told nothing but by a file, and what wins over it."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from jetrun.client import Client
from jetrun.streams.subjects import App
from support.processes import Child, Processes

NOWHERE = "nats://127.0.0.1:1"
FLOWS = """
from uuid import UUID
from jetrun.actors import step, uuid4, workflow

@step
async def greet(name: str, count: int) -> str:
    return " ".join(["hello", name] * count)

@workflow
async def greeting(name: str, count: int = 1) -> str:
    return await greet(f"{name}", count)

@workflow
async def naming() -> UUID:
    return uuid4()
"""


class Project:
    """A folder with code and a configuration, and one below it in which commands are typed."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        self.folder = folder
        self.below = folder / "some" / "where"
        self.below.mkdir(parents=True)
        (folder / ".git").mkdir()
        (folder / "project_flows.py").write_text(FLOWS)
        self._processes = processes

    def configure(self, **settings: object) -> None:
        text = "\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items())
        (self.folder / "jetrun.toml").write_text(text + "\n")

    def start(self, *arguments: str, **environment: str) -> Child:
        return self._processes.start_wfctl(*arguments, cwd=self.below, env=environment)

    async def run(self, *arguments: str, code: int = 0, **environment: str) -> list[str]:
        child = self.start(*arguments, **environment)
        assert await child.wait_ended() == code, child.output
        return child.lines


@pytest.fixture
def project(processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in ("JETRUN_URL", "JETRUN_APP", "JETRUN_MODULES"):
        monkeypatch.delenv(name, raising=False)
    return Project(processes, tmp_path)


async def test_a_project_runs_by_its_file_alone(
    project: Project, nats_url: str, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers, commands and `Client.connect()` get server, app and modules from jetrun.toml; no argument is given."""
    project.configure(url=nats_url, app=app.name, modules=["project_flows"], concurrency=3, log_level="warning")

    await project.run("provision")
    actors, steps = project.start("worker", "actors"), project.start("worker", "steps")
    await actors.wait_line(rf"^ready: actor worker .* app={app.name} workflows=greeting,naming")
    await steps.wait_line(r"^ready: step worker .* queues=default:3")
    typed = await project.run(
        "workflows", "start", "greeting", "--arg", "name=7", "-a", "count=2", "--run-id", "g-1", "--wait"
    )
    monkeypatch.chdir(project.below)
    async with await Client.connect() as client:
        result = await client.get("greeting/g-1").result()

    assert '"hello 7 hello 7"' in typed
    assert result == "hello 7 hello 7"
    assert client.app == app.name
    assert "event" not in actors.output


async def test_argument_beats_environment_beats_file(project: Project, nats_url: str, app: App) -> None:
    """Seen where it counts: which server and which app a command speaks to."""
    look = ("provision", "--dry-run", "-q", "default")

    project.configure(url=nats_url, app="of-file")
    by_file, by_environment, by_argument = await asyncio.gather(
        project.run(*look),
        project.run(*look, JETRUN_APP="of-environment"),
        project.run(*look, "--app", app.name, JETRUN_APP="of-environment"),
    )
    assert by_file[-1].startswith("app of-file: ")
    assert by_environment[-1].startswith("app of-environment: ")
    assert by_argument[-1].startswith(f"app {app.name}: ")

    project.configure(url=NOWHERE, app="of-file")
    by_file, by_environment, wrong_environment, by_argument = await asyncio.gather(
        project.run(*look, code=70),
        project.run(*look, JETRUN_URL=nats_url),
        project.run(*look, code=70, JETRUN_URL=NOWHERE),
        project.run(*look, "--url", nats_url, JETRUN_URL=NOWHERE),
    )
    assert NOWHERE in by_file[-1]
    assert by_environment[-1].startswith("app of-file: ")
    assert NOWHERE in wrong_environment[-1]
    assert by_argument[-1].startswith("app of-file: ")


async def test_worker_takes_modules_of_the_nearest_source(project: Project, nats_url: str, app: App) -> None:
    """Modules that are typed are looked for where they are typed, those of the file beside the file."""
    project.configure(url=nats_url, app=app.name, modules=["no_such_module"])
    (project.below / "typed_flows.py").write_text(FLOWS)

    broken = await project.run("worker", "steps", code=1)
    typed = await project.run("workflows", "list", "-m", "typed_flows")
    named = await project.run("workflows", "list", "--json", JETRUN_MODULES="typed_flows")

    assert broken[-1].startswith("error: module 'no_such_module' does not import")
    assert str(project.folder) in broken[-1]
    assert [line.split()[0] for line in typed] == ["WORKFLOW", "greeting", "naming"]
    assert [json.loads(line)["module"] for line in named] == ["typed_flows"] * 2


async def test_an_export_says_its_app_so_that_it_replays_anywhere(project: Project, nats_url: str, app: App) -> None:
    """`uuid4` depends on the app: without its name the log would seem to be of other code."""
    project.configure(url=nats_url, app=app.name, modules=["project_flows"])
    await project.run("provision")
    actors = project.start("worker", "actors")
    await actors.wait_line(r"^ready: actor worker ")
    await project.run("workflows", "start", "naming", "--run-id", "n-1", "--wait")
    file = project.folder / "runs.jsonl"

    written = await project.run("runs", "export", "naming/n-1", str(file))
    folder = await project.run("runs", "export", "naming/n-1", str(project.folder), code=2)
    nobody = await project.run("runs", "export", "naming/nobody", str(project.folder / "none.jsonl"), code=1)
    project.configure(url=NOWHERE, modules=["project_flows"])
    replayed = await project.run("replay", str(file))
    elsewhere = await project.run("replay", str(file), "--app", "other", code=1)

    assert written == [f"written: {file}"]
    assert {json.loads(line)["app"] for line in file.read_text().splitlines()} == {app.name}
    assert "is a folder" in folder[-1]
    assert "no run naming/nobody" in nobody[-1]
    assert [path.name for path in project.folder.iterdir() if "none" in path.name] == []
    assert re.fullmatch(r"naming/n-1: \d records, replays", replayed[-1])
    assert elsewhere != replayed


async def test_runs_are_listed_since(project: Project, nats_url: str, app: App) -> None:
    """A span back from now, or a day."""
    project.configure(url=nats_url, app=app.name, modules=["project_flows"])
    await project.run("provision")
    actors = project.start("worker", "actors")
    await actors.wait_line(r"^ready: actor worker ")
    await project.run("workflows", "start", "naming", "--run-id", "n-1", "--wait")

    within = await project.run("runs", "list", "--since", "1h", "--workflow", "naming", "--status", "completed")
    before = await project.run("runs", "list", "--since", "2999-01-01")
    wrong = await project.run("runs", "list", "--since", "yesterday", code=2)

    assert [line.split()[:2] for line in within[1:]] == [["naming/n-1", "completed"]]
    assert before == ["no runs"]
    assert "--since" in wrong[-1]


@pytest.mark.slow
async def test_the_skeleton_runs_and_its_test_passes(processes: Processes, tmp_path: Path) -> None:
    """What `wfctl init` writes is true: its commands work, in order, and so does `pytest`."""
    folder = tmp_path / "shop"
    init = processes.start_wfctl("init", str(folder))
    assert await init.wait_ended() == 0, init.output

    tested = processes.start_python("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=folder)
    dev = processes.start_wfctl("dev", "--port", "0", cwd=folder)
    url = (await dev.wait_line(r"^server: (nats://\S+),"))[1]
    await dev.wait_line(r"^ready: actor worker ")
    await dev.wait_line(r"^ready: step worker ")
    command = next(line for line in (folder / "README.md").read_text().splitlines() if "workflows start" in line)
    started = processes.start_wfctl(*command.split()[1:], cwd=folder, env={"JETRUN_URL": url})
    by_json = processes.start_wfctl("start", "order", '"pen"', "--wait", cwd=folder, env={"JETRUN_URL": url})

    assert await started.wait_ended() == 0, started.output
    assert '"shipped 2 x book"' in started.lines
    assert await by_json.wait_ended() == 0, by_json.output
    assert '"shipped 1 x pen"' in by_json.lines
    assert await tested.wait_ended(timeout_s=40) == 0, tested.output
    assert "2 passed" in tested.output
    dev.interrupt()
    assert await dev.wait_ended() == 130
