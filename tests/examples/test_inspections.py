"""Runs that a step starts."""

from __future__ import annotations

from pathlib import Path

from examples.inspections import inspect_all, inspection
from jetrun.client import Client
from support.story import kinds


async def test_a_step_that_runs_again_finds_the_runs_that_it_has_started(client: Client, tmp_path: Path) -> None:
    """The first attempt starts them all and fails; the second gets their results, and none ran twice."""
    file = tmp_path / "sites.txt"
    file.write_text("lift stairs roof")
    run = await client.start(inspect_all.call(str(file)), run_id="i-1")

    assert await run.result() == ["lift is safe", "stairs is safe", "roof is safe"]
    assert kinds(await run.events()).count("step.failed") == 1
    for site in ("lift", "stairs", "roof"):
        started = client.get(inspection, f"inspect_all-i-1-1-{site}")
        assert kinds(await started.events()).count("step.scheduled") == 1
    assert await run.children() == []
