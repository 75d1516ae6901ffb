"""Modules: finds the workflows and steps that a worker or command is to know, by the names of the modules that hold them."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ..actors import registry
from ..actors.registry import RegistrationError, Registry

_OURS: Final = (__file__, str(Path(registry.__file__).parent))


def load(modules: Sequence[str], folder: Path | None = None) -> Registry:
    """Imports the modules, as `python -m` would find them from here, and collects what is registered in them.

    Args:
        folder: Where they are looked for first; the working directory if None.

    Raises:
        RegistrationError: One line: which module, what is wrong with it, and where.
    """
    here = str(folder or Path.cwd())
    if here not in sys.path and (folder is not None or "" not in sys.path):
        sys.path.insert(0, here)
    for module in modules:
        _import(module, here)
    return Registry.of_modules(list(modules))


def _import(module: str, here: str) -> None:
    if module.endswith(".py") or "/" in module:
        dotted = module.removesuffix(".py").strip("./").replace("/", ".")
        raise RegistrationError(f"module {module!r} is a path; name it as in an import: {dotted}")
    try:
        importlib.import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever foreign code raises while it is imported, SystemExit included
        raise RegistrationError(f"module {module!r} does not import: {_shown(error, module, here)}") from error


def _shown(error: BaseException, module: str, here: str) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and (module + ".").startswith(error.name + "."):
        return f"no module {error.name!r} in {here} or on sys.path"
    text = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if "importlib" not in frame.filename and not frame.filename.startswith(_OURS)]
    place = f" ({inside[-1].filename}:{inside[-1].lineno})" if inside and not isinstance(error, SyntaxError) else ""
    return f"{type(error).__name__}: {text}{place}" if text else f"{type(error).__name__}{place}"
