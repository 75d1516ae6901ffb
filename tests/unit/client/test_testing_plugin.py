"""The pytest plugin: a fixture that makes apps, and tells the story of the runs where a test fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.tested_flows import fetch, month

if TYPE_CHECKING:  # pytest imports the plugin itself, to rewrite what it asserts
    from jetrun.client.testing_plugin import MakeApp

pytest_plugins = ["jetrun.client.testing_plugin", "pytester"]

FAILING = """
import asyncio
from support.tested_flows import asked

def test_asked(jetrun_app):
    async def main():
        async with jetrun_app(asked) as app:
            run = await app.client.start(asked.call("ann"), run_id="a-1")
            await app.hook(run, "answer", "perhaps", after="1h30m")
            assert await run.result() == "ann: yes"

    asyncio.run(main())
"""


async def test_fixture_makes_apps(jetrun_app: MakeApp) -> None:
    """The fixture takes what `testing.app` takes."""
    async with jetrun_app(month, steps={fetch: "page"}) as app:
        assert (await (await app.client.start(month.call(1), run_id="m")).result()).startswith("page")


def test_failing_test_shows_the_story(pytester: pytest.Pytester) -> None:
    """Who reads the report sees what the runs did, and when."""
    pytester.makepyfile(FAILING)

    told = pytester.runpytest_inprocess("-p", "jetrun.client.testing_plugin", "-p", "no:randomly")

    told.assert_outcomes(failed=1)
    told.stdout.fnmatch_lines(
        [
            "*Captured jetrun call*",
            'asked/a-1 +0s run.started *"ann"*',
            "asked/a-1 +0s hook.opened answer",
            'asked/a-1 +1h30m hook.received answer "perhaps"',
            'asked/a-1 +1h30m run.completed "ann: perhaps"',
        ]
    )


def test_the_kit_needs_no_pytest() -> None:
    """pytest is no dependency: the kit, and `local`, import without it."""
    code = "import sys, jetrun.client.testing, jetrun.client.local; print('pytest' in sys.modules)"

    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )

    assert (ran.stderr, ran.stdout.strip()) == ("", "False")
