"""The demo's steps on installations of every kind; called outside a workflow they are plain functions."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from jetrun.cli import demo_flow
from jetrun.cli.demo_flow import Audit, Installed, audit_distribution, list_distributions


def record_line(name: str, data: bytes, algorithm: str = "sha256") -> str:
    digest = base64.urlsafe_b64encode(hashlib.new(algorithm, data).digest()).rstrip(b"=").decode()
    return f"{name},{algorithm}={digest},{len(data)}"


def make_distribution(site: Path, record: str | None, **files: bytes) -> Installed:
    metadata = site / "thing-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
    if record is not None:
        (metadata / "RECORD").write_text(record)
    for name, data in files.items():
        (site / name).write_bytes(data)
    return Installed(name="thing", version="1.0", metadata=str(metadata))


def audit(installed: Installed) -> Audit:
    found = audit_distribution.function(installed)
    assert isinstance(found, Audit)
    return found


def test_audit_counts_what_matches_differs_and_is_missing(tmp_path: Path) -> None:
    """Every file of a RECORD ends in one count."""
    record = "\n".join(
        [
            record_line("good", b"good"),
            record_line("changed", b"before"),
            record_line("gone", b"gone"),
            record_line("sha512", b"x", "sha512"),
            "compiled.pyc,,",
            "thing-1.0.dist-info/RECORD,,",
            "odd,nohash=abc,1",
            "",
        ]
    )
    installed = make_distribution(tmp_path, record, good=b"good", changed=b"after", sha512=b"x", odd=b"1")

    found = audit(installed)

    assert (found.checked, found.mismatched, found.missing, found.unhashed, found.skipped) == (3, 1, 1, 2, 1)
    assert found.bytes == len(b"good" + b"after" + b"x")
    assert found.examples == ["changed differs", "gone is missing"]
    assert found.has_record


def test_audit_of_an_editable_installation(tmp_path: Path) -> None:
    """An editable install's RECORD lists links and metadata alone, and that is fine."""
    installed = make_distribution(tmp_path, record_line("link.pth", b"/src"), **{"link.pth": b"/src"})
    (Path(installed.metadata) / "direct_url.json").write_text('{"url": "file:///src", "dir_info": {"editable": true}}')

    found = audit(installed)

    assert (found.is_editable, found.checked, found.mismatched) == (True, 1, 0)


@pytest.mark.parametrize("origin", ["[]", "{bad", '{"dir_info": 1}', '{"dir_info": {"editable": "yes"}}'])
def test_odd_origin_files_are_not_editable(tmp_path: Path, origin: str) -> None:
    """What other tools write there cannot break the audit."""
    installed = make_distribution(tmp_path, "")
    (Path(installed.metadata) / "direct_url.json").write_text(origin)

    assert not audit(installed).is_editable


def test_audit_without_record(tmp_path: Path) -> None:
    """System packages and eggs have none."""
    found = audit(make_distribution(tmp_path, None))

    assert (found.has_record, found.checked) == (False, 0)


def test_audit_of_a_distribution_that_vanished(tmp_path: Path) -> None:
    """pip may run beside the audit."""
    found = audit(Installed(name="thing", version="1.0", metadata=str(tmp_path / "gone.dist-info")))

    assert (found.has_record, found.checked) == (False, 0)


def test_audit_follows_names_out_of_the_folder_and_quotes(tmp_path: Path) -> None:
    """Scripts are listed as `../../../bin/x`; names may hold commas."""
    script, odd = tmp_path / "bin" / "thing", tmp_path / "lib" / "a,b"
    script.parent.mkdir()
    odd.parent.mkdir()
    script.write_bytes(b"#!")
    odd.write_bytes(b"odd")
    lines = [record_line("../bin/thing", b"#!"), record_line("X", b"odd").replace("X", '"a,b"', 1)]

    found = audit(make_distribution(tmp_path / "lib", "\n".join(lines)))

    assert (found.checked, found.mismatched, found.missing) == (2, 0, 0)


def test_audit_stops_reading_when_its_budget_is_spent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment of many gigabytes does not keep the demo from ending; what was not read is said."""
    monkeypatch.setattr(demo_flow, "STEP_BUDGET_S", -1.0)

    found = audit(make_distribution(tmp_path, record_line("good", b"good"), good=b"good"))

    assert (found.checked, found.skipped) == (0, 1)


def test_list_finds_this_environment_once_each() -> None:
    """Each metadata folder is audited once, whatever sys.path repeats."""
    found = list_distributions.function()

    assert len({installed.metadata for installed in found}) == len(found)
    assert "msgspec" in {installed.name for installed in found}
