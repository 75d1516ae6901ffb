"""A fan-out: 500 steps at once, spread over all step workers, their results gathered in order.

Try it:
    wfctl dev -m tests.examples.fan_out
    wfctl start count_primes 50000 --wait
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from math import isqrt

from jetrun.actors import step, workflow


@step
def primes_between(first: int, last: int) -> int:
    """Counts the primes from first to last. A plain function: it runs in a thread of the step worker."""
    numbers = range(max(first, 2), last + 1)
    return sum(all(number % divisor for divisor in range(2, isqrt(number) + 1)) for number in numbers)


@workflow
async def count_primes(up_to: int, parts: int = 500) -> int:
    """Counts the primes up to a number in that many parts."""
    edges = [up_to * part // parts for part in range(parts + 1)]
    return sum(await asyncio.gather(*(primes_between(low + 1, high) for low, high in pairwise(edges))))
