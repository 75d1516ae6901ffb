"""`wfctl init`: a project that runs, to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .exits import UsageProblem
from .output import Output
from .skeleton import FILES


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", show_default=False, help="Where; made if it is not there.")
    ] = Path(),
) -> None:
    """Write a project that runs: configuration, a workflow with steps, its test, a README. Writes over nothing."""
    out = Output()
    for path in write_skeleton(folder):
        out.line(f"written: {path}")
    here = "" if folder == Path() else f"cd {folder} && "
    out.line(f"run it:   {here}wfctl dev")


def write_skeleton(folder: Path) -> list[Path]:
    """Writes the files and returns their paths.

    Raises:
        UsageProblem: One of them is there already, and then nothing is written; or the folder cannot be written to.
    """
    paths = {folder / name: text for name, text in FILES.items()}
    taken = [path.name for path in paths if path.exists() or path.is_symlink()]
    if taken:
        verb = "is" if len(taken) == 1 else "are"
        raise UsageProblem(
            f"{', '.join(taken)} {verb} in {str(folder)!r} already: nothing was written; name another DIR"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in paths.items():
            with path.open("x", encoding="utf-8") as file:  # `x`: who was faster is not written over either
                file.write(text)
    except OSError as error:
        raise UsageProblem(f"{error.filename or folder}: {error.strerror or error}") from error
    return list(paths)
