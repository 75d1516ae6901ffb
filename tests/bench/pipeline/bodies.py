"""Bodies: the JSON of the pipeline's messages, as small as the path allows."""

from __future__ import annotations

import msgspec

NULL = msgspec.Raw(b"null")


class Start(msgspec.Struct, frozen=True):
    """Begins a run of `args[0]` steps."""

    args: list[int]


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step that the workflow asked for; in a record, and as work."""

    command: int
    name: str
    args: list[int]
    run: str = ""


class StepResult(msgspec.Struct, frozen=True):
    """What a step came to."""

    command: int
    result: int


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry of a run's log."""

    k: int
    verb: str
    message: msgspec.Raw
    command: Command | None = None
    result: msgspec.Raw = NULL
    is_last: bool = False


encode = msgspec.json.Encoder().encode
decode_start = msgspec.json.Decoder(Start).decode
decode_work = msgspec.json.Decoder(Command).decode
decode_result = msgspec.json.Decoder(StepResult).decode
