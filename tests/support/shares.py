"""Shares: which tests go to one process, and in which order, where several processes run the tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import pytest
from xdist.scheduler import LoadScopeScheduling  # pyright: ignore[reportMissingTypeStubs]  # xdist has none

FLEETS = ("tests/clients/", "tests/examples/", "tests/integration/test_bad_input_")
"""Beginnings of the paths of tests that have workers in common: every process with one of the tests has to start them."""
STARTERS = frozenset({"bad_fleet", "crew", "fleet", "own_server", "processes", "served"})
"""Fixtures of tests that start processes, or wait for what others do."""

START_S = 3.0
SLOW_S = 2.0
QUICK_S = 0.02


class Shares(LoadScopeScheduling):  # type: ignore[misc]  # see above
    """Hands out share by share, in the order of the tests, to whoever is nearly done with his own."""

    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid)


def share_of(nodeid: str) -> str:
    """Names the share of a test: its module, since fixtures of modules start workers, too, or its fleet."""
    path = nodeid.partition("::")[0]
    return next((fleet for fleet in FLEETS if path.startswith(fleet)), path)


def put_longest_first(items: list[pytest.Item]) -> None:
    """Sorts the shares, so that no process begins a long one when the others end. Within, the order stays."""
    lengths_s: defaultdict[str, float] = defaultdict(float)
    for item in items:
        lengths_s[share_of(item.nodeid)] += _length_s(item)
    items.sort(key=lambda item: lengths_s[share_of(item.nodeid)], reverse=True)


def _length_s(item: pytest.Item) -> float:
    """Guesses how long a test takes from what it says of itself."""
    if (timeout := item.get_closest_marker("timeout")) is not None:
        return float(timeout.args[0]) / 6
    fixtures: Iterable[str] = getattr(item, "fixturenames", ())
    if not STARTERS.isdisjoint(fixtures):
        return START_S
    return SLOW_S if item.get_closest_marker("slow") is not None else QUICK_S
