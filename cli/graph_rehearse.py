"""`wfctl graph rehearse`: plays scenarios on the interpreter of graphs, in virtual time, and compares."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from .exits import FAILURE, Stopped, UsageProblem
from .options import Json

if TYPE_CHECKING:
    from ..actors.graph_coverage import Coverage
    from ..actors.graph_scenario import Scenario
    from ..actors.graph_source import Document
    from ..actors.graph_verdict import Verdict
    from .output import Output
    from .render import Colour

_STDIN = "-"


def rehearse(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Rehearsals, or definitions; YAML or JSON; `-` for standard input."),
    ],
    show: Annotated[bool, typer.Option("--show", help="Print path, status and output of every scenario.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print everything that happens, with its virtual time.")
    ] = False,
    given: Annotated[
        str | None, typer.Option("--input", metavar="JSON", help="Of definitions: the run's input.")
    ] = None,
    mock: Annotated[
        list[str] | None,
        typer.Option(
            "--mock", metavar="TASK=OUTCOME", help='Of definitions: `test=failed`, `test={"result": 1}`; repeatable.'
        ),
    ] = None,
    start: Annotated[
        list[str] | None,
        typer.Option("--start", metavar="TASK", help="Of definitions: a task to begin with; repeatable."),
    ] = None,
    folder: Annotated[
        str | None,
        typer.Option("--folder", metavar="PATH", help="Where rehearsals find definitions; else beside themselves."),
    ] = None,
    require_coverage: Annotated[
        int | None,
        typer.Option(
            "--require-coverage", metavar="PERCENT", min=0, max=100, help="Fail below so many tasks and transitions."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Play rehearsals of graphs and compare with what they expect; exit code 1 where something differs.

    A definition is played, too: every task succeeds with null unless --mock says otherwise, and what comes of it is shown.
    """
    from ..actors.graph_coverage import coverage_of
    from ..actors.graph_verdict import judge
    from .graph_file import check_once
    from .output import Output

    check_once(files)
    options = _definition_options(given, mock or [], start or [])
    out = Output(is_json=json)
    verdicts: list[Verdict] = []
    for name in files:
        for scenario in _scenarios(name, options, folder):
            verdicts.append(judge(scenario))
            _show(out, name, verdicts[-1], has_outcome=show or verbose, has_story=verbose)
    coverages = coverage_of(verdicts)
    failed = sum(not verdict.is_as_expected for verdict in verdicts)
    _sum_up(out, verdicts, coverages)
    poor = [each for each in coverages if require_coverage is not None and each.percent < require_coverage]
    if failed or poor:
        raise Stopped(FAILURE)


def _definition_options(given: str | None, mock: Sequence[str], start: Sequence[str]) -> dict[str, object]:
    """Makes of the options what a rehearsal would say."""
    options: dict[str, object] = {}
    if given is not None:
        options["input"] = _json_of(given, "--input")
    mocks: dict[str, list[object]] = {}
    for each in mock:
        task, separator, outcome = each.partition("=")
        if not separator or not task or not outcome:
            raise UsageProblem(f"--mock {each!r} is not understood; write --mock TASK=failed")
        is_json = outcome.startswith(("{", "["))
        mocks.setdefault(task, []).append(_json_of(outcome, "--mock") if is_json else outcome)
    if mocks:
        options["mock"] = {task: given[0] if len(given) == 1 else given for task, given in mocks.items()}
    if start:
        options["start"] = list(start)
    return options


def _json_of(text: str, option: str) -> object:
    from .arguments import parse_value

    return msgspec.json.decode(parse_value(text, what=option))


