"""The examples of docs/steps.md run, and do what the text says."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from jetrun.actors import workflow
from jetrun.actors.step_options import DEFAULTS
from jetrun.client import testing

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "steps.md").read_text("utf-8")


@pytest.fixture
def page() -> Iterator[Any]:
    """The page's code as one module."""
    module = ModuleType("steps_page")
    sys.modules[module.__name__] = module
    exec("\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)), module.__dict__)
    yield module
    del sys.modules[module.__name__]


def test_workflows_of_the_page_run(page: Any) -> None:
    assert testing.run(page.order.call("o-1"), page) == "charged 4200 for order/run-1/2"
    assert testing.run(page.quote.call("lamp"), page) == 1999


async def test_steps_of_the_page_run(page: Any) -> None:
    """By way of workflows that do nothing else."""

    @workflow
    async def loading() -> int:
        return int(await page.load(["a", "b"]) + await page.total([1, 2]))

    @workflow
    async def signing() -> bool:
        return bool(await page.sign("c-1"))

    tokens: list[str] = []

    async def send_letter(_: str, token: str) -> None:
        tokens.append(token)

    page.send_letter = send_letter
    async with testing.app(page, loading, signing) as app:
        run = await app.client.start(loading.call(), run_id="r-1")
        assert await run.result() == 5
        signed = await app.client.start(signing.call(), run_id="r-2")
        await app.until_settled()
        await page.answer(app.client, tokens[0])
        assert await signed.result() is True


def test_every_option_is_in_the_table() -> None:
    rows = "\n".join(line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`(\w+)`", rows)) == set(DEFAULTS)
