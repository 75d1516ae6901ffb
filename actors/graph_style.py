"""Colours of drawn graphs, light and dark; every class begins with `jr-`, as pictures are put into pages with styles."""

from __future__ import annotations

from typing import Final, NamedTuple

from .graph_draw import TaskState


class Colours(NamedTuple):
    """Of a box: what it is filled with, and its border."""

    fill: str
    stroke: str


LIGHT: Final[dict[TaskState, Colours]] = {
    "waiting": Colours("#ffffff", "#8c959f"),
    "ready": Colours("#fbefff", "#8250df"),
    "running": Colours("#ddf4ff", "#0969da"),
    "retrying": Colours("#fff8c5", "#9a6700"),
    "succeeded": Colours("#dafbe1", "#1a7f37"),
    "failed": Colours("#ffebe9", "#cf222e"),
    "timeout": Colours("#fff1e5", "#bc4c00"),
    "skipped": Colours("#f6f8fa", "#6e7781"),
    "cancelled": Colours("#eaeef2", "#424a53"),
}
DARK: Final[dict[TaskState, Colours]] = {
    "waiting": Colours("#161b22", "#6e7681"),
    "ready": Colours("#271b3d", "#a371f7"),
    "running": Colours("#0c2d5b", "#58a6ff"),
    "retrying": Colours("#3b2e05", "#d29922"),
    "succeeded": Colours("#0f3a1e", "#3fb950"),
    "failed": Colours("#4c1418", "#f85149"),
    "timeout": Colours("#442208", "#f0883e"),
    "skipped": Colours("#161b22", "#8b949e"),
    "cancelled": Colours("#21262d", "#b1bac4"),
}


def _scheme(colours: dict[TaskState, Colours], *, page: str, text: str, dim: str, fail: str) -> str:
    states = "".join(
        f".jr-graph .jr-{state} .jr-box{{fill:{its.fill};stroke:{its.stroke}}}" for state, its in colours.items()
    )
    return (
        f".jr-graph .jr-page{{fill:{page}}}.jr-graph text{{fill:{text}}}.jr-graph .jr-label{{fill:{dim}}}"
        f".jr-graph .jr-box{{fill:{colours['waiting'].fill};stroke:{colours['waiting'].stroke}}}"
        f".jr-graph .jr-wire{{stroke:{dim}}}.jr-graph .jr-tip{{fill:{dim}}}"
        f"{states}.jr-graph .jr-fail .jr-box{{stroke:{fail}}}"
    )


STYLE: Final = (
    ".jr-graph text{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;"
    "font-size:11px;text-anchor:middle;white-space:pre}"
    ".jr-graph .jr-name{font-size:13px;font-weight:600}.jr-graph .jr-state{font-weight:600}"
    ".jr-graph .jr-box{stroke-width:1.5}.jr-graph .jr-wire{fill:none;stroke-width:1.2}"
    ".jr-graph .jr-running .jr-box,.jr-graph .jr-failed .jr-box{stroke-width:2.5}"
    ".jr-graph .jr-skipped .jr-box{stroke-dasharray:4 3}.jr-graph .jr-cancelled .jr-box{stroke-dasharray:1.5 2.5}"
    ".jr-graph .jr-timeout .jr-box{stroke-dasharray:8 3}"
    + _scheme(LIGHT, page="#ffffff", text="#1f2328", dim="#57606a", fail="#cf222e")
    + "@media (prefers-color-scheme:dark){"
    + _scheme(DARK, page="#0d1117", text="#e6edf3", dim="#9198a1", fail="#f85149")
    + "}"
)
"""Holds no character that XML would have escaped."""
