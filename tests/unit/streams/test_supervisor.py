"""The supervisor and the lifeline, with real processes: what it replaces, what it passes on, and that nothing is orphaned."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jetrun.streams.supervisor import REPLACE, crash_note

PARENT = """
import sys
from jetrun.streams.supervisor import Policy, supervise
sys.exit(supervise([sys.executable, "-c", sys.argv[1], *sys.argv[2:]], Policy(what="worker", note_path=sys.argv[2], silence_max_s=0.5)))
"""
ADOPT = """
import os, signal, sys, time
from jetrun.streams.lifeline import Lifeline
lifeline = Lifeline.adopt()
assert lifeline is not None and "JETRUN_LIFELINE" not in os.environ
print(os.getpid(), lifeline.note_path, flush=True)
"""
BEAT_FOR_EVER = ADOPT + "\nwhile True: lifeline.beat(); time.sleep(0.05)\n"


def start(child: str, note: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, child, str(note)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def first_pid(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.stderr.read() if process.stderr else ""
    return int(line.split()[0])


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text() if sys.platform == "linux" else True


def wait_until_dead(pid: int, *, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not is_alive(pid):
            return True
        time.sleep(0.01)
    return False


def test_exit_code_of_the_worker_is_the_supervisors(tmp_path: Path) -> None:
    """A service manager sees how the worker ended; a code of wfctl's own was explained by the worker."""
    foreseen = start(ADOPT + "sys.exit(70)", tmp_path / "note")
    other = start(ADOPT + "sys.exit(9)", tmp_path / "note")

    _, silence = foreseen.communicate(timeout=20)
    _, complaint = other.communicate(timeout=20)

    assert (foreseen.returncode, silence) == (70, "")
    assert (other.returncode, complaint) == (9, "worker: ended with exit code 9\n")


def test_worker_that_dies_by_a_signal_ends_the_supervisor_with_its_code(tmp_path: Path) -> None:
    """A crash is not hidden by a restart: the crash note is for the next process."""
    process = start(ADOPT + "os.kill(os.getpid(), signal.SIGSEGV)", tmp_path / "note")

    _, complaint = process.communicate(timeout=20)

    assert process.returncode == 128 + signal.SIGSEGV
    assert complaint == "worker: was killed by SIGSEGV\n"


def test_worker_that_asks_to_be_replaced_is(tmp_path: Path) -> None:
    """A blocked workflow costs its own run, not the worker (R16)."""
    once = (
        f"\nif not os.path.exists(lifeline.note_path): open(lifeline.note_path, 'w'); sys.exit({REPLACE})\nsys.exit(0)"
    )
    process = start(ADOPT + once, tmp_path / "note")

    out, _ = process.communicate(timeout=20)

    assert process.returncode == 0
    assert len({line.split()[0] for line in out.splitlines()}) == 2
    assert {line.split()[1] for line in out.splitlines()} == {str(tmp_path / "note")}


def test_silent_worker_is_killed_and_replaced(tmp_path: Path) -> None:
    """A worker whose own watchdog cannot run is replaced from outside (R16)."""
    hang_once = "\nlifeline.beat()\nif not os.path.exists(lifeline.note_path): open(lifeline.note_path, 'w'); time.sleep(600)\nsys.exit(0)"
    process = start(ADOPT + hang_once, tmp_path / "note")

    out, complaint = process.communicate(timeout=20)

    assert process.returncode == 0
    assert len(out.splitlines()) == 2
    assert "gave no sign of life" in complaint


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_signals_are_passed_on_and_decide_the_exit_code(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """A graceful end is the worker's to carry out."""
    graceful = ADOPT.replace(
        "print(", "signal.signal(signal.SIGTERM, bye); signal.signal(signal.SIGINT, bye); print(", 1
    )
    graceful = "def bye(*_): print('bye', flush=True); sys.exit(0)\n" + graceful
    process = start(graceful + "\nwhile True: lifeline.beat(); time.sleep(0.05)", tmp_path / "note")
    first_pid(process)

    process.send_signal(number)
    out, complaint = process.communicate(timeout=20)

    assert (process.returncode, out, complaint) == (code, "bye\n", "")


def test_killed_supervisor_takes_the_worker_with_it(tmp_path: Path) -> None:
    """Nothing is orphaned, even by kill -9."""
    process = start(BEAT_FOR_EVER, tmp_path / "note")
    pid = first_pid(process)

    process.kill()
    process.communicate(timeout=20)

    assert wait_until_dead(pid, within_s=1.0)


def test_crash_note_slot_is_held_by_one_and_then_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers never share a note; the successor of a crashed one finds it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with crash_note("shop") as first, crash_note("shop") as second:
        assert first != second
    with crash_note("shop") as again:
        assert again == first


def test_silence_is_told_to_the_next_worker(tmp_path: Path) -> None:
    """The run that held the worker is parked by its successor: the note says that it was blocked (R16)."""
    note = tmp_path / "note"
    fold_once = """
from jetrun.actors.names import RunKey
from jetrun.streams.crash_note import CrashNote
found = CrashNote(lifeline.note_path)
if found.suspects:
    print(found.suspects[0].key, found.suspects[0].is_blocked, flush=True)
    sys.exit(0)
found.folding(RunKey("order", "o-1"), 1)
lifeline.beat()
time.sleep(600)
"""
    process = start(ADOPT + fold_once, note)

    out, complaint = process.communicate(timeout=20)

    assert out.splitlines()[-1] == "order/o-1 True"
    assert "gave no sign of life for 0 s while it ran order/o-1: killed" in complaint
    assert "most recent call first" in complaint


def test_crash_note_avoids_a_folder_that_others_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A note planted by another user could park any run."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    planted = tmp_path / f"jetrun-{os.getuid()}"
    planted.mkdir()
    planted.chmod(0o777)

    with crash_note("shop") as path:
        assert not path.startswith(f"{planted}/")
