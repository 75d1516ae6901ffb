"""Large values: stored by name, read whole, deleted with their run."""

from __future__ import annotations

import pytest

from contract.worlds import World, contract
from jetrun.actors.errors import NotProvisioned

NAME = "order/o-1/0123abcd"


@contract
async def test_a_value_is_read_as_it_was_stored(world: World) -> None:
    """A large argument would arrive damaged or not at all."""
    broker, reader = await world.connect(), await world.connect()
    bucket = world.app.values
    values = {f"order/o-1/{size}": bytes(range(256)) * (size // 256) + b"x" for size in (0, 256, 131_072, 3_000_064)}

    for name, data in values.items():
        await broker.put_object(bucket, name, data)

    for name, data in values.items():
        assert await reader.get_object(bucket, name) == data


@contract
async def test_an_unknown_value_is_none(world: World) -> None:
    """A missing value would look like a lost server."""
    broker = await world.connect()

    assert await broker.get_object(world.app.values, NAME) is None


@contract
async def test_storing_a_value_again_changes_nothing(world: World) -> None:
    """A repeated effect would leave two."""
    broker, other = await world.connect(), await world.connect()
    bucket = world.app.values

    await broker.put_object(bucket, NAME, b"value")
    await other.put_object(bucket, NAME, b"value")

    assert await broker.get_object(bucket, NAME) == b"value"
    assert await broker.delete_objects(bucket, "order/o-1/") == 1
    assert await broker.get_object(bucket, NAME) is None


@contract
async def test_a_runs_values_are_deleted_by_prefix(world: World) -> None:
    """A forgotten run would keep its values, or take another's along."""
    broker = await world.connect()
    bucket = world.app.values
    for name in ("order/o-1/a", "order/o-1/b", "order/o-12/a"):
        await broker.put_object(bucket, name, name.encode())

    assert await broker.delete_objects(bucket, "order/o-1/") == 2
    assert await broker.delete_objects(bucket, "order/o-1/") == 0

    assert await broker.get_object(bucket, "order/o-1/a") is None
    assert await broker.get_object(bucket, "order/o-12/a") == b"order/o-12/a"


@contract
async def test_a_missing_bucket_is_an_error_that_says_so(world: World) -> None:
    """A value for an unprovisioned app would vanish."""
    broker = await world.connect()

    with pytest.raises(NotProvisioned):
        await broker.put_object(f"WF_{world.app.name}_NONE", NAME, b"value")
    with pytest.raises(NotProvisioned):
        await broker.get_object(f"WF_{world.app.name}_NONE", NAME)
