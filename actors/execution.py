"""An execution: the live code of one run. Workflow code asks it for commands, messages give it their results.

It holds what must not be stored: the coroutine, its loop, the futures of open commands. Everything in it is rebuilt by
replay, and nothing in it is a source of truth. While it replays, each command that the code asks for is compared with
what the log holds at that number (R13); the first difference halts it.
"""

from __future__ import annotations

import asyncio
import heapq
import sys
from collections import deque
from collections.abc import Sequence
from hashlib import blake2b, sha256
from random import Random
from types import CodeType, FrameType
from typing import Any, Final, TypeVar, cast

import msgspec

from .commands import Close, Command, OpenHook, RunStep, StartTimer, describe, input_hash, signature
from .errors import (
    ErrorInfo,
    HookExpired,
    InvalidValue,
    JetrunError,
    ReplayMismatch,
    StepFailed,
    mixed_class,
)
from .failures import error_info
from .limits import COMMANDS_OPEN_MAX, HOOKS_KEPT_MAX, VALUE_INLINE_BYTES_MAX
from .loop import Loop, LoopTimer
from .messages import NO_ARGS, OptionalRaw, Ref
from .names import RunKey
from .records import OpenWait, Outcome
from .signals import Halt
from .step import Step
from .values import Packed, decode
from .workflow import Workflow

R = TypeVar("R")


class OpenStep(msgspec.Struct):
    """A step that was asked for and has no result yet."""

    command: RunStep
    step: Step[..., Any]
    future: asyncio.Future[Any]
    attempt: int = 1


class OpenHookWait(msgspec.Struct):
    """A hook that the code waits for."""

    name: str
    type: Any
    future: asyncio.Future[Any]
    type_name: str


class Taken(msgspec.Struct, frozen=True):
    """What became of a hook's payload: `refused` holds the reason where it does not fit."""

    refused: str = ""
    is_kept: bool = False


