"""Commands: what workflow code asked for, numbered 1, 2, 3 … in the order it asked; the numbers never restart.

Commands are values in a record. `signature` is what replay compares (kind, name, input hash; R13), `describe` what a
person reads when it differs.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal, TypeAlias

import msgspec

from .messages import NO_ARGS, OptionalRaw, Ref


class _Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    n: int


class RunStep(_Command, frozen=True, kw_only=True, tag="step"):
    """Runs a step on its queue; open until its result or final failure is folded."""

    name: str
    queue: str
    args: msgspec.Raw = NO_ARGS
    """The JSON array of positional arguments, or `[]` where `ref` names `{"args", "kwargs"}` in the object store."""
    kwargs: OptionalRaw = None
    ref: Ref | None = None
    hash: str
    """Of name and arguments, in canonical JSON. Queue and limits may change while runs are under way."""
    timeout_us: int = 0
    recoveries_max: int = 0
    close_at_us: int = 0
    """The run's time by which the step is over, retries included; 0 for never. It fires like a timer of number `n`."""
    heartbeat_us: int = 0
    """An attempt that says nothing for so long is given up; 0 for never."""
    inline: bool = False
    """The actor worker runs the first attempt."""
    task: str = ""
    """In a graph, the task that asks for it, with the number of the item: `build`, `test[3]`."""


class StartTimer(_Command, frozen=True, kw_only=True, tag="timer"):
    """Wakes the run at a time; open until it fires or is closed."""

    due_at_us: int
    what: str = "sleep"
    """`sleep` (also `asyncio.sleep`, `timeout`, `call_later`), `hook` (a hook's timeout) or `schedule`: its time depends on
    zone data, which differ between workers, so that the log's counts and is not compared."""


class OpenHook(_Command, frozen=True, kw_only=True, tag="hook"):
    """Waits for one message of that hook; open until one is taken or it is closed."""

    name: str
    type: str = ""
    due_at_us: int = 0
    """When its timeout ends, 0 for none; the timer is a command of its own."""
    schema: OptionalRaw = None
    """JSON Schema of the payload, for senders; absent where it is that of the hook's last command, or anything fits.
    Not compared by replay."""


ParentClose: TypeAlias = Literal["cancel", "terminate", "abandon"]
"""What becomes of a child when its parent ends, or does not wait for it any more."""


class StartChild(_Command, frozen=True, kw_only=True, tag="child"):
    """Starts another run; open until its end is folded."""

    workflow: str
    run: str
    args: msgspec.Raw = NO_ARGS
    kwargs: OptionalRaw = None
    ref: Ref | None = None
    """As for `RunStep`, under this run's own prefix."""
    hash: str
    """Of the arguments, as `records.start_hash` makes it."""
    parent_close: ParentClose = "cancel"
    depth: int = 1
    app: str = ""
    """Where it runs, if that is another app than its parent's."""

    @property
    def address(self) -> str:
        """Names the child as a person writes it."""
        return f"{self.app}:{self.workflow}/{self.run}" if self.app else f"{self.workflow}/{self.run}"


class CancelChild(_Command, frozen=True, kw_only=True, tag="cancel_child"):
    """Asks a child to stop; it stays open until it has."""

    target: int
    reason: str = ""


class Patch(_Command, frozen=True, kw_only=True, tag="patch"):
    """Marks that the run has taken the new side of a change of code; nothing is owed for it."""

    id: str


class Advance(_Command, frozen=True, kw_only=True, tag="advance"):
    """Takes down what a graph's interpreter has found out and done; nothing is owed for it.

    On replay the log's counts and nothing is computed again.
    """

    moves: msgspec.Raw = NO_ARGS
    """`graph_moves.Move` in order."""
    definition: OptionalRaw = None
    """The graph that the run follows to its end, where its start does not name it."""
    ref: Ref | None = None
    """Of `{"moves", "definition"}` in the object store, where they are large."""


class Close(_Command, frozen=True, kw_only=True, tag="close"):
    """Takes back an open command: queued work and timers are purged, a running step is told."""

    target: int


Command: TypeAlias = RunStep | StartTimer | OpenHook | StartChild | CancelChild | Patch | Advance | Close


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """The engine's decision to try a step again; no workflow code is asked."""

    n: int
    """The step command's number."""
    attempt: int
    """The attempt that will run, from 2."""
    due_at_us: int


def due_of(command: Command) -> int:
    """Tells when a command fires: a timer, or a step with a `schedule_to_close`; 0 for never."""
    match command:
        case StartTimer():
            return command.due_at_us
        case RunStep():
            return command.close_at_us
        case _:
            return 0


def signature(command: Command) -> tuple[str, str, str]:
    """Returns kind, name and input of a command: equal signatures mean the same decision."""
    match command:
        case RunStep():
            return ("step", command.name, command.hash)
        case StartTimer():
            return ("timer", command.what, "" if command.what == "schedule" else str(command.due_at_us))
        case OpenHook():
            return ("hook", command.name, "")
        case StartChild():
            return ("child", command.address, command.hash)
        case CancelChild():
            return ("cancel_child", "", str(command.target))
        case Patch():
            return ("patch", command.id, "")
        case Advance():
            return ("advance", "", "")
        case Close():
            return ("close", "", str(command.target))


def describe(command: Command | None) -> str:
    """Says in a few words what a command is, for the error of a replay that differs."""
    match command:
        case None:
            return "nothing"
        case RunStep():
            shown = bytes(command.args)[:200].decode(errors="replace")
            return f"step {command.name!r} on queue {command.queue!r} with {shown if command.ref is None else command.ref.sha256[:12]}"
        case StartTimer():
            return f"timer ({command.what}) due at {command.due_at_us} us"
        case OpenHook():
            return f"hook {command.name!r}"
        case StartChild():
            shown = bytes(command.args)[:200].decode(errors="replace")
            return f"child {command.address} with {shown if command.ref is None else command.ref.sha256[:12]}"
        case CancelChild():
            return f"cancel of child command {command.target}"
        case Patch():
            return f"patch {command.id!r}"
        case Advance():
            return "a graph's next moves"
        case Close():
            return f"close of command {command.target}"


def input_hash(*parts: bytes) -> str:
    """Hashes canonical inputs to 16 hex digits: 64 bits, to recognise a changed call, not to resist an attack."""
    return blake2b(b"".join([b"%d:%b" % (len(part), part) for part in parts]), digest_size=8).hexdigest()
