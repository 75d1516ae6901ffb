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

    assert (await run.result()).startswith("not in stock: ")


async def test_depth_is_limited(client: Client) -> None:
    """A workflow that starts itself for ever fails soon, instead of filling the server; no run is left over."""
    run = await client.start(estimate.call("mirror"), run_id="mirror")

    assert f"at most {CHILD_DEPTH_MAX}" in await run.result()
    depth, children = 0, await run.children()
    while children:
        (child,) = children
        assert (await child.status()).status == "failed"
        depth, children = depth + 1, await child.children()
    assert depth == CHILD_DEPTH_MAX
