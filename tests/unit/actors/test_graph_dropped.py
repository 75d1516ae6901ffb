"""Dropped results of the builder: flagged at their line, for real, and nothing else is."""

from __future__ import annotations

import gc
import inspect
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jetrun.actors import DefinitionError, Graph, GraphDropped, step


@step(max_retries=0)
def build() -> None: ...


@step(max_retries=0)
def lint() -> None: ...


def steps_of(graph: Graph) -> dict[str, Any]:
    steps = graph.definition()["steps"]
    assert isinstance(steps, dict)
    return steps


def test_a_dropped_result_is_flagged_at_its_line() -> None:
    """W10: the call changed nothing; file and line of the call are named, once, and `check` knows, too."""
    graph = Graph("g").step(build)

    with pytest.warns(GraphDropped, match=r"the result of \.step\('lint'\) was dropped, so it changed nothing") as told:
        graph.step(lint, after=[build])

    line = inspect.getsourcelines(test_a_dropped_result_is_flagged_at_its_line)[1] + 5
    assert [(one.filename, one.lineno) for one in told] == [(__file__, line)]
    assert list(steps_of(graph)) == ["build"]


CALLS: list[Callable[[Graph], Graph]] = [
    lambda graph: graph.step("x"),
    lambda graph: graph.child("x"),
    lambda graph: graph.wait(1, name="x"),
    lambda graph: graph.hook("x"),
    lambda graph: graph.input("x"),
    lambda graph: graph.output(x=1),
    lambda graph: graph.vars(x=1),
    lambda graph: graph.limits(iterations=1),
    lambda graph: graph.options(on_cancel="allow_finish"),
]


@pytest.mark.parametrize("add", CALLS, ids=range(len(CALLS)))
def test_every_call_of_the_builder_is_watched(add: Callable[[Graph], Graph]) -> None:
    """One that were not would be the one that somebody drops."""
    with pytest.warns(GraphDropped, match=r"^the result of \.[a-z]+\(.*\) was dropped"):
        add(Graph("g"))


def test_what_is_used_is_not_flagged() -> None:
    """Extended, rendered, checked, started, shown, or made a child of: nothing was lost."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        base = Graph("g").step(build)
        base.step(lint).definition()
        base.step(lint).to_yaml()
        base.input("x").call(x=1)
        repr(base.step(lint))
        Graph("h").child(base.step(lint)).definition()
        with pytest.raises(DefinitionError):
            Graph("h").step(build).step(lint, after="build")
        Graph("never-extended")  # nothing was given to it that could be lost
        del base
        gc.collect()


def test_check_repeats_what_was_dropped() -> None:
    """`wfctl graph validate` shows it as a warning even where nobody read what Python wrote."""
    graph = Graph("g").step(build)
    with pytest.warns(GraphDropped):
        graph.step(lint)

    (problem,) = graph.check()

    assert (problem.kind, problem.severity) == ("dropped_result", "warning")
    assert f"{__file__}:" in problem.message


SCRIPT = """\
from jetrun.actors import Graph

deploy = Graph("deploy").step("build")
deploy.step("test",
            after=["build"])
unused = deploy.step("notify")
print(len(deploy.definition()["steps"]))
"""


def test_a_program_says_it_without_being_asked(tmp_path: Path) -> None:
    """By Python's own settings the warning is shown, with file and line; what merely lives until the end is not flagged."""
    path = tmp_path / "deploy.py"
    path.write_text(SCRIPT)

    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=True)

    assert done.stdout == "1\n"
    assert done.stderr.count("GraphDropped") == 1
    assert f"{path}:4: GraphDropped: the result of .step('test') was dropped" in done.stderr


@pytest.mark.slow
def test_a_test_suite_can_fail_for_it(tmp_path: Path) -> None:
    """The setting that the documents recommend does what they say, with pytest itself."""
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nfilterwarnings =\n    error::jetrun.actors.GraphDropped\n    error\n"
    )
    (tmp_path / "deploy.py").write_text(SCRIPT)
    (tmp_path / "test_deploy.py").write_text(
        "def test_deploy() -> None:\n    import deploy\n    assert deploy.deploy\n"
    )

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )

    assert done.returncode == 1, done.stdout
    assert "the result of .step('test') was dropped" in done.stdout
