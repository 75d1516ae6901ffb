"""The engine's own workflows: every actor worker knows them."""

from __future__ import annotations

from typing import Any, Final

from .graph_workflow import GRAPHS
from .schedule_run import SCHEDULES
from .workflow import Workflow

ENGINE_WORKFLOWS: Final[tuple[Workflow[..., Any], ...]] = (SCHEDULES, GRAPHS)
