"""Rehearsals of graphs from files: the definitions that a file names are read from beside it."""

from __future__ import annotations

import os
from pathlib import Path

from ..actors.graph_problem import GraphInvalid
from ..actors.graph_scenario import Scenario
from ..actors.graph_scenario_file import read_rehearsal, references
from ..actors.graph_source import Document, parse
from ..actors.limits import GRAPH_DEFINITION_BYTES_MAX


def scenarios_of(raw: bytes | str, *, name: str, folder: Path) -> list[Scenario]:
    """Reads the scenarios of a rehearsal, or of a definition itself the one in which every task succeeds.

    Args:
        name: The file's, for messages.
        folder: Where definitions are that are named by a relative path.

    Raises:
        GraphInvalid: With every problem of the file. Those of definitions become their scenarios' own.
    """
    return scenarios_in(parse(raw, name=name), folder=folder)


def scenarios_in(document: Document, *, folder: Path) -> list[Scenario]:
    """Reads the scenarios of a rehearsal that is parsed already. Raises GraphInvalid."""
    return read_rehearsal(document, {path: _definition(folder / path) for path in references(document)})


def read_bounded(path: Path) -> bytes:
    """Reads a file, never more than one byte above what a definition may have. Raises OSError."""
    with path.open("rb") as file:
        return file.read(GRAPH_DEFINITION_BYTES_MAX + 1)


def _definition(path: Path) -> Document | GraphInvalid | str:
    name = os.path.normpath(path)
    try:
        return parse(read_bounded(path), name=name)
    except GraphInvalid as error:
        return error
    except OSError as error:
        return f"{name}: {error.strerror}"
    except ValueError as error:  # a path with a zero in it
        return str(error)
