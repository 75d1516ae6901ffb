"""The command line itself: exit codes, global options, one line for what was foreseen."""

from __future__ import annotations

import io
import sys

import pytest

from jetrun.actors.errors import (
    InvalidName,
    JetrunError,
    NotProvisioned,
    OutcomeUnknown,
    RunFailed,
    ServerLost,
)
from jetrun.cli import exits
from jetrun.cli.main import hoist_globals, main


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (JetrunError("x"), 1),
        (NotProvisioned("x"), 1),
        (OutcomeUnknown("x"), 1),
        (InvalidName("x"), 2),
        (exits.UsageProblem("x"), 2),
        (ServerLost("x"), 70),
        (exits.Stopped(130), 130),
    ],
)
def test_exit_codes_are_stable(error: JetrunError, code: int) -> None:
    """Scripts and service managers depend on them."""
    assert exits.code_of(error) == code


def test_group_of_errors_tells_the_one_that_matters() -> None:
    """Concurrent parts fail together: an interrupt comes first, then ours."""
    ours, other, stop = ServerLost("gone"), ValueError("x"), KeyboardInterrupt()

    assert exits.unwrap(BaseExceptionGroup("", [other, ExceptionGroup("", [ours])])) is ours
    assert exits.unwrap(BaseExceptionGroup("", [ours, stop])) is stop
    assert exits.unwrap(ExceptionGroup("", [other])) is other
    assert exits.unwrap(ours) is ours


def test_error_of_a_failed_run_is_one_line() -> None:
    """The remote traceback is `wfctl runs show`'s."""
    failed = RunFailed("order", "o-1", "x")
    failed.error = type(failed.error)(type="ValueError", message="boom", traceback="Traceback\nlines")

    assert exits.first_line(failed) == "run order/o-1 failed: ValueError: boom"


def test_global_options_are_taken_from_anywhere() -> None:
    """`wfctl start … --url …` and `wfctl --url … start …` mean the same."""
    assert hoist_globals(["start", "order", "--url", "u", "1", "--app=a"]) == [
        "--url",
        "u",
        "--app=a",
        "start",
        "order",
        "1",
    ]
    assert hoist_globals(["start", "--", "--url", "u"]) == ["start", "--", "--url", "u"]
    assert hoist_globals(["start", "--url"]) == ["--url", "start"]


@pytest.mark.parametrize(
    "argv",
    [
        ["--nope"],
        ["runs", "lst"],
        ["runs", "show"],
        ["start"],
        ["start", "order", "{bad"],
        ["start", "order", "--conflict", "maybe"],
        ["tail", "--url"],
        ["runs", "list", "--status", "running?"],
        ["dead", "show", "order"],
        ["worker", "steps", "-m", "support.cli_flows", "--log-level", "loud"],
        ["worker", "actors", "-m", "x", "--log-format", "xml"],
        ["provision"],
        ["server", "--port", "70000"],
        ["runs", "show", "order/a.b"],
        ["runs", "cancel", "*"],
        ["tail", "order/>"],
        ["hooks", "send", "order/o-1", "a b"],
        ["hooks", "send", "order/o-1", "go"],
        ["hooks", "send", "order/o-1/go"],
        ["hooks", "info", "order/o-1"],
        ["hooks", "info", "order/o-1/go", "more"],
        ["hooks", "list", "order/o\r\n1"],
        ["start", "order", "--run-id", "o.1"],
        ["runs", "list", "--app", "a.b"],
    ],
)
def test_what_cannot_be_meant_exits_2_without_a_traceback(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Usage problems are told before any server is asked: none runs here."""
    code = main([*argv, "--url", "nats://127.0.0.1:1"] if argv[-1] != "--url" else argv)

    _, complaint = capsys.readouterr()
    assert code == 2
    assert "Traceback" not in complaint
    assert len([line for line in complaint.splitlines() if "rror" in line]) == 1


def test_closest_name_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    """A typo costs one look."""
    assert main(["runs", "lst"]) == 2

    assert "Did you mean 'list'?" in capsys.readouterr().err


def test_no_server_exits_70_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, soon, and its own code."""
    code = main(["runs", "list", "--url", "nats://127.0.0.1:1"])

    out, complaint = capsys.readouterr()
    assert (code, out) == (70, "")
    assert complaint.startswith("error: no NATS server at nats://127.0.0.1:1")
    assert complaint.count("\n") == 1


def test_module_that_does_not_import_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Named before anything is connected."""
    code = main(["worker", "steps", "-m", "no_such_module", "--url", "nats://127.0.0.1:1"])

    _, complaint = capsys.readouterr()
    assert code == 1
    assert complaint.startswith("error: module 'no_such_module' does not import")
    assert complaint.count("\n") == 1


def test_version_and_help_exit_0(capsys: pytest.CaptureFixture[str]) -> None:
    """And load no broker client: they must not be slow."""
    assert main(["--version"]) == 0
    assert main(["--help"]) == 0

    out = capsys.readouterr().out
    assert out.startswith("wfctl ")
    assert "Exit codes: 0 done, 1 failure, 2 usage, 70 server lost, 130 interrupted" in " ".join(out.split())


def test_texts_that_the_terminal_cannot_show_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """LANG=C is no reason to fail."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, encoding="ascii"))

    code = main(["start", "order", "naïve"])
    sys.stderr.flush()

    assert code == 2
    assert rb"na\xefve" in raw.getvalue()
