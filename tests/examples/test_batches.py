"""Continue-as-new: batches, polling, a countdown, and numbers that are sent while links change."""

from __future__ import annotations

import asyncio

from examples.batches import (
    PAGE,
    PAGES_PER_LINK,
    Progress,
    countdown,
    counter,
    import_all,
    watch_gauge,
)
from jetrun.client import Client, testing


async def test_batch_is_imported_link_by_link(client: Client) -> None:
    run = await client.start(import_all.call(250), run_id="b-1")

    assert await run.result() == Progress(done=250, failed=5)
    links = await run.chain()
    assert len(links) == 250 // (PAGE * PAGES_PER_LINK) + 1
    assert [link.status for link in links] == [*["continued"] * (len(links) - 1), "completed"]
    assert max(link.records for link in links) < 2 * PAGES_PER_LINK * (PAGE + 1) + 5


async def test_poller_goes_on_as_new_when_its_log_is_long(client: Client) -> None:
    run = await client.start(watch_gauge.call("boiler", 120), run_id="g-1")

    text = await run.result()
    assert text.startswith("boiler is at 120 in link ")
    assert len(await run.chain()) > 1


async def test_countdown_without_a_step_in_between(client: Client) -> None:
    run = await client.start(countdown.call(25), run_id="c-1")

    assert await run.result() == 26


async def test_no_number_is_lost_between_two_links(client: Client) -> None:
    run = await client.start(counter.call(), run_id="n-1")
    await asyncio.gather(*(run.hook("add", number) for number in range(1, 101)))
    await run.hook("add", 0)

    assert await run.result() == sum(range(1, 101))
    assert len(await run.chain()) == 11


def test_chains_survive_every_crash() -> None:
    """Also between the record that ends a link and the message that begins the next one."""
    testing.survives_every_crash(countdown.call(3), countdown)
    testing.survives_every_crash(import_all.call(70), import_all)
