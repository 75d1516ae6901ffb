"""Children of children: three levels, an error that comes up through them, and the depth limit."""

from __future__ import annotations

from examples.bill_of_materials import estimate, weight
from jetrun.actors.limits import CHILD_DEPTH_MAX
from jetrun.client import Client
from support.story import scheduled


async def test_each_level_is_runs_of_its_own(client: Client) -> None:
    run = await client.start(weight.call("bicycle"), run_id="bicycle")

    assert await run.result() == 1_600 + 2 * (480 + 220)
    frame, *wheels = await run.children()
    assert [len(await child.children()) for child in (frame, *wheels)] == [0, 2, 2]
    assert scheduled(await run.events()) == ["parts_of"]  # the weighing is in the runs of the parts


async def test_an_error_comes_up_level_by_level(client: Client) -> None:
    run = await client.start(estimate.call("tandem"), run_id="tandem")

    assert await run.result() == "something is not in stock"


async def test_depth_is_limited(client: Client) -> None:
    """A workflow that starts itself for ever fails soon, instead of filling the server; no run is left over."""
    run = await client.start(estimate.call("mirror"), run_id="mirror")

    assert await run.result() == "cannot tell: estimate-mirror-1 has failed"
    line = [run]
    while children := await line[-1].children():
        line += children
    assert len(line) == 1 + CHILD_DEPTH_MAX
    assert [(await child.status()).status for child in line[1:]] == ["failed"] * CHILD_DEPTH_MAX
    assert f"at most {CHILD_DEPTH_MAX}" in (await line[-1].events())[-1].text
