"""`wfctl worker`: the processes that host actors and execute steps."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from .exits import DONE, Stopped, UsageProblem
from .options import LogFormat, LogLevel, Modules, globals_of

if TYPE_CHECKING:
    from ..client.settings import Settings
    from ..streams.lifeline import Lifeline

app = typer.Typer(no_args_is_help=True, help="Run actor workers and step workers; as many of each as you like.")

CONCURRENCY: Final = 50

Queues: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--queue", "-q", help="A queue to work on; repeatable. By default those that the steps name."),
]
Concurrency: TypeAlias = Annotated[int, typer.Option(min=1, help="Steps at once, per queue.")]
Child: TypeAlias = Annotated[bool, typer.Option("--child", hidden=True, help="Be the worker, not its supervisor.")]


@app.command()
def actors(
    context: typer.Context,
    modules: Modules,
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
    log_format: LogFormat = None,
    log_level: LogLevel = "info",
    child: Child = False,
) -> None:
    """Host actors: decide what runs do next. A supervisor replaces a worker that a workflow has blocked.

    SIGTERM drains and exits 0; a second one exits at once.
    """
    settings = _begin(context, log_format, log_level)
    if not child:
        _supervise(settings, "actor worker", silence_max_s=blocked_max + 5, note=crash_note)
        return
    from ..client.modules import load
    from ..streams.actor_worker import ActorOptions
    from . import serving

    lifeline = globals_of(context).lifeline
    registry = load(modules)
    if not registry.workflows:
        raise UsageProblem(f"no workflow in {', '.join(modules)}: nothing to host; steps are for `wfctl worker steps`")
    options = ActorOptions(
        cached_max=cached,
        blocked_warn_s=blocked_warn,
        blocked_max_s=blocked_max,
        note_path=_note_of(lifeline),
        sign_of_life=None if lifeline is None else lifeline.beat,
    )
    _end(serving.run_worker(lambda: serving.serve_actors(settings, registry, modules, options, lifeline)))


@app.command()
def steps(
    context: typer.Context,
    modules: Modules,
    queues: Queues = None,
    concurrency: Concurrency = CONCURRENCY,
    log_format: LogFormat = None,
    log_level: LogLevel = "info",
) -> None:
    """Execute steps. SIGTERM lets running steps finish and exits 0; a second one exits at once."""
    settings = _begin(context, log_format, log_level)
    from ..client.modules import load
    from . import serving

    registry = load(modules)
    if not registry.steps:
        raise UsageProblem(
            f"no step in {', '.join(modules)}: nothing to execute; workflows are for `wfctl worker actors`"
        )
    wanted = dict.fromkeys(queues or registry.queues, concurrency)
    _end(serving.run_worker(lambda: serving.serve_steps(settings, registry, modules, wanted)))


@app.command("all", hidden=True)
def all_(
    context: typer.Context,
    modules: Modules,
    concurrency: Concurrency = CONCURRENCY,
    log_format: LogFormat = None,
    log_level: LogLevel = "info",
) -> None:
    """Provision, host actors and execute steps in one process: what `wfctl dev` supervises."""
    settings = _begin(context, log_format, log_level)
    from . import both

    _end(both.run(settings, modules, concurrency, globals_of(context).lifeline))


def child_argv(arguments: list[str]) -> list[str]:
    """Makes the command line of a wfctl that this one starts; nothing in the working directory can stand in for it."""
    return [sys.executable, "-P", "-m", "jetrun.cli", *arguments]


def _begin(context: typer.Context, log_format: str | None, log_level: str) -> Settings:
    from ..streams.subjects import App
    from . import connection, logs

    settings = connection.settings_of(context)
    App(settings.app)
    logs.set_up(logs.check_format(log_format), level=logs.check_level(log_level), colours=settings.has_color)
    return settings


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
