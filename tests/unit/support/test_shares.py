"""Shares of the tests: what is in one, and that their list is not out of date."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.shares import FLEETS, share_of

ROOT = Path(__file__).resolve().parents[3]


def test_a_fleet_is_started_by_one_process() -> None:
    """Otherwise each process would start workers for all of it."""
    assert share_of("tests/examples/test_cart.py::test_a") == share_of("tests/examples/test_orders.py::test_b[x::y]")


def test_a_module_is_a_share_whatever_the_parameters_are() -> None:
    """Fixtures of a module live as long as its tests follow each other."""
    assert share_of("tests/unit/test_packaging.py::test_a[b.py::c]") == "tests/unit/test_packaging.py"
    assert share_of("tests/integration/test_cli.py::test_a") != share_of("tests/integration/test_steps.py::test_a")


@pytest.mark.parametrize("fleet", FLEETS)
def test_fleets_have_tests(fleet: str) -> None:
    """A folder that was renamed would be taken apart in silence."""
    paths = [path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")]

    assert sum(path.startswith(fleet) for path in paths) > 1
