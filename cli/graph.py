"""`wfctl graph`: definitions of graphs, without a server: check them, draw them, take them over from Orquesta."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from .exits import FAILURE, Stopped, UsageProblem
from .options import Json

app = typer.Typer(no_args_is_help=True, help="Definitions of graphs: validate, draw, import. No server is needed.")

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


@app.command()
def draw(
    file: File,
    form: Annotated[
        str | None, typer.Option("--format", help="`mermaid` or `svg`; else by the file's suffix, else mermaid.")
    ] = None,
    output: Target = None,
) -> None:
    """Draw a definition: a Mermaid flowchart for documents, or an SVG picture that needs nothing else."""
    from .graph_file import read_graph
    from .graph_view import format_of, picture, put, valid
    from .output import Output

    chosen = format_of(form, output)
    put(Output(), picture(valid(read_graph(file)), chosen), output)


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
