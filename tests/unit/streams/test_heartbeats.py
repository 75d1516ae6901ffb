"""Heartbeats: where an attempt is outlives its worker, silence ends it, and progress is shown and forgotten."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from jetrun.actors import InvalidValue, StepFailed, attempt, step, workflow
from jetrun.actors.attempt import Attempt
from jetrun.actors.limits import HEARTBEAT_BYTES_MAX
from jetrun.client import testing
from jetrun.client.testing_twin import APP
from jetrun.streams.ports import Broker


@dataclass
class Place:
    row: int


@step(max_retries=5, retry_delay="1s")
async def load(rows: int) -> list[int]:
    """Says where it is; begins again there. Fails once half-way, at the row after the last heartbeat."""
    place = attempt().last_heartbeat_as(Place) or Place(0)
    done: list[int] = []
    for row in range(place.row, rows):
        if row == rows // 2 and attempt().number == 1:
            raise OSError("no luck")
        await asyncio.sleep(1)
        done.append(row)
        attempt().heartbeat(Place(row + 1))
    return done


@step(max_retries=2, retry_delay="1s", heartbeat_timeout="10s")
async def hang(seconds: float) -> int:
    if attempt().number == 1:
        await asyncio.sleep(seconds)
    return attempt().number


@step(heartbeat_timeout="10s", max_retries=0)
async def alive(seconds: int) -> int:
    for _ in range(seconds):
        await asyncio.sleep(1)
        attempt().heartbeat()
    return attempt().number


@step(max_retries=0)
async def telling(times: int) -> None:
    for n in range(times):
        attempt().progress(n / times, f"row {n}")
        await asyncio.sleep(0.05)
    attempt().progress(2, "x" * 999)
    await asyncio.sleep(1)


@workflow
async def loading(rows: int) -> list[int]:
    return await load(rows)


@workflow
async def hanging(seconds: float) -> int:
    return await hang(seconds)


@workflow
async def giving_up(seconds: float) -> str:
    try:
        return str(await hang.options(max_retries=0)(seconds))
    except StepFailed as failed:
        return failed.error.code


@workflow
async def living(seconds: int) -> int:
    return await alive(seconds)


@workflow
async def told(times: int) -> None:
    await telling(times)


async def details_left(broker: Broker) -> int:
    return len(await broker.read(APP.index, f"wf.{APP.name}.index.details.>"))


async def test_next_attempt_begins_where_the_last_one_was() -> None:
    """The last words before a failure are stored before it is reported."""
    async with testing.app(loading) as app:
        run = await app.client.start(loading.call(10), run_id="r-1")

        assert await run.result() == [5, 6, 7, 8, 9]
        await app.until_settled()
        assert await details_left(app.twin.connect()) == 0


async def test_details_survive_the_worker() -> None:
    """The same attempt is delivered again, and reads what it had said itself."""
    async with testing.app(loading) as app:
        run = await app.client.start(loading.call(100), run_id="r-1")
        await app.skip("30s")
        app.crash_step_worker()
        done = await run.result()

        assert done[-1] == 99
        assert [call.attempt for call in app.calls()] == [1, 1, 2]


async def test_details_of_a_run_that_is_cancelled_are_taken_away() -> None:
    async with testing.app(living) as app:
        run = await app.client.start(living.call(100), run_id="r-1")
        await app.skip("30s")
        await run.cancel(wait=True)
        await app.until_settled()

        assert await details_left(app.twin.connect()) == 0


def test_silent_attempt_is_given_up_and_tried_again() -> None:
    assert testing.run(hanging.call(3600.0)) == 2
    assert testing.run(giving_up.call(3600.0)) == "heartbeat_timeout"
    assert testing.run(giving_up.call(9.0)) == "1"


def test_heartbeats_keep_an_attempt_alive() -> None:
    assert testing.run(living.call(100)) == 1


async def test_progress_is_told_to_who_watches() -> None:
    """A few of many, the newest in any case; nothing of it is stored."""
    notes: list[dict[str, Any]] = []
    async with testing.app(told) as app:
        broker = app.twin.connect()
        await broker.listen("wf.*.note.>", lambda _s, payload, _r: notes.append(msgspec.json.decode(payload)))
        run = await app.client.start(told.call(40), run_id="r-1")
        await run.result()
        shown = [note for note in notes if note["kind"] == "step_progress"]

        assert 8 <= len(shown) <= 14
        assert shown[0] == shown[0] | {"command": 1, "attempt": 1, "name": "telling", "fraction": 0.0, "text": "row 0"}
        assert (shown[-1]["fraction"], len(shown[-1]["text"])) == (1.0, 200)
        assert await details_left(broker) == 0


def test_details_survive_every_crash() -> None:
    testing.survives_every_crash(hanging.call(30.0))


# --- the attempt alone ----------------------------------------------------------------------------


def test_details_have_a_bound_and_must_be_json() -> None:
    one = Attempt(workflow="w", run="r", step="load", command=1, number=1)

    one.heartbeat({"row": 5})
    with pytest.raises(InvalidValue, match="at most 16384"):
        one.heartbeat("x" * HEARTBEAT_BYTES_MAX)
    with pytest.raises(InvalidValue, match="heartbeat of step 'load'"):
        one.heartbeat(object())


def test_details_are_read_as_a_type() -> None:
    """Those of another version of the step may not fit."""
    one = Attempt(workflow="w", run="r", step="load", command=1, number=1, heard=b'{"row":5}')

    assert one.last_heartbeat == {"row": 5}
    assert one.last_heartbeat_as(Place) == Place(5)
    with pytest.raises(InvalidValue, match="last heartbeat of step 'load'"):
        one.last_heartbeat_as(list[int])
    first = Attempt(workflow="w", run="r", step="load", command=1, number=1)
    assert first.last_heartbeat is None
    assert first.last_heartbeat_as(Place) is None


def test_logger_names_the_attempt(caplog: pytest.LogCaptureFixture) -> None:
    one = Attempt(workflow="w", run="r", step="load", command=3, number=2)

    with caplog.at_level(logging.INFO, logger="jetrun.step.load"):
        one.logger.info("row %d", 5)

    (record,) = caplog.records
    assert record.getMessage() == "row 5"
    assert vars(record)["fields"] == {"run": "w/r", "command": 3, "attempt": 2}
