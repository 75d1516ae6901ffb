"""The NATS server that tests run against, and its cleaning."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import nats
import pytest

from jetrun.streams.server import EmbeddedServer
from jetrun.streams.subjects import App

CONTAINER_IMAGE = "nats:2.15-alpine"


class NatsUnderTest(NamedTuple):
    """A running server."""

    url: str
    is_embedded: bool


@contextlib.contextmanager
def running_nats(choice: str, store: Path) -> Generator[NatsUnderTest]:
    """Gives the server that `JETRUN_TEST_NATS` chooses; an embedded one is stopped at the end."""
    if choice == "":
        with EmbeddedServer.start(store) as server:
            yield NatsUnderTest(server.url, is_embedded=True)
    elif choice == "container":
        with _container_nats() as url:
            yield NatsUnderTest(url, is_embedded=False)
    else:
        yield NatsUnderTest(choice, is_embedded=False)


@contextlib.contextmanager
def _container_nats() -> Generator[str]:
    import docker.errors
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    try:
        container = DockerContainer(CONTAINER_IMAGE).with_command("-js").with_exposed_ports(4222)
        container.waiting_for(LogMessageWaitStrategy("Server is ready")).start()
    except docker.errors.DockerException as error:
        pytest.fail(f"JETRUN_TEST_NATS=container, but no container engine answers: {error}", pytrace=False)
    try:
        yield f"nats://{container.get_container_host_ip()}:{container.get_exposed_port(4222)}"
    finally:
        container.stop()


async def delete_streams(url: str, app: App) -> None:
    """Deletes all that an app has made on the server, object stores included. Idempotent."""

    async def ignore(_: Exception) -> None:
        """The server of this test may have been stopped meanwhile."""

    client = await nats.connect(url, error_cb=ignore, allow_reconnect=False, connect_timeout=5)
    try:
        jetstream = client.jetstream(timeout=30)
        for stream in await jetstream.streams_info():
            name = stream.config.name or ""
            if name.startswith((f"WF_{app.name}_", f"OBJ_WF_{app.name}_", f"KV_WF_{app.name}_")):
                await jetstream.delete_stream(name)
    finally:
        await client.close()
