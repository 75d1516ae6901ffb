"""Builder results that were dropped: `graph.step(build)` as a statement changes nothing, and says so.

A builder that returns new objects cannot know what becomes of them, so the object itself is watched: when it is collected
before anything was made of it, a `GraphDropped` warning names the line of the call. CPython collects it at the end of the
very statement; where something holds it longer (a traceback, another interpreter) the warning comes later. Nothing is
refused for it: when an object dies is no property of a program that a run may depend on. Refused were, and why:

- an error at the second use of one graph: two graphs that share a beginning are what immutable builders are for;
- `__del__`: it runs at the interpreter's end, too, when a module's graphs die unused and rightly so.
"""

from __future__ import annotations

import inspect
import warnings
import weakref
from types import FrameType
from typing import Final

import msgspec

from .graph_problem import PROBLEMS_MAX

_OUR_FOLDER: Final = __file__.rpartition("/")[0] + "/"


class GraphDropped(UserWarning):
    """The result of a builder call was dropped, so the call changed nothing; names the line.

    Tests should make it an error: `filterwarnings = ["error::jetrun.actors.GraphDropped"]` for pytest.
    """


class Place(msgspec.Struct, frozen=True):
    """A line of user code; nothing that is stored depends on it."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Caller(msgspec.Struct, frozen=True):
    """The user code that calls the builder."""

    place: Place
    told: dict[str | tuple[str, type[Warning], int], int]
    """Its module's register of warnings that were told, as `warnings.warn` keeps it."""

    @classmethod
    def find(cls) -> Caller:
        """Finds the innermost frame outside of this package."""
        frame: FrameType | None = inspect.currentframe()
        while frame is not None and frame.f_code.co_filename.startswith(_OUR_FOLDER):
            frame = frame.f_back
        if frame is None:
            return cls(Place("?", 0), {})
        place = Place(frame.f_code.co_filename, frame.f_lineno)
        return cls(place, frame.f_globals.setdefault("__warningregistry__", {}))


class Watch:
    """Watches one builder result until it is used.

    Args:
        owner: The result.
        what: The call, as the warning shall name it: `step('test')`.
        dropped: Where the warning's text is added for `Graph.check`; shared by all graphs of one beginning.
    """

    __slots__ = ("_finalizer",)

    def __init__(self, owner: object, what: str, caller: Caller, dropped: list[str]) -> None:
        self._finalizer = weakref.finalize(owner, _warn, what, caller, dropped)
        self._finalizer.atexit = False

    def end(self) -> None:
        """Takes the result as used."""
        self._finalizer.detach()


def _warn(what: str, caller: Caller, dropped: list[str]) -> None:
    place = caller.place
    text = f"the result of .{what} was dropped, so it changed nothing; write graph = graph.{what}"
    line = f"{place}: {text}"
    if line not in dropped and len(dropped) < PROBLEMS_MAX:
        dropped.append(line)
    warnings.warn_explicit(text, GraphDropped, place.file, place.line, registry=caller.told)
