"""Scaled bounds: workers of a campaign load this module beside its workflows, its audit calls `scale`.

Graph runs continue as new after a few records instead of thousands, and no task counts as deadly for the kills.
"""

from __future__ import annotations

from typing import Final
from unittest.mock import patch

from jetrun.actors import graph_run
from jetrun.actors.graph_workflow import GRAPHS

from .graph_definitions import RECOVERIES

RECORDS: Final = 12


def scale() -> None:
    """Sets the bounds, until the end of this process."""
    patch.multiple(graph_run, GRAPH_RECORDS=RECORDS, GRAPH_RECORDS_HOLD=3 * RECORDS).start()
    GRAPHS.recovery = RECOVERIES
