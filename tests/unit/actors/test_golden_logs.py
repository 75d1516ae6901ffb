"""Logs that a released version wrote replay for ever: a run may sleep through any number of upgrades (P8)."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jetrun.actors.commands import signature
from jetrun.actors.events import events_of
from jetrun.actors.journal import message_of
from jetrun.actors.records import Record, decode_record, encode_record
from support.golden_logs import FOLDER, add, golden_files, read, sums
from support.log_rig import LogRig, decisions
from support.workflow_shapes import SHAPES

BY_NAME = {shape.name: shape for shape in SHAPES}

every_log = pytest.mark.parametrize(
    "path", golden_files(), ids=lambda path: f"{path.parent.name}-{path.stem}" if isinstance(path, Path) else ""
)


def essence(record: Record) -> dict[str, Any]:
    """What a decision says, without what later versions may say in other words."""
    outcome = record.outcome
    return {
        "commands": [(command.n, *signature(command)) for command in record.commands],
        "fired": record.fired,
        "retries": record.retries,
        "refused": [(one.source, one.seq, one.code) for one in record.refused],
        "kept": record.kept,
        "undecided": record.undecided,
        "outcome": outcome and (outcome.status, bytes(outcome.result), outcome.error and outcome.error.type),
    }


def rig_of(path: Path) -> LogRig:
    shape = BY_NAME[path.stem]
    rig = LogRig(shape.workflow, run=f"run-{shape.name}", check=False)
    rig.log = [(raw, 10 * (index + 1)) for index, raw in enumerate(read(path))]
    return rig


def test_there_are_golden_logs_of_every_kind() -> None:
    assert len(golden_files()) >= 25


@every_log
def test_golden_log_was_not_changed(path: Path) -> None:
    """A log that does not replay is a defect of today's code, never of the log."""
    assert sha256(path.read_bytes()).hexdigest() == sums(path.parent)[path.name]


@every_log
def test_golden_log_is_read_whole(path: Path) -> None:
    """No field of it is lost on the way through today's structs."""
    for raw in read(path):
        record = decode_record(raw)
        assert encode_record(record) == raw
        assert record.undecided or events_of(record) or not record.messages


@every_log
def test_golden_log_leads_to_the_same_decisions(path: Path) -> None:
    """After each of its records today's code decides what the old code decided."""
    rig = rig_of(path)
    records = rig.records
    for index in range(len(records)):
        if index and records[index - 1].more:
            continue
        actor = rig.replayed(rig.log[:index])
        messages = [message_of(folded) for folded in records[index].messages]
        made = actor.fold(messages, objects={}, nonce="n")
        end = index + 1 + next(i for i, record in enumerate(records[index:]) if not record.more)
        expected = decisions(records[index:end])
        assert [essence(one) for one in decisions(made.parts)] == [essence(one) for one in expected]
        actor.close()


def test_recording_never_writes_over_a_log(tmp_path: Path) -> None:
    names = add(tmp_path)
    (tmp_path / f"{names[0]}.jsonl").write_bytes(b"mine\n")

    assert add(tmp_path) == []
    assert (tmp_path / f"{names[0]}.jsonl").read_bytes() == b"mine\n"
    assert msgspec.json.encode(sorted(sums(tmp_path))) == msgspec.json.encode(sorted(f"{n}.jsonl" for n in names))
    assert FOLDER.name == "golden"
