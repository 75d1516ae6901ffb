"""Rehearsals of graphs inside tests: the same files and the same words as `wfctl graph rehearse`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..actors.graph_source import Document
from ..actors.graph_verdict import judge
from .rehearsing import read_bounded, scenarios_in, scenarios_of


def rehearse(rehearsal: Path | str | Mapping[str, object], *, folder: Path | str | None = None) -> None:
    """Rehearses every scenario of a file, of a text or of a mapping; docs/graph-rehearsal.md says what these hold.

    Nothing runs but the graph's interpreter, in virtual time: no steps, no server. Needs no event loop.

    Args:
        rehearsal: A path; a text if it has a line break or begins with `{`; or the same as a mapping.
        folder: Where definitions are that are named by a relative path; else that of the file, or the current one.

    Raises:
        AssertionError: Something is not as expected; the text is that of `wfctl graph rehearse`.
        GraphInvalid: The rehearsal cannot be read; with every problem and its place.
        OSError: There is no such file.
    """
    beside = Path() if folder is None else Path(folder)
    if isinstance(rehearsal, Mapping):
        scenarios = scenarios_in(Document.of(dict(rehearsal), name="rehearsal"), folder=beside)
    elif isinstance(rehearsal, str) and ("\n" in rehearsal or rehearsal.startswith("{")):
        scenarios = scenarios_of(rehearsal, name="rehearsal", folder=beside)
    else:
        path = Path(rehearsal)
        scenarios = scenarios_of(read_bounded(path), name=str(path), folder=path.parent if folder is None else beside)
    failed = [verdict for verdict in map(judge, scenarios) if not verdict.is_as_expected]
    if failed:
        lines = [line for verdict in failed for line in verdict.lines()]
        raise AssertionError("\n".join([f"{len(failed)} of {len(scenarios)} scenarios:", *lines]))
