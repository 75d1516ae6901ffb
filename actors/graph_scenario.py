"""Scenarios: what a rehearsal of a graph does to it, outcome by outcome, and what it expects to see."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from .errors import ErrorInfo
from .graph_asking import Ask
from .graph_model import Graph
from .graph_problem import Problem

OutcomeStatus: TypeAlias = Literal["succeeded", "failed", "timeout", "cancelled", "running"]
"""How mocked work ends; `running` never does."""

RunStatus: TypeAlias = Literal["succeeded", "failed", "cancelled", "running"]

OUTCOMES: Final[tuple[OutcomeStatus, ...]] = ("succeeded", "failed", "timeout", "cancelled", "running")
RUN_STATUSES: Final[tuple[RunStatus, ...]] = ("succeeded", "failed", "cancelled", "running")
TASK_STATUSES: Final = ("succeeded", "failed", "timeout", "skipped", "cancelled")


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a task's work. Of a task's rules, the first one counts that fits and is not used up."""

    status: OutcomeStatus = "succeeded"
    result: object = None
    error: ErrorInfo | None = None
    is_final: bool = False
    """Trying again cannot help."""
    takes_us: int | None = None
    """None for no time; for a timeout, the task's own."""
    times: int = 0
    """How often it counts; 0 for always."""
    item: int | None = None
    """Only for this item, from 0."""
    activation: int | None = None
    """Only when the task begins for the n-th time, from 1."""
    attempt: int | None = None
    """Only for this attempt of an activation, from 1."""
    is_shared: bool = False
    """It stands above several scenarios: that one of them does not need it says nothing."""

    def fits(self, ask: Ask, *, activation: int, attempt: int) -> bool:
        """Tells whether it is about this piece of work.

        Args:
            activation: How often the task has begun.
            attempt: Of the activation.
        """
        return (
            self.item in (None, ask.index) and self.activation in (None, activation) and self.attempt in (None, attempt)
        )


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    """When the run is asked to stop: at a time, or as soon as a task has begun or ended."""

    at_us: int | None = None
    """Since the run's beginning."""
    moment: Literal["started", "ended"] = "started"
    task: str = ""
    activation: int = 1
    """Of the task, from 1."""

    @property
    def label(self) -> str:
        """Names the moment for people."""
        return f"when task {self.task!r} has {self.moment}" if self.at_us is None else f"at {self.at_us / 1e6:g} s"


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What a rehearsal has to show; None, and what is left out, for anything."""

    status: RunStatus | None = None
    path: tuple[str, ...] | None = None
    """Tasks in the order in which they begin; those of one wave in any order."""
    waves: tuple[tuple[str, ...], ...] | None = None
    output: object = msgspec.UNSET
    errors: tuple[str, ...] | None = None
    """Codes, or parts of texts; each has to be found. None at all: there must be none."""
    activations: dict[str, int] = {}
    """How often tasks begin."""
    tasks: dict[str, str] = {}
    """How each task's newest activation ends."""
    problems: tuple[str, ...] | None = None
    """The definition is not valid: kinds of problems, or parts of their texts; none at all for any problem."""

    @property
    def is_nothing(self) -> bool:
        """Tells whether anything would do."""
        return self == Expected()


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """A definition under rehearsal."""

    name: str
    """The file's, as it was typed."""
    graph: Graph | None
    """None where it is not valid."""
    problems: tuple[Problem, ...] = ()
    """Errors alone."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One run to rehearse."""

    name: str
    subject: Subject
    input: dict[str, object] = {}
    start: tuple[str, ...] = ()
    mocks: dict[str, tuple[Rule, ...]] = {}
    """By task. A task without any succeeds with null."""
    order: tuple[str, ...] = ()
    """In which tasks end that end at the same time; others after these, as they began."""
    cancel: Cancel | None = None
    expected: Expected = Expected()
    is_paced: bool = False
    """Tasks that run nothing end with their wave, as others do, and can be mocked: Orquesta's way to count waves."""
