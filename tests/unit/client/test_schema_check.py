"""The check against a published schema: what types describe is told apart as their decoders do."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from jetrun.actors.errors import InvalidValue
from jetrun.actors.hook_schema import schema_of
from jetrun.actors.values import decode
from jetrun.client.schema_check import misfit, resolved


class Size(Enum):
    S = "s"
    M = "m"


class Line(msgspec.Struct):
    article: str
    count: Annotated[int, msgspec.Meta(ge=1, le=9)] = 1


class Order(msgspec.Struct):
    lines: list[Line]
    size: Size = Size.S
    note: str | None = None
    gift: bool = False
    ship_with: Order | None = None


class Bill(BaseModel):
    cents: int = Field(gt=0)
    currency: Literal["EUR", "USD"] = "EUR"
    lines: list[dict[str, float]] = []


def found(type_: object, value: object) -> str:
    return misfit(msgspec.json.decode(schema_of(type_)), value)


@pytest.mark.parametrize(
    ("type_", "value", "reason"),
    [
        (Order, {"lines": []}, ""),
        (Order, {"lines": [{"article": "lamp"}], "note": None, "more": 1}, ""),
        (Order, {}, "$: lacks field 'lines'"),
        (Order, None, "$: expected object, got null"),
        (Order, {"lines": [{"article": 7}]}, "$.lines[0].article: expected string, got integer"),
        (Order, {"lines": [{"article": "a", "count": 0}]}, "$.lines[0].count: expected at least 1, got 0"),
        (Order, {"lines": [], "size": "xl"}, '$.size: expected one of "m", "s"'),
        (Order, {"lines": [], "note": 1}, "$.note: expected string or null, got integer"),
        (Order, {"lines": [], "gift": 1}, "$.gift: expected boolean, got integer"),
        (Order, {"lines": [], "ship_with": {"lines": 1}}, "$.ship_with.lines: expected array, got integer"),
        (Bill, {"cents": 1}, ""),
        (Bill, {"cents": 0}, "$.cents: expected more than 0, got 0"),
        (Bill, {"cents": 1, "currency": "DM"}, '$.currency: expected one of "EUR", "USD"'),
        (Bill, {"cents": 1, "lines": [{"a": "b"}]}, "$.lines[0].a: expected number, got string"),
        (tuple[int, str], [1, 2], "$[1]: expected string, got integer"),
        (Annotated[str, msgspec.Meta(min_length=2, pattern="^a")], "a", "$: expected at least 2 characters, got 1"),
        (Annotated[str, msgspec.Meta(pattern="^a")], "b", "$: expected a text that matches '^a'"),
        (float, True, "$: expected number, got boolean"),
        (Literal[1, "a"], True, '$: expected one of 1, "a"'),
        (Any, object, ""),
    ],
)
def test_reason_is_one_line_with_the_path(type_: object, value: object, reason: str) -> None:
    """A sender mends its payload without reading a schema."""
    assert found(type_, value) == reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 12) | st.sampled_from(["s", "m", "EUR", "x"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["lines", "article", "count", "size", "note", "gift", "ship_with", "cents"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(value=JSON, type_=st.sampled_from([Order, Line, Size, list[Line], int | None, dict[str, int], tuple[int, str]]))
def test_check_and_decoder_agree(value: object, type_: object) -> None:
    """What is refused by the schema would be refused by the workflow, and the other way round."""
    try:
        decode(msgspec.json.encode(value), type_, where="it")
    except InvalidValue:
        fits = False
    else:
        fits = True

    assert (found(type_, value) == "") == fits


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}},
        {"$ref": "#/$defs/none"},
        {"type": "strange", "pattern": "(", "enum": 1, "properties": []},
        {"anyOf": [True]},
    ],
)
def test_schema_that_makes_no_sense_refuses_nothing(schema: dict[str, Any]) -> None:
    """The log of a run is read as it is; the judge is the type."""
    assert misfit(schema, "x") == ""
    assert resolved(schema, schema) is not None
