"""A graph as the interpreter sees it: the internal form of both surface forms, transition graph and dependency graph.

It is never stored: a run's log holds the definition, and this is made of it anew. Tasks are nodes; an activation is one
time that a task runs; a token is what moves along an edge and begins an activation, or arrives at a join.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from .graph_expression import Expression
from .graph_template import Template

ROOT: Final = ""
"""The virtual task above all entry points, where dominators are concerned."""

Assignment = tuple[str, Template]
"""A variable's name and what it is set to; later ones of a list see earlier ones."""


class StepAction(msgspec.Struct, frozen=True, kw_only=True, tag="step"):
    """Runs a step, in any language that takes the queue's work."""

    name: Template
    """A text; may be an expression."""
    queue: str = "default"
    input: Template
    """A mapping (arguments by name) or a list (by position)."""
    timeout_us: int = 0
    """Of one attempt; 0 for none."""
    heartbeat_us: int = 0
    """An attempt that says nothing for so long is given up; 0 for never."""
    recovery_attempts: int | None = None
    """Times that an attempt is run again after its worker was lost; None for the engine's default."""


class ChildAction(msgspec.Struct, frozen=True, kw_only=True, tag="child"):
    """Runs a workflow, which may be a graph, as a child."""

    workflow: Template
    app: str = ""
    input: Template
    timeout_us: int = 0


class TimerAction(msgspec.Struct, frozen=True, kw_only=True, tag="timer"):
    """Waits for a time to pass."""

    span: Template
    """Seconds, or a duration with its unit: "30s"."""


class HookAction(msgspec.Struct, frozen=True, kw_only=True, tag="hook"):
    """Waits for one message of a hook; its payload is the result."""

    name: Template
    timeout_us: int = 0
    """0 for none; afterwards the task has the status `timeout`."""


Action: TypeAlias = StepAction | ChildAction | TimerAction | HookAction


class Items(msgspec.Struct, frozen=True, kw_only=True):
    """A task's action run once per item of a list; the task's result is the list of results in the items' order."""

    values: Template
    names: tuple[str, ...] = ()
    """`x in …` or `a, b in …`: how expressions call an item, or its parts."""
    concurrency: Template | None = None
    """Items under way at once; None for all."""
    on_failure: Literal["finish_started", "run_all", "cancel_rest"] = "run_all"
    """What becomes of the other items when one has failed: those that were begun end and no more begin, all are run,
    or those that run are cancelled, too. The task has failed in any case."""


class Attempts(msgspec.Struct, frozen=True, kw_only=True):
    """When a task that has ended is run again. Its edges are taken after the last attempt alone."""

    count: Template | None
    """Attempts after the first, a whole number; None for without end."""
    when: Expression | None = None
    """After which end there is another attempt; None for after a failure that may be retried."""
    delay: Template | None = None
    """Seconds or a duration before the second attempt; None for none."""
    backoff: Literal["fixed", "linear", "exponential"] = "fixed"
    """Delay before attempt n+1: `delay`, `delay * n` or `delay * 2**(n - 1)`."""
    cap_us: int = 0
    """Upper bound of a delay; 0 for that of steps."""
    is_jittered: bool = False
    """Delays are multiplied by 0.5 to 1."""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """So many of these predecessors have to arrive."""

    predecessors: frozenset[str]
    need: int


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """A transition out of a task that has ended."""

    when: Expression | None = None
    """None for always."""
    publish: tuple[Assignment, ...] = ()
    targets: tuple[str, ...] = ()
    """Tasks that get a token each, in this order."""
    handles: bool = True
    """Taken, it makes a failure a handled one: False where its only target was `continue`."""
    fails: bool = False
    """Taken, it fails the run, after its targets have had one go (`fail`)."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A node."""

    name: str
    action: Action | None = None
    """None for nothing: it succeeds at once, with the result null."""
    guard: Expression | None = None
    """False: the task is skipped, and its dependents go on (`run_if`)."""
    items: Items | None = None
    delay: Template | None = None
    """Seconds or a duration between activation and first attempt."""
    attempts: Attempts | None = None
    join: tuple[Group, ...] = ()
    """All of these have to be met; empty: an activation per token."""
    match: Literal["all", "first"] = "all"
    """Whether every edge whose condition holds is taken, or the first one alone."""
    edges: tuple[Edge, ...] = ()
    on_failure: Literal["fail", "continue"] = "fail"
    """`continue`: after its last attempt it counts as skipped; dependents go on, nothing has failed."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a run."""

    duration_us: int = 0
    """From its start, without pauses; 0 for none."""
    iterations: int
    """Activations of one task."""
    activations: int
    """Activations in all."""
    value_bytes: int
    """JSON of one variable."""


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """A definition, checked and compiled."""

    name: str
    tasks: dict[str, Task]
    """In the order of the definition."""
    entries: tuple[str, ...]
    """Where runs begin unless they say otherwise: tasks without an inbound edge. May be empty."""
    inputs: tuple[tuple[str, Template | None], ...] = ()
    """Names with their defaults; None for null."""
    takes_any_input: bool = False
    """Inputs that are not declared become variables, too; else they are refused."""
    variables: tuple[Assignment, ...] = ()
    output: tuple[Assignment, ...] = ()
    limits: Limits
    on_unhandled: Literal["fail_fast", "drain"] = "fail_fast"
    """After a failure that no edge handles: nothing new starts, or independent branches finish."""
    on_cancel: Literal["cancel_running", "allow_finish"] = "cancel_running"
    dominators: dict[str, str] = {}
    """Of each join, its immediate dominator (`ROOT` for none): what tells its instances apart."""
    form: Literal["transitions", "dependencies"] = "transitions"
    description: str = ""
    tags: tuple[str, ...] = ()
