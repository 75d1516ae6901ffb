"""wfctl workflows: what the code offers, and arguments typed by it."""

from __future__ import annotations

import enum
import io
import json
from datetime import date
from typing import Any, Literal

import msgspec
import pytest

from jetrun.actors import workflow
from jetrun.actors.registry import Registry
from jetrun.cli.exits import UsageProblem
from jetrun.cli.output import Output
from jetrun.cli.typed import check_call, parse_named, signature_of
from jetrun.cli.workflows import find_workflow, list_workflows, show_workflow


class Colour(enum.Enum):
    RED = "red"


class Item(msgspec.Struct):
    name: str
    count: int = 1


@workflow(max_duration="7d", tags=["billing", "eu"])
async def order(item: str, count: int = 1, *, note: str | None = None) -> str:
    """Orders something.

    And says so.
    """
    return f"{item} {count} {note}"


@workflow
async def everything(
    at: date,
    what: Item,
    colour: Colour,
    mode: Literal["a", "b"],
    ratio: float,
    anything: Any,
    flag: bool = False,
) -> None: ...


@workflow
async def loose(first: int, /, *rest: int, **more: int) -> None: ...


REGISTRY = Registry.of(order, everything, loose)


def arguments_of(flow: object, *texts: str) -> tuple[object, object]:
    args, kwargs = parse_named(flow, texts)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return json.loads(args), None if kwargs is None else json.loads(kwargs)


# --- typed arguments ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["42", "true", "null", '"quoted"', "", "a=b", "[1"])
def test_text_stays_the_text_that_was_typed(text: str) -> None:
    """Where the parameter is a `str`, an order number is no number and `null` is a word."""
    assert arguments_of(order, f"item={text}", f"note={text}") == ([], {"item": text, "note": text})


def test_other_types_are_read_as_json_or_as_they_are_written() -> None:
    """Numbers are numbers, and dates, words and ids need no quotes within quotes."""
    texts = ["at=2026-01-31", 'what={"name":"x"}', "colour=red", "mode=b", "ratio=1", "anything=free text", "flag=true"]

    args, kwargs = parse_named(everything, texts)
    check_call(everything, args, kwargs)

    assert json.loads(kwargs or b"") == {
        "at": "2026-01-31",
        "what": {"name": "x"},
        "colour": "red",
        "mode": "b",
        "ratio": 1,
        "anything": "free text",
        "flag": True,
    }


def test_parameters_by_position_alone_and_collected_ones_can_be_named() -> None:
    """Who types names need not know how the function takes them."""
    assert arguments_of(loose, "extra=2", "first=1") == ([1], {"extra": 2})


@pytest.mark.parametrize(
    ("texts", "complaint"),
    [
        (["item=a", "count=many"], "--arg count: 'many' is no int"),
        (["item=a", "count=1.5"], "--arg count: '1.5' is no int"),
        (["item"], "--arg takes name=value, not 'item'"),
        (["=1"], "--arg takes name=value, not '=1'"),
        (["item=a", "item=b"], "--arg 'item' is given twice"),
        (["count=1"], "argument 'item' of workflow order: missing; it is order(item: str, count: int = 1"),
        (["item=a", "itm=b"], "argument 'itm' of workflow order: no such parameter"),
        (["item=a", "count=" + "[" * 100], "--arg count: "),
    ],
)
def test_what_does_not_fit_is_told_before_anything_is_sent(texts: list[str], complaint: str) -> None:
    """A run that fails at once is a worse answer."""
    with pytest.raises(UsageProblem) as refused:
        check_call(order, *parse_named(order, texts))

    assert str(refused.value).startswith(complaint)


# --- list and info -------------------------------------------------------------------------------------------


def test_list_shows_signatures() -> None:
    """What to type is seen without the code."""
    text, data = io.StringIO(), io.StringIO()

    list_workflows(Output(stream=text), REGISTRY)
    list_workflows(Output(is_json=True, stream=data), REGISTRY)

    assert "order(item: str, count: int = 1, *, note: str | None = None) -> str" in text.getvalue()
    assert [json.loads(line)["workflow"] for line in data.getvalue().splitlines()] == ["everything", "loose", "order"]
    assert signature_of(loose) == "loose(first: int, /, *rest: int, **more: int) -> None"


def test_info_shows_all_that_the_code_says() -> None:
    """Parameters, limit, tags, module and docstring."""
    text, data = io.StringIO(), io.StringIO()

    show_workflow(Output(stream=text), order)
    show_workflow(Output(is_json=True, stream=data), order)

    lines = [line.split() for line in text.getvalue().splitlines()]
    assert ["max_duration:", "7d0h"] in lines
    assert ["max_retries:", "0"] in lines
    assert ["durable:", "yes"] in lines
    assert ["tags:", "billing,", "eu"] in lines
    assert ["item", "str", "required", "-"] in lines
    assert ["count", "int", "1", "-"] in lines
    assert ["And", "says", "so."] in lines
    shown = json.loads(data.getvalue())
    assert shown["max_duration_us"] == 7 * 86_400_000_000
    assert (shown["durable"], shown["tags"]) == (True, ["billing", "eu"])
    assert shown["parameters"][0] == {"name": "item", "type": "str", "required": True}
    assert shown["about"] == "Orders something.\n\nAnd says so."


def test_nearest_workflow_is_suggested() -> None:
    """A typo costs one look."""
    with pytest.raises(UsageProblem, match=r"no workflow 'ordr' in the modules; did you mean 'order'\?"):
        find_workflow(REGISTRY, "ordr")
    with pytest.raises(UsageProblem, match="there is everything, loose, order"):
        find_workflow(REGISTRY, "xyzzy")
