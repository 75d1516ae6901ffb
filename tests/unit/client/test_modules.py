"""Finding the workflows and steps of a program by the names of its modules."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jetrun.actors.registry import RegistrationError
from jetrun.client.modules import load

FLOWS = """
from jetrun.actors import step, workflow

@step
def charge(cents: int) -> int:
    return cents

@workflow
async def order(order_id: str) -> int:
    return await charge(1)
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory that is not on `sys.path`, as for the `wfctl` command."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


def test_modules_are_found_in_the_working_directory(here: Path) -> None:
    """`wfctl worker -m shop.flows` works where the code lies."""
    (here / "shop_a").mkdir()
    (here / "shop_a" / "__init__.py").touch()
    (here / "shop_a" / "flows.py").write_text(FLOWS)

    registry = load(["shop_a.flows"])

    assert list(registry.workflows) == ["order"]
    assert list(registry.steps) == ["charge"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("import nothing_like_it", r"ModuleNotFoundError: No module named 'nothing_like_it' \(.*broken.py:1\)$"),
        ("\n1 / 0", r"ZeroDivisionError: division by zero \(.*broken.py:2\)$"),
        ("def f(:", r"SyntaxError: .*\(broken.py, line 1\)$"),
        ("raise SystemExit(3)", r"SystemExit: 3 \(.*broken.py:1\)$"),
        ("raise ValueError('two\\nlines')", r"ValueError: two lines \(.*broken.py:1\)$"),
        ("raise ValueError", r"ValueError \(.*broken.py:1\)$"),
        (
            "from jetrun.actors import workflow\n@workflow\ndef f() -> None: ...",
            r"DefinitionError: workflow 'f' must be an `async def`; .* \(.*broken.py:2\)$",
        ),
    ],
)
def test_a_module_that_does_not_import_is_one_clear_line(here: Path, text: str, complaint: str) -> None:
    """Which module, what is wrong, and where: without a traceback to dig through."""
    (here / "broken.py").write_text(text)

    with pytest.raises(RegistrationError) as caught:
        load(["broken"])

    assert re.match("module 'broken' does not import: " + complaint, str(caught.value))
    assert "\n" not in str(caught.value)


def test_a_module_that_is_not_there_says_where_was_looked(here: Path) -> None:
    """The commonest mistake: the wrong directory, or a mistyped name."""
    with pytest.raises(RegistrationError, match="module 'shopp' does not import: no module 'shopp' in /"):
        load(["shopp"])
    (here / "shop_b").mkdir()
    with pytest.raises(RegistrationError, match=r"module 'shop_b\.flows' does not import: no module 'shop_b\.flows'"):
        load(["shop_b.flows"])


def test_a_path_is_told_apart_from_a_name() -> None:
    """`-m shop/flows.py` is answered with the name to use."""
    with pytest.raises(RegistrationError, match=r"is a path; name it as in an import: shop\.flows"):
        load(["shop/flows.py"])


def test_a_graph_is_loaded_from_its_file(here: Path) -> None:
    """Teams that write documents need no Python for them; a graph has the name that it gives itself, or its file's."""
    (here / "flows.py").write_text(FLOWS)
    (here / "night-shift.yaml").write_text("tasks: {a: {action: charge, queue: slow}}")
    (here / "other.json").write_text('{"name": "day-shift", "steps": {"charge": {}}}')

    registry = load(["flows", "night-shift.yaml", "other.json"])

    assert sorted(registry.workflows) == ["day-shift", "night-shift", "order"]
    assert registry.queues == ["default", "slow"]
    assert sorted(load(["night-shift.yaml"]).workflows) == ["night-shift"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("tasks: {a: {next: [{do: b}]}}", "1:25: undefined_target at tasks.a.next[0].do: there is no task 'b'"),
        ("tasks: [", "yaml_syntax"),
        ("name: a b\ntasks: {a: null}", "a b"),
    ],
)
def test_a_graph_that_is_not_valid_is_one_clear_line(here: Path, text: str, complaint: str) -> None:
    """The file, the place, and what is wrong there."""
    (here / "bad.yaml").write_text(text)

    with pytest.raises(RegistrationError) as caught:
        load(["bad.yaml"])

    assert complaint in str(caught.value)
    assert str(here / "bad.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_graph_that_is_not_there_is_named(here: Path) -> None:
    with pytest.raises(RegistrationError, match=r"graph .*nowhere\.yaml: No such file or directory"):
        load(["nowhere.yaml"])
