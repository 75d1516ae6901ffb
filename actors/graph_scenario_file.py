"""A rehearsal's file: scenarios as people write them, read with every problem in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, cast

import msgspec

from .graph_compile import compile_graph
from .graph_fields import Fields
from .graph_findings import Findings, shown
from .graph_mocks import read_mocks
from .graph_problem import GraphInvalid, Path
from .graph_scenario import RUN_STATUSES, TASK_STATUSES, Cancel, Expected, Rule, RunStatus, Scenario, Subject
from .graph_scenario_orquesta import is_orquesta, read_orquesta
from .graph_source import Document
from .limits import GRAPH_ACTIVATIONS, GRAPH_SCENARIOS_MAX

SHARED_FIELDS: Final = ("graph", "input", "start", "mock")
"""What may stand above scenarios, for all of them."""

SCENARIO_FIELDS: Final = (*SHARED_FIELDS, "order", "cancel", "expect")
FILE_FIELDS: Final = ("name", "description", *SCENARIO_FIELDS, "scenarios")
EXPECT_FIELDS: Final = ("status", "path", "waves", "output", "errors", "activations", "tasks", "problems")
CANCEL_FIELDS: Final = ("at", "started", "ended", "activation")

Found = Mapping[str, Document | GraphInvalid | str]
"""Definitions by the path that names them: as they were read, or why they could not be: their problems, or a reason."""


def is_definition(document: Document) -> bool:
    """Tells whether it is no rehearsal but a definition itself."""
    return ("tasks" in document.value or "steps" in document.value) and "scenarios" not in document.value


def references(document: Document) -> list[str]:
    """Lists the files that hold the definitions, as a rehearsal names them, each once."""
    value = document.value
    scenarios = value.get("scenarios")
    inner = list(scenarios.values()) if isinstance(scenarios, dict) else []
    named = [each.get("graph") for each in [value, *inner] if isinstance(each, dict)]
    return list(dict.fromkeys(each for each in [*named, value.get("workflow")] if isinstance(each, str)))


def read_rehearsal(document: Document, found: Found) -> list[Scenario]:
    """Reads all scenarios of a file; or of a definition itself the one in which every task succeeds.

    Args:
        found: What `references` names.

    Raises:
        GraphInvalid: With every problem of the file; those of definitions are their scenarios' own.
    """
    if is_definition(document):
        return [Scenario(name=document.name, subject=subject_of(document))]
    findings = Findings(document)
    if is_orquesta(document.value):
        scenarios = [read_orquesta(findings, _Subjects(findings, found).named)]
    else:
        scenarios = _File(findings, found).read()
    if errors := findings.errors():
        raise GraphInvalid(document.name, errors)
    return scenarios


def subject_of(document: Document) -> Subject:
    """Compiles a definition, valid or not."""
    try:
        return Subject(name=document.name, graph=compile_graph(document).graph)
    except GraphInvalid as error:
        return Subject(name=document.name, graph=None, problems=error.problems)


class _Subjects:
    """Definitions, compiled once each."""

    def __init__(self, findings: Findings, found: Found) -> None:
        self._findings = findings
        self._found = found
        self._known: dict[str, Subject | None] = {}

    def named(self, path: Path, name: str) -> Subject | None:
        """Finds one by its file. None, and a problem, where it cannot be read."""
        document = self._found.get(name, "it was not read")
        if isinstance(document, str):
            self._findings.error("bad_value", path, f"{shown(name)} cannot be read: {document}")
            return None
        if name not in self._known:
            if isinstance(document, GraphInvalid):
                self._known[name] = Subject(name=document.name, graph=None, problems=document.problems)
            else:
                self._known[name] = subject_of(document)
        return self._known[name]


class _File:
    """One file while it is read."""

    def __init__(self, findings: Findings, found: Found) -> None:
        self._findings = findings
        self._subjects = _Subjects(findings, found)
        self._top = Fields(findings, (), findings.document.value, what="the rehearsal", known=FILE_FIELDS, uses=[])
        self._inline: Subject | None = None

    def read(self) -> list[Scenario]:
        """Reads all of it. What has problems is noted, and not to be used."""
        top = self._top
        top.text("description")
        name = top.text("name", self._findings.document.name)
        if not top.has("scenarios"):
            return [self._scenario(top, name)]
        for field in ("order", "cancel", "expect"):
            if top.has(field):
                text = (
                    f"{field!r} belongs to each scenario; only {', '.join(SHARED_FIELDS)} can stand above 'scenarios'"
                )
                self._findings.error_at_key("bad_combination", (field,), text)
        value = _mapping(top, "scenarios")
        if not value:
            self._findings.error(
                "missing_field", ("scenarios",), "there are no scenarios; write a mapping of names to them"
            )
            return []
        if len(value) > GRAPH_SCENARIOS_MAX:
            text = f"there are {len(value)} scenarios; at most {GRAPH_SCENARIOS_MAX} are allowed: make it several files"
            self._findings.error("limit_out_of_range", ("scenarios",), text)
            return []
        found: list[Scenario] = []
        for title, each in value.items():
            path = ("scenarios", title)
            given: object = {} if each is None else each
            fields = Fields(self._findings, path, given, what="a scenario", known=SCENARIO_FIELDS, uses=[])
            found.append(self._scenario(fields, title))
        return found

    def _scenario(self, fields: Fields, name: str) -> Scenario:
        subject = self._subject(fields) or Subject(name="", graph=None)
        tasks = () if subject.graph is None else tuple(subject.graph.tasks)
        layers = [fields] if fields is self._top else [self._top, fields]
        given: dict[str, object] = {}
        mocks: dict[str, tuple[Rule, ...]] = {}
        for layer in layers:
            given.update(_mapping(layer, "input"))
            mocks.update(read_mocks(layer, subject.graph, is_shared=layer is not fields))
        start = fields if fields.has("start") else self._top
        return Scenario(
            name=name,
            subject=subject,
            input=given,
            start=_tasks(start, "start", tasks),
            mocks=mocks,
            order=_tasks(fields, "order", tasks),
            cancel=_cancel(fields, tasks),
            expected=_expected(fields, tasks),
        )

    def _subject(self, fields: Fields) -> Subject | None:
        owner = fields if fields.has("graph") else self._top
        value = owner.values.get("graph")
        if isinstance(value, str):
            return self._subjects.named(owner.at("graph"), value)
        if isinstance(value, dict) and owner is self._top:
            if self._inline is None:
                self._inline = subject_of(self._findings.document.part("graph"))
            return self._inline
        if isinstance(value, dict):
            owner.bad("graph", "a scenario names a file; a definition in place can stand above 'scenarios' alone")
        elif value is None:
            text = "there is no 'graph'; write the definition's file, relative to this one, or the definition itself"
            self._findings.error("missing_field", fields.path, text)
        else:
            owner.bad("graph", "write the definition's file, relative to this one, or the definition itself")
        return None


def _mapping(fields: Fields, name: str) -> dict[str, object]:
    value = fields.values.get(name)
    if value is not None and not isinstance(value, dict):
        fields.bad(name, "write a mapping")
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _check_task(findings: Findings, path: Path, name: str, tasks: Sequence[str]) -> None:
    """Notes a name that is no task's. Where the definition is not valid nothing is known."""
    if tasks and name not in tasks:
        findings.error("undefined_target", path, f"the graph has no task {shown(name)}{findings.nearest(name, tasks)}")


