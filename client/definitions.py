"""Definitions: what an app in one process is made of, from the workflows, steps and modules that a program names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any, TypeAlias, cast

from ..actors.graph_builder import Graph
from ..actors.graph_workflow import GraphWorkflow
from ..actors.registry import RegistrationError, Registry
from ..actors.step import Step
from ..actors.workflow import Call, Workflow
from .modules import load

Definition: TypeAlias = Workflow[..., Any] | Step[..., Any] | Graph | ModuleType | str
"""A workflow, a graph, a step, or a module (or its name) with all that its namespace holds."""


def collect(definitions: Iterable[Definition]) -> Registry:
    """Collects definitions, and the steps that the workflows among them can see: in their module, and around them.

    Raises:
        RegistrationError: Two definitions have one name, a module cannot be imported, or there is nothing.
    """
    registry = Registry(workflows={}, steps={})
    for definition in definitions:
        if isinstance(definition, str):
            named = load([definition])
            for workflow in named.workflows.values():
                registry.add(workflow)
            for step in named.steps.values():
                registry.add(step)
        elif isinstance(definition, ModuleType):
            registry.add_module(definition)
        else:
            registry.add(definition)
    if not registry.workflows and not registry.steps:
        raise RegistrationError("no workflow and no step; name them, or the module that holds them")
    for workflow in list(registry.workflows.values()):
        for step in _seen_by(workflow.function):
            if registry.steps.get(step.name, step.base) is step.base:
                registry.add(step)
    return registry


def workflow_of(call: Call[Any]) -> Workflow[..., Any]:
    """Finds the workflow that a call means among all modules that are loaded.

    Raises:
        RegistrationError: There is none of that name, or more than one with that result: it has to be named.
    """
    found: list[Workflow[..., Any]] = []
    for module in list(sys.modules.values()):
        for listed in list(getattr(module, "__dict__", {}).values()):
            is_built = isinstance(listed, Graph) and listed.name == call.workflow
            value = GraphWorkflow.of(listed) if is_built else listed
            if isinstance(value, Workflow) and not any(value is known for known in found):
                workflow = cast("Workflow[..., Any]", value)
                if workflow.name == call.workflow:
                    found.append(workflow)
    if len(found) > 1:  # the same name in other modules: most often another result
        found = [workflow for workflow in found if workflow.signature.result_type is call.result_type]
    if len(found) == 1:
        return found[0]
    modules = ", ".join(sorted(workflow.__module__ for workflow in found))
    where = f"is defined in {modules}" if found else "is in no loaded module"
    raise RegistrationError(f"workflow {call.workflow!r} {where}; name it after the call: run(call, workflow)")


def _seen_by(function: Callable[..., Any]) -> Iterator[Step[..., Any]]:
    values: list[object] = list(getattr(function, "__globals__", {}).values())
    for cell in getattr(function, "__closure__", None) or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:
            continue  # not assigned yet
    for value in values:
        if type(value) is Step:
            yield cast("Step[..., Any]", value)
