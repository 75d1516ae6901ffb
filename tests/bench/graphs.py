"""`python -m tests.bench.graphs`: what graphs cost.

Of a definition of 1,000 tasks: its validation, and the interpreter's time per event; of a loop of 10,000 rounds: what a
round costs at its end as against its beginning, on the interpreter alone and as a run on a server, records per round, and 64 runs at once. Prints the figures; 1 where one misses its bound.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import sys
import tempfile
import time
from itertools import pairwise
from statistics import median

from jetrun.actors import load_graph, step
from jetrun.actors.graph_compile import compile_graph
from jetrun.actors.graph_evaluate import compile_expression
from jetrun.actors.graph_events import ActionEnded, Beginning, GraphEvent
from jetrun.actors.graph_interpreter import Interpreter
from jetrun.actors.graph_model import Graph
from jetrun.actors.graph_source import parse
from jetrun.actors.graph_state import State
from jetrun.client.local import local

from .report import Figure, Floor, table

VALIDATED_MS_MAX = 1_000
EVENT_US_MAX = 100
GROWTH_MAX = 1.25
RECORDS_PER_ROUND_MAX = 2
TASKS = 1_000
TOGETHER = 64
RUNS = 3
SLOWDOWN_MAX = 2

LOOP = """
input: [{rounds: 0}]
vars: [{n: 0}]
limits: {iterations: 1000000}
tasks:
  begin: {next: [{do: count}]}
  count:
    action: add_one
    input: {n: "{{ ctx.n }}"}
    next:
      - when: "{{ succeeded() and ctx.n + 1 < ctx.rounds }}"
        publish: [{n: "{{ result() }}"}]
        do: count
      - when: "{{ succeeded() and ctx.n + 1 >= ctx.rounds }}"
        publish: [{n: "{{ result() }}"}]
output: [{n: "{{ ctx.n }}"}]
"""


ENDED: list[float] = []
"""When the step was run, each time."""


@step
async def add_one(n: int) -> int:
    ENDED.append(time.perf_counter())
    return n + 1


PAUSE_S = 0.1
ROW = "tasks:\n" + "\n".join(
    f"  t{n}: {{action: pause, next: [{{when: '{{{{ succeeded() }}}}', do: {f't{n + 1}' if n < 9 else 'noop'}}}]}}"
    for n in range(10)
)


@step
async def pause() -> None:
    """Stands for work that waits for something else."""
    await asyncio.sleep(PAUSE_S)


loop = load_graph(LOOP, name="loop")
row = load_graph(ROW, name="row")


def wide_definition(tasks: int) -> str:
    """Writes a transition graph: rows of ten branches that meet in a join, each task with a condition and a variable."""
    lines = ["input: [{limit: 1000000}]", "vars: [{total: 0}]", "tasks:", "  begin: {next: [{do: row0_0}]}"]
    rows = (tasks - 1) // 12
    for row in range(rows):
        branches = ", ".join(f"row{row}_b{n}" for n in range(10))
        lines += [f"  row{row}_0:", "    action: core.noop", "    next:", f"      - do: [{branches}]"]
        for n in range(10):
            lines += [
                f"  row{row}_b{n}:",
                "    action: core.echo",
                f'    input: {{message: "{{{{ ctx.total + {n} }}}}", row: {row}}}',
                "    next:",
                f'      - when: "{{{{ succeeded() and ctx.total < ctx.limit - {row} }}}}"',
                f'        publish: [{{v{row}_{n}: "{{{{ result() }}}}"}}]',
                f"        do: row{row}_join",
            ]
        following = f"do: row{row + 1}_0" if row + 1 < rows else "do: noop"
        lines += [
            f"  row{row}_join:",
            "    join: all",
            "    action: core.noop",
            "    next:",
            '      - publish: [{total: "{{ ctx.total + 1 }}"}]',
            f"        {following}",
        ]
    return "\n".join(lines)


def validated_ms(text: str) -> float:
    """Reads and checks a definition that nobody has seen before."""
    compile_expression.cache_clear()
    gc.collect()
    began = time.perf_counter()
    compile_graph(parse(text, name="wide"))
    return (time.perf_counter() - began) * 1e3


def event_times_us(graph: Graph, given: dict[str, object], results: object = None) -> list[float]:
    """Takes a run to its end on the interpreter; each task ends in the order in which it was begun."""
    interpreter = Interpreter(graph, State(), run={})
    times: list[float] = []
    events: list[GraphEvent] = [Beginning(input=given)]
    for event in events:  # it grows while it is read
        began = time.perf_counter()
        _, asks = interpreter.advance(event, now_us=1)
        times.append((time.perf_counter() - began) * 1e6)
        for ask in asks:
            result = ask.kwargs["n"] + 1 if ask.name == "add_one" else results  # type: ignore[operator]  # a number
            events.append(ActionEnded(id=ask.activation, status="succeeded", result=result))
    assert interpreter.state.status == "succeeded", interpreter.state.failures
    return times


async def run_times_us(rounds: int) -> tuple[list[float], int]:
    """Runs the loop on a real server, its workers in this process; returns the time of each round, and the records."""
    ENDED.clear()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        async with local(loop, add_one, store=folder) as client:
            run = await client.start(loop.call(rounds=rounds), run_id="r")
            assert await run.result() == {"n": rounds}
            records = sum(link.records for link in await run.chain())
    return [(later - earlier) * 1e6 for earlier, later in pairwise(ENDED)], records


async def latencies_s(runs: int) -> float:
    """Runs so many graphs of ten steps at once on a real server; returns the median of their times from start to result."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        async with local(row, pause, store=folder, concurrency=2 * runs) as client:

            async def timed(run_id: str) -> float:
                began = time.perf_counter()
                await (await client.start(row.call(), run_id=run_id)).result()
                return time.perf_counter() - began

            await timed("warm-up")
            return median(await asyncio.gather(*(timed(f"r-{n}") for n in range(runs))))


