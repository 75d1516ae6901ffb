"""What commands print, on the in-memory twin: reading runs, steering them, answering hooks."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest

from jetrun.actors.commands import Command, OpenHook, RunStep, StartChild
from jetrun.actors.errors import ErrorInfo, InvalidName, RunNotFound
from jetrun.actors.messages import Hook, Parent, Ref
from jetrun.actors.names import RunKey
from jetrun.actors.records import Folded, OpenWait, Summary, record_hash
from jetrun.actors.workflow import Call
from jetrun.cli import dead, runs, start, tail
from jetrun.cli.exits import Stopped, UsageProblem
from jetrun.cli.lookup import find_run, find_run_or_workflow
from jetrun.cli.run_view import export_run, show_run
from jetrun.streams.ports import Outgoing
from jetrun.streams.reindex import reindex
from support.client_rig import APP, KEY, ClientRig, on_twin
from support.screen import Screen

OTHER = RunKey("invoice", "o-1")
WAITING = Summary(
    status="running", started_at_us=1_700_000_000_000_000, hooks_open=[OpenWait(n=1, name="approval", type="Approval")]
)


def folded(verb: str, body: str, name: str = "", seq: int = 1) -> Folded:
    return Folded(
        source="m", seq=seq, at_us=1_700_000_000_000_000, verb=verb, name=name, body=msgspec.Raw(body.encode())
    )


def step(n: int, name: str) -> RunStep:
    return RunStep(n=n, name=name, queue="default", args=msgspec.Raw(b'["o-1"]'), hash="h")


async def run_an_order(rig: ClientRig, key: RunKey = KEY) -> None:
    await rig.record(
        key, start=rig.mark("o-1"), messages=[folded("start", '{"args":["o-1"]}')], commands=[step(1, "charge")]
    )
    result = '{"command":1,"attempt":1,"token":"t","result":"\\u001b[31m\u202eok","worker":"w"}'
    await rig.record(key, start=rig.mark("o-1"), messages=[folded("step", result, seq=2)])


# --- tail ------------------------------------------------------------------------------------------


@on_twin
async def test_tail_of_a_run_ends_with_it(rig: ClientRig) -> None:
    """A script that tails a run goes on when it has ended."""
    await run_an_order(rig)
    await rig.end("o-1", result="done")
    screen = Screen(rig)

    await tail.follow(screen.connection, "order/o-1")

    assert [line.split()[1] for line in screen.lines] == [
        "run.started",
        "step.scheduled",
        "step.completed",
        "run.completed",
    ]
    assert screen.lines[2].endswith(r'#1 charge "\u001b[31m\u202eok"')
    assert screen.lines[3].endswith('"done"')


@on_twin
async def test_tail_finds_a_run_by_its_id_alone(rig: ClientRig) -> None:
    """The workflow may be left out where it is unambiguous."""
    await run_an_order(rig)
    await rig.end("o-1", result=1)
    screen = Screen(rig, is_json=True)

    await tail.follow(screen.connection, "o-1")

    assert screen.json[-1] | {"at_us": 0} == {
        "workflow": "order",
        "run": "o-1",
        "k": 3,
        "at_us": 0,
        "kind": "run.completed",
        "n": 0,
        "text": "1",
        "data": {"result": 1},
    }


@on_twin
async def test_an_id_of_two_workflows_is_ambiguous(rig: ClientRig) -> None:
    """Nobody is shown, or steers, a run that was not meant."""
    await run_an_order(rig, KEY)
    await run_an_order(rig, OTHER)
    screen = Screen(rig)

    with pytest.raises(UsageProblem, match="ambiguous: write one of invoice/o-1, order/o-1"):
        await find_run(screen.connection, "o-1")


@on_twin
async def test_a_name_of_a_run_and_a_workflow_is_ambiguous(rig: ClientRig) -> None:
    """A workflow can be called as a run is."""
    await run_an_order(rig, RunKey("a", "order"))
    await run_an_order(rig, KEY)
    screen = Screen(rig)

    with pytest.raises(UsageProblem, match="write one of a/order, order/"):
        await find_run_or_workflow(screen.connection, "order")
    assert await find_run(screen.connection, "order") == RunKey("a", "order")


@on_twin
async def test_unknown_and_impossible_names_are_told_apart(rig: ClientRig) -> None:
    """What cannot be a name never reaches a subject; what is not there says how to wait for it."""
    screen = Screen(rig)

    with pytest.raises(RunNotFound, match="to wait for one write"):
        await find_run_or_workflow(screen.connection, "nobody")
    for bad in ("*", "a.b", "a b", ">", "order/*x"):
        with pytest.raises(InvalidName):
            await find_run(screen.connection, bad)


# --- runs --------------------------------------------------------------------------------------------


@on_twin
async def test_list_shows_the_last_changes_and_says_what_it_left_out(rig: ClientRig) -> None:
    """A list stays readable with a million runs."""
    for number in range(5):
        await rig.index("open", RunKey("order", f"o-{number}"), "running")
    screen = Screen(rig)

    await runs.list_runs(screen.connection, None, None, 2)

    assert [line.split()[0] for line in screen.lines[1:3]] == ["order/o-3", "order/o-4"]
    assert screen.lines[3].startswith("3 more")


@on_twin
async def test_list_as_json_has_a_line_for_each_run(rig: ClientRig) -> None:
    """Programs get names and all that the index holds."""
    await rig.index("open", KEY, "running")
    await rig.index("ended", OTHER, "completed")
    screen = Screen(rig, is_json=True)

    await runs.list_runs(screen.connection, None, "completed", 0)

    assert screen.json == [
        {"workflow": "invoice", "run": "o-1", "status": "completed", "started_at_us": 5} | screen.json[0]
    ]
    assert screen.json[0]["workflow"] == "invoice"


@on_twin
async def test_show_tells_why_a_run_failed(rig: ClientRig) -> None:
    """The remote traceback is here, line by line, and cannot harm the terminal."""
    await rig.fail(ErrorInfo(type="ValueError", message="bad\x1b[2J", traceback="Traceback:\n  line \x07 1"))
    screen = Screen(rig)

    await show_run(screen.connection, "order/o-1")

    assert r"error:      ValueError: bad\x1b[2J" in screen.lines
    assert screen.lines[-3:] == ["--- remote traceback ---", "Traceback:", r"  line \x07 1"]


@on_twin
async def test_show_has_the_result(rig: ClientRig) -> None:
    """A person sees it on the last line, a program under `result`."""
    await rig.end("o-1", result={"total": 4200})
    text, data = Screen(rig), Screen(rig, is_json=True)

    await show_run(text.connection, "o-1")
    await show_run(data.connection, "o-1")

    assert text.lines[-1] == 'result:     {"total":4200}'
    assert (data.json[0]["status"], data.json[0]["result"]) == ("completed", {"total": 4200})


@on_twin
async def test_show_of_no_run_says_so(rig: ClientRig) -> None:
    """One clear line and exit code 1."""
    with pytest.raises(RunNotFound, match="no run order/nobody in app 't'"):
        await show_run(Screen(rig).connection, "order/nobody")


@on_twin
async def test_children_are_listed_with_where_they_stand(rig: ClientRig) -> None:
    """Ended ones too, and those that were given up before they began."""
    commands: list[Command] = [
        StartChild(n=1, workflow="invoice", run="o-1", hash="h"),
        StartChild(n=2, workflow="invoice", run="order-o-1-2", hash="h"),
    ]
    await rig.record(KEY, start=rig.mark("o-1"), messages=[folded("start", "{}")], commands=commands)
    parent = Parent(workflow=KEY.workflow, run=KEY.run, command=1)
    mark = msgspec.structs.replace(rig.mark("o-1"), parent=parent)
    await rig.record(OTHER, start=mark, messages=[folded("start", "{}")], summary=WAITING)
    text, data, none = Screen(rig), Screen(rig, is_json=True), Screen(rig)

    await runs.list_children(text.connection, "order/o-1")
    await runs.list_children(data.connection, "order/o-1")
    await runs.list_children(none.connection, "invoice/o-1")
    await show_run(none.connection, "invoice/o-1")

    assert [line.split()[:2] for line in text.lines[1:]] == [["invoice/o-1", "running"], ["invoice/order-o-1-2", "not"]]
    assert data.json[0] == {"workflow": "invoice", "run": "o-1", "status": "running"}
    assert none.lines[0] == "no children"
    assert "child of:   order/o-1" in none.lines


@on_twin
async def test_log_prints_events_without_following(rig: ClientRig) -> None:
    """`runs log` ends where the log ends, also while the run goes on."""
    await run_an_order(rig)
    screen = Screen(rig)

    await runs.print_log(screen.connection, "order/o-1")

    assert len(screen.lines) == 3


@on_twin
async def test_export_holds_all_records_and_large_values(rig: ClientRig) -> None:
    """What is exported can be replayed elsewhere, and checked for gaps."""
    value = b'"' + b"x" * 100 + b'"'
    digest = hashlib.sha256(value).hexdigest()
    await rig.worker.put_object(APP.values, f"order/o-1/{digest}", value)
    pretty = f'{{\n "args": [],\n "ref": {{"sha256": "{digest}", "size": {len(value)}}}\n}}'
    await rig.record(start=rig.mark("o-1"), messages=[folded("start", pretty)])
    await rig.end("o-1", result=1)
    screen = Screen(rig, is_json=True)

    await export_run(screen.connection, "order/o-1")

    first, last, large = screen.json
    stored = await rig.worker.read(APP.log, APP.log_of(KEY))
    assert first["hash"] == record_hash(stored[0].payload) == last["record"]["prev"]
    assert (first["record"]["k"], last["record"]["k"], last["record"]["outcome"]["result"]) == (1, 2, 1)
    assert large == {"workflow": "order", "run": "o-1", "app": "t", "sha256": digest, "value": "x" * 100}


@on_twin
async def test_export_says_what_is_gone(rig: ClientRig) -> None:
    """A value that retention has taken does not keep the rest from being exported."""
    ref = Ref(sha256="0" * 64, size=3)
    body = msgspec.json.encode(Hook(ref=ref)).decode()
    await rig.record(
        start=rig.mark("o-1"), messages=[folded("hook", body, "approval")], commands=[OpenHook(n=1, name="approval")]
    )
    screen = Screen(rig, is_json=True)

    await export_run(screen.connection, "order/o-1")

    assert len(screen.lines) == 1


@on_twin
async def test_steering_says_what_was_sent_or_how_the_run_had_ended(rig: ClientRig) -> None:
    """Cancelling twice is no error; the second time there is nothing to cancel."""
    await rig.begin("o-1")
    screen = Screen(rig)

    await runs.steer(screen.connection, "o-1", "cancel", lambda handle: handle.cancel(reason="late"))
    await rig.end("o-1")
    await runs.steer(screen.connection, "order/o-1", "cancel", lambda handle: handle.cancel())

    assert screen.lines == ["cancel: sent to order/o-1", "cancel: order/o-1 is completed"]
    assert [verb for verb, _ in await rig.mail()] == ["cancel"]


# --- start ---------------------------------------------------------------------------------------------


@on_twin
async def test_start_sends_the_arguments_as_typed(rig: ClientRig) -> None:
    """JSON from the command line is the workflow's, digit for digit."""
    screen = Screen(rig)
    call: Call[Any] = Call("order", b'["o-1",1.10]', b'{"cents":1}', msgspec.Raw)

    await start.start_run(screen.connection, call, "o-1", "existing", wait=False)

    (body,) = await rig.starts()
    assert (bytes(body.args), bytes(body.kwargs or b"")) == (b'["o-1",1.10]', b'{"cents":1}')
    assert screen.lines == ["order/o-1"]


