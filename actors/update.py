"""Updates: typed messages to a run that its code may refuse, applies, and answers; the answer is in the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, ParamSpec, TypeVar, overload

from .asking import Asked, Handler, open_signature, signature_of
from .names import check_token
from .primitives import execution_of
from .taking import desk_of
from .values import Signature

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")


class UpdateCall(Asked[R_co]):
    """An update with its arguments: what `RunHandle.update` takes."""

    __slots__ = ()


class UpdateDefinition(Generic[P, R]):
    """An update by its name and types; made by `define_update`."""

    def __init__(self, name: str, signature: Signature, *, is_open: bool = False) -> None:
        self.name = name
        self._signature = signature
        self._is_open = is_open

    @overload
    def handler(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, Coroutine[Any, Any, R]]: ...
    @overload
    def handler(self, function: Callable[P, R], /) -> Callable[P, R]: ...
    def handler(self, function: Callable[P, Any], /) -> Callable[P, Any]:
        """Has a function of the workflow apply the update from now on; the last one counts.

        It runs as a task beside the workflow's own code, one for each update; an `async def` may run steps and sleep.
        What it returns is the answer, what it raises fails the update and not the run. When the run ends first, the
        update fails with the code `ended`: wait for `updates_done()` before the end.

        Raises:
            NotInWorkflow: No workflow is running.
        """
        execution = execution_of(f"the handler of update {self.name!r}")
        signature = Signature.of(function, what=f"update {self.name}") if self._is_open else self._signature
        desk_of(execution).updates[self.name] = Handler(function, signature)
        return function

    def validator(self, function: Callable[P, object], /) -> Callable[P, object]:
        """Has a function look at each update before it is taken: what it raises refuses it, and the run is as before.

        It gets the update's arguments and may read alone, as a query's handler. Replay does not call it: the log says
        what was taken.

        Raises:
            NotInWorkflow: No workflow is running.
        """
        desk_of(execution_of(f"the validator of update {self.name!r}")).validators[self.name] = function
        return function

    def call(self, *args: P.args, **kwargs: P.kwargs) -> UpdateCall[R]:
        """Binds arguments for `RunHandle.update`.

        Raises:
            InvalidValue: An argument is missing, unexpected, or cannot become JSON; names the parameter.
        """
        return UpdateCall(self.name, self._signature.pack(args, kwargs), self._signature.result_type)

    def __repr__(self) -> str:
        return f"<update {self.name!r}>"


@overload
def define_update(function: Callable[P, Coroutine[Any, Any, R]], /) -> UpdateDefinition[P, R]: ...
@overload
def define_update(function: Callable[P, R], /) -> UpdateDefinition[P, R]: ...
@overload
def define_update(name: str, /) -> UpdateDefinition[..., Any]: ...
@overload
def define_update(name: str, /, *, returns: type[T]) -> UpdateDefinition[[], T]: ...
@overload
def define_update(name: str, a: type[A], /, *, returns: type[T]) -> UpdateDefinition[[A], T]: ...
@overload
def define_update(name: str, a: type[A], b: type[B], /, *, returns: type[T]) -> UpdateDefinition[[A, B], T]: ...
@overload
def define_update(
    name: str, a: type[A], b: type[B], c: type[C], /, *, returns: type[T]
) -> UpdateDefinition[[A, B, C], T]: ...
def define_update(what: Callable[..., Any] | str, /, *types: Any, returns: Any = None) -> UpdateDefinition[..., Any]:
    """Defines an update, at module level, for the workflow's side and the client's:
    `define_update("add_item", str, int, returns=Cart)`.

    As a decorator of a function that says names, types and defaults, and is never called, it takes those. By name alone,
    `define_update("add_item")`, everything is plain JSON.

    Raises:
        DefinitionError: No JSON can fit a type.
        InvalidName: The name cannot be a token.
    """
    if not isinstance(what, str):
        name = check_token("update name", what.__name__)
        return UpdateDefinition(name, Signature.of(what, what=f"update {name}"))
    if not types and returns is None:
        return UpdateDefinition(what, open_signature("update", what), is_open=True)
    return UpdateDefinition(what, signature_of("update", what, types, returns))


async def updates_done() -> None:
    """Waits, before the end of a workflow, until no update is at work; those that come meanwhile are waited for, too.

    Raises:
        NotInWorkflow: No workflow is running.
    """
    desk = desk_of(execution_of("updates_done()"))
    while desk.open:
        await asyncio.wait([task for _, task in desk.open.values()])
