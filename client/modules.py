"""Modules: finds the workflows and steps that a worker or command is to know, by the names of the modules that hold them,
and graphs by the files of their definitions.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ..actors import registry
from ..actors.errors import JetrunError
from ..actors.graph_definition import Definition
from ..actors.graph_workflow import GraphWorkflow
from ..actors.limits import GRAPH_DEFINITION_BYTES_MAX
from ..actors.registry import RegistrationError, Registry

_DOCUMENTS: Final = (".yaml", ".yml", ".json")
_OURS: Final = (__file__, str(Path(registry.__file__).parent))


def load(modules: Sequence[str], folder: Path | None = None) -> Registry:
    """Imports the modules, as `python -m` would find them from here, and collects what is registered in them.

    Args:
        modules: Names, and paths of graphs' definitions (`deploy.yaml`): those are registered under the names that they
            give themselves, or their files'.
        folder: Where they are looked for first; the working directory if None.

    Raises:
        RegistrationError: One line: which module, what is wrong with it, and where.
    """
    names = [module for module in modules if not module.endswith(_DOCUMENTS)]
    here = str(folder or Path.cwd())
    if here not in sys.path and (folder is not None or "" not in sys.path):
        sys.path.insert(0, here)
    for module in names:
        _import(module, here)
    documents = [_graph(Path(here, module)) for module in modules if module.endswith(_DOCUMENTS)]
    found = Registry.of_modules(names) if names or not documents else Registry(workflows={}, steps={})
    for graph in documents:
        found.add(graph)
    return found


def _graph(path: Path) -> GraphWorkflow:
    """Makes a workflow of a definition in a file. Raises RegistrationError."""
    try:
        with path.open("rb") as file:
            raw = file.read(GRAPH_DEFINITION_BYTES_MAX + 1)
        definition = Definition.of(raw, name=path.stem)
        given = definition.value.get("name")
        name = given if isinstance(given, str) else path.stem
        return GraphWorkflow(definition, name=name, module=str(path))
    except OSError as error:
        raise RegistrationError(f"graph {path}: {error.strerror}") from error
    except JetrunError as error:
        raise RegistrationError(f"{path}: {' '.join(str(error).split())}") from error


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
