"""The codec: what comes back as its type says, what is refused with its path, and what hashes alike."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from math import inf, nan
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetrun.actors.codec import canonical, check_type, decode, encode
from jetrun.actors.errors import DefinitionError, InvalidValue
from jetrun.actors.limits import BODY_DEPTH_MAX, VALUE_BYTES_MAX
from support.shapes import (
    ADDRESS,
    INSTANT,
    ITEM,
    Address,
    Circle,
    Colour,
    Duck,
    Item,
    Kind,
    Level,
    Numbers,
    OrderId,
    Other,
    Pair,
    Parcel,
    Picky,
    Plain,
    Point,
    Receipt,
    Shape,
    Square,
    Text,
    json_values,
    nested,
)

T = TypeVar("T")


def name_of(part: object) -> str:
    """Names a case the same in every process: without addresses."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(part))[:40]


ROUND_TRIPS: list[tuple[object, object]] = [
    ("é", str),
    (2**64 - 1, int),
    (-(2**63), int),
    (0.1, float),
    (1, float),
    (True, bool),
    (None, None),
    (Decimal("1.10"), Decimal),
    (Decimal("NaN"), Decimal),
    (INSTANT, datetime),
    (datetime(2026, 1, 1), datetime),  # noqa: DTZ001  a naive one is a value too
    (date(2026, 1, 1), date),
    (timedelta(seconds=1.5), timedelta),
    (UUID(int=5), UUID),
    (Colour.RED, Colour),
    (Level.LOW, Level),
    (Kind.A, Kind),
    (b"\x00\xff", bytes),
    ((1, "a"), tuple[int, str]),
    ((1, 2, 3), tuple[int, ...]),
    ({1, 2}, set[int]),
    (frozenset({"a"}), frozenset[str]),
    ([[1], []], list[list[int]]),
    ({1: "a", 2: "b"}, dict[int, str]),
    ({UUID(int=5): 1}, dict[UUID, int]),
    ({date(2026, 1, 1): 1}, dict[date, int]),
    ({"null": "null", "nan": None}, dict[str, str | None]),
    ({"digits": "1" * 40}, dict[str, str]),
    (Point(1, 2), Point),
    ({"name": "x", "corners": [Point(1, 2)]}, Shape),
    (ITEM, Item),
    (Receipt("o", [ITEM], INSTANT), Receipt),
    (Receipt("o", [], None), Receipt),
    ([Circle(1.0), Square(2.0)], list[Circle | Square]),
    (Pair({"a"}, 1.5), Pair),
    (ITEM, Item | None),
    (None, Item | None),
    (3, int | str),
    ("x", Literal["x", "y"]),
    ("o-1", OrderId),
    (5, Annotated[int, msgspec.Meta(ge=0)]),
    ([1, {"a": None}], Any),
    ({"a": [1.5]}, object),
    (ADDRESS, Address),
    ([ADDRESS], list[Address]),
    ({"a": ADDRESS}, dict[str, Address | None]),
    (Parcel(ADDRESS, [ITEM]), Parcel),
    (Other(when=INSTANT, more=[ADDRESS]), Other),
    ((Other(when=INSTANT), 1), tuple[Other, int]),
    (ADDRESS, Address | Other),
    (Other(when=INSTANT), Address | Other),
    ("text", Address | str),
    (Numbers([1.5]), Numbers),
    ([1, 2], Iterable[int]),
    ([1, 2], Sequence[int]),
    (msgspec.Raw(b'{"a":1}'), msgspec.Raw),
]


@pytest.mark.parametrize(("value", "type_"), ROUND_TRIPS, ids=name_of)
def test_a_value_comes_back_as_its_type_says(value: object, type_: object) -> None:
    """Values reach workflow code by annotation, not as whatever JSON had."""
    raw = encode(value, where="x")

    back = decode(raw, type_, where="x")

    if isinstance(value, Decimal) and value.is_nan():
        assert isinstance(back, Decimal)
        assert back.is_nan()
    elif isinstance(value, msgspec.Raw):
        assert bytes(back) == bytes(value)
    else:
        assert back == value
        assert type(back) is type(value) or type_ is float
    json.loads(raw)


