"""Body: the code of a workflow with `durable=False`, as the one step that its run asks for.

The run is an ordinary actor: its engine-made code asks for the body and ends as that does. So the log holds two decisions,
and whatever concerns a run (ids, status, cancel, limits, dead letters, retention) holds for it as for every other.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final, ParamSpec, TypeVar

from .errors import ErrorInfo, StepFailed
from .failures import error_info
from .recovery import Recovery
from .retry import RetryPolicy
from .step import Step

P = ParamSpec("P")
R = TypeVar("R")

_ENGINE_FAILURES: Final = frozenset({"missing_value", "unknown_step"})
"""What another worker, or the same one later, may do better. A failure of the body itself is the run's end."""


class Body(Step[P, R]):
    """The code of a workflow that runs whole on a step worker; registered with its workflow, never by a user."""

    is_body = True

    async def ask(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Is the engine-made code of the run: asks for the body, and ends as it does."""
        return await self(*args, **kwargs)


def body_of(
    function: Callable[P, Coroutine[Any, Any, R]], *, workflow: str, queue: str, recovery: Recovery | None
) -> Body[P, R]:
    """Makes the body of a workflow."""
    # No name that a user can give holds a colon.
    body: Body[P, R] = Body(function, name=f"workflow:{workflow}", given={"queue": queue})
    body.retry = RetryPolicy.build(codes=_ENGINE_FAILURES)
    body.recovery = recovery
    return body


def failure_of(body: Body[..., Any] | None, error: BaseException) -> ErrorInfo:
    """Describes why a run failed: what its body failed with on the step worker, not that a step of the run's failed."""
    return error.error if body is not None and isinstance(error, StepFailed) else error_info(error)
