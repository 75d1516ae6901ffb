"""What commands print of graphs: problems with their place in the text, and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ..actors.graph_mermaid import mermaid
from ..actors.graph_problem import PROBLEMS_MAX, Problem, shown
from ..actors.graph_svg import svg
from .exits import FAILURE, Stopped, UsageProblem
from .output import Output, complain

if TYPE_CHECKING:
    from ..actors.graph_draw import TaskLight
    from ..actors.graph_model import Graph
    from .graph_file import GraphFile

Format: TypeAlias = Literal["mermaid", "svg"]

_FORMATS: Final[dict[str, Format]] = {".svg": "svg", ".mmd": "mermaid", ".mermaid": "mermaid"}


def show_problems(file: GraphFile) -> None:
    """Prints problems on standard error, each with its line of the text and a caret below the place."""
    for problem in file.problems[:PROBLEMS_MAX]:
        place = f"{file.name}:" if problem.mark.line else f"{file.name}: "
        is_warning = problem.severity == "warning"
        first, *rest = shown(problem, file.text).split("\n")
        complain(f"{place}{first}" + (" (warning)" if is_warning else ""))
        for line in rest:
            complain(line)
    if len(file.problems) > PROBLEMS_MAX:
        complain(f"{file.name}: and {len(file.problems) - PROBLEMS_MAX} more")


def show_verdict(out: Output, file: GraphFile) -> None:
    """Prints whether a definition is valid: one line, or with --json all problems."""
    if out.is_json:
        problems = [_json_of(problem) for problem in file.problems]
        out.json({"file": file.name, "valid": not file.errors, "problems": problems})
        return
    show_problems(file)
    warnings = len(file.problems) - file.errors
    counts = ", ".join(
        f"{count} {word}{'s' * (count != 1)}"
        for count, word in ((file.errors, "error"), (warnings, "warning"))
        if count
    )
    if file.errors:
        out.line(f"{file.name}: not valid: {counts}", "red")
    else:
        tasks = 0 if file.graph is None else len(file.graph.tasks)
        out.line(f"{file.name}: valid, {tasks} task{'s' * (tasks != 1)}" + (f", {counts}" if counts else ""))


def valid(file: GraphFile) -> Graph:
    """Returns a file's graph.

    Raises:
        Stopped: It has errors; they are printed.
    """
    if file.graph is None or file.errors:
        show_problems(file)
        raise Stopped(FAILURE)
    return file.graph


def format_of(chosen: str | None, output: str | None) -> Format:
    """Tells which picture is wanted: as asked for, else by the file's suffix, else Mermaid. Raises UsageProblem."""
    match chosen:
        case None:
            return _FORMATS.get(Path(output or "").suffix.lower(), "mermaid")
        case "mermaid" | "svg":
            return chosen
        case _:
            raise UsageProblem(f"{chosen!r} is no format; there are mermaid and svg")


def picture(graph: Graph, form: Format, lights: Mapping[str, TaskLight] | None = None) -> str:
    """Draws a graph; with lights, as it stands in a run."""
    return svg(graph, lights) if form == "svg" else mermaid(graph, lights)


def put(out: Output, text: str, output: str | None) -> None:
    """Writes a text to a file, or to standard output. Raises UsageProblem where the file cannot be written."""
    if output is None or output == "-":
        out.stream.write(text)
        out.stream.flush()
        return
    try:
        Path(output).write_bytes(text.encode())  # line ends as they are, on every system
    except OSError as error:
        raise UsageProblem(f"{output}: {error.strerror}") from error
    complain(f"wrote {output}")


def _json_of(problem: Problem) -> dict[str, object]:
    return {
        "kind": problem.kind,
        "severity": problem.severity,
        "message": problem.message,
        "path": list(problem.path),
        "where": problem.where,
        "line": problem.mark.line,
        "column": problem.mark.column,
    }
