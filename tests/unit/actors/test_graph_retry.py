"""What a step brings along into a graph, and retries of an entry: as data, exactly, or refused."""

from __future__ import annotations

from typing import Any

import pytest

from jetrun.actors import DefinitionError, Graph, step


@step(max_retries=0)
def lint() -> None: ...


def steps_of(graph: Graph) -> dict[str, Any]:
    steps = graph.definition()["steps"]
    assert isinstance(steps, dict)
    return steps


EXPONENTIAL = {"count": 3, "delay": "1s", "backoff": "exponential", "cap": "5m", "jitter": True}


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({}, {"retry": EXPONENTIAL}),
        ({"max_retries": 0}, {}),
        ({"max_retries": 1, "retry_cap": 7.5, "jitter": False}, {"retry": {**EXPONENTIAL, "count": 1, "cap": "7.5s", "jitter": False}}),
        ({"retry_delay": 2}, {"retry": {"count": 3, "delay": "2s", "backoff": "fixed"}}),
        ({"retry_delay": "1h"}, {"retry": {"count": 3, "delay": "1h", "backoff": "fixed", "cap": "1h"}}),
        ({"retry_delay": [5, 5, 5]}, {"retry": {"count": 3, "delay": "5s", "backoff": "fixed"}}),
        ({"max_retries": 1, "retry_delay": [5, 9]}, {"retry": {"count": 1, "delay": "5s", "backoff": "fixed"}}),
        ({"max_retries": 0, "queue": "q", "timeout": "90s", "heartbeat_timeout": 5}, {"queue": "q", "timeout": "1m30s", "heartbeat_timeout": "5s"}),
        ({"max_retries": 0, "inline": True}, {"timeout": "1s"}),
    ],
)  # fmt: skip
def test_a_step_brings_its_options_along(options: dict[str, Any], fields: dict[str, Any]) -> None:
    """The retries of a step in a graph are those that it has in a workflow, exactly."""
    found = steps_of(Graph("g").step(lint.options(max_retries=3).options(**options)))["lint"]

    if "inline" in options:
        found["timeout"] = fields["timeout"]  # whatever inline steps have
    assert found == fields


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"retry_delay": lambda attempt: attempt},
            "a Python function as retry_delay, which is no data; give the entry",
        ),
        ({"retry_delay": [1, 2]}, "a list of delays, which is no data"),
        ({"non_retryable": (ValueError,)}, "non_retryable, exception classes"),
        ({"retry_for": "1h"}, "retry_for"),
    ],
)
def test_a_policy_that_is_no_data_is_refused(options: dict[str, Any], said: str) -> None:
    """W29: rounded to something like it, it would be another policy; the way out is one of the entry's own."""
    strange = lint.options(max_retries=3, **options)

    with pytest.raises(DefinitionError, match=said):
        Graph("g").step(strange)
    assert steps_of(Graph("g").step(strange, retry={"count": 3, "delay": "1s"}))["lint"] == {
        "retry": {"count": 3, "delay": "1s"}
    }


@pytest.mark.parametrize(
    "options",
    [
        {"schedule_to_close": "1h"},
        {"on_failure": None},
    ],
)
def test_an_option_that_no_graph_can_say_is_refused(options: dict[str, Any]) -> None:
    """Dropped in silence, it would be missed on the day that it matters."""
    with pytest.raises(
        DefinitionError, match="which no graph can say; name the step by text, 'lint', to run it without"
    ):
        Graph("g").step(lint.options(**options))


@pytest.mark.parametrize(
    ("options", "attempts"), [({"recover_on_worker_loss": False}, 0), ({"max_recovery_attempts": 1}, 1)]
)
def test_recovery_goes_along(options: dict[str, Any], attempts: int) -> None:
    """What must not run twice must not do so in a graph either."""
    assert steps_of(Graph("g").step(lint.options(**options)))["lint"]["max_recovery_attempts"] == attempts


@pytest.mark.parametrize(
    ("given", "on_failure", "made"),
    [
        (0, "fail", None),
        (2, "fail", {"count": 2}),
        ("forever", "fail", "forever"),
        ({"count": "{{ ctx.n }}", "delay": 1.5}, "fail", {"count": "{{ ctx.n }}", "delay": "1.5s"}),
        (
            {"count": 1, "delay": "{{ ctx.d }}", "backoff": "linear", "cap": 60, "jitter": True, "when": "{{ failed() }}"},
            "fail",
            {"count": 1, "delay": "{{ ctx.d }}", "backoff": "linear", "cap": "1m", "jitter": True, "when": "{{ failed() }}"},
        ),
        (None, "retry", "forever"),
        ("forever", "retry", "forever"),
        ({"delay": "2s"}, "retry", {"delay": "2s", "count": "forever"}),
    ],
)  # fmt: skip
def test_retries_of_an_entry(given: Any, on_failure: Any, made: Any) -> None:
    """Numbers, words and the whole policy; without end is said as data, too."""
    graph = Graph("g").step("a", retry=given, on_failure=on_failure)

    assert steps_of(graph)["a"].get("retry") == made


def test_retries_without_end_keep_the_back_off_of_the_step() -> None:
    """`on_failure="retry"` changes how often, not how fast."""
    graph = Graph("g").step(lint.options(max_retries=3), on_failure="retry")

    assert steps_of(graph)["lint"] == {"retry": {**EXPONENTIAL, "count": "forever"}}


@pytest.mark.parametrize(
    ("given", "on_failure", "said"),
    [
        (-1, "fail", "retry count=-1; use a whole number"),
        (True, "fail", "retry count=True"),
        (1.5, "fail", r"retry count=1\.5"),
        ("often", "fail", "is no expression"),
        ({"count": 1, "delays": [1]}, "fail", r"retry has delays=\[1\]; there are count, delay"),
        ({"count": 1, "backoff": "cubic"}, "fail", "retry has backoff='cubic'"),
        ({"count": 1, "jitter": 1}, "fail", "retry has jitter=1"),
        ({"delay": 1}, "fail", "retry has no count"),
        (3, "retry", "retry=3 with on_failure='retry', which has no end"),
        ({"count": 3}, "retry", "count=3 with on_failure='retry', which has no end"),
    ],
)
def test_retries_that_cannot_work_are_refused(given: Any, on_failure: Any, said: str) -> None:
    """A policy that contradicts itself would have one half forgotten."""
    with pytest.raises(DefinitionError, match=said):
        Graph("g").step("a", retry=given, on_failure=on_failure)
