"""An engine for who has no library, with some of the examples."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from jetrun.client import Client
from support.fleet import Fleet, running_fleet


@pytest.fixture(scope="session")
def fleet(nats_url: str) -> Iterator[Fleet]:
    modules = ["examples.orders", "examples.large_values", "examples.cart", "examples.contract"]
    with running_fleet(nats_url, modules) as fleet:
        yield fleet


@pytest.fixture
async def client(fleet: Fleet) -> AsyncIterator[Client]:
    async with await Client.connect(fleet.url, app=fleet.app.name) as client:
        yield client
