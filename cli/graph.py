"""`wfctl graph`: definitions of graphs, without a server: check, draw, import; and runs of them: run, show, rerun."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from .exits import FAILURE, Stopped, UsageProblem
from .graph_rehearse import rehearse
from .options import Json

app = typer.Typer(
    no_args_is_help=True,
    help="Graphs: validate, rehearse, draw and import definitions; run them, show and rerun their runs.",
)

File: TypeAlias = Annotated[str, typer.Argument(metavar="FILE", help="YAML or JSON; `-` for standard input.")]
Target: TypeAlias = Annotated[
    str | None, typer.Option("--output", "-o", metavar="PATH", help="File to write; else standard output.")
]


@app.command()
def validate(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="YAML or JSON; `-` for standard input.")],
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail, too.")] = False,
    json: Json = False,
) -> None:
    """Find everything that is wrong with definitions, each problem with its line; exit code 1 where one is not valid."""
    from .graph_file import check_once, read_graph
    from .graph_view import show_verdict
    from .output import Output

    check_once(files)
    out, has_failed = Output(is_json=json), False
    for path in files:
        file = read_graph(path)
        show_verdict(out, file)
        has_failed |= bool(file.problems if strict else file.errors)
    if has_failed:
        raise Stopped(FAILURE)


app.command()(rehearse)


@app.command()
def draw(
    context: typer.Context,
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="YAML or JSON; `-` for standard input; or --run.")
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="`mermaid` or `svg`; else by the file's suffix, else mermaid.")
    ] = None,
    output: Target = None,
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="Draw a run, its tasks coloured in.")] = None,
) -> None:
    """Draw a definition, or a run of one: a Mermaid flowchart for documents, or an SVG picture that needs nothing else."""
    from .graph_file import read_graph
    from .graph_view import format_of, picture, put, valid
    from .output import Output

    chosen = format_of(form, output)
    if (file is None) == (run is None):
        raise UsageProblem("name what to draw: a FILE, or --run workflow/run")
    if file is not None:
        put(Output(), picture(valid(read_graph(file)), chosen), output)
    elif run is not None:
        from . import connection
        from .graph_runs import read_run

        graph, status = connection.run(context, lambda connected: read_run(connected, run))
        put(Output(), picture(graph, chosen, status.tasks), output)


@app.command("run")
def run_(
    context: typer.Context,
    file: File,
    source: Annotated[
        str | None, typer.Option("--input", metavar="JSON|@FILE", help="A JSON object: the inputs by name.")
    ] = None,
    start: Annotated[
        list[str] | None, typer.Option("--start", metavar="TASK", help="Begin with this task; may be repeated.")
    ] = None,
    run_id: Annotated[str | None, typer.Option("--run-id", help="The run's id; one is made up if left out.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end and print the output as JSON.")] = False,
    json: Json = False,
) -> None:
    """Start a run of a definition that no worker needs to know; the run keeps it, and any actor worker runs it."""
    from . import connection
    from .graph_file import read_graph
    from .graph_runs import start_definition
    from .graph_view import valid
    from .start import check_options, new_run_id, start_run

    check_options(run_id, "existing")
    read = read_graph(file)
    graph = valid(read)
    missing = [task for task in start or [] if task not in graph.tasks]
    if missing:
        raise UsageProblem(f"--start: {file} has no task {missing[0]!r}; it has {', '.join([*graph.tasks][:20])}")
    assert read.document is not None
    call = start_definition(read.document, graph, source, start or [])
    connection.run(
        context,
        lambda connected: start_run(connected, call, run_id or new_run_id(), "existing", wait=wait),
        is_json=json,
    )


@app.command()
def show(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="workflow/run, or the run's id.")],
    json: Json = False,
) -> None:
    """Show where a graph run stands: a line per task, and its variables."""
    from . import connection
    from .graph_runs import show_run

    connection.run(context, lambda connected: show_run(connected, run), is_json=json)


@app.command()
def rerun(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="workflow/run, or the run's id.")],
    tasks: Annotated[
        list[str] | None,
        typer.Option("--task", metavar="TASK", help="Begin again from there; else from what has failed."),
    ] = None,
    run_id: Annotated[str | None, typer.Option("--run-id", help="The new run's id; else one is made up.")] = None,
    workflow: Annotated[
        str | None,
        typer.Option(help="Under which; `jetrun-graph` where the registered graph is another one by now."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end and print the output as JSON.")] = False,
    json: Json = False,
) -> None:
    """Begin an ended graph run again as a new run, which takes over what need not be done anew."""
    from . import connection
    from .graph_runs import rerun_run
    from .start import check_options, new_run_id

    check_options(run_id, "existing")
    connection.run(
        context,
        lambda connected: rerun_run(connected, run, tasks or [], run_id or new_run_id(), workflow, wait=wait),
        is_json=json,
    )


@app.command("import")
def import_(file: File, output: Target = None) -> None:
    """Write an Orquesta definition with its YAQL as {{ }} and inline forms as mappings. Comments are lost.

    What is written makes the same graph; where that is not certain nothing is written, and every reason is named.
    """
    from ..actors.graph_import import imported
    from ..actors.graph_problem import GraphInvalid
    from .graph_file import GraphFile, read_graph
    from .graph_text import yaml_of
    from .graph_view import put, show_problems, valid
    from .output import Output, complain

    read = read_graph(file)
    valid(read)
    assert read.document is not None
    if output is not None and output == file:
        raise UsageProblem(f"{output} is what is read; comments are lost: write to another file")
    try:
        text = yaml_of(imported(read.document), of=read.name)
    except GraphInvalid as error:
        show_problems(
            GraphFile(name=read.name, text=read.text, document=read.document, graph=None, problems=error.problems)
        )
        raise Stopped(FAILURE) from error
    put(Output(), text, output)
    complain("comments, if there were any, are lost; everything else means the same")
