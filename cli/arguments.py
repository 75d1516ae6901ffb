"""What is typed, understood: JSON values, files of input, addresses of runs.

Every problem is a `UsageProblem` in one line that shows the text as it was received: shells eat quotes, and only the
text received shows it.
"""

from __future__ import annotations

import re
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from ..actors.durations import span_us
from ..actors.errors import BadMessage
from ..actors.limits import VALUE_BYTES_MAX
from ..actors.messages import check_depth, check_json
from ..actors.names import RunKey, check_token
from .exits import UsageProblem

_SHOWN_MAX: Final = 120
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def parse_value(text: str, *, what: str) -> msgspec.Raw:
    """Checks that a text is JSON and returns it as it was typed.

    Args:
        what: What it is for, as the error shall call it: "argument 1".
    """
    raw = text.encode(errors="surrogatepass")
    try:
        check_depth(raw)
        check_json(raw)
    except BadMessage as error:
        raise UsageProblem(f"{what} is {error.reason}: received {_shown(text)}") from error
    except (ValueError, RecursionError) as error:
        reason = "empty text" if not text.strip() else str(error)
        raise UsageProblem(f"{what} is not JSON: received {_shown(text)} ({reason}); {_hint(text)}") from error
    return msgspec.Raw(raw)


def parse_args(
    texts: list[str], args: str | None, kwargs: str | None, source: str | None
) -> tuple[bytes, bytes | None]:
    """Makes a workflow's arguments of one of the three ways to give them.

    Args:
        texts: Each a JSON value, positional.
        args: A JSON array, for all positional ones at once.
        kwargs: A JSON object of named ones.
        source: `@file` or `-`: JSON that is `{"args": […], "kwargs": {…}}`, or an array of positional arguments.

    Returns:
        The JSON array, and the JSON object or None.
    """
    if (bool(texts) + (args is not None) > 1) or (
        source is not None and (texts or args is not None or kwargs is not None)
    ):
        raise UsageProblem("give the arguments one way: each as JSON, or --args and --kwargs, or --input")
    if source is not None:
        return _split_input(read_input(source))
    if args is not None:
        positional = _parse_as(args, list, what="--args", example="""--args '["o-1"]'""")
    else:
        values = [parse_value(text, what=f"argument {number}") for number, text in enumerate(texts, 1)]
        positional = msgspec.json.encode(values)
    named = (
        None if kwargs is None else _parse_as(kwargs, dict, what="--kwargs", example="""--kwargs '{"cents": 4200}'""")
    )
    return positional, named


class Since(msgspec.Struct, frozen=True):
    """From when on: a span before now, or an instant; the other one is 0."""

    span_us: int = 0
    instant_us: int = 0

    def at_us(self, now_us: int) -> int:
        """Returns the instant in microseconds."""
        return self.instant_us or max(0, now_us - self.span_us)


def parse_since(text: str) -> Since:
    """Reads `90m` or `7d` as a span before now, `2026-01-31` and `2026-01-31T12:00` (in UTC, or with a zone) as an instant."""
    if re.match(r"[0-9]{4}-", text):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise UsageProblem(f"--since {_shown(text)} is no point in time: {error}") from error
        moment = moment if moment.utcoffset() is not None else moment.replace(tzinfo=UTC)
        return Since(instant_us=max(0, (moment - _EPOCH) // timedelta(microseconds=1)))
    return Since(span_us=span_us(text, what="--since"))


def read_input(source: str) -> str:
    """Reads the JSON text of `@file` or, for `-`, of standard input."""
    if source == "-":
        if sys.stdin.isatty():
            raise UsageProblem(
                "--input - reads JSON from standard input, which is a terminal; use a pipe or --input @file"
            )
        raw = sys.stdin.buffer.read(VALUE_BYTES_MAX + 1)
        name = "standard input"
    elif source.startswith("@"):
        raw, name = _read_file(Path(source[1:])), source[1:]
    else:
        raise UsageProblem(
            f"--input takes @file or -, not {_shown(source)}; for JSON itself use --args or plain arguments"
        )
    if len(raw) > VALUE_BYTES_MAX:
        raise UsageProblem(f"--input {name!r} holds more than {VALUE_BYTES_MAX} bytes, the most that a value can have")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise UsageProblem(f"--input {name!r} is not UTF-8: {error.reason} at byte {error.start}") from error


def parse_run(text: str) -> RunKey:
    """Reads `workflow/run`."""
    workflow, slash, run = text.partition("/")
    if not slash:
        raise UsageProblem(
            f"run {_shown(text)} has no workflow; write <workflow>/<run>, for example order/{text or 'o-1'}"
        )
    return RunKey(check_token("workflow", workflow), check_token("run id", run))


def check_run(text: str) -> str:
    """Returns the text if it can name a run, with or without its workflow; asked before any server is."""
    if "/" in text:
        parse_run(text)
        return text
    return check_token("run id", text)


def _read_file(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISFIFO(status.st_mode):
            raise UsageProblem(f"--input file {str(path)!r} is not a file")
        if status.st_size > VALUE_BYTES_MAX:
            raise UsageProblem(
                f"--input file {str(path)!r} has {status.st_size} bytes; at most {VALUE_BYTES_MAX}, pass a reference instead"
            )
        with path.open("rb") as file:
            return file.read(VALUE_BYTES_MAX + 1)
    except OSError as error:
        raise UsageProblem(f"--input file {str(path)!r}: {error.strerror or error}") from error


class _Input(msgspec.Struct, forbid_unknown_fields=True):
    args: list[msgspec.Raw] = []
    kwargs: dict[str, msgspec.Raw] | None = None


def _split_input(text: str) -> tuple[bytes, bytes | None]:
    raw = parse_value(text, what="--input")
    try:
        if bytes(raw).lstrip()[:1] == b"[":
            return bytes(raw), None
        given = msgspec.json.decode(raw, type=_Input)
    except msgspec.ValidationError as error:
        raise UsageProblem(f"""--input: {error}; use {{"args": [...], "kwargs": {{...}}}} or an array""") from error
    return msgspec.json.encode(given.args), None if given.kwargs is None else msgspec.json.encode(given.kwargs)


def _parse_as(text: str, kind: type[list[object]] | type[dict[str, object]], *, what: str, example: str) -> bytes:
    raw = parse_value(text, what=what)
    if not isinstance(msgspec.json.decode(raw), kind):
        noun = "array" if kind is list else "object"
        raise UsageProblem(f"{what} is no JSON {noun}: received {_shown(text)}; for example {example}")
    return bytes(raw)


def _hint(text: str) -> str:
    bare = text.strip()
    if bare and bare[0] not in "\"'[{" and "\n" not in bare:
        return f"""for a text keep JSON's quotes from the shell: '"{bare[:40]}"'"""
    if bare.startswith("'"):
        return "JSON's quotes are double ones; put single quotes outside, for the shell"
    return "put single quotes around the whole value so that the shell leaves it alone"


def _shown(text: str) -> str:
    shown = text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}… ({len(text)} characters)"
    return f"`{shown}`"