REFUSED: list[tuple[object, str]] = [
    (nan, "nan has no JSON"),
    ([1.0, inf], r"\$\[1\]: inf has no JSON"),
    ({"a": {"b": [None, -inf]}}, r"\$\.a\.b\[1\]: -inf has no JSON"),
    ({"a b": nan}, r"\$\['a b'\]: nan"),
    ({nan: 1}, "key nan has no JSON"),
    ({inf: 1}, "key inf has no JSON"),
    ({-inf: None}, "key -inf has no JSON"),
    (Item("a", nan), r"\$\.price: nan"),  # type: ignore[arg-type]  # what a type checker would have caught
    (Circle(inf), r"\$\.radius: inf"),
    (Pair(set(), nan), r"\$\[2\]: nan"),
    (Receipt("o", [Item("a", nan)]), r"\$\.items\[0\]\.price: nan"),  # type: ignore[arg-type]  # see above
    ([Address(street="x", weight=nan)], r"\$\[0\]\.weight: nan"),
    (Numbers([nan]), r"\$\[0\]: nan"),
    (2**64, "integer of 65 bits; 64 are allowed"),
    (-(2**63) - 1, "integer of 64 bits"),
    ([{"n": 10**40}], r"\$\[0\]\.n: integer of 133 bits"),
    ({2**70: 1}, "key integer of 71 bits"),
    ("\ud800", "lone surrogate"),
    (["a", {"k": "x\udfff"}], r"\$\[1\]\.k: text with a lone surrogate"),
    ({"\ud800": 1}, "key '\\\\ud800'"),
    (Plain(), "object of type .*Plain cannot become JSON; use plain values, a dataclass"),
    ({"items": [1, 2, 3, Plain()]}, r"\$\.items\[3\]: object of type .*Plain"),
    ({(1, 2): 3}, r"key \(1, 2\) of type tuple"),
    ({True: 3}, "key True of type bool"),
    ({"a": {None: 3}}, r"\$\.a: key None of type NoneType"),
    (Text("a"), r"convert it with str\(\)"),
    ([Parcel(ADDRESS, [Plain()])], r"\$\[0\]\.items\[0\]: object of type"),  # type: ignore[list-item]  # see above
    (print, "object of type builtin_function_or_method cannot become JSON"),
    ((n for n in [1]), "object of type generator cannot become JSON"),
    (ValueError("x"), "object of type ValueError cannot become JSON"),
    (int, "object of type type cannot become JSON"),
    (msgspec.Raw(b'{"a":'), "writes what is not JSON: "),
    ([msgspec.Raw(b'"\xff"')], r"\$\[0\]: "),
    ("x" * VALUE_BYTES_MAX, f"{VALUE_BYTES_MAX + 2} bytes of JSON, at most {VALUE_BYTES_MAX}"),
]


@pytest.mark.parametrize(("value", "reason"), REFUSED, ids=name_of)
def test_what_has_no_json_is_refused_with_its_path(value: object, reason: str) -> None:
    """A value that would be lost or changed fails before anything is published."""
    with pytest.raises(InvalidValue, match=reason) as caught:
        encode(value, where="argument 'x' of step s")

    assert str(caught.value).startswith("argument 'x' of step s: ")
    str(caught.value).encode()


def test_a_coroutine_is_refused_with_what_to_do() -> None:
    """A forgotten await is the most likely cause, so the error says it."""

    async def reserve() -> None: ...

    coroutine = reserve()
    with pytest.raises(InvalidValue, match=r"coroutine '.*reserve'; await it first"):
        encode({"a": [coroutine]}, where="x")
    coroutine.close()


def in_list(value: object) -> object:
    return [value]


def in_object(value: object) -> object:
    return {"[": value, '"]\\"': 1}


@pytest.mark.parametrize("wrap", [in_list, in_object])
def test_depth_is_bounded(wrap: Callable[[object], object]) -> None:
    """What is accepted can be stored in a message, which has levels of its own."""
    deepest = BODY_DEPTH_MAX - 5

    assert decode(encode(wrap(nested(deepest)), where="x"), Any, where="x") == wrap(nested(deepest))
    for levels in (deepest + 1, 10_000):
        with pytest.raises(InvalidValue, match="nested"):
            encode(wrap(nested(levels)), where="x")


