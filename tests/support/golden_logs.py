"""Golden logs: logs of the shapes as a released version wrote them. They must replay for ever.

`python -m support.golden_logs` (in tests/) records the shapes that have no log in the folder of the current version.
What is there is never written again: a log that does not replay any more is a defect of today's code.
"""

from __future__ import annotations

import sys
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from msgspec.structs import replace

from jetrun.actors.records import decode_record, encode_record
from support.player import Player, Trouble
from support.workflow_shapes import SHAPES

FOLDER = Path(__file__).parents[1] / "golden"
SUMS = "SHA256SUMS"
ROUGH = Trouble(group_max=3, twice=0.1, shuffle=0.2, crash=0.2)


def golden_files() -> list[Path]:
    """Lists all golden logs, of all versions."""
    return sorted(FOLDER.glob("*/*.jsonl"))


def sums(folder: Path) -> dict[str, str]:
    """Reads the hashes of a version's logs."""
    path = folder / SUMS
    lines = path.read_text().splitlines() if path.exists() else []
    return {name: digest for digest, name in (line.split() for line in lines)}


def read(path: Path) -> list[bytes]:
    """Reads the stored bytes of a log's records."""
    return path.read_bytes().splitlines()


def add(folder: Path) -> list[str]:
    """Records the shapes that have no log in the folder; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    known = sums(folder)
    added: list[str] = []
    for shape in SHAPES:
        path = folder / f"{shape.name}.jsonl"
        rig = Player(shape, 11, ROUGH).play()
        if path.exists() or rig.objects:
            continue  # large values, which the log only names, are left to the other tests
        data = b"".join(_anonymous(raw) + b"\n" for raw, _ in rig.log)
        path.write_bytes(data)
        known[path.name] = sha256(data).hexdigest()
        added.append(shape.name)
    (folder / SUMS).write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(known.items())))
    return added


def _anonymous(raw: bytes) -> bytes:
    """Leaves out where the code was when it failed; only the last record can say so, and none names its hash."""
    record = decode_record(raw)
    outcome = record.outcome
    if outcome is None or outcome.error is None:
        return raw
    error = replace(outcome.error, traceback="")
    return encode_record(replace(record, outcome=replace(outcome, error=error)))


if __name__ == "__main__":
    sys.stdout.write("\n".join(add(FOLDER / version("jetrun"))) + "\n")
