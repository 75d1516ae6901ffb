"""An actor worker and a step worker in one process, each on a thread and a connection of its own.

For development alone. The actor worker has the main thread, where its watchdog can interrupt it; a step that blocks
its loop cannot hold up the actors beside it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from ..actors.registry import Registry
from ..client.settings import Settings, WorkerSettings
from ..streams.actor_worker import ActorOptions
from ..streams.lifeline import Lifeline
from ..streams.provision import provision
from ..streams.subjects import App
from . import connection, serving
from .code import load_code

_STEPS_END_S: Final = 25.0
"""A step worker's own drain is shorter."""


def run(settings: Settings, worker: WorkerSettings, lifeline: Lifeline | None) -> int:
    """Provisions the app and runs both workers until told to end; returns the exit code."""
    registry = load_code(worker)
    options = ActorOptions(
        retention_us=worker.retention_us,
        note_path=(lifeline.note_path or None) if lifeline is not None else None,
        sign_of_life=None if lifeline is None else lifeline.beat,
    )
    steps = _StepsThread(settings, registry, worker)

    async def work() -> int:
        js = await connection.connect(settings, name="wfctl dev", is_one_shot=False)
        try:
            changes = await provision(js, App(settings.app), queues=registry.queues, workflows=registry.workflows)
            print(f"streams: app {settings.app}, {len(changes)} changes by provisioning", flush=True)
        finally:
            await js.close()
        if registry.steps:
            steps.start()
        return await serving.serve_actors(settings, registry, worker.modules, options, lifeline)

    try:
        code = serving.run_worker(work)
    finally:
        steps.end()
    if steps.error is not None:
        raise steps.error
    return code


class _StepsThread:
    """A step worker with its thread."""

    def __init__(self, settings: Settings, registry: Registry, worker: WorkerSettings) -> None:
        self.error: BaseException | None = None
        """What ended the worker, if it was not told to end."""
        self._settings = settings
        self._registry = registry
        self._modules = worker.modules
        self._queues = dict.fromkeys(registry.queues, worker.concurrency)
        self._thread = threading.Thread(target=self._run, name="jetrun-steps", daemon=True)
        self._is_told = False
        self._drain: Callable[[], object] | None = None

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def end(self) -> None:
        """Drains the worker and waits for its thread; steps that do not end in time die with the process. Idempotent."""
        self._is_told = True
        if self._drain is not None:
            with suppress(RuntimeError):  # its loop has just been closed
                self._drain()
        if self._thread.is_alive():
            self._thread.join(_STEPS_END_S)

    def _run(self) -> None:
        try:
            serving.run_worker(self._work)
        except BaseException as error:  # noqa: BLE001  # whatever it is, the process ends with it
            self.error = error
            os.kill(os.getpid(), signal.SIGTERM)

    async def _work(self) -> None:
        js = await connection.connect(self._settings, name="wfctl dev steps", is_one_shot=False)
        try:
            service = await serving.open_steps(js, self._settings, self._registry, self._modules, self._queues)
            loop = asyncio.get_running_loop()
            self._drain = lambda: loop.call_soon_threadsafe(service.worker.drain)
            # `end` sets the mark before it looks for `_drain`, this sets `_drain` before it looks for the mark.
            if not self._is_told:
                await connection.until_lost(js, serving.run_until_drained(service))
        finally:
            await js.close()
