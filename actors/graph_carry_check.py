"""Carries from outside: what a stranger's start says of where a graph run stands is believed only if it holds together."""

from __future__ import annotations

from collections.abc import Iterator

from .errors import DefinitionError
from .graph_carry import CarriedActivation, CarriedInstance, Carry
from .graph_model import Graph, HookAction, TimerAction
from .limits import DELAY_US_MAX, RETRIES_MAX


def check_carry(carry: Carry, graph: Graph, *, now_us: int) -> None:
    """Checks what the first link of a run begins with: what later ones do is the engine's own.

    Args:
        now_us: The run's time.

    Raises:
        DefinitionError: It does not hold together, or not with the graph. Says the first reason.
    """
    for reason in _reasons(carry, graph, now_us):
        raise DefinitionError(f"the graph's carry does not hold together: {reason}")


def _reasons(carry: Carry, graph: Graph, now_us: int) -> Iterator[str]:
    if not 0 <= carry.started_at_us <= now_us or not 0 <= carry.paused_us <= now_us:
        yield f"it began at {carry.started_at_us}, after a pause of {carry.paused_us}, and it is {now_us} now"
    if carry.failed < len(carry.failures) or (carry.failed and not carry.failures):
        yield f"{carry.failed} tasks have failed, {len(carry.failures)} are named"
    if min((carry.links, *carry.counts.values(), carry.activated, carry.published)) < 0:
        yield "a count is negative"
    for versions in carry.scopes:
        for name, version in versions.items():
            if name not in carry.values.get(str(version), ()) or not 0 <= version <= carry.published:
                yield f"variable {name!r} has no value of version {version}"
    if not 0 <= carry.latest < max(1, len(carry.scopes)):
        yield f"there is no scope {carry.latest}"
    for n, results in carry.results.items():
        if not all(text.isdecimal() and len(text) < len(str(2**63)) for text in (n, *results)):
            yield f"results of {n!r} have no number"
    seen: set[int] = set()
    for activation in carry.activations:
        if activation.id in seen or not 0 < activation.id <= carry.activated:
            yield f"activation {activation.id} is there twice, or beyond the {carry.activated} that there were"
        seen.add(activation.id)
        yield from _of_activation(activation, carry, graph, now_us)
    for instance in carry.joins:
        yield from _of_instance(instance, carry, graph)


def _of_activation(activation: CarriedActivation, carry: Carry, graph: Graph, now_us: int) -> Iterator[str]:
    where = f"activation {activation.id}"
    task = graph.tasks.get(activation.task)
    if task is None:
        yield f"{where} is of task {activation.task!r}, which the graph does not have"
        return
    if not 0 <= activation.scope < len(carry.scopes):
        yield f"{where} sees scope {activation.scope}, which is not there"
    if not 0 <= activation.due_at_us <= now_us + DELAY_US_MAX or not 0 <= activation.delay_us <= DELAY_US_MAX:
        yield f"{where} waits until {activation.due_at_us}; 100 years from now are the most"
    if activation.attempt < 1 or not -1 <= activation.retries <= RETRIES_MAX:
        yield f"{where} is attempt {activation.attempt}, with {activation.retries} retries"
    if activation.items is not None:
        yield f"{where} has items under way, which nobody would ever end"
    if activation.phase == "running" and (
        task.items is not None or not isinstance(task.action, (TimerAction, HookAction))
    ):
        yield f"{where} of task {activation.task!r} runs; only waits are taken over"


def _of_instance(instance: CarriedInstance, carry: Carry, graph: Graph) -> Iterator[str]:
    name = instance.key[0]
    task = graph.tasks.get(name)
    if task is None or not task.join:
        yield f"{name!r} is no join of the graph"
        return
    if not 0 <= instance.scope < len(carry.scopes):
        yield f"join {name!r} sees scope {instance.scope}, which is not there"
