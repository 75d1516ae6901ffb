"""`wfctl worker`: the processes that host actors and execute steps."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from .code import check_named, listed, load_code
from .exits import DONE, Stopped, UsageProblem
from .options import LogFormat, LogLevel, Modules, globals_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..client.configuration_keys import Value
    from ..client.settings import Settings, WorkerSettings
    from ..streams.lifeline import Lifeline

app = typer.Typer(no_args_is_help=True, help="Run actor workers and step workers; as many of each as you like.")

Queues: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--queue", "-q", help="A queue to work on; repeatable; else those configured, else those that the steps name."
    ),
]
Concurrency: TypeAlias = Annotated[int | None, typer.Option(min=1, help="Steps at once, per queue; 50 by default.")]
Child: TypeAlias = Annotated[bool, typer.Option("--child", hidden=True, help="Be the worker, not its supervisor.")]


@app.command()
def actors(
    context: typer.Context,
    modules: Modules = None,
    cached: Annotated[int, typer.Option(min=1, help="Actors kept in memory; others are replayed on demand.")] = 2_000,
    blocked_warn: Annotated[
        float, typer.Option(min=0.1, help="Seconds after which a workflow that blocks is reported.")
    ] = 2.0,
    blocked_max: Annotated[
        float, typer.Option(min=0.1, help="Seconds after which it is parked and the process replaced.")
    ] = 10.0,
    crash_note: Annotated[
        str | None,
        typer.Option(help="File that tells the next worker what this one did when it died; must outlive both."),
    ] = None,
    retention: Annotated[
        str | None, typer.Option(help="How long the logs of ended runs are kept whole; 7d by default.")
    ] = None,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
    child: Child = False,
) -> None:
    """Host actors: decide what runs do next. A supervisor replaces a worker that a workflow has blocked.

    SIGTERM drains and exits 0; a second one exits at once.
    """
    settings, worker = _begin(context, log_format, log_level, {"modules": listed(modules), "retention": retention})
    if not child:
        _supervise(settings, "actor worker", silence_max_s=blocked_max + 5, note=crash_note)
        return
    from ..streams.actor_worker import ActorOptions
    from . import serving

    lifeline = globals_of(context).lifeline
    registry = load_code(worker)
    if not registry.workflows:
        named = ", ".join(worker.modules)
        raise UsageProblem(f"no workflow in {named}: nothing to host; steps are for `wfctl worker steps`")
    options = ActorOptions(
        cached_max=cached,
        retention_us=worker.retention_us,
        blocked_warn_s=blocked_warn,
        blocked_max_s=blocked_max,
        note_path=_note_of(lifeline),
        sign_of_life=None if lifeline is None else lifeline.beat,
    )
    _end(serving.run_worker(lambda: serving.serve_actors(settings, registry, worker.modules, options, lifeline)))


@app.command()
def steps(
    context: typer.Context,
    modules: Modules = None,
    queues: Queues = None,
    concurrency: Concurrency = None,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
) -> None:
    """Execute steps. SIGTERM lets running steps finish and exits 0; a second one exits at once."""
    given: dict[str, Value | None] = {
        "modules": listed(modules),
        "queues": listed(queues),
        "concurrency": concurrency,
    }
    settings, worker = _begin(context, log_format, log_level, given)
    from . import serving

    registry = load_code(worker)
    if not registry.steps:
        named = ", ".join(worker.modules)
        raise UsageProblem(f"no step in {named}: nothing to execute; workflows are for `wfctl worker actors`")
    wanted = dict.fromkeys(worker.queues or registry.queues, worker.concurrency)
    _end(serving.run_worker(lambda: serving.serve_steps(settings, registry, worker.modules, wanted)))


@app.command("all", hidden=True)
def all_(
    context: typer.Context,
    modules: Modules = None,
    concurrency: Concurrency = None,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
) -> None:
    """Provision, host actors and execute steps in one process: what `wfctl dev` supervises."""
    settings, worker = _begin(context, log_format, log_level, {"modules": listed(modules), "concurrency": concurrency})
    from . import both

    _end(both.run(settings, worker, globals_of(context).lifeline))


def child_argv(arguments: list[str]) -> list[str]:
    """Makes the command line of a wfctl that this one starts; nothing in the working directory can stand in for it."""
    return [sys.executable, "-P", "-m", "jetrun.cli", *arguments]


def _begin(
    context: typer.Context, log_format: str | None, log_level: str | None, given: Mapping[str, Value | None]
) -> tuple[Settings, WorkerSettings]:
    from ..client.settings import Settings, WorkerSettings
    from . import connection, logs

    configuration = connection.configuration_of(context, {**given, "log_format": log_format, "log_level": log_level})
    settings, worker = Settings.of(configuration), WorkerSettings.of(configuration)
    check_named(worker)
    logs.set_up(
        logs.check_format(worker.log_format or None),
        level=logs.check_level(worker.log_level),
        colours=settings.has_color,
    )
    return settings, worker


def _supervise(settings: Settings, what: str, *, silence_max_s: float, note: str | None) -> None:
    from contextlib import nullcontext
    from hashlib import sha256

    from ..streams import supervisor

    # Another server's runs can have the same names: a note must not speak of them.
    server = sha256(settings.url.encode()).hexdigest()[:8]
    with nullcontext(note) if note else supervisor.crash_note(f"actors-{settings.app}-{server}") as note_path:
        policy = supervisor.Policy(what=what, note_path=note_path, silence_max_s=silence_max_s)
        _end(supervisor.supervise(child_argv([*sys.argv[1:], "--child"]), policy))


def _note_of(lifeline: Lifeline | None) -> str | None:
    return (lifeline.note_path or None) if lifeline is not None else None


def _end(code: int) -> None:
    if code != DONE:
        raise Stopped(code)
