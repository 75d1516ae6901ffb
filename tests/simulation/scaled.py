"""Scaled limits: the engine's bounds made small, so that a few messages reach what takes thousands in production."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from campaign.graph_definitions import RECOVERIES
from jetrun.actors.graph_workflow import GRAPHS

from .scenario import Limits


@contextmanager
def scaled(limits: Limits) -> Generator[None]:
    """Sets the bounds wherever the engine has imported them, until the end of the block."""
    bounds = {
        "RECORD_BYTES_MAX": limits.record_bytes,
        "TURN_BYTES_MAX": limits.turn_bytes,
        "TURN_MESSAGES_MAX": limits.turn_messages,
        "SCHEDULE_COMMANDS_MAX": limits.schedule_commands,
        "GRAPH_RECORDS": limits.graph_records,
        "GRAPH_RECORDS_HOLD": 3 * limits.graph_records,
        "VALUE_INLINE_BYTES_MAX": limits.inline_bytes,
    }
    with ExitStack() as stack:
        stack.enter_context(patch.object(GRAPHS, "recovery", RECOVERIES))
        for module_name, module in list(sys.modules.items()):
            if module_name.startswith(("jetrun.actors.", "jetrun.streams.")):
                for name in bounds.keys() & vars(module).keys():
                    stack.enter_context(patch.object(module, name, bounds[name]))
        yield
