"""The workflow that `wfctl demo` runs: an audit of the Python environment, a step per installed distribution.

A distribution's RECORD names its files with their hashes; a step computes them anew. Nothing is changed on disk.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import importlib.metadata
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from ..actors import hook, sleep, step, workflow

QUEUE: Final = "audit"

STEP_BUDGET_S: Final = 15.0
"""A distribution of many gigabytes is not read to its end: the rest of its files are counted as skipped."""

EXAMPLES_MAX: Final = 5
_CHUNK_BYTES: Final = 1024 * 1024


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """An installed distribution, as the first step finds it."""

    name: str
    version: str
    metadata: str
    """Path of its `.dist-info` or `.egg-info`."""


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """What one step found out about one distribution."""

    name: str
    version: str
    checked: int = 0
    """Files whose hash was computed."""
    bytes: int = 0
    mismatched: int = 0
    missing: int = 0
    unhashed: int = 0
    """Files that RECORD lists without a hash: itself, and compiled `.pyc` files."""
    skipped: int = 0
    """Files that the time budget left unread, or that may not be read."""
    examples: list[str] = []
    """Some of what is mismatched or missing."""
    has_record: bool = True
    is_editable: bool = False
    took_ms: int = 0


class Slow(msgspec.Struct, frozen=True, kw_only=True):
    """A distribution that took long."""

    name: str
    took_ms: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The result of the run."""

    distributions: int
    files_checked: int
    bytes: int
    mismatched: int
    missing: int
    unhashed: int
    skipped: int
    editable: list[str]
    without_record: list[str]
    problems: list[str]
    """`<distribution>: <file>`, a few of each."""
    slowest: list[Slow]
    approved_by: str


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """The payload of the hook."""

    ok: bool
    by: str = ""


@step(queue=QUEUE, timeout="30s", max_retries=1)
def list_distributions() -> list[Installed]:
    """Finds what is installed where this step worker runs."""
    found: dict[str, Installed] = {}
    for distribution in importlib.metadata.distributions():
        path = _metadata_of(distribution)
        # A broken installation can lack its metadata file, and the same folder can be on the path twice.
        if path is None or str(path) in found or "Name" not in distribution.metadata:
            continue
        metadata = distribution.metadata
        version = metadata["Version"] if "Version" in metadata else ""  # noqa: SIM401  # it has no `get` in the types
        found[str(path)] = Installed(name=metadata["Name"], version=version, metadata=str(path))
    return sorted(found.values(), key=lambda installed: (installed.name.lower(), installed.metadata))


@step(queue=QUEUE, timeout="60s", max_retries=1)
def audit_distribution(installed: Installed) -> Audit:
    """Computes the hashes of a distribution's files and compares them with its RECORD."""
    started = time.perf_counter()
    metadata = Path(installed.metadata)
    checked = size = mismatched = missing = unhashed = skipped = 0
    examples: list[str] = []
    for name, expected in _read_record(metadata):
        path = metadata.parent / name
        if not expected:
            unhashed += 1
        elif time.perf_counter() - started > STEP_BUDGET_S:
            skipped += 1
        else:
            match _hash_of(path, expected.partition("=")[0]):
                case "missing":
                    missing += 1
                    examples.append(f"{name} is missing")
                case "unreadable":
                    skipped += 1
                case (digest, length):
                    checked += 1
                    size += length
                    if digest != expected.partition("=")[2].rstrip("="):
                        mismatched += 1
                        examples.append(f"{name} differs")
    return Audit(
        name=installed.name,
        version=installed.version,
        checked=checked,
        bytes=size,
        mismatched=mismatched,
        missing=missing,
        unhashed=unhashed,
        skipped=skipped,
        examples=examples[:EXAMPLES_MAX],
        has_record=(metadata / "RECORD").is_file(),
        is_editable=_is_editable(metadata),
        took_ms=round((time.perf_counter() - started) * 1000),
    )


@workflow(name="audit", max_duration="10m")
async def audit_environment(pause: str) -> Report:
    """Audits all distributions at once, sleeps, waits for an approval, and reports."""
    installed = await list_distributions()
    audits = await asyncio.gather(*(audit_distribution(one) for one in installed))
    await sleep(pause)
    approval = await hook("approval", Approval, timeout="5m")
    slowest = sorted(audits, key=lambda audit: (-audit.took_ms, audit.name))[:3]
    return Report(
        distributions=len(audits),
        files_checked=sum(audit.checked for audit in audits),
        bytes=sum(audit.bytes for audit in audits),
        mismatched=sum(audit.mismatched for audit in audits),
        missing=sum(audit.missing for audit in audits),
        unhashed=sum(audit.unhashed for audit in audits),
        skipped=sum(audit.skipped for audit in audits),
        editable=[audit.name for audit in audits if audit.is_editable],
        without_record=[audit.name for audit in audits if not audit.has_record],
        problems=[f"{audit.name}: {example}" for audit in audits for example in audit.examples][:20],
        slowest=[Slow(name=audit.name, took_ms=audit.took_ms) for audit in slowest],
        approved_by=approval.by if approval.ok else "nobody",
    )


def _metadata_of(distribution: importlib.metadata.Distribution) -> Path | None:
    # The class that the standard finder returns keeps its folder there and says so nowhere in public.
    path = getattr(distribution, "_path", None)
    return path if isinstance(path, Path) else None


def _read_record(metadata: Path) -> Iterator[tuple[str, str]]:
    """Yields file name and expected hash; nothing where there is no RECORD (an egg, a system package)."""
    try:
        text = (metadata / "RECORD").read_text("utf-8", "replace")
    except OSError:
        return
    for row in csv.reader(text.splitlines()):
        if row and row[0]:
            yield row[0], row[1] if len(row) > 1 else ""


_Hashed: TypeAlias = tuple[str, int] | Literal["missing", "unreadable"]


def _hash_of(path: Path, algorithm: str) -> _Hashed:
    """Computes a file's hash as RECORD writes it (URL-safe base64 without padding) and its length."""
    try:
        digest = hashlib.new(algorithm, usedforsecurity=False)
        length = 0
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                length += len(chunk)
    except FileNotFoundError:
        return "missing"
    except (OSError, ValueError, TypeError):  # no right to read it, or a hash that this Python does not know
        return "unreadable"
    return urlsafe_b64encode(digest.digest()).rstrip(b"=").decode(), length


class _Directory(msgspec.Struct):
    editable: bool = False


class _Origin(msgspec.Struct):
    dir_info: _Directory | None = None


def _is_editable(metadata: Path) -> bool:
    try:
        origin = msgspec.json.decode((metadata / "direct_url.json").read_bytes(), type=_Origin)
    except (OSError, msgspec.DecodeError):
        return False
    return origin.dir_info is not None and origin.dir_info.editable
