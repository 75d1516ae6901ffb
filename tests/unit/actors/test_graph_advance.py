"""Moves and definitions that are too large for a record are read back from the object store."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from jetrun.actors import load_graph, step
from jetrun.actors.graph_advance import LargeAdvance
from jetrun.actors.limits import VALUE_INLINE_BYTES_MAX
from jetrun.client import testing
from support.graph_steps import code_of, graph, noop, ran


@step
def double(number: int) -> int:
    return 2 * number


@pytest.mark.parametrize("definition", [None, b'{"tasks":{}}'])
def test_a_large_advance_is_read_as_it_was_written(definition: bytes | None) -> None:
    """A definition that could not be read again would park the run at the first take-over."""
    written = LargeAdvance(msgspec.Raw(b"[]"), None if definition is None else msgspec.Raw(definition))

    read = msgspec.json.decode(msgspec.json.encode(written), type=LargeAdvance)

    assert bytes(read.moves) == b"[]"
    assert (None if read.definition is None else bytes(read.definition)) == definition


def test_a_run_of_a_large_definition_survives_every_crash() -> None:
    """The definition is in the object store then; a simulation found that it was not read again."""
    definition: dict[str, Any] = {
        "description": "x" * VALUE_INLINE_BYTES_MAX,
        "tasks": {"a": {"action": "double", "input": [2], "next": [{"publish": [{"got": "{{ result() }}"}]}]}},
        "output": [{"got": "{{ ctx.got }}"}],
    }
    graph = load_graph(definition, name="large")

    testing.survives_every_crash(graph.call(), graph, double)


_TEXT = "vars: [{x: \"{{ 'a' * 900000 }}\"}]\n"


_OUTPUT = _TEXT + "tasks: {a: {}}\noutput: [" + ", ".join(f"o{n}: '{{{{ ctx.x }}}}'" for n in range(20)) + "]"
_PUBLISHED = _TEXT + "tasks: {a: {next: [" + ", ".join(["{publish: [{y: '{{ ctx.x }}'}]}"] * 20) + "]}}"


@pytest.mark.parametrize("text", [_OUTPUT, _PUBLISHED], ids=["output", "published"])
async def test_a_run_that_keeps_too_much_at_once_fails_and_can_be_read(text: str) -> None:
    """The last record named an object larger than any that is read: who waited for the run waited for ever."""
    flow = graph(text)
    async with testing.app(flow, noop) as tested:
        ending = await ran(tested, flow)

        assert (ending.status, code_of(ending)) == ("failed", "value_limit")
