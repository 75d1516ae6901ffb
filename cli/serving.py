"""A worker process from connection to exit code: check, serve, drain when told, say what was wrong."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeVar

import anyio
import msgspec

from ..actors.errors import NotProvisioned
from ..actors.registry import Registry
from ..client.declaring import declare_schedules
from ..client.settings import Settings
from ..streams.actor_worker import ActorOptions, ActorWorker
from ..streams.garbage import calm
from ..streams.jetstream import JetStream
from ..streams.lease import ThreadLease
from ..streams.lifeline import Lifeline
from ..streams.provision import AppFacts, app_facts, verify
from ..streams.step_worker import StepWorker
from ..streams.subjects import App
from ..streams.telemetry import log
from . import connection
from .exits import DONE, FAILURE, INTERRUPTED, unwrap
from .output import complain

T = TypeVar("T")

_BEAT_S: Final = 1.0


class Worker(Protocol):
    """What actor workers and step workers have in common."""

    async def run(self) -> None:
        """Works until drained."""
        ...

    def drain(self) -> None:
        """Asks it to end."""
        ...


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One worker ready to serve.

    Args:
        what: What the ready line calls it: `actor worker`.
        has_begun: Waits until it serves.
        facts: What else the ready line says.
        then: What it does once, beside its work, when it serves.
    """

    what: str
    worker_id: str
    worker: Worker
    has_begun: Callable[[], Awaitable[None]]
    facts: str
    then: Callable[[], Awaitable[None]] | None = None


async def serve_actors(
    settings: Settings, registry: Registry, modules: Sequence[str], options: ActorOptions, lifeline: Lifeline | None
) -> int:
    """Runs an actor worker until it is told to end, and returns the exit code.

    Raises:
        NotProvisioned: Something that it needs is not on the server; names the command that makes it.
        ServerLost: No server answers, or the connection is gone for good.
    """
    code = FAILURE
    async with anyio.create_task_group() as tasks:
        if lifeline is not None:
            tasks.start_soon(_beat_for_ever, lifeline)
        js = await connection.connect(settings, name="wfctl worker actors", is_one_shot=False)
        try:
            code = await serve(js, await open_actors(js, settings, registry, modules, options))
        finally:
            await js.close()
        tasks.cancel_scope.cancel()
    return code


async def serve_steps(settings: Settings, registry: Registry, modules: Sequence[str], queues: dict[str, int]) -> int:
    """Runs a step worker; as `serve_actors`."""
    js = await connection.connect(settings, name="wfctl worker steps", is_one_shot=False)
    try:
        return await serve(js, await open_steps(js, settings, registry, modules, queues))
    finally:
        await js.close()


async def open_actors(
    js: JetStream, settings: Settings, registry: Registry, modules: Sequence[str], options: ActorOptions
) -> Service:
    """Makes an actor worker, once everything that it needs is on the server; raises NotProvisioned otherwise."""
    app = App(settings.app)
    _hand_on(settings)
    facts = await _checked(js, settings, registry.queues, modules)
    worker_id = new_worker_id()
    options = msgspec.structs.replace(options, known_workflows=facts.workflows)
    worker = ActorWorker(
        js, app, registry, worker_id=worker_id, key=facts.key, partitions=facts.partitions, options=options
    )
    shown = f"app={app.name} workflows={','.join(sorted(registry.workflows)) or '-'}"

    async def then() -> None:
        await declare_schedules(js, app, registry)

    return Service(
        what="actor worker", worker_id=worker_id, worker=worker, has_begun=worker.wait_ready, facts=shown, then=then
    )


async def open_steps(
    js: JetStream, settings: Settings, registry: Registry, modules: Sequence[str], queues: dict[str, int]
) -> Service:
    """Makes a step worker, once everything that it needs is on the server; raises NotProvisioned otherwise."""
    app = App(settings.app)
    _hand_on(settings)
    await _checked(js, settings, [*registry.queues, *queues], modules)
    worker_id = new_worker_id()
    lease = ThreadLease(lambda: connection.connect(settings, name=f"lease {worker_id}", is_one_shot=False))
    worker = StepWorker(js, app, registry, queues, worker_id=worker_id, lease=lease)
    shown = f"app={app.name} queues={','.join(f'{queue}:{count}' for queue, count in sorted(queues.items()))}"
    return Service(what="step worker", worker_id=worker_id, worker=worker, has_begun=worker.ready.wait, facts=shown)


async def serve(js: JetStream, service: Service) -> int:
    """Runs a worker until it is told to end, and returns the exit code.

    SIGTERM and SIGINT drain it; a second one ends the process at once: what it holds is then taken over by others,
    as after a crash. Prints one line on standard output when it serves.

    Raises:
        ServerLost: The connection is gone for good.
    """
    calm()
    told: list[int] = []

    def on_signal(number: int) -> None:
        told.append(number)
        if len(told) > 1:
            complain(f"{service.what} {service.worker_id}: told twice to end: ends now")
            sys.stderr.flush()
            os._exit(INTERRUPTED if number == signal.SIGINT else FAILURE)
        service.worker.drain()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    await connection.until_lost(js, run_until_drained(service))
    return INTERRUPTED if told == [signal.SIGINT] else DONE


async def run_until_drained(service: Service) -> None:
    """Runs a worker and announces when it serves."""

    async def announce() -> None:
        await service.has_begun()
        print(f"ready: {service.what} {service.worker_id} {service.facts}", flush=True)
        if service.then is not None:
            await service.then()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(announce)
        await service.worker.run()
        tasks.cancel_scope.cancel()


def run_worker(work: Callable[[], Awaitable[T]]) -> T:
    """Runs a worker's asynchronous part on the fastest loop that is installed."""

    async def awaited() -> T:
        return await work()

    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(awaited())
    except BaseExceptionGroup as group:
        raise unwrap(group) from None


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Returns uvloop's factory, or None for asyncio's own where uvloop cannot be installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def new_worker_id() -> str:
    """Names this process: host, pid, and what tells it from its predecessors."""
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname().split(".")[0])[:40].strip("-") or "host"
    return f"{host}-{os.getpid()}-{secrets.token_hex(3)}"


def _hand_on(settings: Settings) -> None:
    """Shows the code that is hosted here the way to the same server: `Client.connect()` asks the environment first."""
    os.environ.update(settings.variables)


async def _beat_for_ever(lifeline: Lifeline) -> None:
    """Gives signs of life before and after the worker's watchdog does: waiting for a server can take long."""
    while True:
        lifeline.beat()
        await anyio.sleep(_BEAT_S)


async def _checked(js: JetStream, settings: Settings, queues: Sequence[str], modules: Sequence[str]) -> AppFacts:
    app = App(settings.app)
    given = "".join(f" -m {module}" for module in modules)
    remedy = f"run `wfctl provision{given}{'' if settings.app == 'default' else f' --app {settings.app}'}`"
    try:
        facts = await app_facts(js, app)
    except NotProvisioned as error:
        raise NotProvisioned(f"app {app.name!r} is not provisioned at {js.wire.target.shown}; {remedy}") from error
    for difference in await verify(js, app, queues):
        if difference.detail.startswith("missing"):
            raise NotProvisioned(f"{difference.what} {difference.name} is missing; {remedy}")
        log("provision.differs", 30, what=difference.what, name=difference.name, detail=difference.detail)
    return facts
