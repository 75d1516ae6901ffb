"""Children: runs that a run starts, and what it can do with them (R21).

A child is a run like any other, with a log of its own. It is started once, however often its parent is replayed or moved;
its end reaches the parent once. Awaiting a workflow in a workflow is the short form: `receipt = await payment("o-1")`.
"""

from __future__ import annotations

import asyncio
from typing import Final, Generic, TypeVar, cast

from .commands import ParentClose, StartChild
from .errors import DefinitionError
from .execution import Execution
from .names import check_run_id, check_token
from .open_child import OpenChild, take_note
from .primitives import execution_of
from .workflow import Call

R = TypeVar("R")

_CLOSES: Final = ("cancel", "terminate", "abandon")


class ChildHandle(Generic[R]):
    """A child that was started. Nobody has to wait for it."""

    __slots__ = ("_child", "_execution")

    def __init__(self, execution: Execution, child: OpenChild) -> None:
        self._execution = execution
        self._child = child

    @property
    def workflow(self) -> str:
        """The child's workflow."""
        return self._child.command.workflow

    @property
    def command(self) -> int:
        """Number of the command that started it."""
        return self._child.command.n

    @property
    def run_id(self) -> str:
        """The child's run id."""
        return self._child.command.run

    @property
    def app(self) -> str:
        """The app that it runs in."""
        return self._child.command.app or self._execution.app

    async def result(self) -> R:
        """Waits for the child's end and returns its result; any number of times.

        Who stops waiting (a timeout, a cancelled task) leaves the child alone: `cancel` it, or let it go on.

        Raises:
            ChildFailed: It did not complete; `status` says how it ended.
        """
        await asyncio.wait([self._child.future])
        return cast("R", self._child.future.result())

    def cancel(self, reason: str = "") -> None:
        """Asks the child to stop; `result` then tells how it ended. Does nothing for one that has ended."""
        self._execution.cancel_child(self._child, reason)

    def __repr__(self) -> str:
        return f"<child {self._child.command.address}>"


def start_child(
    call: Call[R], /, *, run_id: str | None = None, parent_close: ParentClose = "cancel", app: str = ""
) -> ChildHandle[R]:
    """Starts another run from within a workflow, and goes on.

    Args:
        call: `payment.call("o-1")`, or by name `call("payment", "o-1")`.
        run_id: By default `<workflow>-<run id>-<command>` of the parent. One that is taken fails the child as `refused`.
        parent_close: What becomes of the child when the parent ends first: `cancel` asks it to stop, `terminate` ends it
            at once, `abandon` lets it go on.
        app: Where it runs; by default in the parent's app. An app that is not on the server fails the child as `refused`.

    Raises:
        DefinitionError: There is no such `parent_close`.
        InvalidName: The run id, or the app's name, cannot be a token.
        JetrunError: Too many commands are open, or children are nested too deeply.
        NotInWorkflow: No workflow is running.
    """
    execution = execution_of("start_child()")
    if parent_close not in _CLOSES:
        raise DefinitionError(f"parent_close={parent_close!r}; use one of {', '.join(_CLOSES)}")
    if run_id is not None:
        check_run_id(run_id)
    if app:
        check_token("app name", app)
    return ChildHandle(execution, execution.start_child(call, run_id, parent_close, app))


def restart_child(recorded: StartChild) -> ChildHandle[object]:
    """Starts a child again on replay, as the log has it, where what it was started with is not made anew."""
    execution = execution_of("restart_child()")
    child = OpenChild(command=recorded, result_type=object, future=execution.loop.create_future())
    child.future.add_done_callback(take_note)
    if execution.decide(recorded) is not None:
        execution.children[recorded.n] = child
    return ChildHandle(execution, child)


def adopt_child(workflow: str, run_id: str, command: int) -> ChildHandle[object]:
    """Waits for a child that an earlier link of this run has started by that command, and left alone (`abandon`).

    Nothing is decided: it is the same child, under the number that its end names.
    """
    execution = execution_of("adopt_child()")
    depth = execution.parent.depth + 1 if execution.parent is not None else 1
    asked = StartChild(n=command, workflow=workflow, run=run_id, hash="", parent_close="abandon", depth=depth)
    child = OpenChild(command=asked, result_type=object, future=execution.loop.create_future())
    child.future.add_done_callback(take_note)
    execution.children[command] = child
    return ChildHandle(execution, child)
