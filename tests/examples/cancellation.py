"""Cancellation: the running step is told to stop, the workflow cleans up under a shield and ends as cancelled.

Try it; the second cancel finds the run ended, and changes nothing:
    wfctl dev -m tests.examples.cancellation
    wfctl start training '"cats"' --run-id t-1
    wfctl runs cancel training/t-1 --reason "found a better one" --wait
    wfctl runs cancel training/t-1
    wfctl runs log training/t-1
"""

from __future__ import annotations

import asyncio

from jetrun.actors import shield, step, workflow


@step
async def rent_machine(model: str) -> str:
    return f"machine-of-{model}"


@step(max_retries=0)
async def train(machine: str, epoch: int) -> float:
    """Takes an hour. When nobody waits any longer, an async step gets `CancelledError` like any task."""
    await asyncio.sleep(3600)
    return 1 / epoch


@step
async def save_checkpoint(machine: str, epoch: int) -> str:
    return f"{machine}/epoch-{epoch}"


@step
async def give_back(machine: str) -> None:
    """Until this has run, the machine costs money."""


@workflow
async def training(model: str, epochs: int = 100) -> float:
    """Trains a model; whatever happens, the machine is given back."""
    machine = await rent_machine(model)
    loss, epoch = 1.0, 1
    try:
        for epoch in range(1, epochs + 1):
            loss = await train(machine, epoch)
    except asyncio.CancelledError:
        async with shield():
            await save_checkpoint(machine, epoch)
        raise
    finally:
        async with shield():
            await give_back(machine)
    return loss
