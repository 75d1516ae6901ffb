"""Children of children: what a bicycle weighs is asked of its parts, each a run of its own, level by level.

Try it; the second one is a part of itself, and ends at the depth limit:
    wfctl dev -m tests.examples.bill_of_materials
    wfctl start weight '"bicycle"' --run-id bicycle --wait
    wfctl runs children weight/bicycle
    wfctl start estimate '"mirror"' --run-id mirror --wait
    wfctl runs list --workflow weight --status failed
"""

from __future__ import annotations

import asyncio

from jetrun.actors import ChildFailed, FatalError, step, workflow

PARTS = {
    "bicycle": ["frame", "wheel", "wheel"],
    "wheel": ["rim", "hub"],
    "tandem": ["bicycle", "saddle"],
    "mirror": ["mirror"],
}
GRAMS = {"frame": 1_600, "rim": 480, "hub": 220}


class NotInStock(FatalError):
    """There is nothing to put on the scale."""


@step
async def parts_of(article: str) -> list[str]:
    """Stands for a query; an empty list means that it is one piece."""
    return PARTS.get(article, [])


@step
async def weigh(piece: str) -> int:
    """Stands for a scale."""
    if piece not in GRAMS:
        raise NotInStock(piece)
    return GRAMS[piece]


@workflow
async def weight(article: str) -> int:
    """Awaiting a workflow in a workflow, be it itself, starts a child; these work side by side."""
    parts = await parts_of(article)
    if not parts:
        return await weigh(article)
    return sum(await asyncio.gather(*(weight(part) for part in parts)))


@workflow
async def estimate(article: str) -> str:
    """Catches what fails however deep: an error comes up level by level, and keeps its class."""
    try:
        return f"{await weight(article)} g"
    except NotInStock:
        return "something is not in stock"
    except ChildFailed as failed:
        return f"cannot tell: {failed.run} has {failed.status}"
