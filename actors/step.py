"""Steps: functions that may do I/O. Inside a workflow a call is a command, outside it is the plain function."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Generic, ParamSpec, TypeVar, Unpack, cast, overload

import msgspec

from .errors import DefinitionError
from .host import running_host
from .loop import running_loop
from .names import check_step_name
from .step_options import StepOptions, limits_of
from .values import Signature

P = ParamSpec("P")
R = TypeVar("R")


class Step(Generic[P, R]):
    """A registered step; call it inside a workflow and await the result.

    Runs at least once per call: use `attempt().idempotency_key` towards systems that can tell repeats. Its result is
    recorded once. Calling it outside a workflow calls the function, with no retries and nothing recorded.

    Args:
        given: The options as they were given (`StepOptions`).
    """

    is_body = False
    """Whether it is the code of a workflow with `durable=False`."""

    def __init__(self, function: Callable[P, Any], *, name: str, given: Mapping[str, object]) -> None:
        self.function = function
        self.name = name
        self.base: Step[P, R] = self
        """The step that was defined; another one where `options` has made this one of it."""
        self.is_async = inspect.iscoroutinefunction(function)
        self.signature = Signature.of(function, what=f"step {name}")
        self.__doc__ = function.__doc__
        self.__name__ = getattr(function, "__name__", name)
        self.__module__ = function.__module__
        self.__wrapped__ = function
        self._set(given)

    def _set(self, given: Mapping[str, object]) -> None:
        limits = limits_of(self.name, given)
        self._given = given
        self.queue = limits.queue
        self.retry = limits.retry
        self.timeout_us = limits.timeout_us
        self.schedule_to_close_us = limits.schedule_to_close_us
        self.heartbeat_us = limits.heartbeat_us
        self.recovery = limits.recovery
        """None where the workflow's options hold."""
        self.on_failure = limits.on_failure
        self.is_inline = limits.is_inline

    def options(self, **given: Unpack[StepOptions]) -> Step[P, R]:
        """Returns the step with other options for the calls made by way of it: `charge.options(timeout="5s")("o-1")`.

        What is not given stays as `@step` has it. Options are no part of what replay compares. A queue is found by
        provisioning and workers where a module holds the result (`by_card = charge.options(queue="cards")`); one that is
        named inside a workflow alone has to be provisioned and served by name, or its work waits for ever.

        Raises:
            DefinitionError: An option is unknown or cannot work.
            InvalidName: The queue cannot be a token.
        """
        changed = copy.copy(self)
        changed._set({**self._given, **given})  # noqa: SLF001  # a copy of its own
        return changed

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Asks for the step to run (in a workflow) or calls the function (elsewhere; a sync function returns its value)."""
        loop = running_loop()
        if loop is not None:
            execution: Any = loop.host
            asked: Coroutine[Any, Any, R] = execution.run_step(self, args, kwargs)
            return asked
        host = running_host()
        if host is not None:
            return host.run_step(self, args, kwargs)
        return cast("Coroutine[Any, Any, R]", self.function(*args, **kwargs))

    @property
    def fallback(self) -> Step[..., Any] | None:
        """The step that is called where this one fails for good, if `on_failure` names one."""
        found = self.on_failure
        return cast("Step[..., Any]", found) if isinstance(found, Step) else None

    @property
    def has_fallback(self) -> bool:
        """Tells whether a failure for good comes to something else than `StepFailed`."""
        return self.on_failure is not msgspec.UNSET

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
def step(*, name: str | None = None, **options: Unpack[StepOptions]) -> StepDecorator: ...
def step(function: Callable[..., Any] | None = None, /, *, name: str | None = None, **options: Any) -> Any:
    """Makes a function a step.

    Args:
        name: Its name in logs and on the wire, dots allowed; the function's name by default.
        options: See `StepOptions`.

    Raises:
        DefinitionError: An option is unknown, or it or the function cannot work.
        InvalidName: The name or queue cannot be a token.
    """

    def build(target: Callable[..., Any]) -> Step[..., Any]:
        if isinstance(target, (Step, type)) or not callable(target):
            raise DefinitionError(f"@step takes a function, not {target!r}")
        if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
            raise DefinitionError(f"step {target.__name__!r} is a generator; return a list or call a step per item")
        return Step(target, name=check_step_name(name if name is not None else target.__name__), given=options)

    return StepDecorator(build) if function is None else build(function)
