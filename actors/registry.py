"""The registry: the workflows and steps that a worker knows, collected from modules; never filled by import alone."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any, cast

import msgspec

from .errors import DefinitionError
from .graph_builder import Graph
from .graph_workflow import GraphWorkflow
from .step import Step
from .workflow import Workflow


class RegistrationError(DefinitionError):
    """Modules that cannot be loaded, or that hold two definitions of one name."""


class Registry(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker can decide and execute, by name."""

    workflows: dict[str, Workflow[..., Any]] = {}
    steps: dict[str, Step[..., Any]] = {}
    """Also the bodies of workflows with `durable=False`, under names that no step can have."""
    older: dict[str, dict[int, Workflow[..., Any]]] = {}
    """Versions of workflows besides the newest, by name and version: for the runs that began under them."""
    option_queues: set[str] = set()
    """Of steps that `Step.options` has given another queue, and of tasks of graphs."""

    @classmethod
    def of(cls, *definitions: Workflow[..., Any] | Step[..., Any] | Graph) -> Registry:
        """Collects the definitions given. Raises RegistrationError when two have one name."""
        registry = cls()
        for definition in definitions:
            registry.add(definition)
        return registry

    @classmethod
    def of_modules(cls, names: Iterable[str]) -> Registry:
        """Imports the modules and collects what their namespaces hold.

        Raises:
            RegistrationError: One line: which module, and what is wrong with it.
        """
        names = list(names)
        registry = cls()
        for name in names:
            registry.add_module(_imported(name))
        if not registry.workflows and not registry.steps:
            raise RegistrationError(
                f"no workflow or step in module(s) {', '.join(names) or '(none)'}; decorate with @workflow and @step"
            )
        return registry

    def add_module(self, module: ModuleType) -> None:
        """Collects the workflows and steps that a module's namespace holds."""
        for value in cast("list[object]", list(vars(module).values())):
            if isinstance(value, (Workflow, Step, Graph)):
                self.add(cast("Workflow[..., Any] | Step[..., Any] | Graph", value))

    def with_engine(self, definitions: Iterable[Workflow[..., Any]]) -> Registry:
        """Returns a registry that knows the engine's own workflows, too (`engine.ENGINE_WORKFLOWS`)."""
        return msgspec.structs.replace(self, workflows={**self.workflows, **{one.name: one for one in definitions}})

    def add(self, definition: Workflow[..., Any] | Step[..., Any] | Graph) -> None:
        """Adds one definition; a graph is a workflow.

        Raises:
            RegistrationError: Its name is taken by another, a graph is not valid, or no JSON can fit one of its parameters or
                its result.
        """
        if isinstance(definition, Graph):
            try:
                definition = GraphWorkflow.of(definition)
            except DefinitionError as error:
                raise RegistrationError(str(error)) from error
        if isinstance(definition, Step):
            if definition.fallback is not None:
                self.add(definition.fallback)
            if definition.base is not definition:
                self.option_queues.add(definition.queue)
                definition = definition.base
        kind = "workflow" if isinstance(definition, Workflow) else "step"
        other = self._place(definition) if isinstance(definition, Workflow) else self._place_step(definition)
        if other is not definition and not _is_same(other, definition):
            raise RegistrationError(
                f"{kind} {definition.name!r} is defined twice: in {other.__module__} and {definition.__module__}; "
                f"give one of them another name={', or a version=' if kind == 'workflow' else ''}"
            )
        if isinstance(definition, GraphWorkflow):
            self.option_queues.update(definition.queues)
        try:
            definition.signature.check()
        except DefinitionError as error:
            raise RegistrationError(str(error)) from error
        if isinstance(definition, Workflow) and definition.body is not None:
            self.steps.setdefault(definition.body.name, definition.body)

    def _place(self, workflow: Workflow[..., Any]) -> Workflow[..., Any]:
        """Puts a workflow in its place; returns what stands there."""
        newest = self.workflows.setdefault(workflow.name, workflow)
        if workflow.version == newest.version:
            return newest
        older = self.older.setdefault(workflow.name, {})
        if workflow.version < newest.version:
            return older.setdefault(workflow.version, workflow)
        older[newest.version] = newest
        self.workflows[workflow.name] = workflow
        return workflow

    def _place_step(self, step: Step[..., Any]) -> Step[..., Any]:
        return self.steps.setdefault(step.name, step)

    @property
    def queues(self) -> list[str]:
        """The queues that the steps name, and the workflows with `durable=False`, sorted."""
        return sorted({step.queue for step in self.steps.values()} | self.option_queues)


def _is_same(one: Workflow[..., Any] | Step[..., Any], other: Workflow[..., Any] | Step[..., Any]) -> bool:
    """Tells whether a function was decorated twice with the same options: either will do."""
    if isinstance(one, GraphWorkflow) and isinstance(other, GraphWorkflow):
        return one.code_hash == other.code_hash
    return one.function is other.function and _options(one) == _options(other)


def _options(definition: Workflow[..., Any] | Step[..., Any]) -> tuple[object, ...]:
    if isinstance(definition, Workflow):
        body = definition.body
        place = None if body is None else body.queue
        return (definition.options, place)
    return (
        (definition.queue, definition.retry, definition.timeout_us, definition.recovery),
        (definition.schedule_to_close_us, definition.heartbeat_us, definition.on_failure, definition.is_inline),
    )


def _imported(name: str) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise RegistrationError(f"no module {name!r}; is it installed, or the working directory right?") from error
        raise RegistrationError(
            f"module {name!r} cannot be imported: it needs {error.name!r}, which is missing"
        ) from error
    except BaseException as error:  # user code at import: whatever it raises is one clear line
        if isinstance(error, KeyboardInterrupt):
            raise
        raise RegistrationError(f"module {name!r} cannot be imported: {type(error).__name__}: {error}") from error
