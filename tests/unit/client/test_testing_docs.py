"""The examples of docs/testing.md run, and do what the text says."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from jetrun.client import testing

PAGE = Path(__file__).parents[3] / "docs" / "testing.md"


def examples() -> dict[str, Any]:
    """Runs the page's Python blocks as one module."""
    blocks = [part.partition("\n```")[0] for part in PAGE.read_text("utf-8").split("\n```python\n")[1:]]
    space: dict[str, Any] = {"__name__": "page"}
    exec(compile("\n".join(blocks), str(PAGE), "exec"), space)
    return space


SPACE = examples()


@pytest.mark.parametrize("name", [name for name in SPACE if name.startswith("test_")])
def test_example_passes(name: str) -> None:
    """A reader who copies a test gets one that passes."""
    function: Callable[..., object] = SPACE[name]
    arguments = {"jetrun_app": testing.app} if "jetrun_app" in inspect.signature(function).parameters else {}

    ran = function(**arguments)

    if inspect.iscoroutine(ran):
        asyncio.run(cast("Any", ran))


def test_script_runs() -> None:
    """The script of the last section, in real time."""
    main: Callable[[], Awaitable[Any]] = SPACE["main"]

    assert asyncio.run(cast("Any", main())).reviewer == "ann"
