"""The builder of graphs in Python: `Graph("deploy").step(build).step(test, after=[build])`.

It makes a definition, plain JSON data, exactly as a document of the dependency form has it; the same compiler checks both.

Every call returns a new graph and changes none. A dropped result (`graph.step(build)` as a statement) is flagged twice: type
checkers report it where they are asked to (pyright's `reportUnusedCallResult`), and at run time a `GraphDropped` warning
names the line as soon as the result is collected; `check` repeats it. What is wrong within one call raises at that call; what
concerns several entries (unknown names, cycles, one name twice) is reported by `check` and `definition`, all of it at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, cast, final

import msgspec
import yaml

from .durations import Duration, duration_us
from .errors import DefinitionError, InvalidName, InvalidValue
from .graph_compile import check as check_document
from .graph_dropped import Caller, Watch
from .graph_entry import Entry, Input, OnFailure, OnItemFailure, Options, check_arguments, fields_of, step_fields
from .graph_needs import Named, read_needs
from .graph_parts import Parts, render
from .graph_problem import GraphInvalid, Problem
from .graph_retry import Retry
from .graph_source import Document
from .graph_words import assignments, has_expression, plain, shown, span
from .hook import TypedHook
from .limits import WORKFLOW_VERSION_MAX
from .names import check_token
from .step import Step
from .workflow import ENGINE_PREFIX, Call, Workflow, call

_LIMITS: Final = ("duration", "iterations", "activations", "value")
_ON_UNHANDLED: Final = ("fail_fast", "drain")
_ON_CANCEL: Final = ("cancel_running", "allow_finish")


@final
class Graph:
    """A dependency graph that runs as a workflow; immutable, and registered by being in a module's namespace.

    Args:
        name: The workflow's name.
        version: Of the workflow, as for `@workflow(version=...)`.
        description: For lists.
        tags: As for `@workflow(tags=...)`.

    Raises:
        DefinitionError: The version is out of bounds, or the description or a tag is no text.
        InvalidName: The name cannot be a token, or begins with `jetrun-`, which is the engine's own.
    """

    __slots__ = ("__weakref__", "_dropped", "_parts", "_watch")

    def __init__(self, name: str, *, version: int = 1, description: str = "", tags: Iterable[str] = ()) -> None:
        check_token("workflow name", name)
        if name.startswith(ENGINE_PREFIX):
            raise InvalidName(f"workflow name {name!r} begins with {ENGINE_PREFIX!r}, which is the engine's own")
        if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= WORKFLOW_VERSION_MAX:
            raise DefinitionError(
                f"graph {name!r}: version={version!r}; use a whole number from 1 to {WORKFLOW_VERSION_MAX}"
            )
        if not isinstance(description, str):
            raise DefinitionError(f"graph {name!r}: description={shown(description)}; use a text")
        header: dict[str, object] = {"description": description} if description else {}
        listed = [tags] if isinstance(tags, str) else list(tags)
        if isinstance(tags, str) or not all(isinstance(tag, str) for tag in listed):
            raise DefinitionError(f"graph {name!r}: tags={shown(tags)}; use a list of texts")
        if listed:
            header["tags"] = plain(f"tags of graph {name!r}", listed)
        self._dropped: list[str] = []
        caller = Caller.find()
        self._watch = Watch(self, "", caller, self._dropped)
        self._watch.end()  # nothing is lost with a graph that holds nothing
        self._parts = Parts(name=name, version=version, place=caller.place, header=header)

    # --- what it is -----------------------------------------------------------------------------
    @property
    def name(self) -> str:
        """The workflow's name."""
        return self._parts.name

    @property
    def version(self) -> int:
        """The workflow's version."""
        return self._parts.version

    @property
    def max_duration_us(self) -> int:
        """The run's time limit; 0 for none."""
        limits = cast("dict[str, str]", self._parts.header.get("limits", {}))
        return duration_us(limits["duration"], what="duration") if "duration" in limits else 0

    @property
    def place(self) -> str:
        """Where it was begun, as `file:line`; for errors."""
        return str(self._parts.place)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, in their order."""
        return tuple(name for name, _ in self._parts.inputs)

    # --- entries --------------------------------------------------------------------------------
    def step(  # noqa: PLR0913  the options of an entry, all by name
        self,
        step: Step[..., Any] | str,
        /,
        *,
        name: str | None = None,
        input: Input | None = None,  # noqa: A002  the definition's word
        after: Dependencies = (),
        after_any: Dependencies = (),
        run_if: str | None = None,
        with_items: str | Sequence[object] | None = None,
        concurrency: int | str | None = None,
        items_on_failure: OnItemFailure | None = None,
        retry: Retry | None = None,
        timeout: Duration | None = None,
        delay: Duration | None = None,
        on_failure: OnFailure = "fail",
        queue: str | None = None,
        publish: Mapping[str, object] | None = None,
    ) -> Graph:
        """Returns the graph with a step, whose result later expressions read as `ctx.<entry>`.

        Args:
            step: A step, which brings its queue, timeouts and retry policy along; or the name of one in any language, which
                is not tried again unless `retry` says so, and may be an expression if `name` is given.
            name: The entry's name; the step's by default.
            input: Arguments by name, by position, or one expression that gives either. Texts in it may hold expressions.
                Names are checked against the step's parameters.
            after: Entries that all have succeeded or were skipped before: names, or the steps, workflows and graphs that
                they were made of; later ones, too.
            after_any: Entries of which at least one has succeeded or was skipped before; with `after`, both hold.
            run_if: An expression; where it is false the entry is skipped, and what comes after it goes on.
            with_items: One run of the step per item: a list, `{{ … }}`, or `x in {{ … }}`.
            concurrency: Items under way at once; all unless given.
            items_on_failure: What becomes of the other items when one has failed; `run_all` unless given.
            retry: A number of retries, "forever", or `GraphRetry`; as the step has it unless given, 0 for none.
            timeout: Of one attempt; as the step has it unless given.
            delay: Before the first attempt; may be an expression.
            on_failure: After the last attempt: the graph fails, or goes on as if the entry had been skipped; `retry` is for
                attempts without end.
            queue: Whose workers run it; as the step has it unless given.
            publish: Variables set when it has succeeded, in this order.

        Raises:
            DefinitionError: An option cannot work, or the step has one that no definition can say.
            InvalidName: A name cannot be a token.
            InvalidValue: A value cannot become JSON.
        """
        self._watch.end()
        entry, what = self._entry(step, name, (Step,), "step")
        options = Options(
            input=input,
            run_if=run_if,
            with_items=with_items,
            concurrency=concurrency,
            items_on_failure=items_on_failure,
            retry=retry,
            timeout=timeout,
            delay=delay,
            on_failure=on_failure,
            publish=publish,
        )
        found = step if isinstance(step, Step) else None
        fields = {**step_fields(what, step, entry=entry, queue=queue), **fields_of(what, options, step=found)}
        if found is not None:
            check_arguments(what, input, found.signature)
        return self._with_entry("step", entry, found, fields, after, after_any)

    def child(  # noqa: PLR0913  the options of an entry, all by name
        self,
        workflow: Workflow[..., Any] | Graph | str,
        /,
        *,
        name: str | None = None,
        input: Input | None = None,  # noqa: A002  the definition's word
        after: Dependencies = (),
        after_any: Dependencies = (),
        run_if: str | None = None,
        with_items: str | Sequence[object] | None = None,
        concurrency: int | str | None = None,
        items_on_failure: OnItemFailure | None = None,
        retry: Retry | None = None,
        timeout: Duration | None = None,
        delay: Duration | None = None,
        on_failure: OnFailure = "fail",
        app: str = "",
        publish: Mapping[str, object] | None = None,
    ) -> Graph:
        """Returns the graph with a child run of a workflow or another graph; options and errors as for `step`.

        Args:
            workflow: A workflow, a graph, or the name of one, which may be an expression if `name` is given.
            app: Where it runs; in this app unless given.
        """
        self._watch.end()
        entry, what = self._entry(workflow, name, (Workflow, Graph), "workflow")
        source = None if isinstance(workflow, str) else workflow
        options = Options(
            input=input,
            run_if=run_if,
            with_items=with_items,
            concurrency=concurrency,
            items_on_failure=items_on_failure,
            retry=retry,
            timeout=timeout,
            delay=delay,
            on_failure=on_failure,
            publish=publish,
        )
        called = workflow if isinstance(workflow, str) else workflow.name
        fields: dict[str, object] = {"workflow": called if has_expression(called) else check_token("workflow", called)}
        if app:
            fields["app"] = check_token("app name", app)
        fields |= fields_of(what, options)
        if isinstance(workflow, Workflow):
            check_arguments(what, input, workflow.signature)
        elif isinstance(workflow, Graph):
            workflow.check_inputs(what, input)
        return self._with_entry("child", entry, source, fields, after, after_any)

    def wait(
        self,
        span_: Duration,
        /,
        *,
        name: str,
        after: Dependencies = (),
        after_any: Dependencies = (),
        run_if: str | None = None,
        publish: Mapping[str, object] | None = None,
    ) -> Graph:
        """Returns the graph with a durable wait; options and errors as for `step`.

        Args:
            span_: Seconds, a duration such as "1h30m", a timedelta, or an expression.
        """
        self._watch.end()
        what = self._what(name)
        fields: dict[str, object] = {"wait": span(f"{what}: wait", span_)}
        fields |= fields_of(what, Options(run_if=run_if, publish=publish))
        return self._with_entry("wait", name, None, fields, after, after_any)

    def hook(
        self,
        hook: TypedHook[Any] | str,
        /,
        *,
        name: str | None = None,
        after: Dependencies = (),
        after_any: Dependencies = (),
        run_if: str | None = None,
        timeout: Duration | None = None,
        on_failure: Literal["fail", "continue"] = "fail",
        publish: Mapping[str, object] | None = None,
    ) -> Graph:
        """Returns the graph with a wait for one message of a hook, whose payload is the result; options as for `step`.

        Args:
            hook: Its name, or a hook of `define_hook`; a payload is not checked against the hook's type.
            timeout: How long to wait at most; then the entry has failed.
        """
        self._watch.end()
        entry, what = self._entry(hook, name, (TypedHook,), "hook")
        called = hook if isinstance(hook, str) else hook.name
        fields: dict[str, object] = {"hook": called if has_expression(called) else check_token("hook name", called)}
        fields |= fields_of(what, Options(run_if=run_if, timeout=timeout, on_failure=on_failure, publish=publish))
        return self._with_entry("hook", entry, None, fields, after, after_any)

    # --- around them ----------------------------------------------------------------------------
    def input(self, name: str, /, *, default: object = msgspec.UNSET) -> Graph:
        """Returns the graph with one more input, which expressions read as `ctx.<name>`.

        Args:
            default: What it is where a start does not say; may hold expressions over earlier inputs. Without one it is null.

        Raises:
            DefinitionError: The name is no text, or there is such an input already.
            InvalidValue: The default cannot become JSON.
        """
        self._watch.end()
        parts = self._parts
        if not isinstance(name, str) or not name:
            raise DefinitionError(f"input {shown(name)} of graph {parts.name!r} has no name; use a text")
        if name in self.inputs:
            raise DefinitionError(f"graph {parts.name!r} has an input {name!r} already; drop one of the two")
        if default is not msgspec.UNSET:
            default = plain(f"default of input {name!r} of graph {parts.name!r}", default)
        return self._with(f"input({name!r})", inputs=(*parts.inputs, (name, default)))

    def vars(self, given: Mapping[str, object] | None = None, /, **more: object) -> Graph:
        """Returns the graph with variables that are set at the start, after the inputs, in this order.

        Raises:
            DefinitionError: It is no mapping from names to values.
            InvalidValue: A value cannot become JSON.
        """
        self._watch.end()
        return self._with("vars(…)", variables=(*self._parts.variables, *self._assigned("vars", given, more)))

    def output(self, given: Mapping[str, object] | None = None, /, **more: object) -> Graph:
        """Returns the graph with more outputs, computed at its end, in this order: `output(url="{{ ctx.build.url }}")`.

        Raises:
            DefinitionError: It is no mapping from names to values.
            InvalidValue: A value cannot become JSON.
        """
        self._watch.end()
        return self._with("output(…)", output=(*self._parts.output, *self._assigned("output", given, more)))

    def limits(
        self,
        *,
        duration: Duration | None = None,
        iterations: int | None = None,
        activations: int | None = None,
        value: int | str | None = None,
    ) -> Graph:
        """Returns the graph with bounds of a run; what is not given stays as it is.

        Args:
            duration: From its start, without pauses.
            iterations: Activations of one entry.
            activations: Activations in all.
            value: JSON of one variable, in bytes or as "1MiB".

        Raises:
            DefinitionError: The duration cannot work; numbers out of range are found by `check`.
        """
        self._watch.end()
        what = f"limits of graph {self.name!r}"
        given = dict(zip(_LIMITS, (None, iterations, activations, value), strict=True))
        if duration is not None:
            given["duration"] = span(f"{what}: duration", duration, constant=True)
        old = cast("dict[str, object]", self._parts.header.get("limits", {}))
        limits = {**old, **{key: plain(what, one) for key, one in given.items() if one is not None}}
        return self._with("limits(…)", header={**self._parts.header, "limits": limits})

    def options(
        self,
        *,
        on_unhandled: Literal["fail_fast", "drain"] | None = None,
        on_cancel: Literal["cancel_running", "allow_finish"] | None = None,
    ) -> Graph:
        """Returns the graph with other options; what is not given stays as it is.

        Args:
            on_unhandled: After a failure, independent branches finish (`drain`, unless given) or nothing new starts.
            on_cancel: A cancel stops what runs (`cancel_running`, unless given) or lets it end.

        Raises:
            DefinitionError: There is no such word.
        """
        self._watch.end()
        header = dict(self._parts.header)
        for option, word, words in (
            ("on_unhandled", on_unhandled, _ON_UNHANDLED),
            ("on_cancel", on_cancel, _ON_CANCEL),
        ):
            if word is not None and word not in words:
                raise DefinitionError(f"graph {self.name!r}: {option}={word!r}; use one of {', '.join(words)}")
            if word is not None:
                header[option] = word
        return self._with("options(…)", header=header)

    # --- what is made of it ---------------------------------------------------------------------
    def definition(self) -> dict[str, object]:
        """Returns the definition: plain JSON data of its own, the same for equal graphs in every process.

        Raises:
            GraphInvalid: Two entries have one name, or a dependency means several; what a document can get wrong, too, is
                found by `check`.
        """
        self._watch.end()
        definition, problems = render(self._parts)
        if problems:
            raise GraphInvalid(self.name, problems)
        return definition

    def to_yaml(self) -> str:
        """Returns the definition as a YAML document. Raises GraphInvalid as `definition` does."""
        return yaml.safe_dump(self.definition(), sort_keys=False)

    def check(self) -> list[Problem]:
        """Returns everything that is wrong with the graph, errors and warnings; nothing is run."""
        self._watch.end()
        definition, problems = render(self._parts)
        dropped = [Problem(kind="dropped_result", message=text, severity="warning") for text in self._dropped]
        return [*problems, *_compiler_problems(definition, self.name), *dropped]

    def call(self, /, **inputs: object) -> Call[Any]:
        """Binds inputs for `Client.start`; what is not given has its default, or is null. The result is the output.

        Raises:
            InvalidValue: There is no such input, or a value cannot become JSON.
        """
        self._watch.end()
        self.check_inputs(f"call of graph {self.name!r}", inputs)
        return call(self.name, **inputs)

    def check_inputs(self, what: str, given: Input | None) -> None:
        """Checks that the graph has inputs of these names.

        Args:
            what: As the error shall call it.
            given: By name. What is known at run time alone (an expression) is not looked at.

        Raises:
            InvalidValue: There is no such input, or they are given by position.
        """
        self._watch.end()
        if given is None or isinstance(given, str):
            return
        if not isinstance(given, Mapping):
            raise InvalidValue(what, "inputs of a graph are given by name; use a mapping")
        for name in given:
            if name not in self.inputs:
                takes = f"it takes {', '.join(self.inputs)}" if self.inputs else "it takes none"
                raise InvalidValue(f"{what}: input {shown(name)}", f"no such input; {takes}")

    def __repr__(self) -> str:
        self._watch.end()
        return f"<graph {self.name!r} with {len(self._parts.entries)} entries>"

    # --- inside ---------------------------------------------------------------------------------
    def _what(self, entry: object) -> str:
        if not isinstance(entry, str) or not entry:
            raise DefinitionError(f"an entry of graph {self.name!r} has name={shown(entry)}; use a text")
        return f"entry {shown(entry)} of graph {self.name!r}"

    def _entry(self, source: object, name: str | None, kinds: tuple[type, ...], kind: str) -> tuple[str, str]:
        """Returns the entry's name, and how errors call it."""
        if not isinstance(source, (str, *kinds)):
            made = " and is no function of yours: decorate it with @step" if callable(source) else ""
            raise DefinitionError(f"graph {self.name!r}: {shown(source)} is no {kind}, nor a name{made}")
        own = source if isinstance(source, str) else cast("Named", source).name
        if name is None and has_expression(own):
            raise DefinitionError(f"graph {self.name!r}: {shown(own)} is an expression; give the entry a name=")
        entry = own if name is None else name
        return entry, self._what(entry)

    def _with_entry(
        self,
        method: str,
        name: str,
        source: Named | None,
        fields: dict[str, object],
        after: Dependencies,
        after_any: Dependencies,
    ) -> Graph:
        what = self._what(name)
        needs = read_needs(what, "after", after, graphs=Graph)
        needs_any = read_needs(what, "after_any", after_any, graphs=Graph)
        caller = Caller.find()
        entry = Entry(name=name, source=source, fields=fields, after=needs, after_any=needs_any, place=caller.place)
        parts = msgspec.structs.replace(self._parts, entries=(*self._parts.entries, entry))
        return self._copy(f"{method}({name!r})", caller, parts)

    def _with(self, what: str, **changes: object) -> Graph:
        return self._copy(what, Caller.find(), msgspec.structs.replace(self._parts, **changes))

    def _copy(self, what: str, caller: Caller, parts: Parts) -> Graph:
        made = object.__new__(Graph)
        made._dropped = self._dropped
        made._watch = Watch(made, what, caller, self._dropped)
        made._parts = parts
        return made

    def _assigned(
        self, field: str, given: Mapping[str, object] | None, more: dict[str, object]
    ) -> list[dict[str, object]]:
        what = f"{field} of graph {self.name!r}"
        return [*([] if given is None else assignments(what, given)), *assignments(what, more)]


Dependencies: TypeAlias = Iterable[str | Step[..., Any] | Workflow[..., Any] | Graph]
"""Entries by name, or by what they were made of. A bare text is refused: it would be read letter by letter."""


def _compiler_problems(definition: dict[str, object], name: str) -> list[Problem]:
    try:
        return check_document(Document.of(definition, name=name))
    except GraphInvalid as error:  # beyond a limit of documents: nothing else of it was looked at
        return list(error.problems)
