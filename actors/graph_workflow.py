"""Graphs as workflows: registered ones, under their own names, and `jetrun-graph`, which runs any definition it is given."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from .errors import DefinitionError, InvalidName
from .graph_builder import Graph
from .graph_carry import Carry
from .graph_definition import Definition
from .graph_dropped import Caller
from .graph_model import StepAction
from .graph_run import run_graph
from .names import check_token
from .primitives import execution_of
from .workflow import ENGINE_PREFIX, Call, Workflow, WorkflowOptions

GRAPH_WORKFLOW: Final = "jetrun-graph"
"""Whoever may start it may run any definition, with any step of the app: its starts are subjects of their own, for permissions."""


class GraphWorkflow(Workflow[..., Any]):
    """A registered graph. Its inputs are arguments by name; a run keeps the definition that it began with.

    Args:
        definition: The graph; compiled here.
        name: The workflow's name.
        version: As for `@workflow(version=...)`.
        module: Where it was written, for lists and errors.

    Raises:
        GraphInvalid: The definition cannot work.
        InvalidName: The name cannot be a token, or begins with `jetrun-`, which is the engine's own.
    """

    def __init__(self, definition: Definition, *, name: str, version: int = 1, module: str = __name__) -> None:
        if check_token("workflow name", name).startswith(ENGINE_PREFIX):
            raise InvalidName(f"workflow name {name!r} begins with {ENGINE_PREFIX!r}, which is the engine's own")

        async def run(carry: Carry | None = None, /, **inputs: Any) -> Any:
            found = definition if carry is None else _carried(carry, definition, name)
            return await run_graph(found, inputs, carry=carry, is_named=False)

        graph = definition.graph
        super().__init__(run, name=name, options=WorkflowOptions(tags=graph.tags[:3], version=version))
        self.definition = definition
        self.graph = graph
        self.code_hash = definition.hash
        self.__doc__ = graph.description or f"Graph {name!r}."
        self.__name__ = name
        self.__module__ = module

    @property
    def shown_signature(self) -> inspect.Signature:
        """Its inputs, by name; one without a default is null where it is not given."""
        parameters = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None if default is None else default.value)
            for name, default in self.graph.inputs
        ]
        if self.graph.takes_any_input:
            parameters.append(inspect.Parameter("inputs", inspect.Parameter.VAR_KEYWORD))
        return inspect.Signature(parameters)

    @property
    def queues(self) -> frozenset[str]:
        """The queues that its tasks name."""
        actions = (task.action for task in self.graph.tasks.values())
        return frozenset(action.queue for action in actions if isinstance(action, StepAction))

    @classmethod
    def of(cls, graph: Graph) -> GraphWorkflow:
        """Makes a workflow of what the builder has built. Raises GraphInvalid."""
        definition = Definition.of(graph.definition(), name=graph.name)
        return cls(definition, name=graph.name, version=graph.version, module=graph.place)

    def __repr__(self) -> str:
        return f"<graph {self.name!r}>"


def _carried(carry: Carry, registered: Definition, name: str) -> Definition:
    """Returns the definition with which a run of a registered graph goes on.

    Raises:
        DefinitionError: A start came with another one: who may start this workflow may not run what he likes.
    """
    found = Definition.of_raw(carry.definition)
    execution = execution_of("a graph")
    is_begun = execution.link > 1 or execution.recorded_next() is not None
    if not is_begun and msgspec.json.encode(found.value) != registered.raw:
        reason = f"it is of definition {found.hash}, and workflow {name} is {registered.hash} by now"
        raise DefinitionError(f"a run cannot be begun again as it was: {reason}; begin it as a run of {GRAPH_WORKFLOW}")
    return found


def load_graph(text: str | bytes | dict[str, Any], *, name: str | None = None, version: int = 1) -> GraphWorkflow:
    """Makes a workflow of a definition: a YAML or JSON text, or its data.

    `deploy = load_graph(Path("deploy.yaml").read_text())`, in a module that actor workers load.

    Args:
        name: The workflow's name; the definition's own `name` by default.
        version: As for `@workflow(version=...)`; runs keep the definition that they began with in any case.

    Raises:
        GraphInvalid: All that is wrong with it, each with its place.
        InvalidName: There is no name, or it cannot be a token.
    """
    definition = Definition.of(text, name=name or "graph")
    given = definition.value.get("name")
    named = name or (given if isinstance(given, str) else "")
    return GraphWorkflow(definition, name=named, version=version, module=str(Caller.find().place))


async def run_definition(
    carry: Carry | None = None,
    /,
    *,
    definition: Any = None,
    input: dict[str, Any] | None = None,  # noqa: A002  the word that definitions have
    start: list[str] | None = None,
) -> Any:
    """Is a run of a definition that comes with its start."""
    if carry is not None:
        if any(given is not None for given in (definition, input, start)):
            raise DefinitionError(
                "a run that takes over where another one was takes nothing else; drop the carry, or the rest"
            )
        return await run_graph(Definition.of_raw(carry.definition), {}, carry=carry, is_named=True)
    found = Definition.of(definition)
    return await run_graph(found, input or {}, start=start or (), is_named=True)


GRAPHS: Final[Workflow[..., Any]] = Workflow(run_definition, name=GRAPH_WORKFLOW, options=WorkflowOptions())


def graph_call(
    definition: str | bytes | dict[str, Any],
    inputs: Mapping[str, object] | None = None,
    *,
    start: Iterable[str] = (),
) -> Call[Any]:
    """Binds a definition that no worker needs to know for `Client.start`: `client.start(graph_call(text, {"name": "ann"}), ...)`.

    Args:
        definition: A YAML or JSON text, or its data; checked here.
        inputs: By name.
        start: Tasks to begin with; the definition's own entry points by default.

    Raises:
        GraphInvalid: All that is wrong with the definition, each with its place.
        InvalidValue: An input cannot become JSON.
    """
    found = Definition.of(definition)
    _ = found.graph
    given: dict[str, object] = {"definition": found.value, "input": dict(inputs or {})}
    if listed := list(start):
        given["start"] = listed
    return GRAPHS.call(**given)
