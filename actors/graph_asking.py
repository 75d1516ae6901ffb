"""Asks: what an activation of a task asks the engine for, its name and arguments evaluated."""

from __future__ import annotations

from typing import assert_never

import msgspec

from .graph_evaluation import Evaluation
from .graph_model import Action, ChildAction, HookAction, StepAction, Task, TimerAction
from .graph_moves import Started
from .graph_state import Activation


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What an activation, or an item of it, asks for."""

    activation: int
    index: int | None = None
    """The item's."""
    attempt: int
    task: str
    action: Action
    name: str = ""
    """Of the step, workflow or hook."""
    args: list[object] = []
    kwargs: dict[str, object] = {}

    @property
    def label(self) -> str:
        """Names it for people: `build`, `test[3]`."""
        return self.task if self.index is None else f"{self.task}[{self.index}]"


def ask_of(evaluation: Evaluation, task: Task, activation: Activation, action: Action, index: int | None) -> Ask:
    """Evaluates what an action asks for. Raises Misfit."""
    where = f"tasks.{task.name}"
    names = task.items.names if task.items is not None else ()
    view = evaluation.of(activation) if index is None else evaluation.of_item(activation, index, names)
    name = ""
    args: list[object] = []
    kwargs: dict[str, object] = {}
    match action:
        case StepAction():
            name = evaluation.text(action.name, view, f"{where}.action")
            args, kwargs = evaluation.arguments(action.input, view, f"{where}.input")
        case ChildAction():
            name = evaluation.text(action.workflow, view, f"{where}.workflow")
            args, kwargs = evaluation.arguments(action.input, view, f"{where}.input")
        case HookAction():
            name = evaluation.text(action.name, view, f"{where}.hook")
        case TimerAction():
            pass
        case _:
            assert_never(action)
    return Ask(
        activation=activation.id,
        index=index,
        attempt=activation.attempt,
        task=task.name,
        action=action,
        name=name,
        args=args,
        kwargs=kwargs,
    )


def attempt_of(
    evaluation: Evaluation, task: Task, activation: Activation, *, now_us: int
) -> tuple[Started, Ask | None]:
    """Evaluates how an attempt begins, and what it asks for where it has no items. Raises Misfit."""
    where, action = f"tasks.{task.name}", task.action
    view = evaluation.of(activation)
    n, attempt = activation.id, activation.attempt
    if task.items is not None:
        values, concurrency = evaluation.items(task.items, view, f"{where}.with")
        return Started(id=n, task=task.name, attempt=attempt, items=values, concurrency=concurrency), None
    if action is None:
        return Started(id=n, task=task.name, attempt=attempt), None
    ask = ask_of(evaluation, task, activation, action, None)
    retries = delay_us = due_at_us = 0
    if task.attempts is not None and retries_natively(task):
        retries = evaluation.retries(task.attempts, view, f"{where}.retry")
        delay_us = evaluation.span_us(task.attempts.delay, view, f"{where}.retry.delay")
    if isinstance(action, TimerAction):
        due_at_us = now_us + evaluation.span_us(action.span, view, f"{where}.wait")
    elif isinstance(action, HookAction) and action.timeout_us:
        due_at_us = now_us + action.timeout_us
    started = Started(id=n, task=task.name, attempt=attempt, retries=retries, delay_us=delay_us, due_at_us=due_at_us)
    return started, ask


def retries_natively(task: Task) -> bool:
    """Tells whether the engine makes a task's attempts: one command for all, as with any step."""
    return (
        task.attempts is not None
        and task.attempts.when is None
        and task.items is None
        and isinstance(task.action, StepAction)
    )