def test_a_ring_is_refused() -> None:
    """Neither a hang nor a RecursionError."""
    ring: list[object] = []
    ring.append(ring)

    with pytest.raises(InvalidValue, match="nested too deeply"):
        encode(ring, where="x")


def test_many_shallow_objects_are_not_deep() -> None:
    """Only nesting counts, not the number of brackets, nor brackets inside texts."""
    value = [{"a": [1, {"b": "]]}}[[{{" + '\\"'}]}] * 1000

    back: object = decode(encode(value, where="x"), Any, where="x")
    assert back == value


MISFITS: list[tuple[bytes, object, str]] = [
    (b'"1"', int, "expected int, got str"),
    (b"1.0", int, "expected int, got float"),
    (b"1", str, "expected str, got int"),
    (b'{"a":[1,"x"]}', dict[str, list[int]], r"\$\[\.\.\.\]\[1\]: expected int, got str"),
    (b'{"sku":"a"}', Item, "object missing required field price"),
    (b'{"orderId":"o","items":[{"sku":1,"price":"1"}]}', Receipt, r"\$\.items\[0\]\.sku: expected str, got int"),
    (b'{"street":1}', Address, "street: Input should be a valid string"),
    (b'[{"street":1,"zip":2,"seen":3,"weight":[]}]', list[Address], r"\$\[0\]: street: .*; and 1 more"),
    (b"1", Address | Other, "Input should be"),
    (b'"green"', Colour, "invalid enum value 'green'"),
    (b"-1", Annotated[int, msgspec.Meta(ge=0)], "expected int >= 0"),
    (b"[1,", list[int], "truncated"),
    (b"", Any, "truncated"),
    (b'"\xff"', str, "invalid start byte"),
    (b'"\\ud800"', str, "truncated"),
    (b"NaN", float, "malformed"),
    (b"[[1]]", set[Any], "TypeError: unhashable"),
    (b'{"n":2}', Picky, "KeyError: 2"),
    (b"[" * 100_000, Any, "nested too deeply"),
    (b'"' + b"x" * 100_000 + b'"', Colour, "invalid enum value"),
]


@pytest.mark.parametrize(("raw", "type_", "reason"), MISFITS, ids=name_of)
def test_json_that_does_not_fit_is_refused_with_its_path(raw: bytes, type_: object, reason: str) -> None:
    """Payloads come from anywhere: nothing but InvalidValue leaves the decoder, and its text is short."""
    with pytest.raises(InvalidValue, match=reason) as caught:
        decode(raw, type_, where="payload of hook 'a'")

    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("type_", "reason"),
    [
        (Plain, "Plain cannot be read from JSON; use plain types, a dataclass"),
        (list[Plain | None], "Plain cannot be read"),
        (Callable[[], int], "Callable cannot be read"),
        (Coroutine[Any, Any, int], "Coroutine cannot be read"),
        (Text, "Text cannot be read"),
        (Duck, "Duck cannot be read"),
        (Item | Parcel, "may not contain more than one dataclass"),
        ("Nowhere", "Nowhere"),
        (Annotated[Plain, ["unhashable"]], "Plain cannot be read"),
    ],
    ids=repr,
)
def test_a_type_that_no_json_fits_is_the_authors_mistake(type_: object, reason: str) -> None:
    """Refused where it is written, not when the first payload comes."""
    with pytest.raises(DefinitionError, match=f"hook 'a': .*{reason}"):
        check_type(type_, where="hook 'a'")
    with pytest.raises(DefinitionError, match=reason):
        decode(b"1", type_, where="hook 'a'")


def test_types_that_refer_to_themselves_are_fine() -> None:
    """The check of a type ends."""
    check_type(dict[str, Item], where="x")


# --- canonical -----------------------------------------------------------------------------------------


