"""Values of every kind that an argument, result or payload can be, for the tests of their JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any, NamedTuple, NewType, Protocol, TypedDict

import msgspec
import pydantic
from hypothesis import strategies as st

OrderId = NewType("OrderId", str)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1


class Kind(StrEnum):
    A = "a"


class Point(NamedTuple):
    x: int
    y: int


class Shape(TypedDict, total=False):
    name: str
    corners: list[Point]


@dataclass
class Item:
    sku: str
    price: Decimal
    tags: set[str] = field(default_factory=set[str])
    parent: Item | None = None


class Receipt(msgspec.Struct, rename="camel", omit_defaults=True):
    order_id: str
    items: list[Item]
    paid_at: datetime | None = None


class Circle(msgspec.Struct, tag="circle"):
    radius: float


class Square(msgspec.Struct, tag="square"):
    side: float


class Pair(msgspec.Struct, array_like=True, tag="pair"):
    left: set[str]
    right: float | None = None


class Address(pydantic.BaseModel):
    street: str
    zip_code: str = pydantic.Field(default="", alias="zip")
    seen: set[str] = set()
    weight: float | None = None


class Other(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)
    when: datetime
    more: list[Address] = []


class Numbers(pydantic.RootModel[list[float]]):
    pass


@dataclass
class Parcel:
    to: Address
    items: list[Item]


class Plain:
    pass


@dataclass
class Picky:
    n: int

    def __post_init__(self) -> None:
        _ = {1: "one"}[self.n]


class Duck(Protocol):
    def quack(self) -> None: ...


class Text(str):
    __slots__ = ()


INSTANT = datetime(2026, 11, 20, 11, 25, 29, 340832, tzinfo=UTC)
ITEM = Item("a", Decimal("1.10"), {"x"}, Item("b", Decimal(2)))
ADDRESS = Address(street="Main", zip="1", seen={"a", "b"})


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
