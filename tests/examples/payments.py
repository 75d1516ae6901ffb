"""Idempotency at both ends: the same start twice is one run, and a charge that is tried again is charged once.

Try it; the second start finds the first one's run, the third, with another amount, is refused:
    wfctl dev -m tests.examples.payments
    wfctl start payment '"ann"' 4200 '"/tmp/bank.db"' --run-id o-1 --wait
    wfctl start payment '"ann"' 4200 '"/tmp/bank.db"' --run-id o-1 --wait
    wfctl start payment '"ann"' 9900 '"/tmp/bank.db"' --run-id o-1 --wait
    wfctl runs log payment/o-1
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

from jetrun.actors import attempt, step, workflow


@step(max_retries=5, retry_delay="100ms")
def debit(customer: str, cents: int, bank: str) -> str:
    """Sends the bank a key that all attempts share. This bank is slow to answer: the first answer is lost."""
    key = attempt().idempotency_key
    book(bank, key, customer, cents)
    if attempt().number == 1:
        raise ConnectionResetError("charged, but nobody here knows it")
    return key


@workflow
async def payment(customer: str, cents: int, bank: str) -> str:
    """Its run id is the order's: who is not sure whether the order was paid starts it again."""
    return await debit(customer, cents, bank)


def book(bank: str, key: str, customer: str, cents: int) -> None:
    """Stands for the bank: what comes again under a key that it knows changes nothing."""
    with closing(sqlite3.connect(bank)) as table, table:
        table.execute("CREATE TABLE IF NOT EXISTS charges (key TEXT PRIMARY KEY, customer TEXT, cents INTEGER)")
        table.execute("INSERT OR IGNORE INTO charges VALUES (?, ?, ?)", (key, customer, cents))
