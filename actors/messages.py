"""Messages: the public JSON bodies of everything that can be addressed to a run, and how they are checked.

One Struct per verb; unknown fields are refused, so that a stray PubAck is never a `cancel` (R10). `start`, `hook`,
`cancel`, `terminate`, `pause`, `resume` and `update` are public; `step`, `child` and `timer` are the engine's own.
A body is at most `BODY_BYTES_MAX` long and `BODY_DEPTH_MAX` deep.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, TypeAlias, cast

import msgspec

from .errors import BadMessage, ErrorInfo
from .limits import BODY_BYTES_MAX, BODY_DEPTH_MAX, OBJECT_BYTES_MAX
from .names import check_token, is_token
from .nesting import is_deeper
from .tree import find_flaw, is_out_of_range, nodes

if TYPE_CHECKING:
    OptionalRaw: TypeAlias = msgspec.Raw | None
else:
    # msgspec decodes `Raw | None` as null alone. Declared as Raw, an absent value is the default None, any other is Raw.
    OptionalRaw = msgspec.Raw

NULL: Final = msgspec.Raw(b"null")
NO_ARGS: Final = msgspec.Raw(b"[]")

DEAD_CODES: Final = {
    "subject": "the subject names no run of this app",
    "verb": "the verb is unknown",
    "json": "the body is not one JSON object in UTF-8",
    "schema": "the body does not fit the verb's schema",
    "depth": "the body is nested too deeply",
    "size": "the body is too large",
    "exists": "the run id is taken by a start with other arguments",
    "ended": "the run has ended",
    "full": "too many messages wait for the run",
    "no_run": "no run of that id was started in time",
    "token": "the step result's token is wrong",
    "payload": "the hook's payload does not fit the type that the workflow waits for",
    "workflow": "no workflow of that name is registered",
    "args": "the arguments do not fit the workflow's parameters",
    "missing_value": "the object that the body refers to is not in the object store",
}
"""Why a message is dead, the whole list; stable, part of the public contract."""


class Ref(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names a value in the app's object store (claim check)."""

    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    """Of the value's JSON; the object is named by it, so nothing else may stand here."""
    size: Annotated[int, msgspec.Meta(ge=0, le=OBJECT_BYTES_MAX)]


class _Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    id: str = ""
    """The sender's own name for this intent: a second message with the same id is not applied again."""


class Parent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The run that waits for a child."""

    workflow: str
    run: str
    command: int
    depth: int = 1
    """How far the child is below the run that nobody has started as a child."""
    token: str = ""
    """Comes back with the child's end: only who was asked to run the child can tell (R18)."""
    app: str = ""
    """Where the parent runs, if that is another app than the child's."""

    def __post_init__(self) -> None:
        check_token("workflow name", self.workflow)  # it becomes part of a subject
        check_token("run id", self.run)
        if self.app:
            check_token("app name", self.app)


class Start(_Body, frozen=True, kw_only=True):
    """Begins a run. `args` and `kwargs` are the workflow's; `ref` stands for an object `{"args": …, "kwargs": …}`."""

    args: msgspec.Raw = NO_ARGS
    kwargs: OptionalRaw = None
    ref: Ref | None = None
    parent: Parent | None = None


class Hook(_Body, frozen=True, kw_only=True):
    """Gives a payload to the hook named by the verb's second token."""

    payload: msgspec.Raw = NULL
    ref: Ref | None = None


class Cancel(_Body, frozen=True, kw_only=True):
    """Asks the workflow to stop: `CancelledError` at its next await, cleanup runs."""

    reason: str = ""
    parent: Parent | None = None
    """Internal: applies to the child of that parent alone, whoever else may have the id."""


class Terminate(_Body, frozen=True, kw_only=True):
    """Ends the run now, without cleanup."""

    reason: str = ""
    parent: Parent | None = None
    """Internal, as for `Cancel`."""


class Pause(_Body, frozen=True, kw_only=True):
    """Stops deciding; messages are kept in order."""

    reason: str = ""


class Resume(_Body, frozen=True, kw_only=True):
    """Goes on deciding: ends a pause, and tries a parked run again."""


class Update(_Body, frozen=True, kw_only=True):
    """Asks the handler named by the verb's second token to validate, apply and answer."""

    args: msgspec.Raw = NO_ARGS
    kwargs: OptionalRaw = None
    ref: Ref | None = None
    """As for `Start`."""


class StepResult(_Body, frozen=True, kw_only=True):
    """Internal. What one attempt of a step came to: `result`, or `ref` to it, or `error`, or nothing yet."""

    command: int
    attempt: int
    token: str
    result: msgspec.Raw = NULL
    ref: Ref | None = None
    error: ErrorInfo | None = None
    is_retryable: bool = True
    retry_after_us: int | None = None
    is_deferred: bool = False
    """The attempt has ended without a result: whoever has its token gives one later, by another such message."""
    worker: str = ""
    started_at_us: int = 0
    ended_at_us: int = 0
    deliveries: int = 1
    """How often this attempt was handed out: more than once where a worker was lost, or lost its lease."""


class ChildResult(_Body, frozen=True, kw_only=True):
    """Internal. How a child run ended."""

    command: int
    token: str
    status: str
    """How it ended, or `refused`: it was never begun."""
    result: msgspec.Raw = NULL
    ref: Ref | None = None
    error: ErrorInfo | None = None
    reason: str = ""


class Tick(_Body, frozen=True, kw_only=True):
    """Internal. Brings time forward; harmless when lost, doubled, stale or forged (R14)."""

    n: int = 0
    due_at_us: int = 0
    wake: str = ""
    """`parked`: try a parked run again, whatever its time (a worker with other code has started). `CONTINUED`: begin link `n`."""


