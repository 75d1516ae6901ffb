"""The pytest plugin: `pytest_plugins = ["jetrun.client.testing_plugin"]` in the top `conftest.py`.

Named, not found by an entry point: who merely has jetrun installed gets no fixture, and no import, that was not asked
for. The only module here that imports pytest, which is no dependency of jetrun.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import pytest

from ..actors.durations import Duration
from .definitions import Definition
from .testing_app import LIMIT, START, AppUnderTest, app
from .testing_stage import Unstubbed
from .testing_stubs import Stubs


class MakeApp(Protocol):
    """The type of `jetrun_app`: takes what `testing.app` takes."""

    def __call__(
        self,
        *definitions: Definition,
        steps: Stubs = (),
        unstubbed: Unstubbed = "run",
        start: datetime = START,
        limit: Duration = LIMIT,
    ) -> AppUnderTest:
        """Makes an app: `async with jetrun_app(order, steps=...) as app: ...`."""
        ...


@pytest.fixture
def jetrun_app(request: pytest.FixtureRequest) -> MakeApp:
    """Makes apps as `testing.app` does; a test that fails shows the story of its runs.

    Not async itself, so that it serves every plugin that runs coroutines.
    """
    item: pytest.Item = request.node

    def make(
        *definitions: Definition,
        steps: Stubs = (),
        unstubbed: Unstubbed = "run",
        start: datetime = START,
        limit: Duration = LIMIT,
    ) -> AppUnderTest:
        made = app(*definitions, steps=steps, unstubbed=unstubbed, start=start, limit=limit)
        made.on_close.append(lambda: item.add_report_section("call", "jetrun", made.story() or "no run was started"))
        return made

    return make