class Execution:
    """One run's code at work.

    Args:
        workflow: The definition.
        app: The app's name.
        key: The run.
        started_at_us: Server time of the start message.
        seed: Text that names this start for ever: `random` and `uuid4` grow from it.
        next_command: Number of the first command (numbers never restart).
    """

    def __init__(
        self,
        workflow: Workflow[..., Any],
        *,
        app: str,
        key: RunKey,
        started_at_us: int,
        seed: str,
        next_command: int = 1,
    ) -> None:
        base = int.from_bytes(blake2b(str(key).encode(), digest_size=6).digest(), "big") << 12
        self.workflow = workflow
        self.app = app
        self.key = key
        self.started_at_us = started_at_us
        self.loop = Loop.create(self, started_at_us=started_at_us, number_base=base)
        self.failure: ReplayMismatch | None = None
        self.steps: dict[int, OpenStep] = {}
        self.timers: dict[int, tuple[int, LoopTimer]] = {}
        self.waits: dict[int, OpenHookWait] = {}
        self.kept: dict[str, deque[bytes]] = {}
        self.kept_count = 0
        self.failures = 0
        self.records_folded = 0
        self.cancel_reason: str | None = None
        self._cancel_waits = False
        self._shields = 0
        self._seed = seed
        self._random: Random | None = None
        self._uuids: Random | None = None
        self._due: list[tuple[int, int]] = []
        self._timer_kind = "sleep"
        self._next = next_command
        self._root: asyncio.Task[Any] | None = None
        self._expected: Sequence[Command] | None = None
        self._expected_is_open = False
        self.begin_decision()

    # --- a decision ------------------------------------------------------------------------------
    def begin_decision(self, expected: Sequence[Command] | None = None, *, is_open: bool = False) -> None:
        """Starts collecting. With `expected` the commands are compared with the log's.

        Args:
            expected: What the log holds for this decision.
            is_open: The log may hold only the first part (the last record says `more`): further commands are new.
        """
        self.decided: list[Command] = []
        self.closed: dict[int, RunStep | None] = {}
        self.uploads: dict[str, bytes] = {}
        self._expected = expected
        self._expected_is_open = is_open

    def end_replay(self) -> None:
        """Checks that the code asked for everything that the log holds. Raises ReplayMismatch."""
        expected = self._expected or ()
        if self.failure is None and len(self.decided) < len(expected):
            missing = expected[len(self.decided)]
            what = "nothing: it ended" if self._root is None or self._root.done() else "nothing: it waits"
            self._fail(missing.n, missing, what, self._waiting_at())
        self._expected = None
        if self.failure is not None:
            raise self.failure

    # --- what moves it ---------------------------------------------------------------------------
    def start(self, args: bytes | msgspec.Raw, kwargs: bytes | msgspec.Raw | None) -> None:
        """Creates the root task. Raises InvalidValue, naming the parameter, when the arguments do not fit."""
        positional, named = self.workflow.signature.unpack(args, kwargs)
        self._root = self.loop.create_task(self.workflow.function(*positional, **named), name=str(self.key))

    def run(self) -> None:
        """Runs the code until it waits. Raises Blocked; a halt is in `failure`."""
        self.loop.run_until_quiet()

    def next_due(self) -> tuple[int, int] | None:
        """Tells (due, number) of the first open timer."""
        due = self._due
        while due and due[0][1] not in self.timers:
            heapq.heappop(due)
        return due[0] if due else None

    def fire(self, n: int) -> None:
        """Fires an open timer; the caller has moved the time to it."""
        _, handle = self.timers.pop(n)
        handle.n = 0
        self.loop.fire(handle)

    def resolve_step(self, n: int, raw: bytes | msgspec.Raw) -> None:
        """Gives an open step its result."""
        entry = self.steps.pop(n)
        if entry.future.done():
            return
        try:
            value = entry.step.signature.unpack_result(raw)
        except InvalidValue as error:
            info = ErrorInfo(type="InvalidValue", message=str(error), code="invalid_result")
            entry.future.set_exception(step_failed(entry.command.name, entry.attempt, info))
        else:
            entry.future.set_result(value)

    def fail_step(self, n: int, error: ErrorInfo) -> None:
        """Gives an open step its final failure."""
        entry = self.steps.pop(n)
        if not entry.future.done():
            entry.future.set_exception(step_failed(entry.command.name, entry.attempt, error))

    def give_hook(self, name: str, raw: bytes) -> Taken:
        """Gives a payload to the first waiter it fits, or keeps it until somebody waits."""
        reason = ""
        for n, wait in self.waits.items():
            if wait.name != name or wait.future.done():
                continue
            reason = self._offer(n, wait, raw)
            if not reason:
                return Taken()
        if reason:
            return Taken(refused=reason)
        if self.kept_count >= HOOKS_KEPT_MAX:
            return Taken(
                refused=f"{HOOKS_KEPT_MAX} hook messages are kept already; the workflow has to wait for them first"
            )
        self.kept.setdefault(name, deque()).append(raw)
        self.kept_count += 1
        return Taken(is_kept=True)

    def cancel(self, reason: str) -> None:
        """Asks the code to stop: `CancelledError` at the root's next await, after the shields around it."""
        self.cancel_reason = reason
        if self._shields:
            self._cancel_waits = True
        elif self._root is not None:
            self._root.cancel(reason)

    def kill(self) -> None:
        """Ends it without a trace: what clean-up code asks for is ignored."""
        self.loop.kill()

    # --- what has come of it ---------------------------------------------------------------------
    def outcome(self) -> Outcome | None:
        """Tells how the root ended, or None while it has not."""
        root = self._root
        if root is None or not root.done():
            return None
        if root.cancelled():
            reason = self.cancel_reason
            if reason is not None:
                return Outcome(status="cancelled", reason=reason)
            return Outcome(
                status="failed", error=ErrorInfo(type="asyncio.CancelledError", message="the workflow cancelled itself")
            )
        error = root.exception()
        if error is not None:
            return Outcome(status="failed", error=error_info(error))
        try:
            raw = self.workflow.signature.pack_result(root.result())
        except InvalidValue as invalid:
            info = ErrorInfo(type="InvalidValue", message=str(invalid), code="invalid_result")
            return Outcome(status="failed", error=info)
        if len(raw) > VALUE_INLINE_BYTES_MAX:
            return Outcome(status="completed", ref=self._upload(raw))
        return Outcome(status="completed", result=msgspec.Raw(raw))

    def hooks_open(self) -> list[OpenWait]:
        """Lists the hooks that the code waits for."""
        return [OpenWait(n=n, name=w.name, type=w.type_name) for n, w in self.waits.items() if not w.future.done()]

    @property
    def last_command(self) -> int:
        """Number of the newest command, 0 before the first."""
        return self._next - 1

    # --- what workflow code asks for (called on the loop) ------------------------------------------
    async def run_step(self, step: Step[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Decides to run a step and waits for its result."""
        packed = step.signature.pack(args, kwargs)
        ref, raw_args, raw_kwargs = self._claim(packed)
        command = RunStep(
            n=self._next,
            name=step.name,
            queue=step.queue,
            args=raw_args,
            kwargs=raw_kwargs,
            ref=ref,
            hash=input_hash(step.name.encode(), step.queue.encode(), packed.hash_input),
            timeout_us=step.timeout_us,
            recoveries_max=step.max_recovery_attempts,
        )
        if len(self.steps) >= COMMANDS_OPEN_MAX:
            raise JetrunError(f"{COMMANDS_OPEN_MAX} steps are open; wait for some before asking for more")
        self._decide(command)
        future = self.loop.create_future()
        self.steps[command.n] = OpenStep(command=command, step=step, future=future)
        try:
            return await future
        finally:
            if command.n in self.steps and not self.loop.is_stopped:
                self._close(command.n)

    async def wait_hook(self, name: str, type_: Any, type_name: str, timeout_us: int) -> Any:
        """Opens a hook and waits for a payload that fits."""
        n = self._next
        self._decide(OpenHook(n=n, name=name, type=type_name))
        wait = OpenHookWait(name=name, type=type_, future=self.loop.create_future(), type_name=type_name)
        self.waits[n] = wait
        self._take_kept(n, wait)
        timer = self._hook_timer(wait, timeout_us) if timeout_us and not wait.future.done() else None
        try:
            return await wait.future
        finally:
            if timer is not None:
                timer.cancel()
            if self.waits.pop(n, None) is not None and not self.loop.is_stopped and not _has_result(wait.future):
                self._decide(Close(n=self._next, target=n))

    def timer_started(self, handle: LoopTimer, due_at_us: int) -> None:
        """Makes a timer of the loop a command."""
        n = self._next
        self._decide(StartTimer(n=n, due_at_us=due_at_us, what=self._timer_kind))
        handle.n = n
        self.timers[n] = (due_at_us, handle)
        heapq.heappush(self._due, (due_at_us, n))

    def timer_cancelled(self, handle: LoopTimer) -> None:
        """Closes a timer's command."""
        if handle.n in self.timers and not self.loop.is_stopped:
            del self.timers[handle.n]
            self._close(handle.n)

    def enter_shield(self) -> None:
        """Holds a cancel back."""
        self._shields += 1

    def leave_shield(self) -> None:
        """Delivers a cancel that was held back when the last shield ends."""
        self._shields -= 1
        if not self._shields and self._cancel_waits and self._root is not None:
            self._cancel_waits = False
            self._root.cancel(self.cancel_reason)

    @property
    def random(self) -> Random:
        """The run's own generator, the same on every replay."""
        if self._random is None:
            self._random = Random(f"random/{self._seed}")  # noqa: S311  # decisions must repeat
        return self._random

    @property
    def uuids(self) -> Random:
        """The generator behind `uuid4`: apart from `random`, so that the two do not move each other."""
        if self._uuids is None:
            self._uuids = Random(f"uuid/{self._seed}")  # noqa: S311  # decisions must repeat
        return self._uuids

    # --- inside ------------------------------------------------------------------------------------
    def _decide(self, command: Command) -> None:
        if self.loop.is_stopped:
            raise Halt
        expected = self._expected
        if expected is not None:
            index = len(self.decided)
            recorded = expected[index] if index < len(expected) else None
            if recorded is None and not self._expected_is_open:
                self._fail(command.n, None, describe(command), _source(self.workflow))
                raise Halt
            if recorded is not None and signature(recorded) != signature(command):
                self._fail(command.n, recorded, describe(command), _source(self.workflow))
                raise Halt
        self.decided.append(command)
        self._next += 1

    def _close(self, target: int) -> None:
        step = self.steps.pop(target, None)
        self._decide(Close(n=self._next, target=target))
        self.closed[target] = step.command if step is not None else None

    def _fail(self, command: int, recorded: Command | None, asked: str, source: str) -> None:
        self.failure = ReplayMismatch(command=command, recorded=describe(recorded), asked=asked, source=source)
        self.loop.is_stopped = True

    def _claim(self, packed: Packed) -> tuple[Ref | None, msgspec.Raw, msgspec.Raw | None]:
        size = len(packed.args) + len(packed.kwargs or b"")
        if size > VALUE_INLINE_BYTES_MAX:
            return self._upload(arguments_object(packed.args, packed.kwargs)), NO_ARGS, None
        return None, msgspec.Raw(packed.args), None if packed.kwargs is None else msgspec.Raw(packed.kwargs)

    def _upload(self, data: bytes) -> Ref:
        digest = sha256(data).hexdigest()
        self.uploads[digest] = data
        return Ref(sha256=digest, size=len(data))

    def _hook_timer(self, wait: OpenHookWait, timeout_us: int) -> LoopTimer:
        def expire() -> None:
            if not wait.future.done():
                wait.future.set_exception(HookExpired(f"hook {wait.name!r}: no payload in time"))

        self._timer_kind = "hook"
        try:
            return self.loop.start_timer(self.loop.now_us + timeout_us, expire)
        finally:
            self._timer_kind = "sleep"

    def _take_kept(self, n: int, wait: OpenHookWait) -> None:
        kept = self.kept.get(wait.name)
        while kept and not wait.future.done():
            self.kept_count -= 1
            # A kept payload that does not fit was accepted before its type was known; the next one has its turn.
            self._offer(n, wait, kept.popleft())
        if kept is not None and not kept:
            del self.kept[wait.name]

    def _offer(self, n: int, wait: OpenHookWait, raw: bytes) -> str:
        try:
            value = decode(raw, wait.type, where=f"payload of hook {wait.name!r}")
        except InvalidValue as error:
            return str(error)
        wait.future.set_result(value)
        return ""

    def _waiting_at(self) -> str:
        """Finds where the root's code waits, following what it awaits to the innermost frame of user code."""
        awaited: Any = self._root.get_coro() if self._root is not None else None
        place = _place(self.workflow.function.__code__)
        while awaited is not None:
            frame = getattr(awaited, "cr_frame", None)
            if frame is not None and not _is_ours(frame):
                place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
            awaited = getattr(awaited, "cr_await", None)
        return place


def _has_result(future: asyncio.Future[Any]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def step_failed(step: str, attempts: int, error: ErrorInfo) -> StepFailed:
    """Makes the exception that workflow code sees, an instance of the step's own class too where that is known."""
    cls = cast("type[StepFailed]", mixed_class(StepFailed, error.type))
    failure = cls.__new__(cls, error.message)
    failure.step, failure.attempts, failure.error = step, attempts, error
    return failure


def arguments_object(args: bytes, kwargs: bytes | None) -> bytes:
    """Joins arguments into the JSON object that a `ref` names."""
    return b'{"args":' + args + b',"kwargs":' + (kwargs or b"null") + b"}"


class ArgumentsObject(msgspec.Struct, frozen=True, kw_only=True):
    """Arguments as the object store holds them."""

    args: msgspec.Raw = NO_ARGS
    kwargs: OptionalRaw = None


_OWN_FOLDER: Final = __file__.rpartition("/")[0]
_ASYNCIO_FOLDER: Final = str(asyncio.__file__).rpartition("/")[0]


def _is_ours(frame: FrameType) -> bool:
    name = frame.f_code.co_filename
    return name.startswith((_OWN_FOLDER, _ASYNCIO_FOLDER))


def _source(workflow: Workflow[..., Any]) -> str:
    """Names the line of user code that is asking: the innermost frame outside this package and asyncio."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if not _is_ours(frame):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return _place(workflow.function.__code__)


def _place(code: CodeType) -> str:
    return f"{code.co_filename}:{code.co_firstlineno}"
