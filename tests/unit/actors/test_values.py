"""Values by signature: what is bound, encoded, refused and read back, and with which words."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from math import nan
from typing import Any, LiteralString, NoReturn, ParamSpec, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetrun.actors.errors import DefinitionError, InvalidValue
from jetrun.actors.limits import BODY_DEPTH_MAX, VALUE_BYTES_MAX
from jetrun.actors.values import Packed, Signature, canonical, encode
from support.shapes import ADDRESS, INSTANT, ITEM, Address, Item, Other, Parcel, Plain, json_values, nested

T = TypeVar("T")
P = ParamSpec("P")


def charge(order_id: str, cents: int, *, note: str = "") -> Item:
    raise NotImplementedError(order_id, cents, note)


def only_position(a: int, b: str = "b", /) -> None: ...


def everything(a: int, /, b: int, c: int = 3, *rest: Decimal, d: int, e: int = 5, **more: set[int]) -> None: ...


def bare(a: object, b: object = None) -> object:
    return a, b


bare.__annotations__.clear()


def optional(a: int = 1, b: int = 2) -> None: ...


def nothing() -> None: ...


CHARGE = Signature.of(charge, what="step charge")
EVERYTHING = Signature.of(everything, what="step everything")


@pytest.mark.parametrize(
    ("signature", "args", "kwargs", "raw_args", "raw_kwargs"),
    [
        (CHARGE, ("o", 1), {}, b'["o",1]', None),
        (CHARGE, ("o",), {"cents": 1}, b'["o",1]', None),
        (CHARGE, (), {"cents": 1, "order_id": "o"}, b'["o",1]', None),
        (CHARGE, ("o", 1), {"note": "n"}, b'["o",1]', b'{"note":"n"}'),
        (EVERYTHING, (1,), {"b": 2, "d": 4}, b"[1,2]", b'{"d":4}'),
        (EVERYTHING, (1, 2, 3, Decimal(4)), {"z": {1}, "d": 4, "a": {2}}, b'[1,2,3,"4"]', b'{"a":[2],"d":4,"z":[1]}'),
        (Signature.of(optional, what="f"), (), {"b": 5}, b"[]", b'{"b":5}'),
        (Signature.of(nothing, what="f"), (), {}, b"[]", None),
    ],
)
def test_pack_normalises_calls(
    signature: Signature, args: tuple[object, ...], kwargs: dict[str, object], raw_args: bytes, raw_kwargs: bytes | None
) -> None:
    """The same call has one form, however it was written; defaults stay out of it."""
    packed = signature.pack(args, kwargs)

    assert (packed.args, packed.kwargs) == (raw_args, raw_kwargs)
    positional, named = signature.unpack(packed.args, packed.kwargs)
    assert signature.pack(positional, named) == packed


@pytest.mark.parametrize(
    ("signature", "args", "kwargs", "text"),
    [
        (CHARGE, ("o",), {}, "argument 'cents' of step charge: missing"),
        (CHARGE, (), {"cents": 1}, "argument 'order_id' of step charge: missing"),
        (CHARGE, ("o", 1, 2), {}, "arguments of step charge: takes at most 2 by position, got 3"),
        (CHARGE, ("o", 1), {"cents": 2}, "argument 'cents' of step charge: given twice, by position and by name"),
        (CHARGE, ("o", 1), {"x": 2}, "argument 'x' of step charge: no such parameter; it takes order_id, cents, note"),
        (EVERYTHING, (1, 2), {}, "argument 'd' of step everything: missing"),
        (EVERYTHING, (), {"a": 1, "b": 2, "d": 3}, "argument 'a' of step everything: missing"),
        (Signature.of(only_position, what="s"), (1,), {"b": 2}, "argument 'b' of s: taken by position only"),
        (Signature.of(nothing, what="s"), (1,), {}, "arguments of s: takes none by position, got 1"),
        (
            Signature.of(nothing, what="s"),
            (),
            {"x" * 99: 1},
            "argument '" + "x" * 64 + "' of s: no such parameter; it takes none",
        ),
    ],
)
def test_calls_that_do_not_bind_name_the_parameter(
    signature: Signature, args: tuple[object, ...], kwargs: dict[str, object], text: str
) -> None:
    """In the caller's process and, for arguments that came by plain publish, in the worker."""
    with pytest.raises(InvalidValue) as packing:
        signature.pack(args, kwargs)
    with pytest.raises(InvalidValue) as unpacking:
        signature.unpack(msgspec.json.encode(args), msgspec.json.encode(kwargs))

    assert str(packing.value) == text
    assert str(unpacking.value) == text


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        (("o", nan), {}, r"^argument 'cents' of step charge: nan has no JSON"),
        (({"a": [Plain()]}, 1), {}, r"^argument 'order_id' of step charge: \$\.a\[0\]: object of type"),
        (("o", 1), {"note": "\ud800"}, "^argument 'note' of step charge: text with a lone surrogate"),
        (("x" * VALUE_BYTES_MAX, 1), {}, "^argument 'order_id' of step charge: .* bytes of JSON"),
        (
            ("x" * (VALUE_BYTES_MAX // 2), "x" * (VALUE_BYTES_MAX // 2)),
            {},
            "^arguments of step charge: .* bytes of JSON",
        ),
        (
            ("x" * (VALUE_BYTES_MAX // 2), 1),
            {"note": "x" * (VALUE_BYTES_MAX // 2)},
            "^arguments of step charge: .* bytes",
        ),
        (("o", nested(BODY_DEPTH_MAX)), {}, "^argument 'cents' of step charge: .*nested too deeply"),
    ],
    ids=range(7),
)
def test_arguments_without_json_name_the_parameter(
    args: tuple[object, ...], kwargs: dict[str, object], text: str
) -> None:
    """Before anything is published."""
    with pytest.raises(InvalidValue, match=text):
        CHARGE.pack(args, kwargs)


def test_a_ring_among_the_arguments_is_refused() -> None:
    """Neither a hang nor a RecursionError."""
    ring: list[object] = []
    ring.append(ring)

    with pytest.raises(InvalidValue, match=r"argument 'a' of s: .*nested too deeply"):
        Signature.of(bare, what="s").pack((ring,), {})


def test_the_deepest_argument_is_accepted() -> None:
    """The array of arguments does not count against its items."""
    deepest = nested(BODY_DEPTH_MAX - 4)

    assert CHARGE.pack(("o", deepest), {}).args == b'["o",' + encode(deepest, where="x") + b"]"


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        (b'["o","x"]', None, "argument 'cents' of step charge: expected int, got str"),
        (b'["o"]', b'{"cents":1.5}', "argument 'cents' of step charge: expected int, got float"),
        (b"{}", None, "arguments of step charge: expected array, got object"),
        (b"[1", None, "arguments of step charge: input data was truncated"),
        (b"[]", b"[]", "arguments of step charge: expected object, got array"),
        (b'["o",1]', b'{"cents":1}', "argument 'cents' of step charge: given twice, by position and by name"),
    ],
)
def test_unpack_names_the_parameter(args: bytes, kwargs: bytes | None, text: str) -> None:
    """The text travels to whoever published the arguments."""
    with pytest.raises(InvalidValue) as caught:
        CHARGE.unpack(args, kwargs)

    assert str(caught.value) == text


def test_unpack_decodes_by_annotation() -> None:
    """Positional, keyword-only, variable and unannotated parameters."""
    args, kwargs = EVERYTHING.unpack(b"[1,2,3,4.5]", msgspec.Raw(b'{"d":4,"z":[1,1]}'))
    assert (args, kwargs) == ([1, 2, 3, Decimal("4.5")], {"d": 4, "z": {1}})

    with pytest.raises(InvalidValue, match=r"^argument '\*rest\[1\]' of step everything: "):
        EVERYTHING.unpack(b'[1,2,3,4,"x"]', b'{"d":4}')
    assert Signature.of(bare, what="s").unpack(b'[{"a":1}]', b"null") == ([{"a": 1}], {})


def takes_models(parcel: Parcel, who: Address, either: Address | Other) -> list[Other]:
    raise NotImplementedError


def test_models_are_arguments_and_results() -> None:
    """Alone, in dataclasses, in lists, in unions that msgspec does not know."""
    signature = Signature.of(takes_models, what="step s")
    values: list[object] = [Parcel(ADDRESS, [ITEM]), ADDRESS, Other(when=INSTANT)]

    packed = signature.pack(values, {})

    assert signature.unpack(packed.args) == (values, {})
    assert signature.unpack_result(signature.pack_result([Other(when=INSTANT)])) == [Other(when=INSTANT)]
    with pytest.raises(InvalidValue, match="argument 'who' of step s: street: Field required"):
        signature.unpack(msgspec.json.encode([{"to": {"street": "x"}, "items": []}, {}, {"street": "x"}]))


def test_hash_input_is_canonical() -> None:
    """Equal calls hash alike, whatever their dicts' and sets' order; different ones do not."""
    signature = Signature.of(bare, what="s")

    def hashed(*args: object, **kwargs: object) -> bytes:
        return signature.pack(args, kwargs).hash_input

    assert hashed({"a": 1, "b": {1, 2}}) == hashed({"b": {2, 1}, "a": 1})
    assert hashed(1, b=2) == hashed(a=1, b=2) == hashed(b=2, a=1) == hashed(1, 2)
    assert hashed([1, 2]) != hashed([2, 1])
    assert hashed(1) != hashed("1")
    packed = signature.pack((["x", [1, 2.5]], "y"), {})
    assert packed == Packed(args=packed.args, kwargs=None, hash_input=packed.args)


@given(st.lists(json_values, min_size=2, max_size=2))
def test_packed_arguments_come_back(values: list[object]) -> None:
    """For any plain JSON values, without annotations."""
    signature = Signature.of(bare, what="s")

    packed = signature.pack(values, {})

    assert signature.unpack(packed.args, packed.kwargs) == (values, {})
    assert packed.hash_input == canonical(values, where="x")


def test_results_are_what_the_annotation_promises() -> None:
    """A step that returns something else fails where it ran, not in every replay of the workflow."""
    assert CHARGE.unpack_result(CHARGE.pack_result(ITEM)) == ITEM
    with pytest.raises(InvalidValue, match=r"^result of step charge: expected object, got int"):
        CHARGE.pack_result(5)
    with pytest.raises(InvalidValue, match=r"^result of step charge: object missing required field price"):
        CHARGE.unpack_result(b'{"sku":"a"}')
    with pytest.raises(InvalidValue, match=r"^result of step charge: nan"):
        CHARGE.pack_result(nan)


def never_returns() -> NoReturn:
    raise NotImplementedError


def generic(value: list[T], *args: T) -> T:
    raise NotImplementedError


def later(value: Later, other: object) -> Later:
    raise NotImplementedError


later.__annotations__["other"] = "list[Missing]"


@dataclass
class Later:
    n: int


def passes_on(what: LiteralString, function: T, *args: P.args, **kwargs: P.kwargs) -> T:  # type: ignore[valid-type]
    raise NotImplementedError


def test_what_only_a_type_checker_understands_is_plain_json() -> None:
    """`LiteralString` is a text; what a ParamSpec stands for is not known."""
    signature = Signature.of(passes_on, what="s")

    assert signature.unpack(b'["a",1,{"b":2}]', b'{"c":[3]}') == (["a", 1, {"b": 2}], {"c": [3]})
    with pytest.raises(InvalidValue, match="argument 'what' of s: expected str, got int"):
        signature.unpack(b"[1,1]")


def test_result_types() -> None:
    """None, nothing, type variables, NoReturn."""
    signature = Signature.of(nothing, what="s")
    assert signature.result_type is type(None)
    assert signature.unpack_result(signature.pack_result(None)) is None
    with pytest.raises(InvalidValue, match="result of s: expected null, got int"):
        signature.pack_result(1)
    assert Signature.of(bare, what="s").result_type is Any
    assert Signature.of(never_returns, what="s").result_type is Any
    assert Signature.of(generic, what="s").unpack_result(b'{"a":1}') == {"a": 1}
    assert Signature.of(generic, what="s").unpack(b"[[1],2]") == ([[1], 2], {})


def test_annotations_are_resolved_at_first_use() -> None:
    """A class may be defined below the function; what cannot be found costs only its own parameter the type."""
    signature = Signature.of(later, what="s")

    assert signature.unpack(b'[{"n":1},[2]]') == ([Later(1), [2]], {})
    assert signature.result_type is Later


def takes_plain(good: int, bad: list[Plain]) -> None: ...


def test_check_names_the_parameter_whose_type_cannot_work() -> None:
    """A registry checks all functions when it is made."""
    with pytest.raises(DefinitionError, match=r"^argument 'bad' of step s: .*Plain cannot be read from JSON"):
        Signature.of(takes_plain, what="step s").check()
    with pytest.raises(DefinitionError, match=r"^step s: "):
        Signature.of(dict, what="step s")
    CHARGE.check()
