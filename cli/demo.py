"""`wfctl demo`: the whole engine at work on real input, in processes of its own, with nothing to set up."""

from __future__ import annotations


def demo() -> None:
    """Audit this Python environment with a workflow: server, actor worker and step worker are started and stopped for it.

    Recomputes the hash of every installed file that its distribution lists. Changes nothing, needs no input, takes seconds.
    """
    from . import connection
    from .demo_show import run_demo

    connection.run_async(run_demo)
