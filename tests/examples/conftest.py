"""One pair of workers for all examples, and a client of theirs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from jetrun.client import Client
from support.fleet import Fleet, running_fleet

EXAMPLES = sorted(
    path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith(("test_", "conftest"))
)


@pytest.fixture(scope="session")
def fleet(nats_url: str) -> Iterator[Fleet]:
    with running_fleet(nats_url, [f"examples.{name}" for name in EXAMPLES]) as fleet:
        yield fleet


@pytest.fixture
async def client(fleet: Fleet) -> AsyncIterator[Client]:
    async with await Client.connect(fleet.url, app=fleet.app.name) as client:
        yield client
