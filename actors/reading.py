"""Reading: a run's code called between its decisions, for a query or a validator. It may look at everything and ask for nothing.

While it reads, another stands in for the execution and for what of the loop would make something happen. Nothing is
added to any of those for it, so that runs which nobody asks pay nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn

from .errors import ReadOnly

if TYPE_CHECKING:
    from .execution import Execution
    from .loop import LoopTimer

_OF_LOOP: Final = ("call_soon", "start_timer", "create_future", "create_task", "next_number")
"""All that anything of asyncio comes down to."""


class Reading:
    """Stands in for a run's execution: `execution` may be looked at, whatever is asked for is refused.

    Args:
        what: Who reads, as errors shall call it: `query 'progress'`.
    """

    def __init__(self, execution: Execution, what: str) -> None:
        self.execution = execution
        self.what = what
        self.is_broken = False
        """Something was asked for: futures may have been touched before it was refused."""

    def refuse(self, asked: str) -> NoReturn:
        """Raises ReadOnly, and remembers it."""
        self.is_broken = True
        raise ReadOnly(f"{self.what} asked for {asked}; it may read alone: let an update or a hook change the run")

    def refusing(self, asked: str) -> Callable[..., Any]:
        """Makes a function that refuses."""

        def refuse(*args: object, **_kwargs: object) -> NoReturn:
            for arg in args:
                if inspect.iscoroutine(arg):
                    arg.close()  # nobody will await it
            self.refuse(asked)

        return refuse

    def timer_started(self, handle: LoopTimer, due_at_us: int) -> None:
        self.refuse("a timer")

    def timer_cancelled(self, handle: LoopTimer) -> None:
        self.refuse("the end of a timer")

    def run_step(self, step: object, args: object, kwargs: object) -> NoReturn:
        """In place of `Execution.run_step`."""
        self.refuse(f"{step!r}")

    def run_child(self, call: object, run_id: object, parent_close: object) -> NoReturn:
        """In place of `Execution.run_child`."""
        self.refuse(f"a child, {call!r}")


@contextmanager
def reading(execution: Execution, what: str) -> Generator[Reading]:
    """Lets code of the run's read in the block; its loop is the running one, and does nothing."""
    reader = Reading(execution, what)
    loop, host = execution.loop, execution.loop.host
    loop.host = reader
    vars(loop).update({name: reader.refusing(f"{name}() of the loop") for name in _OF_LOOP})
    vars(execution)["decide"] = reader.refusing("a command")  # who holds the execution (a child's handle) asks it
    try:
        with loop.entered():
            yield reader
    finally:
        del vars(execution)["decide"]
        for name in _OF_LOOP:
            del vars(loop)[name]
        loop.host = host