def _scenarios(name: str, options: dict[str, object], folder: str | None) -> list[Scenario]:
    """Reads a file. Prints what is wrong with it, and raises Stopped, where it cannot be read."""
    from ..actors.graph_problem import GraphInvalid
    from ..actors.graph_scenario_file import is_definition
    from ..actors.graph_source import parse, readable
    from ..client.rehearsing import scenarios_in
    from .graph_file import GraphFile
    from .graph_view import show_problems

    raw, shown = _read(name), "<stdin>" if name == _STDIN else name
    beside = Path(folder) if folder is not None else Path() if name == _STDIN else Path(name).parent
    try:
        document = parse(raw, name=shown)
        if is_definition(document):
            return [_of_definition(document, options)]
        if options:
            raise UsageProblem(f"{shown} is a rehearsal; --input, --mock and --start are for definitions")
        return scenarios_in(document, folder=beside)
    except GraphInvalid as error:
        text = readable(raw)
        show_problems(GraphFile(name=shown, text=text, document=None, graph=None, problems=error.problems))
        raise Stopped(FAILURE) from error


def _of_definition(document: Document, options: dict[str, object]) -> Scenario:
    """Makes a scenario of a definition and options. Raises GraphInvalid for the definition, UsageProblem for the options."""
    from ..actors.graph_compile import compile_graph
    from ..actors.graph_problem import GraphInvalid
    from ..actors.graph_scenario_file import read_rehearsal
    from ..actors.graph_source import Document as Made

    compile_graph(document)
    try:
        rehearsal = Made.of({**options, "graph": document.name, "name": document.name}, name="command line")
        return read_rehearsal(rehearsal, {document.name: document})[0]
    except GraphInvalid as error:
        raise UsageProblem("; ".join(f"--{each.where}: {each.message}" for each in error.problems)) from error


def _read(name: str) -> bytes:
    from ..actors.limits import GRAPH_DEFINITION_BYTES_MAX
    from ..client.rehearsing import read_bounded

    if name == _STDIN:
        return sys.stdin.buffer.read(GRAPH_DEFINITION_BYTES_MAX + 1)
    try:
        return read_bounded(Path(name))
    except OSError as error:
        raise UsageProblem(f"{name}: {error.strerror}") from error
    except ValueError as error:  # a path with a zero in it
        raise UsageProblem(f"{name!r} is no path: {error}") from error


# --- output -----------------------------------------------------------------------------------------------
def _show(out: Output, file: str, verdict: Verdict, *, has_outcome: bool, has_story: bool) -> None:
    from .render import safe

    if out.is_json:
        out.json(_as_json(file, verdict, has_story=has_story))
        return
    for number, line in enumerate(verdict.lines(has_outcome=has_outcome, has_story=has_story)):
        colour: Colour = "plain" if number else "green" if verdict.is_as_expected else "red"
        out.line(safe(line), colour)


def _as_json(file: str, verdict: Verdict, *, has_story: bool) -> dict[str, object]:
    found = verdict.rehearsed
    made: dict[str, object] = {
        "file": file,
        "name": verdict.scenario.name,
        "graph": verdict.scenario.subject.name,
        "ok": verdict.is_as_expected,
        "differences": list(verdict.differences),
        "notes": list(verdict.notes),
    }
    if found is None:
        return made
    made |= {
        "status": found.status,
        "path": found.path,
        "waves": [list(wave) for wave in found.waves],
        "output": found.output,
        "errors": [{"code": code, "message": message} for code, message in found.errors],
        "activations": found.activations,
        "tasks": found.tasks,
    }
    if has_story:
        made["story"] = [{"at_us": at_us, "move": msgspec.to_builtins(move)} for at_us, move in found.story]
    return made


def _sum_up(out: Output, verdicts: Sequence[Verdict], coverages: Sequence[Coverage]) -> None:
    from .render import safe

    for each in coverages:
        if out.is_json:
            out.json(
                {
                    "coverage": each.name,
                    "percent": round(each.percent, 1),
                    "tasks": each.tasks,
                    "transitions": each.edges,
                    "missed_tasks": list(each.missed_tasks),
                    "missed_transitions": list(each.missed_edges),
                }
            )
        else:
            out.line(safe(str(each)))
    failed = sum(not verdict.is_as_expected for verdict in verdicts)
    is_compared = failed or not all(verdict.scenario.expected.is_nothing for verdict in verdicts)
    if is_compared and not out.is_json:
        told = f"{len(verdicts)} scenario{'s' * (len(verdicts) != 1)}"
        out.line(f"{told}, {failed} not as expected" if failed else f"{told}, all as expected")
