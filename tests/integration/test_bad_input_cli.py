"""Bad input by command line: one clear line on standard error, the right exit code, never a traceback."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from jetrun.actors.limits import VALUE_BYTES_MAX
from jetrun.cli.main import main
from support.fleet import Fleet
from support.processes import Processes

pytestmark = pytest.mark.slow


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The only line on standard error."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].isprintable(), self.err
        assert len(lines[0]) < 1500
        return lines[0]


Run = Callable[..., Ended]


@pytest.fixture
def wfctl(bad_fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line against the fleet's app; in this process, where a traceback would be an exception."""

    def run(*argv: str, url: str = bad_fleet.url) -> Ended:
        capsys.readouterr()
        code = main(["--url", url, "--app", bad_fleet.app.name, *argv])
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return run


# --- usage: 2 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        ("", "run id '' is empty"),
        ("a.b", "run id 'a.b' contains '.'; use letters, digits, '_' and '-'"),
        ("*", "contains '*'"),
        (">", "contains '>'"),
        ("a b", "contains ' '"),
        ("a\r\nb", r"run id 'a\r\nb' contains '\r'"),
        ("\x1b[2J", r"contains '\x1b'"),
        ("\u00e4", r"contains '\xe4'"),
        ("_x", "starts with '_'"),
        ("a" * 129, "is too long: 129 > 128"),
    ],
    ids=["empty", "dot", "star", "greater", "space", "line end", "escape", "unicode", "reserved", "long"],
)
def test_a_run_id_that_cannot_be_one(wfctl: Run, run: str, reason: str) -> None:
    """Wherever a run is named: the same line, and nothing is sent."""
    for argv in (
        ("start", "typed", '"o-1"', f"--run-id={run}"),
        ("hooks", "send", f"typed/{run}", "approval"),
        ("runs", "show", f"typed/{run}"),
        ("runs", "cancel", f"typed/{run}"),
        ("tail", f"typed/{run}"),
    ):
        if argv[0] == "tail" and run in ("", "*"):
            continue  # `typed/` and `typed/*` are all runs of the workflow
        ended = wfctl(*argv)
        assert (ended.code, ended.out) == (2, ""), argv
        assert ended.complaint.startswith("error: "), argv
        assert reason in ended.complaint, argv


TYPED: list[tuple[tuple[str, ...], str]] = [
    (("start", "typed", "o-1"), "argument 1 is not JSON: received `o-1`"),
    (("start", "typed", '"o-1'), "argument 1 is not JSON"),
    (("start", "typed", "[1,"), "argument 1 is not JSON"),
    (("start", "typed", "NaN"), "argument 1 is not JSON"),
    (("start", "typed", "9" * 5000), "argument 1 is not JSON"),
    (("start", "typed", "1e999"), "argument 1 is not JSON"),
    (("start", "typed", "\ud800"), "argument 1 is not JSON"),
    (("start", "typed", "[" * 10_000), "argument 1 is nested more than 64 levels"),
    (("start", "typed", "[" * 10_000 + "]" * 10_000), "nested"),
    (("start", "typed", "[" * 70 + "]" * 70), "argument 1 is nested more than 64 levels: received `[[[["),
    (("start", "typed", '"o-1"', "18446744073709551616"), "argument 2 is not JSON: received `18446744073709551616` ($: integer of 65 bits"),
    (("start", "typed", '{"a":1,"a":2}'), "key 'a' is given 2 times"),
    (("start", "typed", "--args", '{"a":1}'), "--args is no JSON array"),
    (("start", "typed", "--kwargs", "[1]"), "--kwargs is no JSON object"),
    (("start", "typed", '"o-1"', "--input", "-"), "one way"),
    (("start", "typed", "--input", "@/nowhere/at-all"), "--input file '/nowhere/at-all': No such file"),
    (("start", "typed", "--input", "@/dev"), "is not a file"),
    (("start", "a.b", "1"), "workflow name 'a.b' contains '.'"),
    (("start", "typed", "1", "--conflict", "maybe"), "--conflict 'maybe'"),
    (("hooks", "send", "typed/o-1", "approval", "{ok:true}"), "payload is not JSON: received `{ok:true}`"),
    (("runs", "list", "--status", "gone"), "--status 'gone' is none of running"),
    (("runs", "list", "--app", "a.b"), "app name 'a.b' contains '.'"),
    (("worker", "steps", "-m", "support.bad_flows", "--log-level", "loud"), "--log-level 'loud'"),
]  # fmt: skip


