"""Fixtures for all tests: a NATS server, an app of one's own on it, child processes that never stay behind.

`JETRUN_TEST_NATS` chooses the server: nothing for an embedded one, `nats://host:port` for one that runs already,
`container` for one in a container engine.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from jetrun.streams.server import EmbeddedServer
from jetrun.streams.subjects import App
from support.nats import NatsUnderTest, delete_streams, running_nats
from support.processes import Processes
from support.shares import Shares, put_longest_first

PROCESSES_MAX = 8
"""Each has a server and fleets of its own."""

# A deadline per example measures the machine, not the code.
hypothesis.settings.register_profile("default", deadline=None, max_examples=50)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=50, print_blob=True)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Counts one process more than cores, since tests wait as long as they work; none where files are named."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    if all(".py" in argument for argument in config.args):
        return 0
    return min((os.cpu_count() or 1) + 1, PROCESSES_MAX)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Shares | None:
    """Tests are handed out in shares unless another way is chosen with `--dist`."""
    return Shares(config, log) if config.getoption("dist") == "loadscope" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In one process, the order is pytest's or pytest-randomly's."""
    if hasattr(config, "workerinput"):
        put_longest_first(items)


@pytest.fixture(autouse=True)
def loggers_as_they_were() -> Iterator[None]:
    """Takes back what a command has set up in this process: commands log to the stderr of their test, and say less."""
    loggers = [logging.getLogger(), logging.getLogger("jetrun")]
    before = [(logger, logger.level, logger.propagate, [*logger.handlers]) for logger in loggers]
    yield
    for logger, level, propagate, handlers in before:
        logger.setLevel(level)
        logger.propagate = propagate
        for handler in {*logger.handlers}.difference(handlers):
            logger.removeHandler(handler)


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Async tests run on plain asyncio: what passes there passes on uvloop, and stacks are readable."""
    return "asyncio", {"use_uvloop": False}


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsUnderTest]:
    """One server for all tests of this process; a test that kills or fills its server takes `own_server`."""
    with running_nats(os.environ.get("JETRUN_TEST_NATS", ""), tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture(scope="session")
def nats_url(nats_server: NatsUnderTest) -> str:
    return nats_server.url


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """An embedded server for this test alone, to be killed and restarted at will."""
    with EmbeddedServer.start(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def app(nats_url: str) -> AsyncIterator[App]:
    """The names of an app that no other test uses; nothing is provisioned, and its streams are deleted afterwards."""
    app = App(f"t{secrets.token_hex(5)}")
    yield app
    await delete_streams(nats_url, app)


@pytest.fixture
def processes() -> Iterator[Processes]:
    """Starts child processes; all of them, and what they started, are gone after the test."""
    with Processes() as processes:
        yield processes
