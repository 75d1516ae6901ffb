"""Hooks: messages from outside that workflow code waits for; one at a time, typed by a definition, or as a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final, Generic, TypeVar, cast, final, overload

from .durations import Duration, duration_us
from .errors import DefinitionError
from .hook_schema import schema_of
from .names import check_token
from .open_hook import Wanted, wait_hook
from .primitives import execution_of
from .step import Step
from .values import check_type

T = TypeVar("T")

_TYPE_SHOWN_MAX: Final = 64
"""A hook's type is named in each of the run's records while it is open."""


@overload
async def hook(name: str, /, *, timeout: Duration | None = None, on_created: Step[[str], Any] | None = None) -> Any: ...
@overload
async def hook(
    name: str, type_: type[T], /, *, timeout: Duration | None = None, on_created: Step[[str], Any] | None = None
) -> T: ...
async def hook(
    name: str, type_: Any = Any, /, *, timeout: Duration | None = None, on_created: Step[[str], Any] | None = None
) -> Any:
    """Waits for one message of that name and returns its payload.

    Payloads sent before are kept, in order; each is taken once. A payload that does not fit `type_` is recorded as
    refused and the run goes on waiting.

    Args:
        name: The hook's name, a subject token.
        type_: A msgspec Struct, dataclass, pydantic model or any other type; plain JSON without one.
        timeout: How long to wait at most.
        on_created: A step that is run once the hook is open, with the hook's token as its argument: to send the token to
            whoever is to answer. A payload that comes meanwhile is held until the step has ended; the timeout ends
            both.

    Raises:
        DefinitionError: No JSON can fit the type, or `on_created` is no step.
        HookExpired: The timeout passed first; a subclass of TimeoutError.
        InvalidName: The name cannot be a token.
        NotInWorkflow: No workflow is running.
        StepFailed: `on_created` failed for good; a payload that has come is kept for the next wait.
    """
    execution = execution_of("hook()")
    return await wait_hook(execution, _wanted(name, type_, timeout, on_created))


@overload
def hook_stream(name: str, /, *, timeout: Duration | None = None) -> HookStream[Any]: ...
@overload
def hook_stream(name: str, type_: type[T], /, *, timeout: Duration | None = None) -> HookStream[T]: ...
def hook_stream(name: str, type_: Any = Any, /, *, timeout: Duration | None = None) -> HookStream[Any]:
    """Returns the payloads of a hook, one after the other.

    `async for tick in hook_stream("tick", Tick): ...`. Each is taken once, in the order of their coming, those included that come while the loop's body is busy: they are
    kept. The run waits only while the loop asks for the next one, so a loop that is left leaves nothing open. Without
    a timeout the stream never ends by itself.

    Args:
        name: The hook's name, a subject token.
        type_: As for `hook`.
        timeout: How long to wait at most for each payload; then the loop raises `HookExpired`.

    Raises:
        DefinitionError, InvalidName, NotInWorkflow: As `hook` does.
    """
    execution_of("hook_stream()")
    return HookStream(_wanted(name, type_, timeout, None))


@final
class HookStream(Generic[T]):
    """Payloads of a hook, for `async for`; made by `hook_stream` and `TypedHook.stream`."""

    __slots__ = ("_wanted",)

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        return cast("T", await wait_hook(execution_of("a stream of hooks"), self._wanted))

    def __repr__(self) -> str:
        return f"<stream of hook {self._wanted.name!r}>"


@final
class TypedHook(Generic[T]):
    """A hook's name and type in one value, shared by workflows and senders; made by `define_hook`."""

    __slots__ = ("name", "type")

    def __init__(self, name: str, type_: Any) -> None:
        self.name: Final = name
        self.type: Final = type_

    async def __call__(self, *, timeout: Duration | None = None, on_created: Step[[str], Any] | None = None) -> T:
        """Waits for one payload, in a workflow; see `hook`."""
        execution = execution_of(f"hook {self.name!r}")
        return cast("T", await wait_hook(execution, _wanted(self.name, self.type, timeout, on_created)))

    def stream(self, *, timeout: Duration | None = None) -> HookStream[T]:
        """Returns the payloads one after the other, in a workflow; see `hook_stream`."""
        execution_of(f"hook {self.name!r}")
        return HookStream(_wanted(self.name, self.type, timeout, None))

    def __repr__(self) -> str:
        return f"<hook {self.name!r}>"


@overload
def define_hook(name: str, /) -> TypedHook[Any]: ...
@overload
def define_hook(name: str, type_: type[T], /) -> TypedHook[T]: ...
def define_hook(name: str, type_: Any = Any, /) -> TypedHook[Any]:
    """Makes a hook's name and type one value, shared by workflows and senders.

    `approval = define_hook("approval", Approval)`, at the top of a module. A workflow waits with `await approval(timeout="1h")`, a client sends with `run.hook(approval, Approval(...))`.

    Args:
        name: The hook's name, a subject token.
        type_: As for `hook`.

    Raises:
        DefinitionError: No JSON can fit the type.
        InvalidName: The name cannot be a token.
    """
    check_type(type_, where=f"type of hook {check_token('hook name', name)!r}")
    return TypedHook(name, type_)


def _wanted(name: str, type_: Any, timeout: Duration | None, on_created: Step[[str], Any] | None) -> Wanted:
    check_token("hook name", name)
    check_type(type_, where=f"type of hook {name!r}")
    if on_created is not None and not isinstance(on_created, Step):
        raise DefinitionError(f"on_created of hook {name!r} takes a step, not {on_created!r}")
    return Wanted(
        name=name,
        type=type_,
        type_name="" if type_ is Any else str(getattr(type_, "__name__", type_))[:_TYPE_SHOWN_MAX],
        schema=schema_of(type_),
        timeout_us=0 if timeout is None else max(1, duration_us(timeout, what=f"timeout of hook {name!r}")),
        on_created=on_created,
    )
