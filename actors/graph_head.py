"""What a graph's definition says about runs as a whole: name, inputs, variables, output, limits, policies."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final, Literal, cast

import msgspec

from .errors import InvalidName
from .graph_assignments import read_assignments, read_inputs
from .graph_draft import Setting
from .graph_fields import Fields
from .graph_findings import Findings, shown
from .graph_model import Assignment, Limits
from .graph_problem import Path
from .graph_shape import is_list
from .graph_template import Template
from .limits import (
    GRAPH_ACTIVATIONS,
    GRAPH_ACTIVATIONS_MAX,
    GRAPH_ITERATIONS,
    GRAPH_ITERATIONS_MAX,
    GRAPH_VALUE_BYTES,
    VALUE_BYTES_MAX,
)
from .names import check_token

HEAD_FIELDS: Final = (
    "version",
    "name",
    "description",
    "tags",
    "input",
    "vars",
    "output",
    "on_unhandled",
    "on_cancel",
    "limits",
    "start",
    "tasks",
    "steps",
)
LIMIT_FIELDS: Final = ("duration", "iterations", "activations", "value")
_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """All but the tasks."""

    name: str
    description: str
    tags: tuple[str, ...]
    inputs: tuple[tuple[str, Template | None], ...]
    variables: tuple[Assignment, ...]
    output: tuple[Assignment, ...]
    initial: tuple[Setting, ...]
    """Of inputs and variables."""
    shown: tuple[Setting, ...]
    """Of the output."""
    limits: Limits
    on_unhandled: Literal["fail_fast", "drain"]
    on_cancel: Literal["cancel_running", "allow_finish"]
    start: tuple[tuple[str, Path], ...]


def read_head(findings: Findings, form: Literal["tasks", "steps"]) -> Head:
    """Reads a definition but for its tasks."""
    document = findings.document
    fields = Fields(findings, (), document.value, what="the definition", known=HEAD_FIELDS, uses=[])
    _check_version(fields)
    inputs, of_inputs = read_inputs(findings, ("input",), fields.values.get("input"))
    variables, of_variables = read_assignments(findings, ("vars",), fields.values.get("vars"))
    output, of_output = read_assignments(findings, ("output",), fields.values.get("output"))
    default = "fail_fast" if form == "tasks" else "drain"
    if form == "steps" and fields.has("start"):
        text = "start goes with tasks; steps begin with those that wait for none"
        findings.error("bad_combination", ("start",), text)
    return Head(
        name=_name(fields, document.name),
        description=fields.text("description"),
        tags=_tags(fields),
        inputs=inputs,
        variables=variables,
        output=output,
        initial=(*of_inputs, *of_variables),
        shown=of_output,
        limits=_limits(fields),
        on_unhandled=cast(
            "Literal['fail_fast', 'drain']", fields.choice("on_unhandled", ("fail_fast", "drain"), default)
        ),
        on_cancel=cast(
            "Literal['cancel_running', 'allow_finish']",
            fields.choice("on_cancel", ("cancel_running", "allow_finish"), "cancel_running"),
        ),
        start=tuple(fields.names("start")) if form == "tasks" else (),
    )


def _check_version(fields: Fields) -> None:
    value = fields.values.get("version", "1.0")
    if isinstance(value, bool) or value not in ("1.0", 1.0):
        text = f"version is {shown(value)}; there is only 1.0, which can be left out"
        fields.findings.error("bad_value", fields.at("version"), text)


def _name(fields: Fields, file: str) -> str:
    """Returns the name that the definition has, or its file's without folder and suffix."""
    given = fields.text("name")
    if given:
        try:
            return check_token("name", given)
        except InvalidName as invalid:
            fields.findings.error("bad_name", ("name",), str(invalid))
            return ""
    path = PurePosixPath(file)
    return path.stem if path.suffix in _SUFFIXES else file


def _tags(fields: Fields) -> tuple[str, ...]:
    value = fields.values.get("tags")
    if value is None:
        return ()
    if not is_list(value) or not all(isinstance(each, str) for each in value):
        fields.bad("tags", "write a list of texts")
        return ()
    return tuple(str(each) for each in value)


def _limits(fields: Fields) -> Limits:
    value = fields.values.get("limits")
    inner = Fields(
        fields.findings, ("limits",), {} if value is None else value, what="limits", known=LIMIT_FIELDS, uses=[]
    )
    return Limits(
        duration_us=inner.duration("duration"),
        iterations=inner.whole("iterations", GRAPH_ITERATIONS, low=1, high=GRAPH_ITERATIONS_MAX),
        activations=inner.whole("activations", GRAPH_ACTIVATIONS, low=1, high=GRAPH_ACTIVATIONS_MAX),
        value_bytes=inner.size("value", GRAPH_VALUE_BYTES, high=VALUE_BYTES_MAX),
    )