@pytest.mark.parametrize(("argv", "reason"), TYPED, ids=map(str, range(len(TYPED))))
def test_what_is_typed_and_cannot_be_meant(wfctl: Run, argv: tuple[str, ...], reason: str) -> None:
    """Shells eat quotes: the line shows what was received."""
    ended = wfctl(*argv)

    assert (ended.code, ended.out) == (2, "")
    assert reason in ended.complaint


def test_values_that_are_too_large_or_too_deep(wfctl: Run, tmp_path: Path) -> None:
    """10 MB is told at once; 2 MB works without a thought."""
    large, fits, deep = tmp_path / "large.json", tmp_path / "fits.json", tmp_path / "deep.json"
    large.write_text(json.dumps(["x" * 10_000_000]))
    fits.write_text(json.dumps(["x" * 2_000_000]))
    deep.write_text("[" * 10_000 + "]" * 10_000)

    too_large = wfctl("start", "typed", "--input", f"@{large}")
    too_deep = wfctl("start", "typed", "--input", f"@{deep}")
    works = wfctl("start", "typed", "--input", f"@{fits}", "--wait")

    assert (too_large.code, too_deep.code, works.code) == (2, 2, 0)
    assert f"has 10000004 bytes; at most {VALUE_BYTES_MAX}" in too_large.complaint
    assert "nested" in too_deep.complaint
    assert json.loads(works.out) == "x" * 2_000_000 + " 0 "


@pytest.mark.parametrize(
    "argv",
    [("wroker",), ("start",), ("start", "typed", "--no-such-option"), ("runs", "show"), ("server", "--port", "70000")],
    ids=" ".join,
)
def test_a_command_line_that_is_none(wfctl: Run, argv: tuple[str, ...]) -> None:
    """Usage, what is wrong with it, 2."""
    ended = wfctl(*argv)

    assert ended.code == 2
    assert "Usage: wfctl" in ended.err
    assert "Traceback" not in ended.err


# --- failure: 1 ---------------------------------------------------------------------------------------------


FAILING: list[tuple[tuple[str, ...], str]] = [
    (("start", "typd", '"o-1"', "--wait"), "was refused (workflow): workflow 'typd' is not registered; this app has"),
    (("start", "typed", "1", "--wait"), "was refused (args): argument 'order_id' of workflow typed: expected str, got int"),
    (("start", "typed", "--wait"), "argument 'order_id' of workflow typed: missing"),
    (("start", "typed", '"o-1"', "1", "2", "--wait"), "takes at most 2 by position, got 3"),
    (("start", "typed", "1", "--conflict", "fail"), "expected str, got int"),
    (("start", "returns_object", "--wait"), "failed: InvalidValue: result of workflow returns_object: object of type"),
    (("start", "step_result", '"object"', "--wait"), "result of step give_object: object of type object"),
    (("start", "step_result", '"exit"', "--wait"), "SystemExit: leave"),
    (("start", "misbehaves", '"sys.exit"', "--wait"), "SystemExit"),
    (("start", "misbehaves", '"recursion"', "--wait"), "RecursionError"),
    (("hooks", "send", "typed/nobody", "approval", "1"), "no run typed/nobody in app"),
    (("hooks", "send", "nobody", "approval", "1"), "no run 'nobody' in app"),
    (("runs", "show", "typed/nobody"), "no run typed/nobody in app"),
    (("runs", "cancel", "typed/nobody"), "no run typed/nobody in app"),
    (("tail", "nobody"), "no run and no workflow 'nobody'"),
    (("runs", "list", "--app", "nowhere"), "nowhere"),
]  # fmt: skip


