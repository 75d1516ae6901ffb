"""Status values: in the summary and the events, bounded, the same after every replay."""

from __future__ import annotations

from typing import Any

import pytest

from jetrun.actors import hook, set_status, sleep, workflow
from jetrun.actors.errors import InvalidName, NotInWorkflow
from jetrun.actors.events import events_of
from jetrun.actors.limits import STATUS_BYTES_MAX, STATUS_VALUES_MAX
from support.log_rig import LogRig


@workflow
async def packing(items: int) -> str:
    set_status("phase", "packing")
    for item in range(items):
        set_status("packed", item)
        await sleep(1)
    set_status("packed", None)
    set_status("phase", {"name": "done", "items": items})
    return "packed"


@workflow
async def tried(values: list[tuple[str, Any]]) -> list[str]:
    """Sets whatever it is given, and tells what was refused."""
    errors: list[str] = []
    for key, value in values:
        try:
            set_status(key, value)
        except ValueError as error:
            errors.append(str(error))
    await hook("go")
    return errors


def test_values_are_in_each_summary_and_stay_after_the_end() -> None:
    """The last record alone answers what the run says of itself."""
    rig = LogRig(packing)
    rig.start(2)
    assert rig.summary.values == {"phase": "packing", "packed": 0}
    assert rig.last.values == {"phase": "packing", "packed": 0}
    rig.tick(1.5)
    assert rig.summary.values == {"phase": "packing", "packed": 1}
    assert rig.last.values == {"packed": 1}
    rig.tick(9)
    assert rig.result == "packed"
    assert rig.summary.values == {"phase": {"name": "done", "items": 2}}
    assert rig.last.values == {"packed": None, "phase": {"name": "done", "items": 2}}


def test_paused_parked_and_terminated_runs_show_them() -> None:
    rig = LogRig(packing)
    rig.start(2)
    rig.pause()
    assert rig.summary.values["packed"] == 0
    rig.deploy(None)
    rig.resume()
    assert rig.status == "parked"
    assert rig.summary.values["packed"] == 0
    rig.terminate()
    assert rig.status == "terminated"
    assert rig.summary.values == {"phase": "packing", "packed": 0}


def test_the_same_value_again_is_no_news() -> None:
    rig = LogRig(tried)
    rig.start([("a", 1), ("a", 1), ("b", [1, 2])])
    assert [event.text for event in events_of(rig.last) if event.kind == "status.set"] == ["a 1", "b [1,2]"]
    rig.hook("go")
    assert rig.last.values == {}


def test_too_many_and_too_large_values_are_refused_and_change_nothing() -> None:
    """Summaries are in each record: what a run says of itself has a bound."""
    many = [(f"k{number}", number) for number in range(STATUS_VALUES_MAX)]
    rig = LogRig(tried)
    rig.start([*many, ("one-more", 1), ("k0", None), ("one-more", 1), ("k1", "x" * STATUS_BYTES_MAX)])
    assert set(rig.summary.values) == {"one-more", *(f"k{number}" for number in range(1, STATUS_VALUES_MAX))}
    assert rig.summary.values["k1"] == 1
    rig.hook("go")
    first, second = rig.result
    assert "32 keys are set already" in first
    assert f"at most {STATUS_BYTES_MAX}" in second


def test_what_cannot_be_json_or_a_key_is_refused() -> None:
    @workflow
    async def wrong() -> list[str]:
        errors: list[str] = []
        for key, value in (("a b", 1), ("a", object())):
            try:
                set_status(key, value)
            except (InvalidName, ValueError) as error:
                errors.append(type(error).__name__)
        return errors

    rig = LogRig(wrong)
    rig.start()
    assert rig.result == ["InvalidName", "InvalidValue"]


def test_outside_of_workflows_there_is_no_status() -> None:
    with pytest.raises(NotInWorkflow):
        set_status("a", 1)


def test_other_texts_are_no_mismatch() -> None:
    """A status is for readers: code that says it in other words replays the log."""

    def version(text: str) -> Any:
        @workflow(name="spoken")
        async def spoken() -> str:
            set_status("phase", text)
            await hook("go")
            return text

        return spoken

    rig = LogRig(version("one"))
    rig.start()
    rig.deploy(version("two"))
    assert rig.summary.values == {"phase": "one"}
    rig.hook("go")
    assert rig.result == "two"
    assert rig.summary.values == {"phase": "two"}
