"""What the tasks of both surface forms have in common: what they run, for which items, how often, and after which delay."""

from __future__ import annotations

import re
from typing import Final, Literal, cast

from .graph_draft import Use
from .graph_expression import Expression
from .graph_fields import Fields
from .graph_findings import Findings, shown
from .graph_inline import InlineInvalid, parse_inline, split_action
from .graph_model import Action, Attempts, ChildAction, HookAction, Items, StepAction, Task, TimerAction
from .graph_problem import Path
from .graph_reads import BROKEN, Reads, is_whole_expression
from .graph_shape import is_list, is_mapping
from .graph_template import Template
from .limits import GRAPH_ITEMS_MAX, RECOVERY_ATTEMPTS_MAX, RETRIES_MAX

ACTIONS: Final = ("action", "step", "workflow", "wait", "hook")
"""Of these a task has one at most."""

COMMON_FIELDS: Final = (
    *ACTIONS,
    "queue",
    "app",
    "input",
    "with",
    "delay",
    "timeout",
    "heartbeat_timeout",
    "max_recovery_attempts",
    "retry",
    "run_if",
    "on_failure",
)
_BELONGS: Final = {
    "queue": ("action", "step"),
    "heartbeat_timeout": ("action", "step"),
    "max_recovery_attempts": ("action", "step"),
    "app": ("workflow",),
    "timeout": ("action", "step", "workflow", "hook"),
    "input": ("action", "step", "workflow"),
}
"""Fields that mean something with these kinds of action alone."""

_RETRY_FIELDS: Final = ("count", "when", "delay", "backoff", "cap", "jitter")
_ITEMS_FIELDS: Final = ("items", "concurrency", "on_failure")
_ITEM_NAMES: Final = re.compile(r"\s*((?:[A-Za-z_]\w*)(?:(?:\s*,\s*|\s+)[A-Za-z_]\w*)*)\s+in\s+(.*)", re.DOTALL)
_ALWAYS: Final = Expression("true")
"""Of a retry, for which no condition means something else."""

_FOREVER: Final = Attempts(count=None, delay=Template(1), backoff="exponential", cap_us=300 * 1_000_000)
"""`retry: forever`."""


def read_task(fields: Fields, name: str, *, default_step: str = "") -> Task:
    """Reads a task but for its edges and its join.

    Args:
        default_step: The step that it runs where it names nothing; "" for nothing at all.
    """
    kind = _kind(fields)
    action = _action(fields, kind, default_step)
    _check_belongs(fields, kind or ("step" if default_step else ""))
    return Task(
        name=name,
        action=action,
        guard=fields.condition("run_if"),
        items=_items(fields, kind or ("step" if default_step else "")),
        delay=fields.span("delay"),
        attempts=_attempts(fields, kind),
        on_failure=cast("Literal['fail', 'continue']", fields.choice("on_failure", ("fail", "continue"), "fail")),
    )


def task_fields(findings: Findings, path: Path, value: object, known: tuple[str, ...], uses: list[Use]) -> Fields:
    """Begins to read a task; null is one without fields."""
    what = f"task {shown(path[-1])}"
    return Fields(findings, path, {} if value is None else value, what=what, known=known, uses=uses)


def _kind(fields: Fields) -> str:
    """Tells what the task runs: one of `ACTIONS`, or ""."""
    given = [name for name in ACTIONS if fields.has(name)]
    for name in given[1:]:
        text = f"the task has {given[0]!r} and {name!r}; leave one out"
        fields.findings.error("bad_combination", fields.at(name), text)
    return given[0] if given else ""


def _check_belongs(fields: Fields, kind: str) -> None:
    for name, kinds in _BELONGS.items():
        if not fields.has(name) or kind in kinds:
            continue
        text = f"{name} means nothing here; it goes with {' or '.join(kinds)}"
        if name == "input" and not kind:  # a task without action takes what it is given, and does nothing with it
            fields.findings.warning("bad_combination", fields.at(name), text)
        else:
            fields.findings.error("bad_combination", fields.at(name), text)


def _action(fields: Fields, kind: str, default_step: str) -> Action | None:
    match kind:
        case "action" | "step":
            return _step(fields, kind)
        case "workflow":
            return ChildAction(
                workflow=fields.token_or_template("workflow"),
                app=fields.token("app"),
                input=_input(fields),
                timeout_us=fields.duration("timeout"),
            )
        case "wait":
            return TimerAction(span=fields.span("wait") or BROKEN)
        case "hook":
            return HookAction(name=fields.token_or_template("hook"), timeout_us=fields.duration("timeout"))
        case _ if default_step:
            return _step_of(fields, Template(default_step), _input(fields))
        case _:
            if fields.has("input"):
                fields.template("input")
            return None


def _step(fields: Fields, kind: str) -> StepAction:
    """Reads a step with its inline parameters, which replace `input` as they do in Orquesta."""
    try:
        head, rest = split_action(fields.text(kind))
        parameters = dict(parse_inline(rest))
    except InlineInvalid as invalid:
        fields.findings.error("bad_type", fields.at(kind), str(invalid))
        return _step_of(fields, BROKEN, _input(fields))
    if not head:
        fields.bad(kind, "write the name of a step, or an expression for one")
    name = fields.reads.template(fields.at(kind), head) if head else BROKEN
    if not parameters:
        return _step_of(fields, name, _input(fields))
    if fields.has("input"):
        text = f"input is not used: {kind} has parameters of its own; leave one of the two out"
        fields.findings.warning("bad_combination", fields.at("input"), text)
    return _step_of(fields, name, fields.reads.inline(fields.at(kind), parameters))


