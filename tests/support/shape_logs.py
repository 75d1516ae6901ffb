"""Prints a hash of each shape's log, for several seeds: `python -m support.shape_logs`. The same in every process."""

from __future__ import annotations

from hashlib import sha256

from support.player import Player, Trouble
from support.workflow_shapes import SHAPES

SEEDS = range(3)
ROUGH = Trouble(group_max=4, twice=0.2, shuffle=0.3, crash=0.1)


def log_hashes() -> list[str]:
    """Hashes the stored bytes of every shape's log."""
    found: list[str] = []
    for shape in SHAPES:
        digest = sha256()
        for seed in SEEDS:
            for raw, _ in Player(shape, seed, ROUGH).play().log:
                digest.update(raw)
        found.append(f"{shape.name} {digest.hexdigest()}")
    return found


if __name__ == "__main__":
    print("\n".join(log_hashes()))
