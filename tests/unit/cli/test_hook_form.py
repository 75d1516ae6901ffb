"""A payload asked for field by field: what is asked, what is understood, what is asked again."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
import pytest

from jetrun.actors.hook_schema import schema_of
from jetrun.cli import hook_form
from jetrun.cli.exits import UsageProblem


class Size(Enum):
    S = "s"
    M = "m"


class Address(msgspec.Struct):
    city: str


class Order(msgspec.Struct):
    article: Annotated[str, msgspec.Meta(description="as in the \x1b catalogue")]
    count: Annotated[int, msgspec.Meta(ge=1)]
    price: float
    gift: bool
    size: Size
    address: Address
    note: str | None
    tags: list[str] = []
    colour: Literal["red", "blue"] = "red"
    greeting: str = ""


class Typist:
    """Answers in order, and remembers what was asked."""

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)
        self.asked: list[str] = []

    def __call__(self, text: str) -> str:
        self.asked.append(text)
        if not self.lines:
            raise EOFError
        return self.lines.pop(0)


def fill(type_: object, *lines: str) -> tuple[Any, list[str]]:
    typist = Typist(*lines)
    raw = hook_form.fill(msgspec.json.decode(schema_of(type_)), typist)
    return msgspec.json.decode(raw), typist.asked


def test_each_field_is_asked_for_as_its_kind() -> None:
    """Numbers, booleans, enums, nested values as JSON; optional ones are left out by an empty line."""
    found, asked = fill(Order, "lamp", "2", "1.5", "y", "m", '{"city": "Bonn"}', "", "", "blue", "")

    assert found == {
        "article": "lamp",
        "count": 2,
        "price": 1.5,
        "gift": True,
        "size": "m",
        "address": {"city": "Bonn"},
        "note": None,
        "colour": "blue",
    }
    assert asked == [
        r"article (text) - as in the \x1b catalogue: ",
        "count (whole number): ",
        "price (number): ",
        "gift (y/n): ",
        "size (m / s): ",
        "address (JSON): ",
        "note (text, empty for null): ",
        "tags (JSON, empty for []): ",
        "colour (blue / red, empty for red): ",
        'greeting (text, empty for ""): ',
    ]


def test_wrong_answer_is_asked_for_again(capsys: pytest.CaptureFixture[str]) -> None:
    """With the reason in one line; what was answered before stays."""
    found, asked = fill(
        Order,
        "",
        "lamp",
        "two",
        "0",
        "true",
        "2",
        "1",
        "perhaps",
        "N",
        "x",
        "s",
        "{",
        "{}",
        '{"city":"Bonn"}',
        *[""] * 4,
    )

    assert (found["article"], found["count"], found["gift"], found["size"]) == ("lamp", 2, False, "s")
    assert len(asked) == 18
    reasons = capsys.readouterr().err.splitlines()
    assert [reason[:24] for reason in reasons] == [
        "an answer is needed; typ",
        "the answer is not JSON: ",
        "expected at least 1, got",
        "type a number, for examp",
        "type y or n",
        "type one of m, s",
        "the answer is not JSON: ",
        "lacks field 'city'",
    ]


@pytest.mark.parametrize(
    ("type_", "line", "value"),
    [
        (bool, "yes", True),
        (str, "  as typed ", "  as typed "),
        (str, '""', ""),
        (int | None, "", None),
        (int | None, "7", 7),
        (list[int], "[1, 2]", [1, 2]),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (Any, '{"what": "ever"}', {"what": "ever"}),
        (int | str, "1", 1),
        (Size, "m", "m"),
    ],
)
def test_payload_that_is_no_object_is_one_question(type_: object, line: str, value: object) -> None:
    assert fill(type_, line) == (value, [fill(type_, line)[1][0]])


def test_end_of_the_input_sends_nothing() -> None:
    """Ctrl-D is a way out."""
    with pytest.raises(UsageProblem, match="input has ended"):
        fill(Order, "lamp")


def test_questions_come_to_an_end() -> None:
    """A program behind the terminal that does not understand must not be asked for ever."""
    with pytest.raises(UsageProblem, match="no answer fits after 10 tries"):
        fill(bool, *["what?"] * 10)