@pytest.mark.parametrize(("argv", "reason"), FAILING, ids=map(str, range(len(FAILING))))
def test_what_fails_says_why_in_a_line(wfctl: Run, argv: tuple[str, ...], reason: str) -> None:
    """What a person reads and a script tests."""
    ended = wfctl(*argv)

    assert (ended.code, ended.out) == (1, "")
    assert reason in ended.err
    lines = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert ended.err.isprintable() or all(line.isprintable() for line in ended.err.splitlines())


def test_a_hook_whose_name_cannot_be_one(wfctl: Run) -> None:
    """Checked before it becomes part of a subject."""
    assert wfctl("start", "approved", "--run-id", "cli-names").code == 0

    ended = wfctl("hooks", "send", "approved/cli-names", "a.b", "1")

    assert (ended.code, ended.out) == (2, "")
    assert "hook name 'a.b' contains '.'" in ended.complaint
    assert wfctl("runs", "terminate", "approved/cli-names", "--wait").code == 0


def test_a_hook_for_an_ended_run(wfctl: Run) -> None:
    """It would be told that it was sent."""
    assert wfctl("start", "typed", '"o-1"', "--run-id", "cli-ended", "--wait").code == 0

    ended = wfctl("hooks", "send", "typed/cli-ended", "approval", "1")

    assert (ended.code, ended.out) == (1, "")
    assert "run typed/cli-ended is completed since" in ended.complaint


def test_no_server(wfctl: Run) -> None:
    """70: whoever restarts services tells it from a mistake."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"nats://127.0.0.1:{unused.getsockname()[1]}"

        ended = wfctl("runs", "list", url=url)

    assert (ended.code, ended.out) == (70, "")
    assert url.removeprefix("nats://") in ended.complaint


# --- modules -----------------------------------------------------------------------------------------------


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "bad_syntax.py").write_text("def broken(:\n")
    (tmp_path / "bad_import.py").write_text("import a_package_that_nobody_has\n")
    (tmp_path / "bad_code.py").write_text("raise RuntimeError('first line\\nsecond line \\x1b[2J')\n")
    (tmp_path / "bad_exit.py").write_text("import sys\nsys.exit('I leave')\n")
    (tmp_path / "bad_empty.py").write_text("x = 1\n")
    (tmp_path / "bad_definition.py").write_text("from jetrun.actors import workflow\n@workflow\ndef sync(): pass\n")
    (tmp_path / "bad_names.py").write_text(
        "from jetrun.actors import step\n@step(name='a b')\nasync def dotted(): pass\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("bad_nowhere", "no module 'bad_nowhere'"),
        ("bad_syntax", "SyntaxError"),
        ("bad_import", "a_package_that_nobody_has"),
        ("bad_code", "RuntimeError: first line second line"),
        ("bad_exit", "SystemExit: I leave"),
        ("bad_empty", "no workflow or step in"),
        ("bad_definition", "async"),
        ("bad_names", "'a b' contains ' '"),
        ("tests/shop.py", "is a path; name it as in an import"),
        ("a b", "a b"),
        ("..", ".."),
    ],
)
@pytest.mark.parametrize("command", [("worker", "steps"), ("provision",)], ids=" ".join)
def test_a_module_that_does_not_import(
    wfctl: Run, modules: Path, command: tuple[str, ...], module: str, reason: str
) -> None:
    """The module, what is wrong with it and where: not a stack of the engine's own frames."""
    ended = wfctl(*command, "-m", module)

    assert (ended.code, ended.out) == (1, "")
    assert reason in ended.complaint
    assert module in ended.complaint


