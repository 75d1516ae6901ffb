"""Stage: the steps of an app under test as its step worker gets them: on the loop, stubbed where a test says so, and
every call on record.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Literal, cast

import msgspec

from ..actors.attempt import attempt
from ..actors.errors import FatalError
from ..actors.recovery import Recovery
from ..actors.step import Step
from ..actors.values import Signature
from .testing_stubs import Stub
from .testing_time import VirtualTime

Unstubbed = Literal["run", "refuse"]
"""What becomes of steps without a stub: they run as they are, or fail their run."""


class StepCall(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a step that has begun."""

    step: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    attempt: int
    """1 for the first; a repeated delivery has the same number again."""
    workflow: str
    run_id: str
    command: int
    """Number of the command within the run: the same for all attempts of one call."""
    is_in_place: bool = False
    """Whether it runs within the body of a workflow with `durable=False`."""


class NotStubbed(FatalError):
    """A step was called that the test has not stubbed."""


class Stage:
    """The steps that a step worker may run, by name (`running_step.Catalogue`)."""

    def __init__(
        self, steps: Mapping[str, Step[..., Any]], stubs: Mapping[str, Stub[..., Any]], unstubbed: Unstubbed
    ) -> None:
        self.calls: Final[list[StepCall]] = []
        self.running = 0
        """Calls that have not come back yet."""
        self.on_done: Callable[[StepCall], None] = lambda _: None
        """Called when a step has done its work, before its result is sent."""
        self.steps: Final = {
            name: _StagedBody(self, step) if step.is_body else _Staged(self, step, stubs.get(name), unstubbed)
            for name, step in steps.items()
        }

    def calls_of(self, names: Iterable[str]) -> list[StepCall]:
        wanted = set(names)
        return [call for call in self.calls if call.step in wanted]


class _OnStage:
    """What steps and bodies have in common (`running_step.Runnable`)."""

    is_async = True  # sync steps, too: a test has one thread

    def __init__(self, stage: Stage, step: Step[..., Any]) -> None:
        self._stage = stage
        self._step = step

    @property
    def is_body(self) -> bool:
        return self._step.is_body

    @property
    def recovery(self) -> Recovery | None:
        return self._step.recovery

    @property
    def name(self) -> str:
        return self._step.name

    @property
    def queue(self) -> str:
        return self._step.queue

    @property
    def signature(self) -> Signature:
        return self._step.signature


class _StagedBody(_OnStage):
    """The body of a workflow with `durable=False`: no call that a test asks for, its steps are."""

    @property
    def function(self) -> Callable[..., Any]:
        return self._call

    async def _call(self, /, *args: Any, **kwargs: Any) -> object:
        self._stage.running += 1
        try:
            with VirtualTime.as_user():
                return await cast("Awaitable[object]", self._step.function(*args, **kwargs))
        finally:
            self._stage.running -= 1


class _Staged(_OnStage):
    """One step on the stage."""

    def __init__(self, stage: Stage, step: Step[..., Any], stub: Stub[..., Any] | None, unstubbed: Unstubbed) -> None:
        super().__init__(stage, step)
        self._stub = stub
        self._unstubbed = unstubbed

    @property
    def function(self) -> Callable[..., Any]:
        return self._call

    async def _call(self, /, *args: Any, **kwargs: Any) -> object:
        stage, now = self._stage, attempt()
        call = StepCall(
            step=self.name,
            args=args,
            kwargs=kwargs,
            attempt=now.number,
            workflow=now.workflow,
            run_id=now.run,
            command=now.command,
            is_in_place=now.is_in_place,
        )
        stage.calls.append(call)
        is_counted = not now.is_in_place  # its body is the work that is out
        stage.running += is_counted
        try:
            with VirtualTime.as_user():
                return await self._perform(call)
        finally:
            stage.running -= is_counted
            stage.on_done(call)

    async def _perform(self, call: StepCall) -> object:
        if self._stub is not None:
            return await self._stub.call(call.args, call.kwargs)
        if self._unstubbed == "refuse":
            raise NotStubbed(f"step {self.name!r} has no stub; add it to steps=, or let steps run: unstubbed='run'")
        value = self._step.function(*call.args, **call.kwargs)
        return await cast("Awaitable[object]", value) if inspect.isawaitable(value) else value
