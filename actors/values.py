"""Values of a function: its arguments and its result as JSON, by its signature.

Every error names the parameter and the function: `argument 'cents' of step charge: expected int, got str`. The JSON of
single values is `codec.py`, whose `encode`, `canonical` and `decode` are offered here too.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, cast, final

import msgspec

from .codec import (
    VALUE_DEPTH_MAX,
    Decode,
    TooLarge,
    canonical,
    canonical_of,
    check_type,
    decode,
    decoder_of,
    encode,
    encode_checked,
    encode_plain,
    is_plain,
    misfit,
    native_decoder,
)
from .errors import DefinitionError, InvalidValue
from .hints import resolve
from .limits import VALUE_BYTES_MAX
from .tree import USER_ERRORS

__all__ = ["Packed", "Signature", "canonical", "check_type", "decode", "encode"]

_NAME_SHOWN_MAX: Final = 64
"""A name that no parameter has comes from outside and may be endless."""

_RAW_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])
_RAW_TABLE: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ONLY_POSITION: Final = inspect.Parameter.POSITIONAL_ONLY
_POSITION_OR_NAME: Final = inspect.Parameter.POSITIONAL_OR_KEYWORD
_ONLY_NAME: Final = inspect.Parameter.KEYWORD_ONLY
_VAR: Final = inspect.Parameter.VAR_POSITIONAL
_VARS: Final = inspect.Parameter.VAR_KEYWORD


class Packed(msgspec.Struct, frozen=True, kw_only=True):
    """Bound and encoded arguments."""

    args: bytes
    """JSON array."""
    kwargs: bytes | None = None
    """JSON object, keys sorted; None for none."""
    hash_input: bytes
    """Both in canonical JSON: equal in every process that makes the same call."""


class _Types(msgspec.Struct, frozen=True, kw_only=True):
    """What annotations say, resolved."""

    by_name: dict[str, Decode]
    """Per parameter; `*args` and `**kwargs` under their names with the stars."""
    result: object
    decode_result: Decode
    positional: msgspec.json.Decoder[msgspec.Struct] | None
    """Reads all positional arguments at once; None where a parameter's type needs more than msgspec."""


