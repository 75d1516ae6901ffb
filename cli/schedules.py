"""`wfctl schedules`: runs at times of the clock."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, cast

import msgspec
import typer

from . import arguments, render
from .closing import closing
from .exits import UsageProblem
from .options import Json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ..actors.schedule import Overlap
    from ..actors.schedule_times import ScheduleSpec
    from ..actors.workflow import Call
    from ..client.schedule_status import ScheduleStatus
    from ..client.schedules import Schedules
    from .connection import Connection

_ARGS_SHOWN: Final = 400

app = typer.Typer(no_args_is_help=True, help="Start runs at times of the clock: create, look at and steer schedules.")

Id: TypeAlias = Annotated[str, typer.Argument(metavar="SCHEDULE", help="The schedule's id.")]
Cron: TypeAlias = Annotated[
    str | None, typer.Option(help="Five fields, or six with the seconds as the last: '*/15 * * * *'.")
]
Timezone: TypeAlias = Annotated[str | None, typer.Option(help="IANA name, for --cron; UTC by default.")]
Every: TypeAlias = Annotated[str | None, typer.Option(help="A duration: 90s, 1h30m.")]
At: TypeAlias = Annotated[list[str] | None, typer.Option("--at", help="A time, ISO 8601 with zone; repeatable.")]
StartAt: TypeAlias = Annotated[str | None, typer.Option(help="The first time that counts.")]
EndAt: TypeAlias = Annotated[str | None, typer.Option(help="The first time that does not count any more.")]
Jitter: TypeAlias = Annotated[str | None, typer.Option(help="Puts each time off by less than this duration.")]
OverlapOption: TypeAlias = Annotated[
    str | None, typer.Option("--overlap", help="skip, buffer_one, buffer_all, cancel_other or allow_all.")
]
CatchUp: TypeAlias = Annotated[
    str | None, typer.Option(help="Make up for times that were missed by no more than this; 1h by default.")
]


@app.command()
def create(
    context: typer.Context,
    schedule: Id,
    workflow: Annotated[str, typer.Argument(help="The workflow's name.")],
    args: Annotated[
        list[str] | None, typer.Argument(metavar="[ARG]...", help="""Arguments, each as JSON: '"o-1"' 4200.""")
    ] = None,
    cron: Cron = None,
    timezone: Timezone = None,
    every: Every = None,
    at: At = None,
    start_at: StartAt = None,
    end_at: EndAt = None,
    jitter: Jitter = None,
    overlap: OverlapOption = None,
    catch_up: CatchUp = None,
    paused: Annotated[bool, typer.Option("--paused", help="Wait for `wfctl schedules resume`.")] = False,
    kwargs: Annotated[str | None, typer.Option(help="Named arguments as a JSON object.")] = None,
) -> None:
    """Create a schedule: when a workflow is started, and with what. The same again changes nothing."""
    from ..actors.names import check_token
    from ..actors.schedule import CATCH_UP, check_schedule_id
    from ..actors.workflow import Call
    from . import connection

    check_schedule_id(schedule)
    positional, named = arguments.parse_args(args or [], None, kwargs, None)
    call: Call[Any] = Call(check_token("workflow name", workflow), positional, named, msgspec.Raw)
    spec = spec_of(
        None, cron=cron, timezone=timezone, every=every, at=at, start_at=start_at, end_at=end_at, jitter=jitter
    )
    chosen, within = overlap_of(overlap), catch_up or CATCH_UP

    async def work(connected: Connection) -> None:
        await connected.client.schedules.create(
            schedule, call, spec, overlap=chosen or "skip", catch_up=within, is_paused=paused
        )
        connected.out.line(f"create: schedule {schedule} starts {workflow}")

    connection.run(context, work)


@app.command("list")
def list_(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Also those that were deleted.")] = False,
    json: Json = False,
) -> None:
    """List schedules. One younger than a second may be missing."""
    from . import connection

    connection.run(context, lambda connected: list_schedules(connected, with_deleted=everything), is_json=json)


@app.command()
def show(
    context: typer.Context,
    schedule: Id,
    times: Annotated[int, typer.Option("--times", "-n", min=0, max=1000, help="Next times to show.")] = 5,
    json: Json = False,
) -> None:
    """Show a schedule: what it starts, what has come of it, and its next times."""
    from . import connection

    connection.run(context, lambda connected: show_schedule(connected, schedule, times), is_json=json)


@app.command()
def pause(context: typer.Context, schedule: Id) -> None:
    """Let times pass; runs that are under way go on."""
    _steer(context, schedule, "pause", lambda schedules: schedules.pause(schedule))


@app.command()
def resume(context: typer.Context, schedule: Id) -> None:
    """Go on with the next time; those that have passed are not made up for."""
    _steer(context, schedule, "resume", lambda schedules: schedules.resume(schedule))


@app.command()
def update(
    context: typer.Context,
    schedule: Id,
    cron: Cron = None,
    timezone: Timezone = None,
    every: Every = None,
    at: At = None,
    start_at: StartAt = None,
    end_at: EndAt = None,
    jitter: Jitter = None,
    overlap: OverlapOption = None,
    catch_up: CatchUp = None,
) -> None:
    """Change a schedule; what is not given stays. --cron, --every and --at together replace the three of before."""
    chosen = overlap_of(overlap)
    spec_options = (cron, timezone, every, at, start_at, end_at, jitter)
    if all(option is None for option in (*spec_options, chosen, catch_up)):
        raise UsageProblem("nothing to change; give --cron, --every, --at, --overlap or another option")

    async def send(schedules: Schedules) -> None:
        spec = None
        if any(option is not None for option in spec_options):
            old = (await schedules.get(schedule)).spec
            spec = spec_of(
                old, cron=cron, timezone=timezone, every=every, at=at, start_at=start_at, end_at=end_at, jitter=jitter
            )
        await schedules.update(schedule, spec=spec, overlap=chosen, catch_up=catch_up)

    _steer(context, schedule, "update", send)


@app.command()
def trigger(context: typer.Context, schedule: Id, overlap: OverlapOption = None, json: Json = False) -> None:
    """Start a run now, also of a paused schedule, and print its name."""
    from . import connection

    chosen = overlap_of(overlap)

    async def work(connected: Connection) -> None:
        handle = await connected.client.schedules.trigger(schedule, overlap=chosen)
        if handle is None:
            raise UsageProblem(
                f"schedule {schedule!r} has a run under way and skips others; wait for it, or give --overlap allow_all"
            )
        if connected.out.is_json:
            connected.out.json({"workflow": handle.workflow, "run": handle.run_id})
        else:
            connected.out.line(f"{handle.workflow}/{handle.run_id}")

    connection.run(context, work, is_json=json)


@app.command()
def backfill(
    context: typer.Context,
    schedule: Id,
    start: Annotated[str, typer.Argument(help="The first time that counts, ISO 8601 with zone.")],
    end: Annotated[str, typer.Argument(help="The first that does not count any more, at most now.")],
    overlap: OverlapOption = None,
    json: Json = False,
) -> None:
    """Start runs for times of the past, by default one after the other; a time that had its run gets no second one."""
    from . import connection

    chosen, first, last = overlap_of(overlap), instant_of("START", start), instant_of("END", end)

    async def work(connected: Connection) -> None:
        runs = await connected.client.schedules.backfill(schedule, first, last, overlap=chosen)
        for run in runs:
            if connected.out.is_json:
                connected.out.json({"run": run})
            else:
                connected.out.line(run)
        if not runs and not connected.out.is_json:
            connected.out.line(f"schedule {schedule} has no time there")

    connection.run(context, work, is_json=json)


@app.command()
def delete(context: typer.Context, schedule: Id) -> None:
    """End a schedule. Its runs go on; what it has done can be shown for 30 days, in which its id stays taken."""
    _steer(context, schedule, "delete", lambda schedules: schedules.delete(schedule))


# --- what is printed --------------------------------------------------------------------------------


async def list_schedules(connection: Connection, *, with_deleted: bool) -> None:
    """Prints schedules, by id."""
    async with closing(connection.client.schedules.list(with_deleted=with_deleted)) as found:
        schedules = sorted([status async for status in found], key=lambda status: status.schedule_id)
    if connection.out.is_json:
        for status in schedules:
            connection.out.json(status)
        return
    rows = [
        [
            status.schedule_id,
            status.status,
            status.workflow,
            due_by(status.spec),
            _shown(status.last_at),
            _shown(status.next_at),
            str(status.runs),
            str(status.failed),
        ]
        for status in schedules
    ]
    headers = ["SCHEDULE", "STATUS", "WORKFLOW", "WHEN", "LAST", "NEXT", "RUNS", "FAILED"]
    connection.out.table(headers, rows, empty="no schedules")


async def show_schedule(connection: Connection, schedule: str, times: int) -> None:
    """Prints where a schedule stands."""
    status, out = await connection.client.schedules.get(schedule), connection.out
    coming: Sequence[datetime] = status.next_times(times) if times else []
    if out.is_json:
        out.json({**msgspec.structs.asdict(status), "next_times": coming})
        return
    for name, value in _facts(status):
        out.line(f"{name + ':':<11} {value}")
    for moment in coming:
        out.line(f"{'next:':<11} {_shown(moment)}")
    if not coming and status.status == "active":
        out.line(f"{'next:':<11} no time is left; `wfctl schedules update` or `delete` it")


def _facts(status: ScheduleStatus) -> list[tuple[str, str]]:
    from ..actors.schedule import SCHEDULE_WORKFLOW

    call = render.cut(render.safe_json(bytes(status.args)), _ARGS_SHOWN)
    named = "" if status.kwargs is None else f" {render.cut(render.to_json(status.kwargs), _ARGS_SHOWN)}"
    counts = [("completed", status.completed), ("failed", status.failed), ("cancelled", status.cancelled)]
    facts = [
        ("schedule", status.schedule_id),
        ("status", status.status),
        ("starts", f"{status.workflow} {call}{named}"),
        ("when", render.safe(due_by(status.spec))),
        ("overlap", f"{status.overlap}, catch-up {status.catch_up}"),
        ("runs", f"{status.runs}: " + ", ".join(f"{count} {word}" for word, count in counts)),
        ("passed over", f"{status.skipped} skipped, {status.missed} missed"),
    ]
    if status.last_at is not None:
        facts.append(("last", f"{_shown(status.last_at)} {status.last_run}"))
    facts += [("running", run) for run in status.running[:5]]
    if status.buffered:
        facts.append(("waiting", f"{len(status.buffered)}, first {status.buffered[0]}"))
    if status.status == "parked":
        facts.append(("because", f"see `wfctl runs show {SCHEDULE_WORKFLOW}/{status.schedule_id}`"))
    if status.last_error:
        facts.append(("last error", render.safe(status.last_error)))
    return facts


def due_by(spec: ScheduleSpec) -> str:
    """Says in short when a schedule is due."""
    parts = [f"cron {spec.cron} {spec.timezone}" if spec.cron else "", f"every {spec.every}" if spec.every else ""]
    parts += [f"{len(spec.times)} times" if spec.times else ""]
    parts += [
        f"from {_shown(spec.start_at)}" if spec.start_at else "",
        f"until {_shown(spec.end_at)}" if spec.end_at else "",
    ]
    parts += [f"jitter {spec.jitter}" if spec.jitter else ""]
    return ", ".join(filter(None, parts))


# --- what is typed ----------------------------------------------------------------------------------


def spec_of(
    old: ScheduleSpec | None,
    *,
    cron: str | None,
    timezone: str | None,
    every: str | None,
    at: list[str] | None,
    start_at: str | None,
    end_at: str | None,
    jitter: str | None,
) -> ScheduleSpec:
    """Makes a spec of options, on top of an older one. Raises DefinitionError and UsageProblem."""
    from ..actors.schedule_times import ScheduleSpec

    given: dict[str, object] = {"timezone": timezone, "jitter": jitter}
    given |= {
        name: instant_of(f"--{name.replace('_', '-')}", text)
        for name, text in (("start_at", start_at), ("end_at", end_at))
        if text is not None
    }
    fields = {} if old is None else msgspec.structs.asdict(old)
    if cron is not None or every is not None or at:
        fields |= {"cron": cron, "every": every, "times": tuple(instant_of("--at", text) for text in at or [])}
    elif old is None:
        raise UsageProblem("a schedule needs --cron, --every or --at")
    fields |= {name: value for name, value in given.items() if value is not None}
    return ScheduleSpec(**fields)


def instant_of(what: str, text: str) -> datetime:
    """Reads an instant. Raises UsageProblem."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageProblem(f"{what} {text!r} is no time; write 2027-03-28T02:30:00Z or with an offset") from error
    if moment.utcoffset() is None:
        raise UsageProblem(f"{what} {text!r} has no time zone; write {text}Z for UTC, or an offset such as +01:00")
    return moment


def overlap_of(text: str | None) -> Overlap | None:
    """Reads an overlap policy. Raises DefinitionError."""
    from ..actors.schedule import check_overlap

    if text is not None:
        check_overlap(text)
    return cast("Overlap | None", text)


def _shown(moment: datetime | None) -> str:
    return "-" if moment is None else moment.isoformat().replace("+00:00", "Z")


def _steer(context: typer.Context, schedule: str, verb: str, send: Callable[[Schedules], Awaitable[object]]) -> None:
    from . import connection

    async def work(connected: Connection) -> None:
        await send(connected.client.schedules)
        connected.out.line(f"{verb}: schedule {schedule}")

    connection.run(context, work)
