"""The code that a command works with: the modules that its options or the configuration name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .exits import UsageProblem

if TYPE_CHECKING:
    from ..actors.registry import Registry
    from ..client.settings import WorkerSettings


def load_code(worker: WorkerSettings) -> Registry:
    """Imports the modules.

    Raises:
        UsageProblem: None is named anywhere.
        RegistrationError: One of them cannot be imported, or is in conflict with another.
    """
    from ..client.modules import load

    check_named(worker)
    return load(worker.modules, worker.folder)


def check_named(worker: WorkerSettings) -> None:
    """Raises UsageProblem where no module is named anywhere."""
    if not worker.modules:
        raise UsageProblem("no module is named: give -m MODULE, or `modules` in jetrun.toml, or JETRUN_MODULES")


def listed(texts: list[str] | None) -> tuple[str, ...] | None:
    """Makes a repeatable option the value of a key; None where it was not given."""
    return tuple(texts) if texts else None
