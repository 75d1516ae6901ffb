"""A transition graph from a YAML file, with a cycle: a service is looked at again and again, and restarted on approval.

The loop may go on for a month: its log begins anew from time to time, and what it knows goes along.

Try it:
    wfctl graph validate tests/examples/service_watch.yaml
    wfctl graph draw tests/examples/service_watch.yaml
    wfctl dev -m tests.examples.service_watch
    wfctl start service_watch --kwargs '{"service": "db", "interval": 5, "findings": ["up", "down", "done"]}' --run-id db-1
    wfctl hooks send service_watch/db-1 restart '{"approved": true, "by": "lin"}'
    wfctl graph show service_watch/db-1
"""

from __future__ import annotations

from pathlib import Path

from jetrun.actors import attempt, load_graph, step


@step
async def probe_service(service: str, findings: list[str], look: int) -> str:
    """Stands for a request to the service; finds what it is told to find. The first attempt may get no answer."""
    finding = findings[look]
    if finding.startswith("flaky ") and attempt().number == 1:
        raise ConnectionError(f"{service} does not answer")
    return finding.removeprefix("flaky ")


@step
async def restart_service(service: str) -> None:
    """Stands for a restart."""


@step
async def report_watch(text: str) -> str:
    """Stands for a report."""
    return text


service_watch = load_graph(Path(__file__).with_name("service_watch.yaml").read_text("utf-8"))
