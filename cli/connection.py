"""A command's connection: opened as the configuration says, closed at the end, whatever happens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

import anyio
import typer

from ..actors.errors import ServerLost
from ..client.client import Client
from ..client.configuration import Configuration
from ..client.configuration_keys import Value
from ..client.settings import Settings
from ..streams.jetstream import JetStream
from ..streams.ports import Broker
from ..streams.subjects import App
from .exits import unwrap
from .options import globals_of
from .output import Output, complain

T = TypeVar("T")

DEFAULT_URL: Final = Settings().url


class Connection:
    """What a command works with: the app's streams, a client on them, and where its lines go."""

    def __init__(self, broker: Broker, app: str, out: Output) -> None:
        self.broker: Final = broker
        self.app: Final = App(app)
        self.client: Final = Client(broker, app)
        self.out: Final = out


def run(
    context: typer.Context,
    work: Callable[[Connection], Awaitable[T]],
    *,
    is_json: bool = False,
    settings: Settings | None = None,
) -> T:
    """Connects, does the work and disconnects; gives up within seconds where no server answers.

    Ctrl-C cancels the work, lets it clean up and raises KeyboardInterrupt.

    Args:
        settings: Those of a command that has read its configuration already.
    """
    settings = settings or settings_of(context)

    # A command says in one line what went wrong; what the connection logs on the way is for services.
    logging.getLogger("jetrun").setLevel(logging.CRITICAL)

    async def connected() -> T:
        App(settings.app)  # a name that cannot be one is told before any server is asked
        broker = await connect(settings, name="wfctl", is_one_shot=True)
        connection = Connection(broker, settings.app, Output(is_json=is_json))
        try:
            return await until_lost(broker, work(connection))
        finally:
            await connection.client.close()

    return run_async(connected)


async def until_lost(broker: JetStream, work: Awaitable[T]) -> T:
    """Awaits the work, and gives it up when the connection is gone for good.

    Raises:
        ServerLost: It was gone first.
    """
    reasons: list[str] = []
    with anyio.CancelScope() as scope:

        def on_closed(reason: str) -> None:
            reasons.append(reason)
            scope.cancel()

        broker.wire.on_closed.append(on_closed)
        try:
            return await work
        finally:
            broker.wire.on_closed.remove(on_closed)
    raise ServerLost(f"the connection to {broker.wire.target.shown} is gone for good: {', '.join(reasons)}")


def run_async(work: Callable[[], Awaitable[T]]) -> T:
    """Runs a command's asynchronous part; of a group of errors the one to tell about is raised."""

    async def awaited() -> T:
        return await work()

    try:
        return asyncio.run(awaited())
    except BaseExceptionGroup as group:
        raise unwrap(group) from None


def jetstream_of(connection: Connection) -> JetStream:
    """Returns the connection's server side; commands that look behind the streams need a real one."""
    assert isinstance(connection.broker, JetStream)
    return connection.broker


def settings_of(context: typer.Context) -> Settings:
    """Reads where to connect, for a command that needs nothing else of the configuration."""
    return Settings.of(configuration_of(context))


def configuration_of(context: typer.Context, given: Mapping[str, Value | None] | None = None) -> Configuration:
    """Reads environment and file under what the command line says; once in a command. Prints what may be a mistake.

    Args:
        given: The command's own options by key, None for those that were not given.
    """
    options = globals_of(context)
    configuration = Configuration.read({"url": options.url, "app": options.app, **(given or {})})
    if options.lifeline is None:  # the wfctl that started this one has said it
        for warning in configuration.warnings:
            complain(f"warning: {warning}")
    return configuration


async def connect(settings: Settings, *, name: str, is_one_shot: bool) -> JetStream:
    """Connects as the settings say.

    Raises:
        ServerLost, WrongCredentials, JetStreamOff, ServerTooOld: No use of that server is possible.
    """
    return await JetStream.connect(settings.url, name=name, is_one_shot=is_one_shot, login=settings.login)
