"""Values far above what a message may hold."""

from __future__ import annotations

from examples.large_values import concordance
from jetrun.actors.limits import RECORD_BYTES_MAX
from jetrun.client import Client

ROWS = 20_000


async def test_megabytes_in_and_out(client: Client) -> None:
    """A text of 1 MB is an argument of workflow and step, and its index a result of both; the log stays small."""
    text = "\n".join(f"word{row} and the word{row * 7 % ROWS} some more of the same kind" for row in range(ROWS))
    assert len(text) > 1_000_000
    run = await client.start(concordance.call(text), run_id="novel")

    found = await run.result()

    assert found.words == ROWS + 7
    assert found.lines_of["and"] == list(range(1, ROWS + 1))
    assert found.lines_of["word7"] == [2, 8]
    log = [message for record in await run.log() for message in record.messages]
    assert sum(len(bytes(message.body)) for message in log) < RECORD_BYTES_MAX // 100
    assert (await run.log())[-1].outcome is not None
