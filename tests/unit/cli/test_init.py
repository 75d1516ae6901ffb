"""wfctl init: writes a project, and writes over nothing. That the project runs is shown on a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from jetrun.cli.main import main
from jetrun.cli.skeleton import FILES


def test_skeleton_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Into a folder that need not be there."""
    assert main(["init", str(tmp_path / "a" / "shop")]) == 0

    written = {path.name: path.read_text() for path in (tmp_path / "a" / "shop").iterdir()}
    assert written == FILES
    assert capsys.readouterr().out.splitlines()[-1] == f"run it:   cd {tmp_path / 'a' / 'shop'} && wfctl dev"


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_written_over(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing is written beside it: half a project would not run."""
    (tmp_path / name).symlink_to("elsewhere")  # also where there is nothing behind it

    assert main(["init", str(tmp_path)]) == 2

    complaint = capsys.readouterr().err
    assert complaint == f"error: {name} is in {str(tmp_path)!r} already: nothing was written; name another DIR\n"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_folder_that_cannot_be_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file stands in the way."""
    (tmp_path / "shop").write_text("")

    assert main(["init", str(tmp_path / "shop")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
