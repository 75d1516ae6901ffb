"""Retries of a graph's tasks: native ones of steps, and those that a condition decides."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from jetrun.actors.commands import RunStep
from jetrun.client import testing
from support.graph_steps import STEPS, code_of, ending_of, flaky, graph, never, ran, seconds_of, slow, story, wrong


async def attempts_of(retry: str, action: str = "action: wrong", *, kinds: str = "step.failed") -> list[float]:
    """Runs a task until its retries are used up; lists when its attempts ended."""
    flow = graph(f"tasks: {{a: {{{action}, retry: {retry}}}}}")
    async with testing.app(flow, *STEPS) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await ending_of(run)
        return await seconds_of(run, kinds)


@pytest.mark.parametrize(
    ("retry", "at_s"),
    [
        ("{count: 3}", [0, 0, 0, 0]),
        ("{count: 3, delay: 5}", [0, 5, 10, 15]),
        ("{count: 3, delay: 5, backoff: linear}", [0, 5, 15, 30]),
        ("{count: 4, delay: 2, backoff: exponential}", [0, 2, 6, 14, 30]),
        ("{count: 4, delay: 2, backoff: exponential, cap: 5s}", [0, 2, 6, 11, 16]),
        ("{count: 4, delay: 2, backoff: linear, cap: 5s}", [0, 2, 6, 11, 16]),
        ("{count: 2, delay: 5, cap: 3s}", [0, 3, 6]),
        ("{count: 0, delay: 5}", [0]),
    ],
)
@pytest.mark.parametrize("when", ["", ", when: '{{ failed() }}'"])
async def test_back_off_is_the_documented_one(retry: str, at_s: list[float], when: str) -> None:
    """W26: `delay`, `delay * n`, `delay * 2**(n - 1)`, never above the cap; whether the engine retries or a condition."""
    assert await attempts_of(retry.replace("}", f"{when}}}")) == at_s


@pytest.mark.parametrize("when", ["", ", when: '{{ failed() }}'"])
async def test_jitter_shortens_by_up_to_a_half(when: str) -> None:
    """W26: delays are multiplied by 0.5 to 1."""
    at_s = await attempts_of(f"{{count: 6, delay: 100, jitter: true{when}}}")
    delays = [later - earlier for earlier, later in pairwise(at_s)]

    assert all(50 <= delay <= 100 for delay in delays)
    assert len(set(delays)) > 1


async def test_attempts_go_on_until_one_succeeds() -> None:
    """The edges see the last attempt alone."""
    flow = graph("""
tasks:
  a: {action: flaky good=3, retry: {count: 5, delay: 1}, next: [{publish: [{n: "{{ result() }}"}]}]}
output: [{n: "{{ ctx.n }}"}]
""")
    async with testing.app(flow, *STEPS) as tested:
        ending = await ran(tested, flow)

    assert (ending.output, ending.at_s) == ({"n": 3}, 2.0)


@pytest.mark.parametrize("when", ["", ", when: '{{ failed() }}'"])
async def test_used_up_means_stop_and_the_failure_path(when: str) -> None:
    """W7: nothing is retried after the last attempt, and its edges are taken."""
    flow = graph(f"""
tasks:
  a:
    action: wrong
    retry: {{count: 1, delay: 1{when}}}
    next:
      - {{when: "{{{{ succeeded() }}}}", publish: [{{how: good}}], do: noop}}
      - {{when: "{{{{ failed() }}}}", publish: [{{how: "{{{{ error().message }}}}"}}], do: noop}}
output: [{{how: "{{{{ ctx.how }}}}"}}]
""")
    async with testing.app(flow, *STEPS) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        assert await run.result() == {"how": "wrong"}
        events = await run.events()

    assert [event.kind for event in events].count("step.failed") == 2
    assert story(events, "step.retrying", "task.delayed") != []
    assert len(story(events, "step.retrying", "task.delayed")) == 1


async def test_attempts_of_a_condition_pass_by_what_would_be_final() -> None:
    """Whoever writes `when` decides alone, over a `FatalError`, too."""
    assert await attempts_of("{count: 2, delay: 1, when: '{{ failed() }}'}", "action: never") == [0, 1, 2]


async def test_fatal_errors_are_not_retried() -> None:
    """The step says that trying again cannot help."""
    assert await attempts_of("{count: 5, delay: 1}", "action: never") == [0]
    assert await attempts_of("forever", "action: never") == [0]


async def test_success_may_be_retried_where_a_condition_says_so() -> None:
    """A poll: again until the answer is right."""
    flow = graph("""
tasks:
  a:
    action: echo
    input: {x: "{{ attempt() }}"}
    retry: {count: 10, delay: 30, when: "{{ succeeded() and result() < 4 }}"}
    next: [{publish: [{n: "{{ result() }}"}]}]
