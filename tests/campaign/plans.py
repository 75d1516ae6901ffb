"""Plans: which runs a campaign starts and what it sends to each, drawn from the seed before anything begins."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

import msgspec

from jetrun.actors.names import RunKey

from .run_logs import RunLog

CANCEL_SHARE = 0.10
TERMINATE_SHARE = 0.05
PAUSE_SHARE = 0.15
AGAIN_SHARE = 0.3
"""How often a message is sent again with the same id, although it was acknowledged."""


class Letter(msgspec.Struct, kw_only=True):
    """A message to be sent."""

    id: str
    verb: str
    name: str = ""
    body: dict[str, object]
    at_s: float
    """From the campaign's start."""
    copies: int = 0
    """How often it is sent again after its acknowledgement."""


class Plan(msgspec.Struct, kw_only=True):
    """One run."""

    key: RunKey
    shape: str
    args: list[object]
    letters: list[Letter]

    def has(self, verb: str) -> bool:
        """Tells whether the run is sent such a message."""
        return any(letter.verb == verb for letter in self.letters)


class Shape(NamedTuple):
    """A kind of run: how one is drawn, and what is right for it.

    `judge` gets the log of a run that was neither cancelled nor terminated, and says what is wrong, or nothing.
    """

    workflow: str
    draw: Callable[[Random], list[object]]
    judge: Callable[[list[object], RunLog], str]
    hooks: Callable[[list[object], Random], list[tuple[str, object, float]]] | None = None
    """Name, payload and seconds after the start (negative: before it) of each hook."""
    updates: Callable[[list[object], Random], list[tuple[str, object, float]]] | None = None
    """As `hooks`: name, argument and time of each update."""
    is_endless: bool = False
    """Somebody has to end it."""
    is_by_name: bool = False
    """What is drawn is one mapping: arguments by name."""


class Drawing:
    """Draws the plans of a campaign."""

    def __init__(self, shapes: list[Shape], rng: Random, seconds: float) -> None:
        self._shapes = shapes
        self._rng = rng
        self._seconds = seconds
        self._number = 0

    def draw(self, runs: int) -> list[Plan]:
        """Draws the plans; all shapes appear about equally often."""
        return [self._plan(index, self._shapes[index % len(self._shapes)]) for index in range(runs)]

    def _plan(self, index: int, shape: Shape) -> Plan:
        rng = self._rng
        begins_s = rng.uniform(0, 0.8 * self._seconds)
        key = RunKey(shape.workflow, f"r{index}")
        args = shape.draw(rng)
        letters = [
            self._letter("start", {"args": [], "kwargs": args[0]} if shape.is_by_name else {"args": args}, begins_s)
        ]
        if shape.hooks is not None:
            sent_s = 0.0
            for name, payload, after_s in shape.hooks(args, rng):
                sent_s = max(sent_s, begins_s + after_s, 0.0)  # one sender's hooks go out in order
                letters.append(self._letter("hook", {"payload": payload}, sent_s, name))
        if shape.updates is not None:
            for name, argument, after_s in shape.updates(args, rng):
                letters.append(self._letter("update", {"args": [argument]}, max(begins_s + after_s, 0.0), name))
        letters += self._steering(shape, begins_s)
        return Plan(key=key, shape=shape.workflow, args=args, letters=letters)

    def _steering(self, shape: Shape, begins_s: float) -> list[Letter]:
        rng, letters = self._rng, list[Letter]()
        share = rng.random()
        later_s = begins_s + rng.choice([rng.uniform(0, 0.2), rng.uniform(0, 3)])
        if share < CANCEL_SHARE or (shape.is_endless and share < 0.6):
            letters.append(self._letter("cancel", {"reason": "the campaign cancels"}, later_s))
        elif share < CANCEL_SHARE + TERMINATE_SHARE or shape.is_endless:
            letters.append(self._letter("terminate", {"reason": "the campaign terminates"}, later_s))
        if rng.random() < PAUSE_SHARE:
            paused_s = begins_s + rng.uniform(0, 1)
            letters.append(self._letter("pause", {}, paused_s))
            letters.append(self._letter("resume", {}, paused_s + rng.uniform(0.1, 2)))
        return letters

    def _letter(self, verb: str, body: dict[str, object], at_s: float, name: str = "") -> Letter:
        self._number += 1
        # A pause that comes again after the resume would be another pause: only its sender could tell.
        copies = self._rng.choice([1, 1, 2]) if self._rng.random() < AGAIN_SHARE and verb != "pause" else 0
        letter_id = f"{verb}-{self._number}"
        return Letter(id=letter_id, verb=verb, name=name, body={"id": letter_id, **body}, at_s=at_s, copies=copies)
