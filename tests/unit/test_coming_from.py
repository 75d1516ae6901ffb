"""docs/coming-from-pyworkflow.md: every feature has a row, and what a row claims is there."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args

import pytest
import typer

import jetrun.actors
import jetrun.client
from jetrun.actors import StepOptions, events
from jetrun.actors.records import Status
from jetrun.cli.main import app
from jetrun.client.configuration_keys import KEYS

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "coming-from-pyworkflow.md"
FEATURES: Final = ROOT / "tests" / "support" / "pyworkflow_features.txt"
NONE: Final = "-"
WITHOUT_TEST: Final = ("planned", "not needed", "refused")
"""What a row begins with that may name no test: it claims nothing of the code."""

PLAIN: Final = frozenset({"except ValueError", "step(function)"})
"""Code that is no name."""

_FILE: Final = re.compile(r"(?:docs|tests|deploy|actors|streams|client|cli)/[\w/.@-]+|[A-Z]+\.md")
_NAME: Final = re.compile(r"@?([A-Za-z_][\w.]*)(?:\((.*)\))?")
_CHILD_ENDS: Final = ("completed", "failed", "cancelled", "terminated", "refused")


class Row(NamedTuple):
    section: str
    there: str
    here: str
    shown: str


def read_rows() -> Iterator[Row]:
    section = ""
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif line.startswith("|") and not line.startswith(("| there |", "|---")):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            assert len(cells) == 3, line
            yield Row(section, *cells)


ROWS: Final = list(read_rows())


def spans(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


# --- what a name may be -------------------------------------------------------------------------------------


def found(name: str) -> Any:
    """Finds an export, a part of one, or a name within a module; None where there is none."""
    first, *parts = name.split(".")
    value: Any = None
    if first == "jetrun":
        folder, module, *parts = parts
        value = importlib.import_module(f"jetrun.{folder}.{module}")
    elif first in ("asyncio", "testing"):
        value = importlib.import_module("asyncio" if first == "asyncio" else "jetrun.client.testing")
    else:
        places = [place for place in (jetrun.actors, jetrun.client) if first in place.__all__]
        value = getattr(places[0], first) if places else None
    for part in parts:
        value = getattr(value, part, None)
    return value


def takes(value: Any, given: str) -> bool:
    """Tells whether the parameters written as `name=` are some of the callable's."""
    parameters = inspect.signature(value).parameters
    names = set(parameters)
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        names |= set(StepOptions.__annotations__)
    return set(re.findall(r"(\w+)=", given)) <= names


@cache
def kinds() -> frozenset[str]:
    """Collects the kinds of events, from the one module that makes them."""
    written = re.findall(r'"([a-z]+\.[a-z_]+)"', inspect.getsource(events))
    ends = [f"run.{status}" for status in get_args(Status)] + [f"child.{end}" for end in _CHILD_ENDS]
    return frozenset([*written, *ends])


@cache
def wfctl() -> Any:
    return typer.main.get_command(app)


def is_command(text: str) -> bool:
    """Tells whether a command line's command and options exist."""
    command = wfctl()
    for word in text.split()[1:]:
        if word.startswith("--"):
            if not any(word in one.opts for one in command.params):
                return False
        elif (command := getattr(command, "commands", {}).get(word)) is None:
            return False
    return True


def is_there(text: str) -> bool:
    """Tells whether what stands in code font exists. A text in quotes is a value, and not looked at."""
    if text.startswith('"') or text in PLAIN or text in kinds():
        return True
    if text.startswith("wfctl "):
        return is_command(text)
    if text.startswith("JETRUN_"):
        return text in {key.variable for key in KEYS}
    if _FILE.fullmatch(text):
        return (ROOT / text).exists()
    match = _NAME.fullmatch(text)
    value = None if match is None else found(match[1])
    return value is not None and (match is None or not match[2] or takes(value, match[2]))


# --- the page ------------------------------------------------------------------------------------------------


def test_every_feature_has_a_row() -> None:
    """Whoever comes finds what they used: the names of all features are pinned, section by section."""
    pinned: dict[str, list[str]] = {}
    for line in filter(None, FEATURES.read_text("utf-8").splitlines()):
        if line.startswith("## "):
            pinned[line.removeprefix("## ")] = []
        else:
            pinned[next(reversed(pinned))].append(line)

    for section, names in pinned.items():
        there = [row.there for row in ROWS if row.section == section]
        assert [name for name in names if name not in there] == []
        assert len(there) >= len(names)
    assert len(pinned) == 23


def test_what_the_rows_say_exists() -> None:
    """A name that was changed, or an option that has gone, is found here and not by a reader."""
    assert [row for row in ROWS if not all(row)] == []
    assert [(row.there, span) for row in ROWS for span in spans(row.here) if not is_there(span)] == []


@pytest.mark.parametrize(
    "text",
    [
        "Client.begin",
        "Begin",
        "@step(durable=)",
        "@workflow(inline=)",
        "wfctl runs lisp",
        "wfctl runs list --until",
        "run.flew",
        "JETRUN_URI",
        "docs/going-to.md",
        "jetrun.client.local.remote",
        "wfctl",
    ],
)
def test_what_does_not_exist_is_found(text: str) -> None:
    """A check that takes everything would guard nothing."""
    assert not is_there(text)


def test_every_row_is_shown_by_a_test_that_exists() -> None:
    """A claim without a test is a wish; what is planned or refused may have none."""
    bare = [row for row in ROWS if row.shown == NONE]

    assert [row.there for row in bare if not row.here.startswith(WITHOUT_TEST)] == []
    assert [row.there for row in ROWS if row not in bare and not spans(row.shown)] == []
    assert [test for row in ROWS for test in spans(row.shown) if not is_test(test)] == []


def is_test(name: str) -> bool:
    path, _, function = name.partition("::")
    return path.startswith("tests/") and function.startswith("test_") and function in functions_of(path)


@cache
def functions_of(path: str) -> frozenset[str]:
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    body = ast.parse(file.read_text("utf-8")).body
    return frozenset(node.name for node in body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
