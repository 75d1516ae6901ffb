"""The notebook: what steps do to the world, one line per begin and end, kept in memory beside the simulation."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TypeVar

from campaign.effects import Line, Phase, digest_of
from jetrun.actors import attempt

T = TypeVar("T")


class Notebook:
    """The lines of one simulation.

    Args:
        now_us: The world's clock.
        whose: Tells which process is running.
    """

    def __init__(self, now_us: Callable[[], int], whose: Callable[[], int]) -> None:
        self.lines: list[Line] = []
        self.on_line: Callable[[Line], None] | None = None
        self.stamps = count(1)
        self._now_us = now_us
        self._whose = whose

    def note(self, phase: Phase, digest: str) -> None:
        now = attempt()
        line = Line(
            phase=phase,
            workflow=now.workflow,
            run=now.run,
            command=now.command,
            attempt=now.number,
            step=now.step,
            digest=digest,
            at_us=self._now_us(),
            pid=self._whose(),
        )
        self.lines.append(line)
        if self.on_line is not None:
            self.on_line(line)


_open: list[Notebook] = []


def open_notebook(notebook: Notebook) -> None:
    """Makes this the notebook that steps write to."""
    _open[:] = [notebook]


def fresh() -> int:
    """Returns a number that no other attempt gets."""
    return next(_open[0].stamps)


def begin(*args: object) -> None:
    """Notes that the current attempt begins, with these arguments."""
    _open[0].note("begin", digest_of(list(args)))


def end(value: T) -> T:
    """Notes that the current attempt has had its effect, and returns the value."""
    _open[0].note("end", digest_of(value))
    return value


def broke() -> None:
    """Notes that the current attempt is about to raise."""
    _open[0].note("broke", "")