def _tasks(fields: Fields, name: str, tasks: Sequence[str]) -> tuple[str, ...]:
    named = fields.names(name)
    for each, path in named:
        _check_task(fields.findings, path, each, tasks)
    return tuple(each for each, _ in named)


def _cancel(fields: Fields, tasks: Sequence[str]) -> Cancel | None:
    if not fields.has("cancel"):
        return None
    value = fields.values["cancel"]
    inner = Fields(fields.findings, fields.at("cancel"), value, what="cancel", known=CANCEL_FIELDS, uses=[])
    if not isinstance(value, dict):
        return None
    given = [name for name in ("at", "started", "ended") if inner.has(name)]
    if len(given) != 1:
        text = "say when: one of 'at: 30s', 'started: task', 'ended: task'"
        fields.findings.error("bad_combination" if given else "missing_field", inner.path, text)
        return None
    if given == ["at"]:
        if inner.has("activation"):
            inner.findings.error_at_key(
                "bad_combination", inner.at("activation"), "'activation' is of a task, not of a time"
            )
        return Cancel(at_us=inner.duration("at"))
    task = inner.text(given[0])
    _check_task(inner.findings, inner.at(given[0]), task, tasks)
    activation = inner.whole("activation", 1, low=1, high=GRAPH_ACTIVATIONS)
    return Cancel(moment=cast("Literal['started', 'ended']", given[0]), task=task, activation=activation)


