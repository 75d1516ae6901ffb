"""The codec: one value as JSON, and JSON as a value of a type.

The rule that lives here and nowhere else: what was encoded can be published, stored and decoded everywhere. So a value
is refused, with the path of the part, when its JSON would mean another value (NaN becomes null), when other readers
would lose it (integers beyond 64 bits), when it is too deep or too large. Decoding is strict: `"1"` is no int; only an
int may stand for a float.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache, partial
from math import isfinite
from types import NoneType
from typing import Any, Final, TypeAlias, TypeVar, cast, overload
from uuid import UUID

import msgspec

from .errors import DefinitionError, InvalidValue
from .limits import BODY_DEPTH_MAX, VALUE_BYTES_MAX
from .models import Model, has_model, is_model_class, load_any
from .models import load as load_model
from .nesting import is_deeper
from .tree import INT_MAX, INT_MIN, USER_ERRORS, encode_part, find_flaw, is_out_of_range, nodes, sort_sets

T = TypeVar("T")
Decode: TypeAlias = Callable[[bytes | msgspec.Raw], object]

VALUE_DEPTH_MAX: Final = BODY_DEPTH_MAX - 4
"""Nesting of a value: the message around it takes up to four levels of what a body may have."""

_ENCODER: Final = msgspec.json.Encoder(enc_hook=encode_part)
_SORTED: Final = msgspec.json.Encoder(order="sorted")
_ANY: Final = msgspec.json.Decoder()
_RAW: Final = msgspec.json.Decoder(msgspec.Raw)
_SCALARS: Final = frozenset({str, bool, NoneType, bytes, Decimal, UUID, datetime, date, time, timedelta})
_LONG_INTEGER: Final = re.compile(rb"[0-9]{19}")
_DECODERS_KEPT_MAX: Final = 1024
_REASON_SHOWN_MAX: Final = 500


class TooLarge(ValueError):
    """JSON of more than `VALUE_BYTES_MAX` bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes of JSON, at most {VALUE_BYTES_MAX}; store it elsewhere and pass its name")


def encode(value: object, *, where: str) -> bytes:
    """Writes a value as JSON.

    Args:
        where: The parameter or place, for the error: `argument 'cents' of step charge`.

    Raises:
        InvalidValue: Names the part: `$.items[3]: object of type shop.Basket cannot become JSON`.
    """
    try:
        write = encode_plain if is_plain((value,)) else encode_checked
        return write(value, depth_max=VALUE_DEPTH_MAX)
    except USER_ERRORS as error:
        raise refusal(value, error, where=where) from error


def canonical(value: object, *, where: str) -> bytes:
    """Writes a value as JSON with sets and keys sorted, the same in every process: for hashes only.

    Raises:
        InvalidValue: As `encode` does.
    """
    raw = encode(value, where=where)
    return raw if is_plain((value,)) else canonical_of(value, raw)


@overload
def decode(raw: bytes | msgspec.Raw, type_: type[T], *, where: str) -> T: ...
@overload
def decode(raw: bytes | msgspec.Raw, type_: object, *, where: str) -> Any: ...
def decode(raw: bytes | msgspec.Raw, type_: object, *, where: str) -> object:
    """Reads JSON as a value of the type; `Any` gives plain JSON values.

    Raises:
        InvalidValue: The JSON does not fit; names the part.
        DefinitionError: No JSON can fit the type; `check_type` tells in advance.
    """
    decoder = decoder_of(type_)
    try:
        return decoder(raw)
    except USER_ERRORS as error:
        raise InvalidValue(where, misfit(error)) from error


def check_type(type_: object, *, where: str) -> None:
    """Checks that values of the type can be read from JSON.

    Raises:
        DefinitionError: Names `where` and the part of the type that cannot.
    """
    try:
        decoder_of(type_)
    except DefinitionError as error:
        raise DefinitionError(f"{where}: {error}") from error


# --- encoding ---------------------------------------------------------------------------------------


def is_plain(values: Iterable[object]) -> bool:
    """Tells whether values are scalars in range, or lists of such: their JSON needs no second look and is canonical."""
    for value in values:
        if type(value) in _SCALARS:
            continue
        if type(value) is int:
            if not INT_MIN <= value <= INT_MAX:
                return False
        elif type(value) is float:
            if not isfinite(value):
                return False
        elif not (type(value) is list or type(value) is tuple) or not is_plain(cast("list[object]", value)):
            return False
    return True


def encode_plain(value: object, *, depth_max: int) -> bytes:
    """Writes a value that `is_plain`; raises one of `USER_ERRORS`, which `refusal` explains."""
    raw = _ENCODER.encode(value)
    if len(raw) > VALUE_BYTES_MAX:
        raise TooLarge(len(raw))
    if is_deeper(raw, depth_max):
        raise ValueError(f"nested more than {VALUE_DEPTH_MAX} levels")
    return raw


