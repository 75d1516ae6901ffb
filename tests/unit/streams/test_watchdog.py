"""The watchdog without a supervisor: it reports a fold that holds the loop and interrupts it (R16)."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jetrun.actors.limits import QUERY_S
from jetrun.actors.names import RunKey
from jetrun.actors.signals import Blocked
from jetrun.streams.crash_note import CrashNote, read_note
from jetrun.streams.watchdog import Watchdog

KEY = RunKey("order", "o-1")
WARN_S = 0.05


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    watchdog = Watchdog(CrashNote(None), warn_s=WARN_S, limit_s=0.5)
    watchdog.start()
    yield watchdog
    watchdog.stop()


def spin(seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def test_a_fold_that_holds_the_loop_is_reported_and_interrupted(
    watchdog: Watchdog, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody could tell which of a thousand runs it is, nor where it hangs."""
    watchdog.begin(KEY, 1)
    with pytest.raises(Blocked):
        spin()

    assert watchdog.end()
    reports = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [vars(record)["event"] for record in reports] == ["workflow.blocks", "workflow.blocked"]
    assert all(vars(record)["fields"]["run"] == "order/o-1" for record in reports)
    assert "in spin" in vars(reports[0])["fields"]["stack"]


def test_code_that_catches_everything_is_interrupted_again(watchdog: Watchdog) -> None:
    """`except BaseException: continue` is a bug, not a way to stop a worker."""
    watchdog.begin(KEY, 1)
    caught = 0
    while caught < 3:
        try:
            spin()
        except BaseException:
            caught += 1

    assert watchdog.end()


def test_after_the_end_nothing_is_interrupted(watchdog: Watchdog) -> None:
    """The next run would pay for the last one."""
    watchdog.begin(KEY, 1)
    with contextlib.suppress(Blocked):
        spin()
    watchdog.end()

    spin(0.3)
    watchdog.begin(KEY, 1)

    assert not watchdog.end()


def test_quick_folds_are_left_alone(watchdog: Watchdog, caplog: pytest.LogCaptureFixture) -> None:
    """Many short folds are not one long one. A machine that stands still in one makes it long: that is reported rightly."""
    is_short = False
    while not is_short:
        caplog.clear()
        is_short = fold_for(watchdog, 6 * WARN_S) < WARN_S

    assert not caplog.records


def fold_for(watchdog: Watchdog, seconds: float) -> float:
    """Does folds of a millisecond for that time; returns how long the longest has really taken."""
    longest_s, until = 0.0, time.monotonic() + seconds
    while (began := time.monotonic()) < until:
        watchdog.begin(KEY, 1)
        spin(0.001)
        assert not watchdog.end()
        longest_s = max(longest_s, time.monotonic() - began)
    return longest_s


def test_signs_of_life_come_while_the_loop_is_held() -> None:
    """A supervisor that hears nothing kills: it is for workers whose watchdog cannot run."""
    beats: list[float] = []
    watchdog = Watchdog(CrashNote(None), warn_s=0.05, limit_s=60, beat=lambda: beats.append(time.monotonic()))
    watchdog.start()

    watchdog.begin(KEY, 1)
    until = time.monotonic() + 5.0
    while len(beats) <= 3 and time.monotonic() < until:
        pass
    watchdog.end()
    watchdog.stop()

    assert len(beats) > 3


def test_a_query_has_less_time_and_is_nobodys_crash(tmp_path: Path) -> None:
    """Under a supervisor a fold would end the process and park its run; who asks in a wrong way must not do that."""
    note = tmp_path / "note"
    watchdog = Watchdog(CrashNote(str(note)), warn_s=0.05, limit_s=60.0)
    watchdog.start()
    try:
        began = time.monotonic()
        watchdog.begin_look(KEY)
        with pytest.raises(Blocked):
            spin()
        assert QUERY_S <= time.monotonic() - began < 5.0
        assert watchdog.end()
        assert read_note(str(note)) == (None, {})
    finally:
        watchdog.stop()