@on_twin
async def test_start_and_wait_prints_the_result_alone(rig: ClientRig) -> None:
    """The result can be piped: the run's name goes to standard error."""
    await rig.end("o-1", result={"ok": True})
    screen = Screen(rig)

    await start.start_run(screen.connection, Call("order", b'["o-1"]', None, msgspec.Raw), "o-1", "existing", wait=True)

    assert screen.lines == ['{"ok":true}']


@on_twin
async def test_start_and_wait_for_a_run_that_failed(rig: ClientRig) -> None:
    """Exit code 1, and where the traceback is."""
    await rig.fail(ErrorInfo(type="ValueError", message="boom"))

    with pytest.raises(Stopped) as stopped:
        await start.start_run(
            Screen(rig).connection, Call("order", b'["o-1"]', None, msgspec.Raw), "o-1", "existing", wait=True
        )

    assert stopped.value.code == 1


def test_made_up_run_ids_are_names_and_differ() -> None:
    """A run without an id of its own is as good as any other."""
    first, second = start.new_run_id(), start.new_run_id()

    assert first != second
    assert first[:2] == "r-"


# --- dead letters ----------------------------------------------------------------------------------------------


@on_twin
async def test_dead_letters_are_listed_and_shown_whole(rig: ClientRig) -> None:
    """The original bytes are there, and cannot harm the terminal."""
    await rig.bury(b'{"bad\x1b[2J":1}', reason="unknown\nfield")
    listed, shown, data = Screen(rig), Screen(rig), Screen(rig, is_json=True)

    await dead.list_dead(listed.connection, None, 100)
    await dead.show_dead(shown.connection, KEY)
    await dead.show_dead(data.connection, 1)

    assert listed.lines[1].endswith(r"args  s        unknown\nfield")
    assert shown.lines[-1] == r'  body:    {"bad\x1b[2J":1}'
    assert data.json[0]["body"] == '{"bad\x1b[2J":1}'


