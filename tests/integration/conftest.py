"""One pair of workers for all tests of bad input: whatever they are sent, they have to live on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.fleet import Fleet, running_fleet


@pytest.fixture(scope="session")
def bad_fleet(nats_url: str) -> Iterator[Fleet]:
    with running_fleet(nats_url, ["support.bad_flows"]) as fleet:
        yield fleet
        assert fleet.actors.is_running, fleet.actors.output
        assert fleet.steps.is_running, fleet.steps.output