def _step_of(fields: Fields, name: Template, given: Template) -> StepAction:
    return StepAction(
        name=name,
        queue=fields.token("queue", "default"),
        input=given,
        timeout_us=fields.duration("timeout"),
        heartbeat_us=fields.duration("heartbeat_timeout"),
        recovery_attempts=_recovery(fields),
    )


def _recovery(fields: Fields) -> int | None:
    name = "max_recovery_attempts"
    return fields.whole(name, 0, low=0, high=RECOVERY_ATTEMPTS_MAX) if fields.has(name) else None


def _input(fields: Fields) -> Template:
    value = fields.values.get("input")
    if value is None:
        return Template({})
    if is_mapping(value) or is_list(value) or is_whole_expression(value):
        return fields.template("input")
    fields.bad("input", "write a mapping, a list, or one expression for either")
    return BROKEN


def _items(fields: Fields, kind: str) -> Items | None:
    if not fields.has("with"):
        return None
    if not kind:
        fields.findings.error("items_without_action", fields.at("with"), "with needs an action, a step or a workflow")
    elif kind in {"wait", "hook"}:
        text = f"with goes with a step or a workflow, not with {kind}; put the {kind} into a task of its own"
        fields.findings.error("items_without_action", fields.at("with"), text)
    value = fields.values["with"]
    if not is_mapping(value):
        names, values = _item_values(fields.findings, fields.at("with"), value, fields.reads.uses)
        return Items(values=values, names=names)
    inner = Fields(fields.findings, fields.at("with"), value, what="with", known=_ITEMS_FIELDS, uses=fields.reads.uses)
    if not inner.has("items"):
        fields.findings.error("missing_field", inner.path, "with has no items; write 'items: \"{{ ctx.xs }}\"'")
    names, values = (
        _item_values(fields.findings, inner.at("items"), inner.values["items"], fields.reads.uses)
        if inner.has("items")
        else ((), BROKEN)
    )
    return Items(
        values=values,
        names=names,
        concurrency=_concurrency(inner),
        on_failure=cast(
            "Literal['finish_started', 'run_all', 'cancel_rest']",
            inner.choice("on_failure", ("finish_started", "run_all", "cancel_rest"), "run_all"),
        ),
    )


def _concurrency(fields: Fields) -> Template | None:
    value = fields.values.get("concurrency")
    if isinstance(value, int) and not isinstance(value, bool) and value == 0:
        fields.findings.warning("limit_out_of_range", fields.at("concurrency"), "concurrency 0 is taken as 1")
        return Template(1)
    return fields.whole_or_expression("concurrency", low=1, high=GRAPH_ITEMS_MAX)


def _item_values(findings: Findings, path: Path, value: object, uses: list[Use]) -> tuple[tuple[str, ...], Template]:
    """Reads `{{ list }}`, `x in {{ list }}`, `a, b in {{ list }}`, or a list."""
    reads = Reads(findings, uses)
    if is_list(value):
        if len(value) > GRAPH_ITEMS_MAX:
            text = f"there are {len(value)} items; at most {GRAPH_ITEMS_MAX} are allowed in one task"
            findings.error("limit_out_of_range", path, text)
        return (), reads.template(path, value)
    names: tuple[str, ...] = ()
    if isinstance(value, str) and not is_whole_expression(value) and (match := _ITEM_NAMES.fullmatch(value)):
        names = tuple(re.split(r"[\s,]+", match[1]))
        value = match[2]
        if len(set(names)) < len(names):
            findings.error("duplicate_name", path, "two parts of an item have the same name")
    if not is_whole_expression(value):
        text = f"{shown(value)} is no list of items; write '{{{{ ctx.xs }}}}', 'x in {{{{ ctx.xs }}}}' or a list"
        findings.error("bad_type", path, text)
        return names, BROKEN
    return names, reads.template(path, str(value).strip())


def _attempts(fields: Fields, kind: str) -> Attempts | None:
    if not fields.has("retry"):
        return None
    value = fields.values["retry"]
    if kind == "wait":
        text = "retry means nothing here: a wait does not fail"
        fields.findings.error("bad_combination", fields.at("retry"), text)
    if value == "forever":
        return _FOREVER
    if not is_mapping(value):
        fields.bad("retry", "write 'count: 3' and what else it takes, or 'forever'")
        return None
    inner = Fields(
        fields.findings, fields.at("retry"), value, what="retry", known=_RETRY_FIELDS, uses=fields.reads.uses
    )
    if not inner.has("count"):
        text = "retry has no count; write 'count: 3', or 'count: forever'"
        fields.findings.error("missing_field", inner.path, text)
    is_endless = inner.values.get("count") == "forever"
    return Attempts(
        count=None if is_endless else inner.whole_or_expression("count", low=0, high=RETRIES_MAX),
        when=_ALWAYS if inner.values.get("when") is True else inner.condition("when"),
        delay=_retry_delay(inner),
        backoff=cast(
            "Literal['fixed', 'linear', 'exponential']",
            inner.choice("backoff", ("fixed", "linear", "exponential"), "fixed"),
        ),
        cap_us=inner.duration("cap"),
        is_jittered=inner.flag("jitter"),
    )


def _retry_delay(fields: Fields) -> Template | None:
    """Reads the delay; an endless retry without one would be a hot loop."""
    delay = fields.span("delay")
    if fields.values.get("count") != "forever" or (delay is not None and fields.values.get("delay") != 0):
        return delay
    text = "a retry without end needs a delay; write 'delay: 1s', or 'retry: forever' for the usual back-off"
    fields.findings.error("bad_combination", fields.at("count"), text)
    return delay
