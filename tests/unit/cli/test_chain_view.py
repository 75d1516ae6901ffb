"""`wfctl runs chain`: the links of a run, as lines and as JSON."""

from __future__ import annotations

import io
import json

import pytest

from jetrun.actors import continue_as_new, workflow
from jetrun.actors.errors import RunNotFound
from jetrun.cli.chain_view import list_chain
from jetrun.cli.connection import Connection
from jetrun.cli.output import Output
from jetrun.client import testing
from jetrun.client.testing_twin import APP


@workflow
async def countdown(left: int) -> int:
    if left:
        continue_as_new(left - 1)
    return left


@pytest.mark.parametrize("is_json", [False, True])
async def test_links_are_listed_oldest_first(is_json: bool) -> None:
    """Each under the name that other commands take."""
    async with testing.app(countdown) as app:
        await (await app.client.start(countdown.call(2), run_id="c-1")).result()
        stream = io.StringIO()
        connection = Connection(app.twin.connect(), APP.name, Output(is_json=is_json, stream=stream))

        await list_chain(connection, "countdown/c-1")

        lines = stream.getvalue().splitlines()
        if is_json:
            found = [(link["run_id"], link["status"]) for link in map(json.loads, lines)]
        else:
            found = [(name.partition("/")[2], status) for name, status, *_ in map(str.split, lines)]
        assert found == [("c-1--1", "continued"), ("c-1--2", "continued"), ("c-1--3", "completed")]


async def test_chain_of_no_run_is_told() -> None:
    """An empty list would hide a mistyped id."""
    async with testing.app(countdown) as app:
        connection = Connection(app.twin.connect(), APP.name, Output(is_json=False, stream=io.StringIO()))

        with pytest.raises(RunNotFound, match="no run countdown/c-9"):
            await list_chain(connection, "countdown/c-9")