def _expected(fields: Fields, tasks: Sequence[str]) -> Expected:
    if fields.values.get("expect") is None:
        return Expected()
    value = fields.values["expect"]
    inner = Fields(fields.findings, fields.at("expect"), value, what="expect", known=EXPECT_FIELDS, uses=[])
    if inner.has("problems") and len(inner.values) > 1:
        text = "a definition that is not valid does not run: leave everything but 'problems' out"
        inner.findings.error_at_key("bad_combination", inner.at("problems"), text)
    status = inner.choice("status", RUN_STATUSES, "")
    return Expected(
        status=cast("RunStatus", status) if status else None,
        path=_tasks(inner, "path", tasks) if inner.has("path") else None,
        waves=_waves(inner, tasks),
        output=inner.values["output"] if inner.has("output") else msgspec.UNSET,
        errors=_texts(inner, "errors"),
        activations=_counts(inner, tasks),
        tasks=_ends(inner, tasks),
        problems=_texts(inner, "problems"),
    )


def _waves(fields: Fields, tasks: Sequence[str]) -> tuple[tuple[str, ...], ...] | None:
    if not fields.has("waves"):
        return None
    value = fields.values["waves"]
    if not isinstance(value, list):
        fields.bad("waves", "write a list, of each wave its tasks: [[a], [b, c]]")
        return None
    waves: list[tuple[str, ...]] = []
    for index, wave in enumerate(cast("list[object]", value)):
        path = (*fields.at("waves"), index)
        names = _strings(wave)
        if names is None:
            fields.findings.error("bad_type", path, f"a wave is {shown(wave)}; write a task's name, or a list of them")
            continue
        for name in names:
            _check_task(fields.findings, path, name, tasks)
        waves.append(tuple(names))
    return tuple(waves)


def _texts(fields: Fields, name: str) -> tuple[str, ...] | None:
    """Reads a text or a list of texts. Commas are parts of them."""
    if not fields.has(name):
        return None
    given = _strings(fields.values[name])
    if given is None or "" in given:
        fields.bad(name, "write a list of texts: kinds, or parts of messages")
        return ()
    return tuple(given)


def _strings(value: object) -> list[str] | None:
    """Returns a text, or a list of texts, as a list; None for anything else."""
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list):
        return None
    found = [each for each in cast("list[object]", given) if isinstance(each, str)]
    return found if len(found) == len(cast("list[object]", given)) else None


def _counts(fields: Fields, tasks: Sequence[str]) -> dict[str, int]:
    value = _mapping(fields, "activations")
    inner = Fields(fields.findings, fields.at("activations"), value, what="activations", known=tuple(value), uses=[])
    for name in value:
        _check_task(fields.findings, inner.at(name), name, tasks)
    return {name: inner.whole(name, 0, low=0, high=GRAPH_ACTIVATIONS) for name in value}


def _ends(fields: Fields, tasks: Sequence[str]) -> dict[str, str]:
    value = _mapping(fields, "tasks")
    inner = Fields(fields.findings, fields.at("tasks"), value, what="tasks", known=tuple(value), uses=[])
    for name in value:
        _check_task(fields.findings, inner.at(name), name, tasks)
    return {name: inner.choice(name, TASK_STATUSES, "") for name in value}
