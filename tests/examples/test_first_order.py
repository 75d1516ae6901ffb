"""The first workflow: its events, the export of its log, and the same in one process."""

from __future__ import annotations

from pathlib import Path

from examples.first_order import Order, first_order
from jetrun.client import Client
from support.fleet import Fleet
from support.processes import Processes

STORY = ["run.started", *["step.scheduled", "step.completed"] * 3, "run.completed"]
RESULT = "o-1 is on its way, receipt for 4200 cents"


async def test_every_event_is_in_the_log(client: Client) -> None:
    """Each with its data: what came in, what each step was given and gave, what came out."""
    run = await client.start(first_order.call(Order("o-1", "lamp", 4_200)), run_id="o-1")

    assert await run.result() == RESULT
    events = await run.events()
    assert [event.kind for event in events] == STORY
    assert events[0].data["args"] == [{"id": "o-1", "article": "lamp", "cents": 4_200}]
    given = {event.data["name"]: event.data["args"] for event in events if event.kind == "step.scheduled"}
    assert list(given) == ["accept", "take_payment", "notify"]
    assert given["notify"][1] == "receipt for 4200 cents"
    assert events[-1].data["result"] == RESULT


async def test_exported_log_replays(client: Client, fleet: Fleet, processes: Processes, tmp_path: Path) -> None:
    """A file that needs no server any more."""
    run = await client.start(first_order.call(Order("o-2", "book", 900)), run_id="o-2")
    await run.result()
    file = tmp_path / "o-2.jsonl"
    export = processes.start_wfctl(
        "runs", "export", "first_order/o-2", str(file), "--url", fleet.url, "--app", fleet.app.name
    )
    assert await export.wait_ended() == 0, export.output

    replay = processes.start_wfctl("replay", str(file), "-m", "examples.first_order")

    assert await replay.wait_ended() == 0, replay.output
    assert f"first_order/o-2: {len(await run.log())} records, replays" in replay.lines


async def test_program_prints_its_events(processes: Processes) -> None:
    program = processes.start_python("-m", "examples.first_order")

    assert await program.wait_ended() == 0, program.output
    assert [line.split()[1] for line in program.lines] == STORY


async def test_folder_keeps_the_run_for_the_next_time(processes: Processes, tmp_path: Path) -> None:
    """The second program finds what the first has done: the same lines, and no step runs again."""
    programs = [processes.start_python("-m", "examples.first_order", str(tmp_path / "runs"))]
    assert await programs[0].wait_ended() == 0, programs[0].output
    programs.append(processes.start_python("-m", "examples.first_order", str(tmp_path / "runs")))
    assert await programs[1].wait_ended() == 0, programs[1].output

    assert programs[0].lines == programs[1].lines
    assert [line.split()[1] for line in programs[1].lines] == STORY
