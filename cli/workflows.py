"""`wfctl workflows`: what the code of an app offers, and starting it by its own names and types."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from .code import listed, load_code
from .exits import UsageProblem
from .options import Json, Modules
from .start import AllArgs, Args, Conflict, Kwargs, RunId, Source, Wait

if TYPE_CHECKING:
    from ..actors.registry import Registry
    from ..actors.workflow import Workflow
    from .output import Output

app = typer.Typer(no_args_is_help=True, help="Show the workflows of an app's code and start them.")


@app.command("list")
def list_(context: typer.Context, modules: Modules = None, json: Json = False) -> None:
    """List the workflows of the modules with what they take. Asks no server."""
    from ..client.settings import WorkerSettings
    from . import connection
    from .output import Output

    configuration = connection.configuration_of(context, {"modules": listed(modules)})
    list_workflows(Output(is_json=json), load_code(WorkerSettings.of(configuration)))


@app.command()
def info(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The workflow's name.")],
    modules: Modules = None,
    json: Json = False,
) -> None:
    """Show a workflow: parameters with types and defaults, longest duration, module, what its docstring says."""
    from ..client.settings import WorkerSettings
    from . import connection
    from .output import Output

    configuration = connection.configuration_of(context, {"modules": listed(modules)})
    workflow = find_workflow(load_code(WorkerSettings.of(configuration)), name)
    show_workflow(Output(is_json=json), workflow)


@app.command()
def start(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The workflow's name.")],
    args: Args = None,
    arg: Annotated[
        list[str] | None,
        typer.Option(
            "--arg", "-a", metavar="NAME=VALUE", help="An argument by name, typed by the signature; repeatable."
        ),
    ] = None,
    modules: Modules = None,
    run_id: RunId = None,
    all_args: AllArgs = None,
    kwargs: Kwargs = None,
    source: Source = None,
    conflict: Conflict = "existing",
    wait: Wait = False,
    json: Json = False,
) -> None:
    """Start a run as `wfctl start` does, after a look at the code: names, types and what is missing are told at once.

    `--arg note=42` stays the text 42 where the parameter is a `str`; elsewhere the value is JSON, or the text that the
    type is written as: a date, an id, a word.
    """
    from ..actors.workflow import Call
    from ..client.settings import Settings, WorkerSettings
    from . import arguments, connection, typed
    from .start import check_options, new_run_id, start_run

    chosen = check_options(run_id, conflict)
    configuration = connection.configuration_of(context, {"modules": listed(modules)})
    workflow = find_workflow(load_code(WorkerSettings.of(configuration)), name)
    if arg and (args or all_args is not None or kwargs is not None or source is not None):
        raise UsageProblem("give the arguments one way: --arg alone, or as `wfctl start` takes them")
    if arg:
        positional, named = typed.parse_named(workflow, arg)
    else:
        positional, named = arguments.parse_args(args or [], all_args, kwargs, source)
    typed.check_call(workflow, positional, named)
    call: Call[Any] = Call(workflow.name, positional, named, msgspec.Raw)
    connection.run(
        context,
        lambda connected: start_run(connected, call, run_id or new_run_id(), chosen, wait=wait),
        is_json=json,
        settings=Settings.of(configuration),
    )


def find_workflow(registry: Registry, name: str) -> Workflow[..., Any]:
    """Returns the workflow of that name.

    Raises:
        UsageProblem: There is none; names the nearest.
    """
    found = registry.workflows.get(name)
    if found is not None:
        return found
    near = difflib.get_close_matches(name, registry.workflows, n=1)
    there = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(sorted(registry.workflows)) or 'none'}"
    raise UsageProblem(f"no workflow {name[:60]!r} in the modules; {there}")


def list_workflows(out: Output, registry: Registry) -> None:
    """Prints a line for each workflow, by name."""
    from .typed import parameters_of, signature_of

    found = [registry.workflows[name] for name in sorted(registry.workflows)]
    if out.is_json:
        for workflow in found:
            out.json(
                {
                    "workflow": workflow.name,
                    "module": workflow.__module__,
                    "parameters": parameters_of(workflow),
                    "signature": signature_of(workflow),
                }
            )
        return
    rows = [[workflow.name, signature_of(workflow), workflow.__module__] for workflow in found]
    out.table(["WORKFLOW", "SIGNATURE", "MODULE"], rows, empty="no workflows")


def show_workflow(out: Output, workflow: Workflow[..., Any]) -> None:
    """Prints all that the code says about a workflow."""
    import inspect

    from . import render
    from .typed import parameters_of, signature_of

    about = inspect.getdoc(workflow.function) or ""
    parameters = parameters_of(workflow)
    retries = 0 if workflow.retry is None else workflow.retry.max_retries
    if out.is_json:
        out.json(
            {
                "workflow": workflow.name,
                "module": workflow.__module__,
                "signature": signature_of(workflow),
                "parameters": parameters,
                "max_duration_us": workflow.max_duration_us or None,
                "max_retries": retries,
                "durable": workflow.is_durable,
                "tags": list(workflow.tags),
                "version": workflow.version,
                "code": workflow.code_hash,
                "about": about,
            }
        )
        return
    longest = render.span(workflow.max_duration_us) if workflow.max_duration_us else "no limit"
    facts = [
        ("workflow", workflow.name),
        ("signature", signature_of(workflow)),
        ("module", workflow.__module__),
        ("max_duration", longest),
        ("max_retries", str(retries)),
        ("durable", "yes" if workflow.is_durable else "no: one record for the whole code"),
        ("tags", ", ".join(workflow.tags) or "-"),
        ("version", str(workflow.version)),
        ("code", workflow.code_hash),
    ]
    for name, value in facts:
        out.line(f"{name + ':':<13} {render.safe(value)}")
    if parameters:
        rows = [
            [p.name, p.type or "any", "required" if p.required else p.default or "-", p.kind or "-"] for p in parameters
        ]
        out.line()
        out.table(["PARAMETER", "TYPE", "DEFAULT", "GIVEN"], rows, empty="")
    if about:
        out.line()
        for line in about.splitlines():
            out.line(render.safe(line))
