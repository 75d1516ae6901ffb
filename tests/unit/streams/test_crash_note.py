"""The crash note: what a process that dies leaves to the next, and what that makes of it (R16)."""

from __future__ import annotations

from pathlib import Path

import pytest

from jetrun.actors.limits import SUSPECT_DELIVERIES
from jetrun.actors.names import RunKey
from jetrun.streams.crash_note import CrashNote, Suspect, mark_blocked, read_note

DEADLY = RunKey("order", "o-1")
LONGEST = RunKey("w" * 128, "r" * 128)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "note")


def die_in(path: str, key: RunKey, deliveries: int = 1) -> CrashNote:
    """Leaves the note as a process that dies in a fold does."""
    note = CrashNote(path)
    note.folding(key, deliveries)
    return note


def test_a_process_that_dies_idle_leaves_no_suspect(path: str) -> None:
    """A run that was folded before would be parked for somebody else's crash."""
    die_in(path, DEADLY).idle()

    assert CrashNote(path).suspects == []


def test_one_death_is_an_accident_and_three_are_a_habit(path: str) -> None:
    """A killed worker must not park a run; a run that kills each worker must not stop the app for ever."""
    for death in range(1, SUSPECT_DELIVERIES + 1):
        assert CrashNote(path).suspects == [], death
        die_in(path, DEADLY)

    assert CrashNote(path).suspects == [Suspect(DEADLY, SUSPECT_DELIVERIES, is_blocked=False)]


def test_deaths_are_remembered_over_those_of_others(path: str) -> None:
    """Two deadly runs in turn would each look like an accident."""
    others = [RunKey("order", f"other-{number}") for number in range(SUSPECT_DELIVERIES)]
    for other in others:
        die_in(path, DEADLY)
        die_in(path, other)

    assert [suspect.key for suspect in CrashNote(path).suspects] == [DEADLY]


def test_a_fold_that_ends_clears_the_run(path: str) -> None:
    """Three kills in a year would add up."""
    for _ in range(SUSPECT_DELIVERIES - 1):
        die_in(path, DEADLY)
    note = CrashNote(path)
    note.folding(DEADLY, 1)
    note.idle()
    note.forgive(DEADLY)

    die_in(path, DEADLY)

    assert CrashNote(path).suspects == []


def test_a_replay_that_ends_does_not(path: str) -> None:
    """A run that dies of its newest message replays well each time before."""
    for _ in range(SUSPECT_DELIVERIES):
        note = CrashNote(path)
        note.folding(DEADLY, 1)
        note.idle()
        note.folding(DEADLY, 1)

    assert [suspect.key for suspect in CrashNote(path).suspects] == [DEADLY]


def test_a_parked_run_is_forgiven(path: str) -> None:
    """A run whose code was mended and that is unparked would be parked again by the next deploy."""
    for _ in range(SUSPECT_DELIVERIES):
        die_in(path, DEADLY)
    note = CrashNote(path)
    note.forgive(DEADLY)

    assert CrashNote(path).suspects == []


def test_deliveries_count_as_deaths_elsewhere(path: str) -> None:
    """A message that has been with three workers comes with a history that this machine's note does not hold."""
    die_in(path, DEADLY, deliveries=SUSPECT_DELIVERIES)

    assert [suspect.key for suspect in CrashNote(path).suspects] == [DEADLY]


def test_a_blocked_run_is_suspect_at_once(path: str) -> None:
    """Its next worker would be held for another ten seconds."""
    die_in(path, DEADLY).blocked()

    assert CrashNote(path).suspects == [Suspect(DEADLY, 1, is_blocked=True)]


def test_silence_is_marked_from_outside_where_a_fold_was_under_way(path: str) -> None:
    """The supervisor knows that it killed a silent process, the note which run it was at."""
    die_in(path, DEADLY)
    mark_blocked(path)
    assert CrashNote(path).suspects == [Suspect(DEADLY, 1, is_blocked=True)]

    die_in(path, DEADLY).idle()
    mark_blocked(path)
    assert CrashNote(path).suspects == []

    mark_blocked(f"{path}-that-is-not-there")


def test_the_longest_names_and_many_deaths_fit(path: str) -> None:
    """A note that is cut names another run, or none."""
    for number in range(100):
        die_in(path, RunKey(LONGEST.workflow, f"{number:0128}"))
    note = die_in(path, LONGEST, deliveries=10**9)

    assert [(s.key, s.deaths) for s in CrashNote(path).suspects] == [(LONGEST, 10**9)]
    note.idle()


@pytest.mark.parametrize(
    "raw", [b"", b"F", b"F 1 order\n", b"F x order/o-1\n", b"F 1 ../../etc/o-1\n", b"\xff" * 6000, b"F" * 6000]
)
def test_a_note_that_is_none_is_ignored(path: str, raw: bytes) -> None:
    """A full disk or a stranger's file would keep the worker from starting."""
    Path(path).write_bytes(raw)

    assert read_note(path)[0] is None
    assert CrashNote(path).suspects == []


def test_without_a_path_nothing_is_kept() -> None:
    """A worker without supervisor has nobody to read it."""
    note = CrashNote(None)
    note.folding(DEADLY, 1)
    note.blocked()
    note.idle()

    assert not note.is_kept
