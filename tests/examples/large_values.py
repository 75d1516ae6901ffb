"""Large values: arguments and results of up to 8 MiB, handed over like small ones.

Beyond 192 KiB a value goes to the object store, and messages and log name it by its hash. Nothing of this shows here.

Try it, with a file that holds a JSON array of one text:
    wfctl dev -m tests.examples.large_values
    wfctl start concordance --input @novel.json --run-id novel --wait
"""

from __future__ import annotations

import msgspec

from jetrun.actors import step, workflow


class Concordance(msgspec.Struct, frozen=True):
    words: int
    lines_of: dict[str, list[int]]
    """Each word with the numbers of the lines that it is in."""


@step
def index_words(text: str) -> dict[str, list[int]]:
    """Finds the lines of every word."""
    lines_of: dict[str, list[int]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        for word in dict.fromkeys(line.lower().split()):
            lines_of.setdefault(word, []).append(number)
    return lines_of


@workflow
async def concordance(text: str) -> Concordance:
    """Indexes a whole novel: its text goes in as one argument, the index comes out as one result."""
    lines_of = await index_words(text)
    return Concordance(len(lines_of), lines_of)