@final
class Signature:
    """Parameters and result of a step's or workflow's function.

    Parameters are read at once, annotations at first use (or by `check`): they may name classes that are defined further
    down. An annotation that cannot be resolved means `Any`, as a missing one does.
    """

    __slots__ = (
        "_by_position",
        "_function",
        "_least",
        "_most",
        "_named",
        "_needs",
        "_types",
        "_var",
        "_vars",
        "what",
    )

    def __init__(self, function: Callable[..., object], parameters: Mapping[str, inspect.Parameter], what: str) -> None:
        kinds = {name: parameter.kind for name, parameter in parameters.items()}
        self.what = what
        self._function = function
        self._types: _Types | None = None
        self._by_position = tuple(n for n, k in kinds.items() if k in (_ONLY_POSITION, _POSITION_OR_NAME))
        self._named = frozenset(n for n, k in kinds.items() if k in (_ONLY_NAME, _POSITION_OR_NAME))
        self._needs = tuple(n for n, p in parameters.items() if p.default is p.empty and p.kind not in (_VAR, _VARS))
        self._var = next((n for n, k in kinds.items() if k is _VAR), "")
        self._vars = next((n for n, k in kinds.items() if k is _VARS), "")
        self._most = sys.maxsize if self._var else len(self._by_position)
        # Calls by position alone need no binding when this many are given; never, where a keyword is required.
        needs_by_position = sum(name in self._by_position for name in self._needs)
        self._least = needs_by_position if needs_by_position == len(self._needs) else sys.maxsize

    @classmethod
    def of(cls, function: Callable[..., object], *, what: str) -> Signature:
        """Reads a function's parameters.

        Args:
            what: How errors call the function: `step charge`.

        Raises:
            DefinitionError: It has no readable signature.
        """
        try:
            return cls(function, inspect.signature(function).parameters, what)
        except (TypeError, ValueError) as error:
            raise DefinitionError(f"{what}: {error}; use a function written in Python") from error

    @property
    def result_type(self) -> object:
        """What the function's annotation says; `Any` for none."""
        return self._resolved().result

    def check(self) -> None:
        """Resolves the annotations now.

        Raises:
            DefinitionError: Names the parameter whose type no JSON can fit.
        """
        self._resolved()

    # --- arguments ------------------------------------------------------------------------------
    def pack(self, args: Sequence[object], kwargs: Mapping[str, object]) -> Packed:
        """Binds and encodes the arguments of a call.

        What is given by name becomes positional where no parameter is left out before it; defaults are not filled in.

        Raises:
            InvalidValue: An argument is missing, unexpected, or cannot become JSON.
        """
        if kwargs or not self._least <= len(args) <= self._most:
            args, kwargs = self._bind(args, kwargs)
        try:
            # Scalars and lists need no second look, and their JSON is canonical as it is.
            plain = is_plain(args) and (not kwargs or is_plain(kwargs.values()))
            write = encode_plain if plain else encode_checked
            raw = write(args, depth_max=VALUE_DEPTH_MAX + 1)
            raw_kwargs = write(kwargs, depth_max=VALUE_DEPTH_MAX + 1) if kwargs else None
            if raw_kwargs is None:
                return Packed(args=raw, hash_input=raw if plain else canonical_of(args, raw))
            if len(raw) + len(raw_kwargs) > VALUE_BYTES_MAX:
                raise TooLarge(len(raw) + len(raw_kwargs))
            hash_input = raw + raw_kwargs if plain else canonical_of(args, raw) + canonical_of(kwargs, raw_kwargs)
            return Packed(args=raw, kwargs=raw_kwargs, hash_input=hash_input)
        except USER_ERRORS as error:
            raise self._refusal(args, kwargs, error) from error

    def unpack(
        self, args: bytes | msgspec.Raw, kwargs: bytes | msgspec.Raw | None = None
    ) -> tuple[list[object], dict[str, object]]:
        """Decodes arguments by their annotations; defaults are not filled in.

        Raises:
            InvalidValue: An argument is missing, unexpected, or does not fit its type.
        """
        types = self._resolved()
        if kwargs is None and types.positional is not None:
            try:
                values: list[object] = list(msgspec.structs.astuple(types.positional.decode(args)))
            except USER_ERRORS:
                pass  # one by one, below, to name the parameter
            else:
                while values and values[-1] is msgspec.UNSET:
                    values.pop()
                if len(values) >= self._least:
                    return values, {}
        return self._unpack_each(args, kwargs, types.by_name)

    # --- the result -----------------------------------------------------------------------------
    def pack_result(self, value: object) -> bytes:
        """Encodes what the function returned, and makes sure that its annotation can read it back.

        Raises:
            InvalidValue: It cannot become JSON, or is not what the annotation promises.
        """
        raw = encode(value, where=f"result of {self.what}")
        self.unpack_result(raw)
        return raw

    def unpack_result(self, raw: bytes | msgspec.Raw) -> object:
        """Decodes a result by the function's annotation.

        Raises:
            InvalidValue: It does not fit.
        """
        decoder = self._resolved().decode_result
        try:
            return decoder(raw)
        except USER_ERRORS as error:
            raise InvalidValue(f"result of {self.what}", misfit(error)) from error

    # --- binding --------------------------------------------------------------------------------
    def _bind(
        self, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> tuple[Sequence[object], Mapping[str, object]]:
        self.check_names(len(args), kwargs)
        named = dict(kwargs)
        positional = list(args)
        for name in self._by_position[len(args) :]:
            if name not in named or name not in self._named:
                break
            positional.append(named.pop(name))
        return positional, {name: named[name] for name in sorted(named)}

    def check_names(self, count: int, names: Collection[str]) -> None:
        """Checks that so many positional arguments and these names make a call; looks at no value.

        Raises:
            InvalidValue: One is missing, unexpected or given twice; names the parameter.
        """
        if count > self._most:
            takes = f"at most {self._most}" if self._most else "none"
            raise InvalidValue(f"arguments of {self.what}", f"takes {takes} by position, got {count}")
        by_position = self._by_position[:count]
        for name in names:
            if name in by_position and name in self._named:
                raise InvalidValue(self._where(name), "given twice, by position and by name")
            if name not in self._named and not self._vars:
                raise InvalidValue(self._where(name), self._unknown(name))
        for name in self._needs:
            if name not in by_position and not (name in names and name in self._named):
                raise InvalidValue(self._where(name), "missing")

    def _unknown(self, name: str) -> str:
        if name in self._by_position:
            return "taken by position only"
        taken = ", ".join((*self._by_position, *sorted(self._named.difference(self._by_position))))
        return f"no such parameter; {f'it takes {taken}' if taken else 'it takes none'}"

    def _where(self, name: str) -> str:
        return f"argument {name[:_NAME_SHOWN_MAX]!r} of {self.what}"

    def _name_at(self, index: int) -> str:
        names = self._by_position
        return names[index] if index < len(names) else f"*{self._var}[{index - len(names)}]"

    def _refusal(self, args: Sequence[object], kwargs: Mapping[str, object], error: Exception) -> InvalidValue:
        parts = [(self._name_at(index), value) for index, value in enumerate(args)]
        for name, value in (*parts, *kwargs.items()):
            try:
                encode(value, where=self._where(name))
            except InvalidValue as found:
                return found
        return InvalidValue(f"arguments of {self.what}", str(error))  # each is good: together they are too large

    # --- types ----------------------------------------------------------------------------------
    def _unpack_each(
        self, args: bytes | msgspec.Raw, kwargs: bytes | msgspec.Raw | None, types: Mapping[str, Decode]
    ) -> tuple[list[object], dict[str, object]]:
        try:
            raw_args = _RAW_LIST.decode(args)
            raw_kwargs = {} if kwargs is None or bytes(kwargs) == b"null" else _RAW_TABLE.decode(kwargs)
        except USER_ERRORS as error:
            raise InvalidValue(f"arguments of {self.what}", misfit(error)) from error
        self.check_names(len(raw_args), raw_kwargs)
        positional: list[object] = []
        for index, raw in enumerate(raw_args):
            name = self._name_at(index)
            positional.append(
                self._decode(types[name] if index < len(self._by_position) else types[f"*{self._var}"], raw, name)
            )
        named: dict[str, object] = {}
        for name, raw in raw_kwargs.items():
            named[name] = self._decode(types[name if name in self._named else f"**{self._vars}"], raw, name)
        return positional, named

    def _decode(self, decoder: Decode, raw: msgspec.Raw, name: str) -> object:
        try:
            return decoder(raw)
        except USER_ERRORS as error:
            raise InvalidValue(self._where(name), misfit(error)) from error

    def _resolved(self) -> _Types:
        if self._types is None:
            self._types = self._resolve()  # made twice at worst, where two threads are first at once
        return self._types

    def _resolve(self) -> _Types:
        hints = resolve(self._function)
        by_name: dict[str, Decode] = {}
        stars = {self._var: "*", self._vars: "**"}
        for name in (*self._by_position, *self._named, self._var, self._vars):
            if name:
                by_name[stars.get(name, "") + name] = self._decoder(hints.get(name, Any), self._where(name))
        result = hints.get("return", Any)
        return _Types(
            by_name=by_name,
            result=result,
            decode_result=self._decoder(result, f"result of {self.what}"),
            positional=None if self._var else _positional([hints.get(name, Any) for name in self._by_position]),
        )

    def _decoder(self, hint: object, where: str) -> Decode:
        try:
            return decoder_of(hint)
        except DefinitionError as error:
            raise DefinitionError(f"{where}: {error}") from error


def _positional(hints: list[object]) -> msgspec.json.Decoder[msgspec.Struct] | None:
    """Makes one decoder of all positional arguments: an array-like Struct whose missing fields are UNSET."""
    fields = [(f"p{index}", cast("type", hint), msgspec.UNSET) for index, hint in enumerate(hints)]
    struct = msgspec.defstruct("Arguments", fields, array_like=True, forbid_unknown_fields=True)
    try:
        return cast("msgspec.json.Decoder[msgspec.Struct]", native_decoder(struct))
    except TypeError:
        return None
