"""The folder of a campaign: kept when somebody asked for it, or will want to look into it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Self


class Folder:
    """A folder for logs and histories; removed at the end of the block unless it is wanted."""

    def __init__(self, path: Path, *, is_wanted: bool) -> None:
        self.path = path
        self.is_wanted = is_wanted

    @classmethod
    def open(cls, path: str | None) -> Self:
        """Makes the folder of that name, which is kept and has to be empty, or one for the time being."""
        if path is None:
            return cls(Path(tempfile.mkdtemp(prefix="campaign-")), is_wanted=False)
        folder = Path(path).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise SystemExit(f"{folder} is not empty: another campaign is in it")
        return cls(folder, is_wanted=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if not self.is_wanted and kind is None:
            shutil.rmtree(self.path, ignore_errors=True)
