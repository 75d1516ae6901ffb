"""Declaring: the schedules that workflows declare in their decorators, brought up to date when a worker starts."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from ..actors.errors import BrokerError, JetrunError
from ..actors.registry import Registry
from ..actors.schedule import AUTO_PREFIX
from ..streams.ports import Broker
from ..streams.subjects import App
from ..streams.telemetry import log
from .catalog import Catalog
from .schedules import Schedules
from .session import Session

_PAUSE_S: Final = 5.0


async def declare_schedules(broker: Broker, app: App, registry: Registry) -> None:
    """Creates and updates declared schedules; waits for the server where it is away. Leaves the connection open."""
    declared = [workflow for workflow in registry.workflows.values() if workflow.schedule is not None]
    if not declared:
        return
    schedules = Schedules(Session(broker, app), Catalog(broker, app))
    for workflow in declared:
        while True:
            try:
                came_to = await schedules.declare(workflow)
            except BrokerError as error:
                log("schedule.failed", logging.WARNING, schedule=AUTO_PREFIX + workflow.name, error=error)
                await asyncio.sleep(_PAUSE_S)
                continue
            except JetrunError as error:  # this one is in disorder; the worker and the others are not
                log("schedule.failed", logging.ERROR, schedule=AUTO_PREFIX + workflow.name, error=error)
            else:
                level = logging.WARNING if came_to == "deleted" else logging.INFO
                log("schedule.declared", level, schedule=AUTO_PREFIX + workflow.name, came_to=came_to)
            break