output: [{n: "{{ ctx.n }}"}]
""")
    async with testing.app(flow, *STEPS) as tested:
        ending = await ran(tested, flow)

    assert (ending.output, ending.at_s) == ({"n": 4}, 90.0)


async def test_retry_for_ever_ends_with_a_cancel() -> None:
    """W25: whatever may be retried is, returned or raised; back-off from 1 s to 5 minutes; a cancel interrupts a wait."""
    flow = graph("tasks: {a: {action: wrong, retry: forever}}\noutput: [{x: 1}]")
    async with testing.app(flow, *STEPS) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await tested.skip("2h")
        tried = len(tested.calls(wrong))
        await run.cancel(reason="enough")
        ending = await ending_of(run)

        assert 25 <= tried <= 60
        assert len(tested.calls(wrong)) == tried
    assert (ending.status, ending.output) == ("cancelled", {"x": 1})


async def test_retry_for_ever_retries_timeouts_and_what_a_condition_refuses() -> None:
    """W25: outcomes that were returned, not raised, are retried likewise."""
    flow = graph("""
tasks:
  a: {action: slow seconds=100, timeout: 1s, retry: {count: forever, delay: 1}}
  b: {action: echo x=1, retry: {count: forever, delay: 1, when: "{{ result() != 2 }}"}}
""")
    async with testing.app(flow, *STEPS) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await tested.skip("1m")
        calls = len(tested.calls(slow))
        await run.cancel()
        await ending_of(run)

        assert calls >= 20
        assert len(tested.calls()) >= calls + 50


async def test_timeouts_of_attempts_are_retried() -> None:
    """A timeout is of one attempt."""
    flow = graph("tasks: {a: {action: slow seconds=100, timeout: 2s, retry: {count: 2, delay: 1}}}")
    async with testing.app(flow, *STEPS) as tested:
        ending = await ran(tested, flow)

        assert len(tested.calls(slow)) == 3
    assert ending.error is not None
    assert "task 'a' timed out" in ending.error.message
    assert code_of(ending) == "task_failed"


async def test_children_and_items_are_run_again_whole() -> None:
    """An attempt with items runs all of them."""
    flow = graph("""
tasks:
  a: {with: "x in {{ [2, 3] }}", action: "picky x={{ item('x') }}", retry: {count: 1, delay: 1}, next: [{when: "{{ failed() }}", do: c}]}
  c: {workflow: inner, retry: {count: 2, delay: 1}, next: [{when: "{{ failed() }}", do: noop}]}
""")
    inner = graph("tasks: {a: {action: wrong}}", "inner")
    async with testing.app(flow, inner, *STEPS) as tested:
        run = await tested.client.start(flow.call(), run_id="r1")
        await run.result()
        children = await run.children()

        assert [call.step for call in tested.calls()] == ["picky"] * 4 + ["wrong"] * 3
    assert len(children) == 3


@pytest.mark.parametrize(("count", "tried"), [("{{ ctx.n }}", 3), ("{{ ctx.n - 2 }}", 1)])
async def test_counts_and_delays_may_be_expressions(count: str, tried: int) -> None:
    """They are evaluated once, and stand in the log."""
    flow = graph(
        f"input: [{{n: 2}}]\ntasks: {{a: {{action: flaky good=9, retry: {{count: '{count}', delay: '{{{{ ctx.n }}}}'}}}}}}"
    )
    async with testing.app(flow, *STEPS) as tested:
        await ran(tested, flow)

        assert len(tested.calls(flaky)) == tried


async def test_a_count_that_is_none_breaks_the_run() -> None:
    """It names the place."""
    flow = graph("tasks: {a: {action: never, retry: {count: '{{ 1.5 }}'}}}")
    async with testing.app(flow, *STEPS) as tested:
        ending = await ran(tested, flow)

        assert tested.calls(never) == []
    assert code_of(ending) == "expression_error"
    assert ending.error is not None
    assert "tasks.a.retry.count: a whole number" in ending.error.message


async def test_a_retry_gets_input_evaluated_again_only_where_a_condition_decides() -> None:
    """Native attempts are one command, with one set of arguments."""
    seen: dict[str, list[Any]] = {}
    for when in ("", ", when: '{{ failed() }}'"):
        action = "action: wrong, input: {what: '{{ attempt() }}'}"
        flow = graph(f"tasks: {{a: {{{action}, retry: {{count: 1{when}}}}}}}")
        async with testing.app(flow, *STEPS) as tested:
            await ran(tested, flow)
            seen[when] = [call.kwargs["what"] for call in tested.calls(wrong)]

    assert [*seen.values()] == [[1, 1], [1, 2]]


async def test_recovery_is_what_the_task_says() -> None:
    """What must not run twice is not run again after its worker was lost; in a graph, too."""
    flow = graph("tasks: {a: {action: double x=1, max_recovery_attempts: 0}, b: {action: double x=2}}")
    async with testing.app(flow, *STEPS) as app:
        run = await app.client.start(flow.call(), run_id="r1")
        await run.result()
        commands = [command for record in await run.log() for command in record.commands]

    assert [command.recoveries_max for command in commands if isinstance(command, RunStep)] == [1, 4]
