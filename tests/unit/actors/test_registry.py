"""The registry: what a worker knows, told in one line where something is wrong with it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jetrun.actors import DefinitionError, step, workflow
from jetrun.actors.registry import RegistrationError, Registry


@step(queue="b")
async def one() -> None: ...


@step(queue="a")
async def two() -> None: ...


@workflow
async def flow() -> None: ...


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_definitions_are_found_by_name() -> None:
    registry = Registry.of(one, two, flow)

    assert registry.steps == {"one": one, "two": two}
    assert registry.workflows == {"flow": flow}
    assert registry.queues == ["a", "b"]


def test_registries_do_not_share_what_they_know() -> None:
    Registry.of(one)

    assert Registry.of(two).steps == {"two": two}


def test_the_same_definition_twice_is_one() -> None:
    """A step is imported into the modules that use it."""
    assert Registry.of(one, one).steps == {"one": one}


def test_two_definitions_of_one_name_are_refused() -> None:
    @step(name="one")
    async def other() -> None: ...

    with pytest.raises(RegistrationError, match="step 'one' is defined twice"):
        Registry.of(one, other)


def test_types_that_no_json_fits_are_refused_when_they_are_registered() -> None:
    """Not at the first start, in the middle of a worker's turn."""

    @workflow
    async def unreadable(queue: asyncio.Queue[int]) -> None: ...

    @step
    async def unwritable() -> asyncio.Queue[int]:
        raise AssertionError

    with pytest.raises(RegistrationError, match=r"argument 'queue' of workflow unreadable: .*Queue"):
        Registry.of(unreadable)
    with pytest.raises(RegistrationError, match=r"result of step unwritable: .*Queue"):
        Registry.of(unwritable)


def test_modules_are_imported_and_searched(folder: Path) -> None:
    (folder / "flows_of_mine.py").write_text(
        "from jetrun.actors import step, workflow\n"
        "@step\nasync def s() -> None: ...\n"
        "@workflow\nasync def w() -> None: ...\n"
        "other = 7\n"
    )

    registry = Registry.of_modules(name for name in ["flows_of_mine"])

    assert (list(registry.steps), list(registry.workflows)) == (["s"], ["w"])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "no module 'broken_module'; is it installed"),
        ("import no_such_library", "cannot be imported: it needs 'no_such_library'"),
        ("raise ValueError('at import')", "cannot be imported: ValueError: at import"),
        ("raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
        ("def f(:", "cannot be imported: SyntaxError"),
        ("x = 1", "no workflow or step in module"),
        (
            "from jetrun.actors import workflow\n@workflow\ndef f(): ...",
            "cannot be imported: DefinitionError: workflow 'f' must be an `async def`",
        ),
    ],
)
def test_module_that_cannot_be_used_is_one_clear_line(folder: Path, source: str | None, message: str) -> None:
    if source is not None:
        (folder / "broken_module.py").write_text(source)

    with pytest.raises(DefinitionError) as raised:
        Registry.of_modules(["broken_module"])

    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