CONTINUED: Final = "continued"

Body: TypeAlias = Start | Hook | Cancel | Terminate | Pause | Resume | Update | StepResult | ChildResult | Tick

PLAIN_VERBS: Final[dict[str, type[Body]]] = {
    "start": Start,
    "cancel": Cancel,
    "terminate": Terminate,
    "pause": Pause,
    "resume": Resume,
    "step": StepResult,
    "child": ChildResult,
    "timer": Tick,
}
NAMED_VERBS: Final[dict[str, type[Body]]] = {"hook": Hook, "update": Update}
PUBLIC_VERBS: Final = ("start", "hook", "cancel", "terminate", "pause", "resume", "update")

_DECODERS: Final = {cls: msgspec.json.Decoder(cls) for cls in (*PLAIN_VERBS.values(), *NAMED_VERBS.values())}
_ANY: Final = msgspec.json.Decoder()
_ENCODER: Final = msgspec.json.Encoder()
_DIGITS_ALIKE: Final = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER: Final = b"0" * 19
"""Where this many digits stand together once all of them look alike, a number may exceed 64 bits."""
_TOO_DEEP: Final = f"nested more than {BODY_DEPTH_MAX} levels"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A delivered message whose subject and body are known to be good."""

    MAIL: ClassVar[str] = "m"
    FIRED: ClassVar[str] = "t"

    source: str
    """`MAIL` or `FIRED`: the stream that delivered it."""
    seq: int
    at_us: int
    """The server's timestamp. `(source, seq, at_us)` is the delivery's identity (R5)."""
    verb: str
    name: str
    """The hook's or update's name; empty for other verbs."""
    raw: bytes
    """The body as it was sent: what the record holds."""
    body: Body


def encode_body(body: Body) -> bytes:
    """Writes a body as it is published."""
    return _ENCODER.encode(body)


def decode_body(verb: str, name: str, raw: bytes) -> Body:
    """Reads a body strictly.

    Args:
        verb: First token of the verb part of the subject.
        name: Its second token, or empty.

    Raises:
        BadMessage: With one of `DEAD_CODES`.
    """
    cls = NAMED_VERBS.get(verb) if name else PLAIN_VERBS.get(verb)
    if cls is None or (name and not is_token(name)):
        raise BadMessage(
            "verb",
            f"unknown verb {_shown(verb + ('.' + name if name else ''))}; one of {', '.join(PUBLIC_VERBS)} "
            "(hook and update take a name)",
        )
    if len(raw) > BODY_BYTES_MAX:
        raise BadMessage(
            "size", f"body of {len(raw)} bytes; at most {BODY_BYTES_MAX}, larger values go to the object store"
        )
    try:
        check_json(raw)
    except RecursionError as error:
        raise BadMessage("depth", _TOO_DEEP) from error
    except ValueError as error:
        what = "empty body" if not raw else str(error)
        raise BadMessage("json", f"{verb}: {what}; send one JSON object, for example {{}}") from error
    check_depth(raw)
    try:
        return _DECODERS[cls].decode(raw)
    except msgspec.ValidationError as error:
        raise BadMessage("schema", f"{verb}: {error}") from error


def read_body(verb: str, name: str, raw: bytes | msgspec.Raw) -> Body:
    """Reads a body that `decode_body` has checked, perhaps under older rules: one that a log holds.

    Raises:
        BadMessage: This version does not know the verb or one of its fields.
    """
    cls = NAMED_VERBS.get(verb) if name else PLAIN_VERBS.get(verb)
    if cls is None:
        raise BadMessage("verb", f"unknown verb {_shown(verb)}")
    try:
        return _DECODERS[cls].decode(raw)
    except msgspec.DecodeError as error:
        raise BadMessage("schema", f"{verb}: {error}") from error


def check_json(raw: bytes) -> None:
    """Makes sure that every reader can read the JSON, whole and with the same values.

    Decoding into a Struct is not enough: what stays raw there is skipped, not read, and a log would keep it for ever.

    Raises:
        ValueError: It is malformed, not UTF-8, holds a number beyond 64 bits, or a key twice.
        RecursionError: It is nested by the hundreds.
    """
    if not raw.isascii():
        raw.decode()
    value = _ANY.decode(raw)
    if _LONG_NUMBER in raw.translate(_DIGITS_ALIKE) and any(map(is_out_of_range, nodes(value))):
        flaw = find_flaw(value, depth_max=BODY_DEPTH_MAX)
        raise ValueError(f"{flaw.path}: {flaw.reason}" if flaw is not None else "number out of range")
    # Of a key given twice some readers take the first and some the last: who checks a message may read another than we.
    # No more colons than fields settles most; else what was read has to have as many pairs as what was sent.
    has_fields_alone = isinstance(value, dict) and raw.count(b":") == len(cast("dict[str, object]", value))
    if not has_fields_alone and _pairs(raw) != _pairs(_ENCODER.encode(value)):
        json.loads(raw, object_pairs_hook=_refuse_twins)


def check_depth(raw: bytes) -> None:
    """Refuses JSON that is nested more than `BODY_DEPTH_MAX` levels. Raises BadMessage."""
    if is_deeper(raw, BODY_DEPTH_MAX):
        raise BadMessage("depth", _TOO_DEEP)


def _pairs(raw: bytes) -> int:
    """Counts the keys of all objects: the colons outside of strings."""
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(raw.split(b'"')[::2]).count(b":")


def _refuse_twins(pairs: list[tuple[str, object]]) -> None:
    names = [name for name, _ in pairs]
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"key {_shown(name)} is given {count} times in one object")


def _shown(text: str) -> str:
    shown = ascii(text)
    return shown if len(shown) <= 80 else shown[:77] + "..."