@on_twin
async def test_dead_letter_that_is_not_there(rig: ClientRig) -> None:
    """One clear line that says where to look."""
    with pytest.raises(UsageProblem, match="wfctl dead list"):
        await dead.show_dead(Screen(rig).connection, 7)


# --- reindex -----------------------------------------------------------------------------------------------------


async def index_subjects(rig: ClientRig) -> list[str]:
    return sorted([stored.subject async for stored in rig.worker.scan(APP.index, f"wf.{APP.name}.index.>")])


@on_twin
async def test_reindex_writes_what_logs_say_and_removes_the_rest(rig: ClientRig) -> None:
    """The index is a cache: it can be rebuilt from logs alone (R20)."""
    await rig.begin("o-1")
    await rig.end("o-1", key=OTHER)
    await rig.record(RunKey("order", "early"), summary=Summary(status="early"))
    await rig.record(RunKey("order", "parked"), summary=Summary(status="parked"))
    await rig.worker.publish(Outgoing(APP.log_of(RunKey("order", "strange")), b"{}"))
    await rig.index("parked", KEY, "parked")
    await rig.index("ended", RunKey("order", "forgotten"), "completed")

    first = await reindex(rig.broker, APP, lambda _: None)
    again = await reindex(rig.broker, APP, lambda _: None)

    wanted = ["ended.invoice.o-1", "open.order.o-1", "parked.order.parked"]
    assert await index_subjects(rig) == [f"wf.{APP.name}.index.{rest}" for rest in wanted]
    assert (first.written, first.removed, first.unreadable) == (3, 2, 1)
    assert (again.written, again.removed) == (3, 0)
