"""Logs of workers: one event per line, whatever a field holds."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from jetrun.cli.logs import JsonLines, TextLines
from jetrun.streams.telemetry import LOGGER, log


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def kept() -> object:
    handler, level = Kept(), LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    yield handler
    LOGGER.removeHandler(handler)
    LOGGER.setLevel(level)


def test_event_becomes_one_json_line_with_its_fields(kept: Kept) -> None:
    """Fields are fields, not words of a sentence."""
    log("append.refused", 30, run="order/o-1", seq=7, error=ValueError("a\nb\x1b"))

    line = JsonLines().format(kept.records[0])

    assert "\n" not in line
    assert json.loads(line) | {"at": ""} == {
        "at": "",
        "level": "warning",
        "logger": "jetrun",
        "event": "append.refused",
        "run": "order/o-1",
        "seq": 7,
        "error": "a\nb\x1b",
    }


def test_event_becomes_one_text_line_without_control_characters(kept: Kept) -> None:
    """A step's words cannot move the cursor of whoever reads the log."""
    log("step.said", run="order/o-1", text="\x1b]0;x\x07 two words\r")

    line = TextLines(colours=False).format(kept.records[0])

    assert line.endswith(r'info    step.said run=order/o-1 text="\u001b]0;x\u0007 two words\r"')


def test_exception_follows_on_indented_lines() -> None:
    """A traceback stays readable in text, and one line in JSON."""
    try:
        raise ValueError("boom")
    except ValueError:
        record = logging.LogRecord("user", logging.ERROR, __file__, 1, "it %s", ("broke",), sys.exc_info())

    text, line = TextLines(colours=False).format(record), JsonLines().format(record)

    assert text.splitlines()[0].endswith("error   it broke")
    assert text.splitlines()[-1] == "    ValueError: boom"
    assert json.loads(line)["exception"].endswith("ValueError: boom")
