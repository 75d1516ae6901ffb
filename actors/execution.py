"""An execution: the live code of one run. Workflow code asks it for commands, messages give it their results.

It holds what must not be stored: the coroutine, its loop, the futures of open commands. Everything in it is rebuilt by
replay, and nothing in it is a source of truth. While it replays, each command that the code asks for is compared with
what the log holds at that number (R13); the first difference halts it.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import Context
from hashlib import blake2b, sha256
from random import Random
from typing import Any, TypeVar, cast

import msgspec

from .body import failure_of
from .commands import (
    CancelChild,
    Close,
    Command,
    ParentClose,
    Patch,
    RunStep,
    StartChild,
    StartTimer,
    describe,
    signature,
)
from .desk import Desk
from .errors import ErrorInfo, InvalidValue, JetrunError, ReplayMismatch
from .inbox import Inbox
from .limits import CHILD_DEPTH_MAX, COMMANDS_OPEN_MAX, VALUE_INLINE_BYTES_MAX
from .loop import Loop, LoopTimer
from .messages import NO_ARGS, ChildResult, Parent, Ref, Start
from .names import RunKey
from .open_child import ChildEnd, OpenChild, child_failed, child_id, let_go_reason, take_note
from .open_step import OpenStep, expire, run_step, run_with_fallback
from .records import LinkMark, Outcome, start_hash
from .source import asking_line, waiting_line
from .status import StatusValues
from .step import Step
from .values import decode
from .work import packed_object
from .workflow import Call, Workflow

R = TypeVar("R")
CommandT = TypeVar("CommandT", bound=Command)


class Execution:
    """One run's code at work.

    Args:
        workflow: The definition.
        app: The app's name.
        key: The run.
        started_at_us: Server time of the start message.
        parent: The run that has started this one as its child.
        seed: Text that names this start for ever: `random` and `uuid4` grow from it.
        link: Which one of the run's chain this is; None for the first. Numbers of commands go on.
    """

    # More attributes than instances share keys for (30): with a dict of its own each run would be dear. A query puts one in.
    __slots__ = (
        "__dict__",
        "_cancel_waits",
        "_due",
        "_expected",
        "_expected_is_open",
        "_next",
        "_patches",
        "_random",
        "_root",
        "_seed",
        "_shields",
        "_timer_kind",
        "_uuids",
        "app",
        "attempt",
        "begun",
        "cancel_reason",
        "child_ends",
        "children",
        "closed",
        "decided",
        "desk",
        "ending",
        "failure",
        "failures",
        "heard_us",
        "inbox",
        "key",
        "limits_over",
        "link",
        "loop",
        "objects",
        "parent",
        "paused_at_us",
        "paused_us",
        "records",
        "started_at_us",
        "status",
        "steps",
        "timers",
        "uploads",
        "workflow",
    )

    def __init__(
        self,
        workflow: Workflow[..., Any],
        *,
        app: str,
        key: RunKey,
        started_at_us: int,
        seed: str,
        parent: Parent | None = None,
        link: LinkMark | None = None,
    ) -> None:
        base = int.from_bytes(blake2b(str(key).encode(), digest_size=6).digest(), "big") << 12
        self.workflow = workflow
        self.app = app
        self.key = key
        self.parent = parent
        self.link = link.n if link is not None else 1
        self.attempt = link.attempt if link is not None else 1
        self.started_at_us = started_at_us
        self.loop = Loop.create(self, started_at_us=started_at_us, number_base=base)
        self.begun: Start | None = None
        """What it began with, where it may begin again."""
        self.failure: ReplayMismatch | None = None
        self.steps: dict[int, OpenStep] = {}
        self.timers: dict[int, tuple[int, LoopTimer]] = {}
        self.children: dict[int, OpenChild] = {}
        self.inbox = Inbox()
        self.desk: Desk | None = None
        """Handlers of queries and updates; None while there was nothing of them."""
        self.status: StatusValues | None = None
        self.failures = 0
        self.ending: Outcome | None = None
        """How the run ends, where its code leaves more than a result, or an error: a graph's output, whatever its status."""
        self.objects: Mapping[str, bytes] = {}
        """On replay: large values by hash, those of `Advance` among them."""
        self.paused_us = 0
        """How long the run was on pause, before the one that it may be on."""
        self.paused_at_us = 0
        """When that has begun; 0 where it is on none."""
        self.cancel_reason: str | None = None
        self.heard_us = started_at_us
        """Server's time of the newest message: by how much it is ahead of `now`, the timers that fire are late."""
        self._cancel_waits = False
        self._shields = 0
        self._seed = seed
        self._random: Random | None = None
        self._uuids: Random | None = None
        self._patches: dict[str, bool] = {}
        self._due: list[tuple[int, int]] = []
        self._timer_kind = "sleep"
        self._next = link.commands + 1 if link is not None else 1
        self._root: asyncio.Task[Any] | None = None
        self._expected: Sequence[Command] | None = None
        self._expected_is_open = False
        self.begin_decision()

    # --- a decision ------------------------------------------------------------------------------
    def begin_decision(
        self, expected: Sequence[Command] | None = None, *, is_open: bool = False, records: int = 1
    ) -> None:
        """Starts collecting. With `expected` the commands are compared with the log's.

        Args:
            records: Records of the run's link, that of this decision included.
            expected: What the log holds for this decision.
            is_open: The log may hold only the first part (the last record says `more`): further commands are new.
        """
        self.records = records
        self.decided: list[Command] = []
        self.closed: dict[int, RunStep | None] = {}
        self.limits_over: list[int] = []
        """Steps with a `schedule_to_close` that have ended before it."""
        self.child_ends: list[ChildEnd] = []
        self.uploads: dict[str, bytes] = {}
        self.inbox.refused = []
        if self.desk is not None:
            self.desk.answers = []
        if self.status is not None:
            self.status.changed = {}
        self._expected = expected
        self._expected_is_open = is_open

    def end_replay(self) -> None:
        """Checks that the code asked for everything that the log holds. Raises ReplayMismatch."""
        expected = self._expected or ()
        if self.failure is None and len(self.decided) < len(expected):
            missing = expected[len(self.decided)]
            what = "nothing: it ended" if self._root is None or self._root.done() else "nothing: it waits"
            self._fail(missing.n, missing, what, self.where())
        self._expected = None
        if self.failure is not None:
            raise self.failure

    # --- what moves it ---------------------------------------------------------------------------
    def start(self, args: bytes | msgspec.Raw, kwargs: bytes | msgspec.Raw | None) -> None:
        """Creates the root task. Raises InvalidValue, naming the parameter, when the arguments do not fit."""
        positional, named = self.workflow.signature.unpack(args, kwargs)
        # In a context of its own: what the worker holds in context variables (a decimal precision) is not the log's.
        root = self.workflow.root(*positional, **named)
        self._root = self.loop.create_task(root, name=str(self.key), context=Context())

    def next_due(self) -> tuple[int, int] | None:
        """Tells (due, number) of the first open timer."""
        due = self._due
        while due and due[0][1] not in self.timers and due[0][1] not in self.steps:
            heapq.heappop(due)
        return due[0] if due else None

    def fire(self, n: int) -> None:
        """Fires an open timer, or ends a step whose time is over; the caller has moved the time to it."""
        if n in self.steps:
            expire(self, n)
            return
        _, handle = self.timers.pop(n)
        handle.n = 0
        self.loop.fire(handle)

    def resolve_child(self, n: int, raw: bytes | msgspec.Raw) -> None:
        """Gives an open child its result."""
        entry = self.children.pop(n)
        if entry.future.done():
            return
        try:
            value = decode(raw, entry.result_type, where=f"result of child {entry.command.address}")
        except InvalidValue as error:
            info = ErrorInfo(type="InvalidValue", message=str(error), code="invalid_result")
            entry.future.set_exception(child_failed(entry.command, "failed", info))
        else:
            entry.future.set_result(value)

    def fail_child(self, n: int, end: ChildResult) -> None:
        """Tells the code that an open child has not completed."""
        entry = self.children.pop(n)
        if not entry.future.done():
            error = end.error or ErrorInfo(type="Exception")
            entry.future.set_exception(child_failed(entry.command, end.status, error, end.reason))

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
    def error(self) -> BaseException | None:
        """Returns what the root has raised."""
        root = self._root
        return root.exception() if root is not None and root.done() and not root.cancelled() else None

    def outcome(self) -> Outcome | None:
        """Tells how the root ended, or None while it has not."""
        root = self._root
        if root is None or not root.done():
            return None
        if self.ending is not None:
            return self.ending
        if root.cancelled():
            reason = self.cancel_reason
            if reason is not None:
                return Outcome(status="cancelled", reason=reason)
            return Outcome(
                status="failed", error=ErrorInfo(type="asyncio.CancelledError", message="the workflow cancelled itself")
            )
        error = root.exception()
        if error is not None:
            return Outcome(status="failed", error=failure_of(self.workflow.body, error))
        try:
            raw = self.workflow.signature.pack_result(root.result())
        except InvalidValue as invalid:
            info = ErrorInfo(type="InvalidValue", message=str(invalid), code="invalid_result")
            return Outcome(status="failed", error=info)
        if len(raw) > VALUE_INLINE_BYTES_MAX:
            return Outcome(status="completed", ref=self.upload(raw))
        return Outcome(status="completed", result=msgspec.Raw(raw))

    def where(self) -> str:
        """Names the line at which the code waits."""
        return waiting_line(self.workflow.function, self._root_code())

    @property
    def root(self) -> asyncio.Task[Any] | None:
        """The task that runs the workflow's function; None before the start was applied."""
        return self._root

    @property
    def last_command(self) -> int:
        """Number of the newest command, 0 before the first."""
        return self._next - 1

    # --- what workflow code asks for (called on the loop) ------------------------------------------
    def run_step(self, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        """Decides to run a step and waits for its result."""
        return (run_with_fallback if step.has_fallback else run_step)(self, step, args, kwargs)

    def start_child(self, call: Call[Any], run_id: str | None, parent_close: ParentClose, app: str = "") -> OpenChild:
        """Decides to start another run; its future waits for the end."""
        self.check_room()
        depth = self.parent.depth + 1 if self.parent is not None else 1
        if depth > CHILD_DEPTH_MAX:
            raise JetrunError(
                f"a child of a child, {depth} levels deep; at most {CHILD_DEPTH_MAX}: flatten the workflow"
            )
        ref, raw_args, raw_kwargs = self.claim(call.args, call.kwargs)
        command = StartChild(
            n=self._next,
            workflow=call.workflow,
            app=app if app != self.app else "",
            run=run_id or child_id(self.key, self._next, app=self.app if app not in ("", self.app) else ""),
            args=raw_args,
            kwargs=raw_kwargs,
            ref=ref,
            hash=start_hash(call.args, call.kwargs),
            parent_close=parent_close,
            depth=depth,
        )
        recorded = self.decide(command)
        child = OpenChild(command=recorded or command, result_type=call.result_type, future=self.loop.create_future())
        child.future.add_done_callback(take_note)
        if recorded is not None:
            self.children[command.n] = child
        return child

    async def run_child(self, call: Call[R], run_id: str | None, parent_close: ParentClose) -> Any:
        """Starts another run and waits for its end; who stops waiting lets go of the child."""
        child = self.start_child(call, run_id, parent_close)
        n = child.command.n
        try:
            return await child.future
        finally:
            if n in self.children:
                self.take_back(n)

    def cancel_child(self, child: OpenChild, reason: str) -> None:
        """Decides to ask a child to stop, unless it has ended."""
        n = child.command.n
        if n in self.children and self.decide(CancelChild(n=self._next, target=n, reason=reason)) is not None:
            self.child_ends.append(ChildEnd(child.command, "cancel", reason))

    def timer_started(self, handle: LoopTimer, due_at_us: int) -> None:
        """Makes a timer of the loop a command."""
        self.check_room()
        n = self._next
        recorded = self.decide(StartTimer(n=n, due_at_us=due_at_us, what=self._timer_kind))
        if recorded is None:
            return
        handle.n = n
        self.timers[n] = (recorded.due_at_us, handle)
        self.await_time(recorded.due_at_us, n)

    def await_time(self, due_at_us: int, n: int) -> None:
        """Has `fire` called for a command at a time, while it is open."""
        heapq.heappush(self._due, (due_at_us, n))

    def awaits_time_of(self, n: int) -> bool:
        """Tells whether a command is open that fires at a time."""
        return n in self.timers or (n in self.steps and self.steps[n].command.close_at_us > 0)

    def timer_cancelled(self, handle: LoopTimer) -> None:
        """Closes a timer's command."""
        if handle.n in self.timers:
            del self.timers[handle.n]
            self.take_back(handle.n)

    def patched(self, patch_id: str) -> bool:
        """Tells which side of a change of code the run is on; the first call for an id decides it for good."""
        side = self._patches.get(patch_id)
        if side is None:
            # A log that was written before the change holds no mark here: its run stays on the old side.
            is_new = self.recorded_next() is None and (self._expected is None or self._expected_is_open)
            side = (is_new or self._is_marked(patch_id)) and self.decide(Patch(n=self._next, id=patch_id)) is not None
            self._patches[patch_id] = side
        return side

    def deprecate_patch(self, patch_id: str) -> None:
        """Accepts the mark of a change whose old side is gone, and makes none."""
        if self._is_marked(patch_id):
            self.decide(Patch(n=self._next, id=patch_id))

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

    # --- for the modules of single nouns ---------------------------------------------------------------
    def decide(self, command: CommandT) -> CommandT | None:
        """Takes a command down; returns it as the log has it, or None where the run is dead: it is never answered."""
        if self.loop.is_stopped:
            return None
        expected = self._expected
        if expected is not None:
            index = len(self.decided)
            recorded = expected[index] if index < len(expected) else None
            if recorded is not None and signature(recorded) == signature(command):
                command = cast("CommandT", recorded)
            elif recorded is not None or not self._expected_is_open:
                asked = asking_line(self.workflow.function, self._root_code())
                self._fail(command.n, recorded, describe(command), asked)
                return None
        self.decided.append(command)
        self._next += 1
        return command

    def recorded_next(self) -> Command | None:
        """Finds what the log holds where the code is now; None where it is not replayed, or the log ends here."""
        expected, index = self._expected, len(self.decided)
        return expected[index] if expected is not None and index < len(expected) else None

    def check_room(self) -> None:
        """Raises JetrunError when too many commands are open for one more."""
        if len(self.steps) + len(self.timers) + len(self.inbox) + len(self.children) >= COMMANDS_OPEN_MAX:
            raise JetrunError(f"{COMMANDS_OPEN_MAX} commands are open; wait for some before asking for more")

    def start_timer(self, kind: str, due_at_us: int, callback: Callable[[], None]) -> LoopTimer:
        """Starts a timer whose command says what it is for."""
        self._timer_kind = kind
        try:
            return self.loop.start_timer(due_at_us, callback)
        finally:
            self._timer_kind = "sleep"

    # --- inside ------------------------------------------------------------------------------------
    def _is_marked(self, patch_id: str) -> bool:
        recorded = self.recorded_next()
        return isinstance(recorded, Patch) and recorded.id == patch_id

    def take_back(self, target: int) -> None:
        """Closes an open command whose end nobody waits for."""
        step, child = self.steps.pop(target, None), self.children.pop(target, None)
        if self.decide(Close(n=self._next, target=target)) is None:
            return
        if child is None:
            self.closed[target] = step.command if step is not None else None
        elif child.command.parent_close != "abandon":
            self.child_ends.append(ChildEnd(child.command, child.command.parent_close, let_go_reason(self.key)))

    def _root_code(self) -> Coroutine[Any, Any, Any] | None:
        return cast("Coroutine[Any, Any, Any]", self._root.get_coro()) if self._root is not None else None

    def _fail(self, command: int, recorded: Command | None, asked: str, source: str) -> None:
        self.failure = ReplayMismatch(command=command, recorded=describe(recorded), asked=asked, source=source)
        self.loop.is_stopped = True

    def claim(self, args: bytes, kwargs: bytes | None) -> tuple[Ref | None, msgspec.Raw, msgspec.Raw | None]:
        """Gives large arguments a place in the object store; returns how a command holds them."""
        if len(args) + len(kwargs or b"") > VALUE_INLINE_BYTES_MAX:
            return self.upload(packed_object(args, kwargs)), NO_ARGS, None
        return None, msgspec.Raw(args), None if kwargs is None else msgspec.Raw(kwargs)

    def upload(self, data: bytes) -> Ref:
        """Has a large value stored before the decision's records are, and names it."""
        digest = sha256(data).hexdigest()
        self.uploads[digest] = data
        return Ref(sha256=digest, size=len(data))
