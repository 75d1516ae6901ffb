"""Carries that strangers make up: each is refused with one reason, and none leaves a run that waits for ever."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from jetrun.actors.errors import DefinitionError
from jetrun.actors.graph_carry import Carry
from jetrun.actors.graph_carry_check import check_carry
from jetrun.actors.graph_definition import Definition

NOW_US = 1_800_000_000_000_000
TASKS = {
    "a": {"action": "double", "next": [{"do": "j"}]},
    "b": {"next": [{"do": "j"}]},
    "w": {"wait": "5s"},
    "i": {"action": "double", "with": "{{ [1] }}"},
    "j": {"join": "all"},
}
DEFINITION = Definition.of({"tasks": TASKS})


def activation(**changed: object) -> dict[str, object]:
    return {"id": 1, "task": "a", "scope": 0, **changed}


def carry(**changed: object) -> Carry:
    data: dict[str, Any] = {
        "definition": {"tasks": TASKS},
        "started_at_us": 1,
        "scopes": [{"x": 1}],
        "values": {"1": {"x": 7}},
        "published": 1,
        "activated": 3,
        "activations": [activation(), activation(id=2, task="w", phase="running", due_at_us=NOW_US)],
        "joins": [{"key": ["j", 0, 0], "arrivals": {"b": 3}, "scope": 0, "ancestry": {}}],
        **changed,
    }
    return msgspec.json.decode(msgspec.json.encode(data), type=Carry)


def test_a_carry_that_holds_together_is_taken() -> None:
    """A run that begins another one again comes with one."""
    check_carry(carry(), DEFINITION.graph, now_us=NOW_US)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"started_at_us": 2**63 - 1}, "it began at"),
        ({"paused_us": -1}, "after a pause of -1"),
        ({"failed": 3}, "3 tasks have failed, 0 are named"),
        ({"counts": {"a": -(10**18)}}, "a count is negative"),
        ({"scopes": [{"y": 1}]}, "variable 'y' has no value of version 1"),
        ({"published": 0}, "variable 'x' has no value of version 1"),
        ({"latest": -1}, "there is no scope -1"),
        ({"results": {"x": {"y": 1}}}, "results of 'x' have no number"),
        ({"activations": [activation(), activation()]}, "activation 1 is there twice"),
        ({"activations": [activation(id=0)]}, "activation 0 is there twice, or beyond"),
        ({"activations": [activation(id=4)]}, "activation 4 is there twice, or beyond the 3 that there were"),
        ({"activations": [activation(task="zz")]}, "of task 'zz', which the graph does not have"),
        ({"activations": [activation(scope=-1)]}, "sees scope -1, which is not there"),
        ({"activations": [activation(scope=9)]}, "sees scope 9, which is not there"),
        ({"activations": [activation(phase="delayed", due_at_us=2**63)]}, "100 years from now are the most"),
        ({"activations": [activation(attempt=-5)]}, "is attempt -5"),
        ({"activations": [activation(retries=10**12)]}, "with 1000000000000 retries"),
        ({"activations": [activation(phase="running")]}, "of task 'a' runs; only waits are taken over"),
        ({"activations": [activation(task="b", phase="running")]}, "of task 'b' runs"),
        ({"activations": [activation(task="i", phase="running")]}, "of task 'i' runs"),
        (
            {"activations": [activation(task="i", items={"values": [1], "concurrency": 0, "running": 1})]},
            "has items under way",
        ),
        ({"joins": [{"key": ["zz", 0, 0], "arrivals": {}, "scope": 0, "ancestry": {}}]}, "'zz' is no join"),
        ({"joins": [{"key": ["a", 0, 0], "arrivals": {}, "scope": 0, "ancestry": {}}]}, "'a' is no join"),
        ({"joins": [{"key": ["j", 0, 0], "arrivals": {}, "scope": 5, "ancestry": {}}]}, "join 'j' sees scope 5"),
    ],
)
def test_a_carry_that_does_not_hold_together_is_refused(changed: dict[str, object], reason: str) -> None:
    """It would hang, park or crash what believes it."""
    with pytest.raises(DefinitionError, match=f"^the graph's carry does not hold together: .*{reason}"):
        check_carry(carry(**changed), DEFINITION.graph, now_us=NOW_US)
