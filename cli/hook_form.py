"""A hook's payload asked for on a terminal, field by field, as the schema says that the run has published.

Texts are typed as they are, numbers and booleans as one expects, everything else as JSON. Each answer is checked at once;
an empty one leaves an optional field out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec

from ..client.schema_check import Schema, misfit, resolved
from . import render
from .arguments import parse_value
from .exits import UsageProblem
from .output import complain

Ask: TypeAlias = Callable[[str], str]
"""Shows a text and returns the line that is typed; raises EOFError at the end of the input."""

_Kind: TypeAlias = Literal["text", "number", "boolean", "choice", "json"]

_TRIES_MAX: Final = 10
"""Wrong answers to one question; a script on the other side of the terminal must come to an end."""

_DESCRIPTION_SHOWN_MAX: Final = 60
_YES: Final = frozenset({"y", "yes", "true"})
_NO: Final = frozenset({"n", "no", "false"})
_WORDS: Final[dict[_Kind, str]] = {"text": "text", "number": "number", "boolean": "y/n", "choice": "", "json": "JSON"}


class _Absent:
    """Stands for a field that is left out."""


_ABSENT: Final = _Absent()
_ANY: Final[Schema] = {}


def is_terminal() -> bool:
    """Tells whether somebody can be asked."""
    return sys.stdin.isatty()


def ask_terminal(text: str) -> str:
    """Asks on standard error, so that standard output stays the command's own, and reads a line."""
    sys.stderr.write(text)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\r\n")


def fill(schema: Schema, ask: Ask) -> msgspec.Raw:
    """Asks for a payload and returns its JSON.

    Raises:
        UsageProblem: The input has ended, or an answer was wrong ten times.
    """
    root = resolved(schema, schema)
    fields = root.get("properties")
    try:
        if not isinstance(fields, dict) or not fields:
            value = _ask_value("payload", root, schema, ask, is_optional=False)
            return _raw(None if value is _ABSENT else value)
        required = cast("list[str]", root.get("required") or [])
        payload: dict[str, object] = {}
        for name, field in cast("dict[str, Any]", fields).items():
            part: Schema = cast("Schema", field) if isinstance(field, dict) else _ANY
            value = _ask_value(name, part, schema, ask, is_optional=name not in required)
            if value is not _ABSENT:
                payload[name] = value
    except EOFError as error:
        raise UsageProblem("the input has ended before the payload was whole; nothing was sent") from error
    return _raw(payload)


def _ask_value(name: str, schema: Schema, root: Schema, ask: Ask, *, is_optional: bool) -> object:
    part, is_nullable = _without_null(resolved(schema, root), root)
    kind = _kind_of(part)
    question = _question(name, part, schema, kind, is_optional=is_optional, is_nullable=is_nullable)
    for _ in range(_TRIES_MAX):
        line = ask(question)
        if not line.strip() and (is_optional or is_nullable):
            return _ABSENT if is_optional else None
        try:
            value = _read(line, kind, part)
        except UsageProblem as problem:
            complain(str(problem))
            continue
        # Under the root, so that references lead somewhere.
        reason = misfit({**part, "$defs": root.get("$defs", {})}, value)
        if not reason:
            return value
        complain(reason.removeprefix("$: "))
    raise UsageProblem(f"{render.safe(name)}: no answer fits after {_TRIES_MAX} tries; nothing was sent")


def _question(name: str, part: Schema, schema: Schema, kind: _Kind, *, is_optional: bool, is_nullable: bool) -> str:
    words = " / ".join(map(_choice, _choices(part))) if kind == "choice" else _WORDS[kind]
    if part.get("type") == "integer":
        words = "whole number"
    if is_optional:
        default = schema.get("default")
        words += f", empty for {_choice(default)}" if default is not None else ", may be empty"
    elif is_nullable:
        words += ", empty for null"
    description = schema.get("description") if kind != "json" else None
    about = f" - {description[:_DESCRIPTION_SHOWN_MAX]}" if isinstance(description, str) else ""
    return render.safe(f"{name} ({words}){about}: ")


def _read(line: str, kind: _Kind, part: Schema) -> object:
    text = line.strip()
    match kind:
        case "text":
            return "" if text == '""' else _whole(line)
        case "boolean":
            if text.lower() in _YES | _NO:
                return text.lower() in _YES
            raise UsageProblem("type y or n")
        case "choice":
            for choice in _choices(part):
                if text == _choice(choice):
                    return choice
            raise UsageProblem(f"type one of {', '.join(map(_choice, _choices(part)))}")
        case "number":
            return _number(text)
        case "json":
            return _plain(parse_value(text, what="the answer"))


def _whole(line: str) -> str:
    if not line:
        raise UsageProblem("""an answer is needed; type "" for the empty text""")
    try:
        line.encode()
    except UnicodeEncodeError as error:
        raise UsageProblem("that is not UTF-8") from error
    return line


def _number(text: str) -> object:
    value = _plain(parse_value(text, what="the answer"))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UsageProblem(f"type a number, for example 42: received `{render.safe(text)}`")
    return value


def _kind_of(part: Schema) -> _Kind:
    if _choices(part):
        return "choice"
    kinds: dict[object, _Kind] = {"string": "text", "integer": "number", "number": "number", "boolean": "boolean"}
    kind = part.get("type")
    return kinds.get(kind, "json") if isinstance(kind, str) else "json"


def _choices(part: Schema) -> Sequence[object]:
    choices = [part["const"]] if "const" in part else part.get("enum")
    return cast("list[object]", choices) if isinstance(choices, list) else ()


def _choice(value: object) -> str:
    return value if isinstance(value, str) and value else msgspec.json.encode(value).decode()


def _without_null(part: Schema, root: Schema) -> tuple[Schema, bool]:
    """Takes `null` out of a union of two, and tells whether it was there."""
    options = part.get("anyOf")
    if not isinstance(options, list):
        return part, False
    found = [resolved(cast("Schema", one), root) for one in cast("list[object]", options) if isinstance(one, dict)]
    rest = [one for one in found if one.get("type") != "null"]
    if len(rest) == len(found):
        return part, False
    return (rest[0] if len(rest) == 1 else {"anyOf": rest}), True


def _plain(raw: msgspec.Raw) -> object:
    return msgspec.json.decode(raw)


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
