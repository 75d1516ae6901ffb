"""A monitor: one run that watches a service for a thousand rounds and sleeps durably in between.

No process waits while it sleeps, and it goes on after any restart. A run's log holds up to 50,000 records.

Try it:
    wfctl dev -m tests.examples.monitor
    wfctl start monitor '"https://shop.example"' --run-id shop
    wfctl tail monitor/shop
"""

from __future__ import annotations

import msgspec

from jetrun.actors import sleep, step, workflow

FAILURES_IN_A_ROW = 3


class Health(msgspec.Struct, frozen=True):
    rounds: int
    failures: int
    alarms: list[int]
    """The rounds in which somebody was woken."""


@step(max_retries=0, timeout="10s")
async def probe(url: str, number: int) -> bool:
    """Stands for a request; this service fails each 97th time, and always from the 400th to the 409th."""
    return number % 97 != 0 and number not in range(400, 410)


@step
async def wake_somebody(url: str, number: int) -> None:
    """Stands for a call to the person on duty."""


@workflow
async def monitor(url: str, rounds: int = 1_000, pause: float = 60.0) -> Health:
    """Raises an alarm when the service has failed three times in a row; once per outage."""
    failures = in_a_row = 0
    alarms: list[int] = []
    for number in range(1, rounds + 1):
        if await probe(url, number):
            in_a_row = 0
        else:
            failures += 1
            in_a_row += 1
            if in_a_row == FAILURES_IN_A_ROW:
                await wake_somebody(url, number)
                alarms.append(number)
        await sleep(pause)
    return Health(rounds, failures, alarms)
