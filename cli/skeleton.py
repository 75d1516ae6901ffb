"""The skeleton of a project: the files that `wfctl init` writes, each of which runs as it is."""

from __future__ import annotations

from typing import Final

CONFIGURATION: Final = """\
# What wfctl, the workers and Client.connect() read; the environment (JETRUN_URL, JETRUN_APP ...) and arguments win over it.
# `wfctl config keys` lists all keys, `wfctl config show` says what is in force and where it comes from.

modules = ["flows"]
# url = "nats://127.0.0.1:4222"
# app = "default"
# concurrency = 50
"""

FLOWS: Final = '''\
"""One workflow and its steps. The workflow decides, the steps do the work: all I/O belongs into steps."""

from __future__ import annotations

from jetrun.actors import sleep, step, workflow


@step(max_retries=3, timeout="30s")
async def reserve(item: str, count: int) -> str:
    return f"{count} x {item}"


@step(max_retries=3, timeout="30s")
async def ship(reservation: str) -> str:
    return f"shipped {reservation}"


@workflow(max_duration="1d")
async def order(item: str, count: int = 1) -> str:
    """Reserves an item, waits a second without a process that waits, and ships it."""
    reservation = await reserve(item, count)
    await sleep("1s")
    return await ship(reservation)
'''

TEST: Final = '''\
"""Tests of the workflow in one process: no server, and no second is waited for."""

from __future__ import annotations

import flows
from jetrun.client import testing


def test_order_is_shipped() -> None:
    assert testing.run(flows.order.call("book", 2)) == "shipped 2 x book"


def test_order_survives_a_crash_after_every_record() -> None:
    testing.survives_every_crash(flows.order.call("book"))
'''

README: Final = """\
# A jetrun project

    wfctl dev                                            # server, actor worker and step worker, for development
    wfctl workflows list                                 # in a second terminal
    wfctl workflows start order --arg item=book --arg count=2 --run-id o-1 --wait
    wfctl tail order/o-1                                 # what has happened, from the first event on
    wfctl runs list

`python -m pytest` runs the tests. `jetrun.toml` names the modules, so that no command needs `-m`.

In production, beside a NATS server with JetStream whose address is in JETRUN_URL or in `jetrun.toml`:

    wfctl provision
    wfctl worker actors
    wfctl worker steps
    wfctl doctor
"""

FILES: Final = {
    "jetrun.toml": CONFIGURATION,
    "flows.py": FLOWS,
    "test_flows.py": TEST,
    "README.md": README,
}