async def test_a_module_that_does_not_import_in_a_supervised_worker(
    bad_fleet: Fleet, processes: Processes, modules: Path
) -> None:
    """The supervisor neither repeats nor hides it, and does not start the worker again and again."""
    options = ("--url", bad_fleet.url, "--app", bad_fleet.app.name)
    worker = processes.start_wfctl("worker", "actors", "-m", "bad_code", *options, cwd=modules)

    assert await worker.wait_ended() == 1
    [line] = worker.lines
    assert line.startswith("error: module 'bad_code' does not import: RuntimeError: first line second line")


# --- ports and stores ------------------------------------------------------------------------------------------


async def test_a_port_and_a_store_that_are_taken(bad_fleet: Fleet, processes: Processes, tmp_path: Path) -> None:
    """Two servers on one store would destroy it; on one port the second would be another one than it seems."""
    port, store = bad_fleet.url.rpartition(":")[2], str(tmp_path / "store")
    first = processes.start_wfctl("server", "--port", "0", "--store", store)
    await first.wait_line("^ready: server")

    on_port = processes.start_wfctl("server", "--port", port, "--store", str(tmp_path / "other"))
    on_store = processes.start_wfctl("server", "--port", "0", "--store", store)

    assert (await on_port.wait_ended(), await on_store.wait_ended()) == (1, 1)
    [port_line], [store_line] = on_port.lines, on_store.lines
    assert port_line.startswith(f"error: port {port} of 127.0.0.1 is in use")
    assert store_line.startswith("error: store ")
    assert "another process" in store_line
    first.terminate()
    assert await first.wait_ended() == 0


def test_a_payload_that_looks_like_a_reference_is_exported_as_it_is(wfctl: Run) -> None:
    """A sender's own words would be taken for the engine's."""
    run = "approved/cli-lookalike"
    assert wfctl("start", "approved", "--run-id", "cli-lookalike").code == 0
    assert wfctl("hooks", "send", run, "other", f'{{"sha256":"{"1" * 64}","size":{10**15}}}').code == 0
    assert wfctl("runs", "terminate", run, "--wait").code == 0

    ended = wfctl("runs", "export", run)

    assert (ended.code, ended.err) == (0, "")
    assert "1" * 64 in ended.out


# --- what is shown ------------------------------------------------------------------------------------------------


def test_control_characters_are_shown_escaped(wfctl: Run) -> None:
    """A payload could clear the screen of whoever looks at it, or show other words than are there."""
    evil = "\x1b[2J\x1b]0;owned\x07\u202eevil\x00\x9b\r\nfake line"
    assert wfctl("start", "typed", json.dumps(evil), "--run-id", "evil", "--wait").code == 0
    assert wfctl("start", "long_error", "10", "--run-id", "evil", "--wait").code == 1
    assert wfctl("start", "approved", "--run-id", "evil").code == 0
    assert wfctl("hooks", "send", "approved/evil", "approval", json.dumps({"ok": evil})).code == 0

    for argv in (
        ("tail", "typed/evil"),
        ("tail", "long_error/evil"),
        ("runs", "show", "typed/evil"),
        ("runs", "show", "long_error/evil"),
        ("runs", "log", "typed/evil"),
        ("runs", "export", "typed/evil"),
        ("runs", "list"),
        ("hooks", "list"),
        ("dead", "list"),
        ("tail", "typed/evil", "--json"),
        ("dead", "list", "--json"),
    ):
        shown = wfctl(*argv)
        assert shown.code == 0, argv
        assert shown.out, argv
        assert all(line.isprintable() for line in shown.out.split("\n")), argv
    assert r'"\u001b[2J\u001b]0;owned\u0007\u202eevil\u0000\x9b\r\nfake line' in wfctl("tail", "typed/evil").out
    assert wfctl("runs", "terminate", "approved/evil").code == 0
