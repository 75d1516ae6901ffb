"""Steps: functions that may do I/O. Inside a workflow a call is a command, outside it is the plain function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from .durations import Duration, duration_us
from .errors import DefinitionError
from .host import running_host
from .limits import STEP_RETRIES
from .loop import running_loop
from .names import check_token
from .recovery import Recovery
from .retry import RetryPolicy
from .values import Signature

P = ParamSpec("P")
R = TypeVar("R")


class Step(Generic[P, R]):
    """A registered step; call it inside a workflow and await the result.

    Runs at least once per call: use `attempt().idempotency_key` towards systems that can tell repeats. Its result is
    recorded once. Calling it outside a workflow calls the function, with no retries and nothing recorded.
    """

    is_body = False
    """Whether it is the code of a workflow with `durable=False`."""

    def __init__(
        self,
        function: Callable[P, Any],
        *,
        name: str,
        queue: str,
        retry: RetryPolicy,
        timeout_us: int,
        recovery: Recovery | None = None,
    ) -> None:
        self.function = function
        self.name = name
        self.queue = queue
        self.retry = retry
        self.timeout_us = timeout_us
        self.recovery = recovery
        """None where the workflow's options hold."""
        self.is_async = inspect.iscoroutinefunction(function)
        self.signature = Signature.of(function, what=f"step {name}")
        self.__doc__ = function.__doc__
        self.__name__ = getattr(function, "__name__", name)
        self.__module__ = function.__module__
        self.__wrapped__ = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Asks for the step to run (in a workflow) or calls the function (elsewhere; a sync function returns its value)."""
        loop = running_loop()
        if loop is not None:
            return cast("Coroutine[Any, Any, R]", cast(Any, loop.host).run_step(self, args, kwargs))
        host = running_host()
        if host is not None:
            return host.run_step(self, args, kwargs)
        return cast("Coroutine[Any, Any, R]", self.function(*args, **kwargs))

    def __repr__(self) -> str:
        return f"<step {self.name!r} on queue {self.queue!r}>"


class StepDecorator:
    """What `@step(...)` returns: turns a function into a `Step`, keeping its types."""

    def __init__(self, build: Callable[[Callable[..., Any]], Step[..., Any]]) -> None:
        self._build = build

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Step[P, R]: ...
    def __call__(self, function: Callable[..., Any], /) -> Step[..., Any]:
        return self._build(function)


@overload
def step(function: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    *,
    name: str | None = None,
    queue: str = "default",
    max_retries: int = STEP_RETRIES,
    retry_delay: str | Duration | Sequence[Duration] | Callable[[int], Duration] = "exponential",
    retry_cap: Duration = "5m",
    jitter: bool = True,
    timeout: Duration | None = None,
    non_retryable: Sequence[type[BaseException] | str] = (),
    recover_on_worker_loss: bool | None = None,
    max_recovery_attempts: int | None = None,
) -> StepDecorator: ...
def step(  # noqa: PLR0913  the options of a step, all by name
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    queue: str = "default",
    max_retries: int = STEP_RETRIES,
    retry_delay: str | Duration | Sequence[Duration] | Callable[[int], Duration] = "exponential",
    retry_cap: Duration = "5m",
    jitter: bool = True,
    timeout: Duration | None = None,
    non_retryable: Sequence[type[BaseException] | str] = (),
    recover_on_worker_loss: bool | None = None,
    max_recovery_attempts: int | None = None,
) -> Any:
    """Makes a function a step.

    Args:
        name: Its name in logs and on the wire; the function's name by default.
        queue: Which step workers run it.
        max_retries: Attempts after the first; 0 for none.
        retry_delay: "exponential" (1 s, 2 s, 4 s …), a fixed duration, a list of durations (the last repeats), or a
            pure function from the number of the failed attempt to a duration.
        retry_cap: Upper bound of a computed delay.
        jitter: Shortens computed delays at random, by up to a half.
        timeout: Of one attempt.
        non_retryable: Exception classes (or their qualified names) that fail the step at once, as `FatalError` does.
        recover_on_worker_loss: Whether an attempt whose worker was lost is run again. With False it fails with
            `WorkerLost`: use it where running twice is worse than not knowing. By default as the workflow says, and True.
        max_recovery_attempts: Times that an attempt is run again after its worker was lost, before the step fails with
            `WorkerLost`; by default as the workflow says, and 3. These are not retries: nothing has failed.

    Raises:
        DefinitionError: An option or the function cannot work.
        InvalidName: The name or queue cannot be a token.
    """

    def build(target: Callable[..., Any]) -> Step[..., Any]:
        if isinstance(target, (Step, type)) or not callable(target):
            raise DefinitionError(f"@step takes a function, not {target!r}")
        if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
            raise DefinitionError(f"step {target.__name__!r} is a generator; return a list or call a step per item")
        step_name = check_token("step name", name if name is not None else target.__name__)
        return Step(
            target,
            name=step_name,
            queue=check_token("queue", queue),
            retry=RetryPolicy.build(
                max_retries=max_retries,
                retry_delay=retry_delay,
                cap=retry_cap,
                jitter=jitter,
                non_retryable=non_retryable,
            ),
            timeout_us=0 if timeout is None else duration_us(timeout, what=f"timeout of step {step_name!r}"),
            recovery=Recovery.build(
                f"step {step_name!r}",
                recover_on_worker_loss=recover_on_worker_loss,
                max_recovery_attempts=max_recovery_attempts,
            ),
        )

    return StepDecorator(build) if function is None else build(function)
