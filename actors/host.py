"""Host: who runs the body of a workflow with `durable=False`, and what its code may ask for.

Such code runs on a step worker's own loop. Primitives look here where no deterministic loop runs. This file does
nothing itself: the step worker sets the host, in the context of the body alone (its steps do not see it).
"""

from __future__ import annotations

from collections.abc import Coroutine
from contextvars import ContextVar
from random import Random
from typing import Any, Final, Protocol

from .errors import NotDurable
from .names import RunKey


class BodyHost(Protocol):
    """The run of a body."""

    app: str
    key: RunKey
    started_at_us: int
    """When the body was asked for: the same when it begins again."""
    steps_begun: int
    random: Random
    uuids: Random

    def now_us(self) -> int:
        """Tells the worker's time."""
        ...

    async def sleep(self, delay_us: int) -> None:
        """Waits on the worker's loop."""
        ...

    def run_step(self, step: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        """Runs a step in place, with its retries."""
        ...


HOST: Final[ContextVar[BodyHost | None]] = ContextVar("jetrun_body_host", default=None)


def running_host() -> BodyHost | None:
    """Returns the host of the body that calls, or None elsewhere."""
    return HOST.get()


def refuse_in_body(what: str, why: str = "needs the run's log") -> None:
    """Raises NotDurable where the caller is the body of a workflow with `durable=False`."""
    host = HOST.get()
    if host is not None:
        raise NotDurable(
            f"{what} {why}, and workflow {host.key.workflow!r} has durable=False: "
            "nothing but its start and its end is in the log; make it @workflow(durable=True)"
        )