def test_canonical_is_the_same_in_every_process() -> None:
    """A set's order changes from process to process; a hash of a call must not (R13)."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from jetrun.actors.codec import canonical\n"
        "from support.shapes import *\n"
        "sys.stdout.buffer.write(canonical([ITEM, ADDRESS, Pair({*'abcdefg'}), {frozenset('xy'), frozenset('abc')},"
        " {1: 1, 'b': {2, 'c', None}}, Receipt('o', [ITEM])], where='x'))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program, str(Path(__file__).parents[2])],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert len(outputs) == 1
    assert json.loads(outputs.pop())[2] == ["pair", list("abcdefg"), None]


def test_canonical_sorts_keys_and_fields() -> None:
    """The order in which a dict was filled, or fields are declared, is no difference."""
    assert canonical({"b": 1, "a": {"d": {3, 1}, "c": 2}}, where="x") == b'{"a":{"c":2,"d":[1,3]},"b":1}'
    assert canonical(ITEM, where="x").startswith(b'{"parent":{"parent":null,')
    assert canonical([3, 1, 2], where="x") == b"[3,1,2]"


@given(json_values)
def test_any_json_value_survives(value: object) -> None:
    """Plain JSON is exact both ways, and canonical JSON is its own canonical form."""
    back = decode(encode(value, where="x"), Any, where="x")

    assert back == value
    assert canonical(back, where="x") == canonical(value, where="x")


@given(st.sets(st.integers(-(2**63), 2**64 - 1) | st.text() | st.frozensets(st.text(max_size=3))))
def test_equal_sets_have_one_canonical_form(members: set[object]) -> None:
    """However they were built, and although their members do not compare."""
    again: set[object] = set()
    again.update(reversed(list(members)))

    assert canonical([again], where="x") == canonical([members], where="x")


@given(st.binary() | st.text().map(str.encode) | json_values.map(lambda value: json.dumps(value).encode()))
def test_bytes_decode_or_are_refused(raw: bytes) -> None:
    """No input makes the decoder raise anything else."""
    for type_ in (Any, list[int], Item, Address, dict[int, str]):
        try:
            decode(raw, type_, where="x")
        except InvalidValue:
            continue


weird = st.recursive(
    st.floats() | st.integers() | st.text(st.characters()) | st.none() | st.binary() | st.just(nan) | st.builds(Plain),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.integers() | st.floats() | st.booleans(), inner)
        | st.tuples(inner)
    ),
    max_leaves=10,
)


@given(weird)
def test_whatever_is_given_is_valid_json_or_refused(value: object) -> None:
    """Never a silent null for NaN, never an exception of another class."""
    try:
        raw = encode(value, where="x")
    except InvalidValue:
        return
    json.loads(raw)
    assert "nan" not in numbers_of(value)
    assert "inf" not in numbers_of(value)


def numbers_of(value: object) -> str:
    """All floats of a value, written out."""
    if isinstance(value, dict):
        return numbers_of(list(value)) + numbers_of(list(value.values()))
    if isinstance(value, (list, tuple)):
        return "".join(map(numbers_of, value))
    return f"{value} " if isinstance(value, float) else ""


class Box(pydantic.BaseModel, Generic[T]):
    inside: T


def test_generic_models_and_constants() -> None:
    """Parametrised models are classes of their own; a model whose JSON is none is refused."""

    class Loose(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(ser_json_inf_nan="constants")
        number: float

    class Spelled(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(ser_json_inf_nan="strings")
        number: float
        nothing: None = None

    box = Box[Item](inside=ITEM)
    assert decode(encode([box], where="x"), list[Box[Item]], where="x") == [box]
    with pytest.raises(InvalidValue, match=r"is not JSON|inf has no JSON"):
        encode(Loose(number=inf), where="x")
    assert decode(encode(Spelled(number=inf), where="x"), Spelled, where="x") == Spelled(number=inf)


def test_pydantic_is_never_imported() -> None:
    """It is used where the program has loaded it."""
    program = (
        "import sys; from jetrun.actors.values import *; from jetrun.actors.errors import *\n"
        "s = Signature.of(lambda a, b=1: a, what='s'); s.unpack(s.pack(({'a': {1, None}},), {}).args)\n"
        "class M:\n    def model_dump_json(self): return '{}'\n"
        "try: encode(M(), where='x')\n"
        "except InvalidValue: pass\n"
        "else: raise SystemExit('took it for a model')\n"
        "assert 'pydantic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
