"""A graph's definition as it was given to a command: a file, or standard input."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from ..actors.graph_compile import check, compile_graph
from ..actors.graph_model import Graph
from ..actors.graph_problem import GraphInvalid, Problem
from ..actors.graph_source import Document, parse, readable
from ..actors.limits import GRAPH_DEFINITION_BYTES_MAX
from .exits import UsageProblem

STDIN: Final = "-"


class GraphFile(msgspec.Struct, frozen=True, kw_only=True):
    """A definition's text with what is to be said of it."""

    name: str
    """The path as it was typed; `<stdin>` for standard input."""
    text: str
    """As places in it are counted: to show problems in."""
    document: Document | None
    """None where it could not be read."""
    graph: Graph | None
    """None where it has errors."""
    problems: Sequence[Problem]
    """Errors and warnings, in the order of the text."""

    @property
    def errors(self) -> int:
        return sum(problem.severity == "error" for problem in self.problems)


def read_graph(path: str) -> GraphFile:
    """Reads and checks a definition; never more than one byte above the limit of its size.

    Raises:
        UsageProblem: There is no such file, or it cannot be read.
    """
    name, raw = _bytes_of(path)
    document: Document | None = None
    graph: Graph | None = None
    problems: Sequence[Problem]
    try:
        document = parse(raw, name=name)
        compiled = compile_graph(document)
        graph, problems = compiled.graph, compiled.warnings
    except GraphInvalid as error:
        problems = error.problems if document is None else check(document)
    return GraphFile(name=name, text=readable(raw), document=document, graph=graph, problems=problems)


def check_once(paths: Sequence[str]) -> None:
    """Raises UsageProblem where standard input is to be read twice."""
    if list(paths).count(STDIN) > 1:
        raise UsageProblem("standard input can be read once; leave one - out")


def _bytes_of(path: str) -> tuple[str, bytes]:
    if path == STDIN:
        return "<stdin>", _bounded(sys.stdin.buffer)
    try:
        with Path(path).open("rb") as file:
            return path, _bounded(file)
    except OSError as error:
        raise UsageProblem(f"{path}: {error.strerror}") from error
    except ValueError as error:  # a path with a zero in it
        raise UsageProblem(f"{path!r} is no path: {error}") from error


def _bounded(stream: BinaryIO) -> bytes:
    return stream.read(GRAPH_DEFINITION_BYTES_MAX + 1)
