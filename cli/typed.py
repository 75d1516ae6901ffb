"""Arguments typed by a workflow's signature: `--arg count=2` is a number where the parameter is one, else the text it is."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

import msgspec

from ..actors.codec import decoder_of
from ..actors.errors import BadMessage, DefinitionError, InvalidValue
from ..actors.hints import resolve
from ..actors.messages import check_depth, check_json
from ..actors.tree import USER_ERRORS
from ..actors.workflow import Workflow
from .exits import UsageProblem

_ONLY_POSITION: Final = inspect.Parameter.POSITIONAL_ONLY
_EMPTY: Final = inspect.Parameter.empty


class Parameter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A parameter as `wfctl workflows info` shows it."""

    name: str
    type: str
    """As the annotation is written; empty for none."""
    default: str = ""
    """As `repr` writes it; empty for none."""
    required: bool = False
    kind: str = ""
    """`positional only`, `*args` or `**kwargs`, where it is one of these."""


def parameters_of(workflow: Workflow[..., Any]) -> list[Parameter]:
    """Describes a workflow's parameters, in their order."""
    kinds: dict[object, str] = {
        _ONLY_POSITION: "positional only",
        inspect.Parameter.KEYWORD_ONLY: "by name only",
        inspect.Parameter.VAR_POSITIONAL: "*args",
        inspect.Parameter.VAR_KEYWORD: "**kwargs",
    }
    return [
        Parameter(
            name=name,
            type=_annotation(parameter.annotation),
            default="" if parameter.default is _EMPTY else repr(parameter.default),
            required=parameter.default is _EMPTY and not kinds.get(parameter.kind, "").startswith("*"),
            kind=kinds.get(parameter.kind, ""),
        )
        for name, parameter in workflow.shown_signature.parameters.items()
    ]


def signature_of(workflow: Workflow[..., Any]) -> str:
    """Writes a workflow as it would be called: `order(item: str, count: int = 1) -> str`."""
    signature = workflow.shown_signature
    parameters = [p.replace(annotation=_written(p.annotation)) for p in signature.parameters.values()]
    shown = signature.replace(parameters=parameters, return_annotation=_written(signature.return_annotation))
    return f"{workflow.name}{shown}"


def parse_named(workflow: Workflow[..., Any], texts: Sequence[str]) -> tuple[bytes, bytes | None]:
    """Makes a workflow's arguments of `name=value` texts; what is no `str` is read as JSON, or as its type's own text.

    Returns:
        The JSON array of what goes by position only, and the JSON object of the others.

    Raises:
        UsageProblem: A text has no `=`, a name comes twice, is none of the parameters', or the value is not of its type.
    """
    parameters = workflow.shown_signature.parameters
    hints = resolve(workflow.function)
    rest = next((n for n, p in parameters.items() if p.kind is inspect.Parameter.VAR_KEYWORD), "")
    named: dict[str, msgspec.Raw] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageProblem(f"--arg takes name=value, not {text[:60]!r}")
        if name in named:
            raise UsageProblem(f"--arg {name!r} is given twice")
        hint = hints.get(name if name in parameters else rest, Any)
        named[name] = _value(name, hint, value)
    by_position = [n for n, p in parameters.items() if p.kind is _ONLY_POSITION]
    positional: list[msgspec.Raw] = []
    while by_position and by_position[0] in named:
        positional.append(named.pop(by_position.pop(0)))
    return msgspec.json.encode(positional), msgspec.json.encode(named) if named else None


def check_call(workflow: Workflow[..., Any], args: bytes, kwargs: bytes | None) -> None:
    """Makes sure that a workflow takes the arguments.

    Raises:
        UsageProblem: One is missing, unexpected, or of another type.
    """
    try:
        workflow.signature.unpack(args, kwargs)
    except InvalidValue as error:
        raise UsageProblem(f"{error}; it is {signature_of(workflow)}") from error


def _value(name: str, hint: object, text: str) -> msgspec.Raw:
    as_text = msgspec.Raw(msgspec.json.encode(text.encode(errors="surrogatepass").decode(errors="replace")))
    if _is_text(hint):
        return as_text
    decoder = decoder_of(hint)
    reasons: list[str] = []
    for raw in (msgspec.Raw(text.encode(errors="replace")), as_text):
        try:
            check_depth(bytes(raw))
            check_json(bytes(raw))
            decoder(raw)
        except (*USER_ERRORS, BadMessage, DefinitionError) as error:
            reasons.append(str(error))
            continue
        return raw
    raise UsageProblem(f"--arg {name}: {text[:60]!r} is no {_annotation(hint)} ({reasons[-1]})")


def _is_text(hint: object) -> bool:
    """Tells whether a type is `str`, or `str | None`: its text is never read as anything else."""
    if get_origin(hint) is Annotated:
        return _is_text(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return all(part is NoneType or _is_text(part) for part in get_args(hint))
    return hint is str


class _Written:
    """An annotation that `inspect` shows as it is written, without the quotes of a text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _written(hint: object) -> object:
    return _Written(hint) if isinstance(hint, str) else hint


def _annotation(hint: object) -> str:
    if hint is _EMPTY:
        return ""
    return hint if isinstance(hint, str) else inspect.formatannotation(hint)