def growth(times: list[float]) -> float:
    """Compares the last tenth of the rounds with the first, without the very first ones."""
    tenth = len(times) // 10
    return median(times[-tenth:]) / median(times[10 : tenth + 10])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.graphs", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10_000, help="rounds of the loop (default 10,000)")
    parser.add_argument("--repeat", type=int, default=5, help="times that each case is measured (default 5)")
    arguments = parser.parse_args()
    rounds: int = arguments.rounds
    repeat: int = arguments.repeat
    logging.disable()
    text = wide_definition(TASKS)
    graph = compile_graph(parse(text, name="wide")).graph
    event_times_us(graph, {})  # parses the expressions
    wide = [event_times_us(graph, {}, "x") for _ in range(repeat)]
    alone = [event_times_us(loop.graph, {"rounds": rounds}) for _ in range(repeat)]
    runs = [asyncio.run(run_times_us(rounds)) for _ in range(RUNS)]
    records = runs[0][1]
    alone_s, together_s = asyncio.run(latencies_s(1)), asyncio.run(latencies_s(TOGETHER))
    figures = [
        _figure(
            f"a definition of {len(graph.tasks)} tasks validated",
            "ms",
            [validated_ms(text) for _ in range(repeat)],
            VALIDATED_MS_MAX,
        ),
        _figure(
            "its interpreter's time per event, mean", "us", [sum(times) / len(times) for times in wide], EVENT_US_MAX
        ),
        _figure(
            "a round of a loop on the interpreter, mean",
            "us",
            [sum(times) / len(times) for times in alone],
            EVENT_US_MAX,
        ),
        _figure(
            f"its last rounds of {rounds:,} as against its first", "x", [growth(times) for times in alone], GROWTH_MAX
        ),
        _figure("a round of a run of it on a server", "us", [sum(times) / len(times) for times, _ in runs], None),
        _figure(
            f"its last rounds of {rounds:,} as against its first", "x", [growth(times) for times, _ in runs], GROWTH_MAX
        ),
        _figure(
            f"a run of ten steps of {PAUSE_S:g} s, {TOGETHER} at once as against one",
            "x",
            [together_s / alone_s],
            SLOWDOWN_MAX,
        ),
        _figure("records per round", "", [records / rounds], RECORDS_PER_ROUND_MAX),
    ]
    print(table(figures))
    return 0 if all(figure.is_met is not False for figure in figures) else 1


def _figure(name: str, unit: str, values: list[float], bound: float | None) -> Figure:
    floor = None if bound is None else Floor(kind="at most", bound=bound)
    return Figure(case="G", name=name, unit=unit, values=values, floor=floor)


if __name__ == "__main__":
    sys.exit(main())
