"""Models: the border to pydantic, which is used where a program has loaded it and never imported from here.

Only `BaseModel` classes are known. Their JSON is what `model_dump_json` writes, read by `model_validate_json`: aliases
on the wire, pydantic's own rules for fields, so that a service that shares the model speaks the same JSON.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, TypeGuard, cast, get_args

_ERRORS_SHOWN_MAX = 3


class Model(Protocol):
    """What is used of a pydantic model."""

    def model_dump_json(self, *, by_alias: bool, round_trip: bool) -> str: ...
    @classmethod
    def model_validate_json(cls, json_data: bytes, /) -> Model: ...


class _FieldInfo(Protocol):
    alias: str | None
    serialization_alias: str | None


class _Adapter(Protocol):
    def validate_json(self, data: bytes, /) -> object: ...
    def json_schema(self, *, by_alias: bool) -> dict[str, object]: ...


def is_model_class(type_: object) -> TypeGuard[type[Model]]:
    """Tells whether it is a class of pydantic models; a dictionary look-up where pydantic is not loaded."""
    base = getattr(sys.modules.get("pydantic"), "BaseModel", None)
    return isinstance(base, type) and isinstance(type_, type) and issubclass(type_, base)


def is_model(value: object) -> TypeGuard[Model]:
    """Tells whether it is a pydantic model."""
    return is_model_class(type(value))


def has_model(type_: object) -> bool:
    """Tells whether a model class occurs in a type: itself, in a union, as the item of a list."""
    return is_model_class(type_) or any(has_model(part) for part in get_args(type_))


def dump(model: Model) -> bytes:
    """Writes a model as `load` reads it: by alias, without computed fields. Raises what pydantic raises."""
    return model.model_dump_json(by_alias=True, round_trip=True).encode()


def load(type_: type[Model], raw: bytes) -> object:
    """Reads a model. Raises ValueError, one line."""
    return _validated(type_.model_validate_json, raw)


def load_any(type_: object, raw: bytes) -> object:
    """Reads a type that msgspec refuses and that has a model in it, such as a union of two. Raises ValueError, one line."""
    return _validated(_adapter(type_).validate_json, raw)


def schema_of_any(type_: object) -> dict[str, object]:
    """Returns the JSON Schema of what is read as a model, or as a type that has one in it. Raises what pydantic raises."""
    return _adapter(type_).json_schema(by_alias=True)


def parts(model: Model) -> Iterator[tuple[str | None, object]]:
    """Lists a model's fields under the keys that its JSON has; None stands for a root model's only part."""
    cls = type(model)
    infos = cast("Mapping[str, _FieldInfo]", getattr(cls, "model_fields", {}))
    is_root = bool(getattr(cls, "__pydantic_root_model__", False))
    writes_floats_as_text = (
        cast("dict[str, object]", getattr(cls, "model_config", {})).get("ser_json_inf_nan") == "strings"
    )
    for name, value in vars(model).items():
        if writes_floats_as_text and isinstance(value, float):
            continue
        info = infos.get(name)
        alias = None if info is None else info.serialization_alias or info.alias
        yield None if is_root else alias or name, value
    extra = cast("Mapping[str, object] | None", getattr(model, "__pydantic_extra__", None))
    yield from (extra or {}).items()


def _adapter(type_: object) -> _Adapter:
    return cast("Callable[[object], _Adapter]", sys.modules["pydantic"].TypeAdapter)(type_)


def _validated(validate: Callable[[bytes], object], raw: bytes) -> object:
    try:
        return validate(raw)
    except ValueError as error:
        errors = cast("Callable[[], list[Mapping[str, object]]] | None", getattr(error, "errors", None))
        if errors is None:
            raise
        raise ValueError(_one_line(errors())) from error


def _one_line(errors: list[Mapping[str, object]]) -> str:
    shown = [
        f"{'.'.join(map(str, cast('tuple[object, ...]', error['loc'])))}: {error['msg']}"
        if error["loc"]
        else str(error["msg"])
        for error in errors[:_ERRORS_SHOWN_MAX]
    ]
    return "; ".join(shown) + (f"; and {len(errors) - len(shown)} more" if len(errors) > len(shown) else "")
