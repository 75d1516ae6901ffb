"""Options that several commands share, declared once so that they read and behave the same everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

import msgspec
import typer

if TYPE_CHECKING:
    from ..streams.lifeline import Lifeline


class Globals(msgspec.Struct, frozen=True, kw_only=True):
    """What stands before or after any command, None where it was not given, and this process's ties to its parent."""

    url: str | None = None
    app: str | None = None
    lifeline: Lifeline | None = None


def globals_of(context: typer.Context) -> Globals:
    """Returns the global options of the command line."""
    assert isinstance(context.obj, Globals)
    return context.obj


Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON lines.")]
Modules: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--module",
        "-m",
        metavar="MODULE",
        help="Module with workflows and steps, or file with a graph (.yaml, .json); repeatable; else those configured.",
    ),
]
Run: TypeAlias = Annotated[
    str, typer.Argument(metavar="RUN", help="<workflow>/<run>, or the run's id where it is unambiguous.")
]
LogFormat: TypeAlias = Annotated[
    str | None, typer.Option("--log-format", help="`text` or `json`; by default text on a terminal and JSON elsewhere.")
]
LogLevel: TypeAlias = Annotated[
    str | None, typer.Option("--log-level", help="`debug`, `info`, `warning` or `error`; `info` by default.")
]
