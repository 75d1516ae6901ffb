"""A command's connection: opened from the global options and the environment, closed at the end, whatever happens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio
import msgspec
import typer

from ..actors.errors import ServerLost
from ..client.client import Client
from ..client.settings import Settings
from ..streams.connection import Login
from ..streams.jetstream import JetStream
from ..streams.ports import Broker
from ..streams.subjects import App
from .exits import unwrap
from .options import globals_of
from .output import Output

T = TypeVar("T")

DEFAULT_URL: Final = Settings().url


class Connection:
    """What a command works with: the app's streams, a client on them, and where its lines go."""

    def __init__(self, broker: Broker, app: str, out: Output) -> None:
        self.broker: Final = broker
        self.app: Final = App(app)
        self.client: Final = Client(broker, app)
        self.out: Final = out


def run(context: typer.Context, work: Callable[[Connection], Awaitable[T]], *, is_json: bool = False) -> T:
    """Connects, does the work and disconnects; gives up within seconds where no server answers.

    Ctrl-C cancels the work, lets it clean up and raises KeyboardInterrupt.
    """
    settings = settings_of(context)

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
    """Reads the environment under what the command line says."""
    given, read = globals_of(context), Settings.read()
    return msgspec.structs.replace(read, url=given.url or read.url, app=read.app if given.app is None else given.app)


async def connect(settings: Settings, *, name: str, is_one_shot: bool) -> JetStream:
    """Connects as the settings say.

    Raises:
        ServerLost, WrongCredentials, JetStreamOff, ServerTooOld: No use of that server is possible.
    """
    login = Login(
        user=settings.user or None,
        password=settings.password or None,
        token=settings.token or None,
        creds_file=settings.creds or None,
    )
    return await JetStream.connect(settings.url, name=name, is_one_shot=is_one_shot, login=login)