def encode_checked(value: object, *, depth_max: int) -> bytes:
    """Writes any value; raises as `encode_plain` does."""
    raw = encode_plain(value, depth_max=depth_max)
    # The JSON shows cheaply where a look at the value is needed: NaN is written as null, as a key "nan" or "inf".
    is_suspect = b"null" in raw or b'nan":' in raw or b'inf":' in raw or _LONG_INTEGER.search(raw) is not None
    if is_suspect and any(map(is_out_of_range, nodes(value))):
        raise ValueError("a number that JSON cannot hold")
    if not raw.isascii():
        raw.decode()
    _RAW.decode(raw)  # a msgspec.Raw or a model's own serializer may have brought anything
    return raw


def canonical_of(value: object, raw: bytes) -> bytes:
    """Writes the canonical form of a value whose JSON is at hand. Decoding it unifies all kinds of objects."""
    dumped = _ANY.decode(raw)
    if any(isinstance(node, (set, frozenset)) for node in nodes(value)):
        dumped = sort_sets(value, dumped)
    return _SORTED.encode(dumped)


def refusal(value: object, error: Exception, *, where: str) -> InvalidValue:
    """Explains why a value has no JSON: finds the part, or says what the encoder said."""
    flaw = None if isinstance(error, TooLarge) else find_flaw(value, depth_max=VALUE_DEPTH_MAX)
    if flaw is None:
        return InvalidValue(where, str(error))
    return InvalidValue(where, flaw.reason if flaw.path == "$" else f"{flaw.path}: {flaw.reason}")


# --- decoding ---------------------------------------------------------------------------------------


def decoder_of(type_: object) -> Decode:
    """Returns the decoder of a type, made once.

    Raises:
        DefinitionError: No JSON can fit the type.
    """
    try:
        hash(type_)
    except TypeError:  # such as Annotated with a list
        return _build_decoder(type_)
    return _kept_decoder(type_)


def native_decoder(type_: object) -> msgspec.json.Decoder[object]:
    """Makes msgspec's decoder of a type that it knows, models included. Raises TypeError or NameError otherwise."""
    return msgspec.json.Decoder(cast("type[object]", type_), dec_hook=_from_plain)


def misfit(error: Exception) -> str:
    """Says why JSON does not fit, the path first; cut, because msgspec quotes what was sent."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if not isinstance(error, (msgspec.MsgspecError, ValueError)):
        return f"{type(error).__name__}: {error}"[:_REASON_SHOWN_MAX]
    text, _, place = str(error).rpartition(" - at `") if " - at `" in str(error) else (str(error), "", "")
    path = place.rstrip("`").replace("`", "")
    text = (text[:1].lower() + text[1:]).replace("`", "")[:_REASON_SHOWN_MAX]
    return f"{path}: {text}" if path else text


def _build_decoder(type_: object) -> Decode:
    if type_ is Any or type_ is object:
        return _ANY.decode
    if is_model_class(type_):
        return partial(_load_model, type_)
    try:
        decoder = native_decoder(type_)
    except (TypeError, NameError, AttributeError) as error:
        if has_model(type_):
            return lambda raw: load_any(type_, bytes(raw))
        raise DefinitionError(f"{_shown(type_)} cannot be read from JSON: {error}") from error
    if (part := _unreadable(msgspec.inspect.type_info(type_), set())) is not None:
        raise DefinitionError(
            f"{_shown(part)} cannot be read from JSON; use plain types, a dataclass, a Struct or a pydantic model"
        )
    return decoder.decode


_kept_decoder: Final = lru_cache(maxsize=_DECODERS_KEPT_MAX)(_build_decoder)


def _load_model(type_: type[Model], raw: bytes | msgspec.Raw) -> object:
    return load_model(type_, bytes(raw))


def _from_plain(type_: type, plain: object) -> object:
    """Makes what msgspec does not know from plain JSON: models; an abstract type such as Iterable is left as it is."""
    return load_model(type_, _ENCODER.encode(plain)) if is_model_class(type_) else plain


_PLAIN_TYPES: Final = (dict, list, str, int, float, bool, NoneType)


def _unreadable(info: object, seen: set[int]) -> object:
    """Finds a class in the description of a type that neither msgspec nor `_from_plain` can make, or None."""
    if isinstance(info, msgspec.inspect.CustomType):
        return None if is_model_class(info.cls) or _is_abstract(info.cls) else info.cls
    if isinstance(info, (msgspec.inspect.Type, msgspec.inspect.Field)):
        if id(info) in seen:  # a type that refers to itself
            return None
        seen.add(id(info))
        info = tuple(getattr(info, name) for name in info.__struct_fields__)
    if isinstance(info, tuple):
        return next((bad for part in cast("tuple[object, ...]", info) if (bad := _unreadable(part, seen))), None)
    return None


def _is_abstract(cls: type) -> bool:
    try:
        return any(issubclass(plain, cls) for plain in _PLAIN_TYPES)
    except TypeError:  # a protocol that cannot be checked at run time
        return False


def _shown(type_: object) -> str:
    return f"{type_.__module__}.{type_.__qualname__}" if isinstance(type_, type) else str(type_)
