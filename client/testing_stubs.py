"""Stubs: what a test puts in the place of a step. The typed makers let a type checker refuse what does not fit; what it
cannot see is refused with one line where the stub is made, or when it is called.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, ParamSpec, TypeAlias, TypeVar, cast, overload

from ..actors.attempt import attempt
from ..actors.errors import FatalError, InvalidValue
from ..actors.step import Step

P = ParamSpec("P")
R = TypeVar("R")


class StubMisfit(FatalError):
    """A stub that is not what its step promises: another signature, another type of result. Ends the step at once."""


class Stub(Generic[P, R]):
    """What is called in a step's place; made by `stub`, `returns` and `attempts`.

    Args:
        function: Gets the step's arguments.
    """

    def __init__(self, step: Step[P, R], function: Callable[..., object]) -> None:
        self.step: Final = step
        self._function = function

    async def call(self, args: Sequence[object], kwargs: Mapping[str, object]) -> object:
        """Does what the stub does.

        Raises:
            StubMisfit: Its result is not what the step promises.
        """
        value = self._function(*args, **kwargs)
        if inspect.isawaitable(value):
            value = await cast("Awaitable[object]", value)
        _check_result(self.step, value)
        return value

    def __repr__(self) -> str:
        return f"<stub of step {self.step.name!r}>"


Stubs: TypeAlias = Iterable[Stub[..., Any]] | Mapping[Step[..., Any], object]
"""Stubs, or a mapping from steps to functions, lists of outcomes, or fixed values."""


@overload
def stub(step: Step[P, R], does: Callable[P, Awaitable[R]], /) -> Stub[P, R]: ...
@overload
def stub(step: Step[P, R], does: Callable[P, R], /) -> Stub[P, R]: ...
def stub(step: Step[Any, Any], does: Callable[..., Any], /) -> Stub[Any, Any]:
    """Puts a function in the step's place, async or not. It may use `attempt()`, and raise what the step would.

    Raises:
        StubMisfit: It cannot be called as the step can.
    """
    _check_signature(step, does)
    return Stub(step, does)


def returns(step: Step[P, R], value: R, /) -> Stub[P, R]:
    """Lets the step return a fixed value.

    Raises:
        StubMisfit: It is not what the step promises.
    """
    _check_result(step, value)

    def answer(*_args: object, **_kwargs: object) -> R:
        return value

    return Stub(step, answer)


def attempts(step: Step[P, R], /, *outcomes: R | BaseException | type[BaseException]) -> Stub[P, R]:
    """Lets each attempt of a call of the step come to the next outcome: exceptions are raised, values returned.

    The last outcome stands for all later attempts. Every call of the step begins with the first, and a repeated
    delivery of an attempt gets that attempt's outcome again: stubs stay the same under replay and crashes.

    Raises:
        StubMisfit: A value is not what the step promises, or there is none.
    """
    if not outcomes:
        raise StubMisfit(f"stub of step {step.name!r} has no outcome; give it one value or exception for each attempt")
    for outcome in outcomes:
        if not _is_error(outcome):
            _check_result(step, outcome)

    def answer(*_args: object, **_kwargs: object) -> object:
        outcome = outcomes[min(attempt().number, len(outcomes)) - 1]
        if _is_error(outcome):
            raise cast("BaseException", outcome)
        return outcome

    return Stub(step, answer)


def read_stubs(stubs: Stubs) -> dict[str, Stub[..., Any]]:
    """Reads what a test gave as `steps=`, by the names of the steps.

    Of a mapping a function is called, a list holds one outcome for each attempt, and everything else is a fixed value.

    Raises:
        StubMisfit: As `stub`, `returns` and `attempts` say.
    """
    if not isinstance(stubs, Mapping):
        return {one.step.name: one for one in stubs}
    found: dict[str, Stub[..., Any]] = {}
    for step, value in cast("Mapping[Step[..., Any], Any]", stubs).items():
        if isinstance(value, Stub):
            found[step.name] = cast("Stub[..., Any]", value)
        elif isinstance(value, Step):
            found[step.name] = stub(step, cast("Step[..., Any]", value).function)
        elif isinstance(value, list):
            found[step.name] = attempts(step, *cast("Sequence[Any]", value))
        elif _is_error(value):
            found[step.name] = attempts(step, value)
        elif callable(value):
            found[step.name] = stub(step, value)
        else:
            found[step.name] = returns(step, value)
    return found


def _is_error(value: object) -> bool:
    return isinstance(value, BaseException) or (isinstance(value, type) and issubclass(value, BaseException))


def _check_result(step: Step[..., Any], value: object) -> None:
    try:
        step.signature.pack_result(value)
    except InvalidValue as error:
        raise StubMisfit(
            f"stub of step {step.name!r} gives {_shown(value)}, which the step cannot: {error.reason}"
        ) from error


def _check_signature(step: Step[..., Any], does: Callable[..., Any]) -> None:
    try:
        found = inspect.signature(does)
    except (TypeError, ValueError):
        return  # a function that is not written in Python: its call will tell
    wanted = inspect.signature(step.function)
    parameters = [p for p in wanted.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    for chosen in (parameters, [p for p in parameters if p.default is p.empty]):
        args = [p.name for p in chosen if p.kind is not p.KEYWORD_ONLY]
        kwargs = {p.name: p.name for p in chosen if p.kind is p.KEYWORD_ONLY}
        try:
            found.bind(*args, **kwargs)
        except TypeError as error:
            raise StubMisfit(
                f"stub of step {step.name!r} cannot be called as the step: {error}; it takes {found}, the step {wanted}"
            ) from error


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:99] + "…"
