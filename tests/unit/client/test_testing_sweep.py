"""The crash sweep: what survives every crash passes, what does not is told with the record and the difference."""

from __future__ import annotations

import pytest

from examples.bill_of_materials import weight
from examples.cart import Receipt, add_item, cart, check_out
from examples.orders import order
from jetrun.client import testing
from support.tested_flows import (
    TIMES_CALLED,
    asked,
    count_up,
    fans_out,
    fetch,
    fickle,
    forgetful,
    month,
    retried,
    two_answers,
)

APPROVED = {"ok": True, "reviewer": "ann"}
REJECTED = {"ok": False, "reviewer": "bob"}


@pytest.mark.parametrize(
    ("call", "hooks", "records"),
    [
        (order.call("o-1"), {"approval": APPROVED}, 4),
        (order.call("o-1"), {"approval": REJECTED}, 6),
        (order.call("o-1", 100_001), {}, 3),
        (order.call("o-1", article="unicorn"), {}, 5),
        (order.call("o-1"), {}, 6),
    ],
    ids=["approved", "rejected", "declined", "out of stock", "nobody looks"],
)
def test_the_order_saga_survives_every_crash(call: testing.AnyCall, hooks: testing.Hooks, records: int) -> None:
    """Every end of the saga is the same, whenever a worker crashes."""
    sweep = testing.survives_every_crash(call, hooks=hooks)

    assert sweep.records == records
    assert sweep.crashes > 2 * records
    assert str(sweep).endswith("nothing differs")


@pytest.mark.parametrize(
    ("call", "steps", "hooks"),
    [
        (month.call(1), {fetch: "page"}, {}),
        (retried.call(1), {fetch: [OSError("away"), OSError("away"), "page"]}, {}),
        (fans_out.call(4), {fetch: "page"}, {}),
        (asked.call("ann"), {}, {}),
        (two_answers.call(), {}, [("answer", "one"), ("answer", "two")]),
    ],
    ids=["a long sleep", "retries", "steps at once", "a hook that expires", "two hooks of one name"],
)
def test_what_waits_survives_every_crash(call: testing.AnyCall, steps: testing.Stubs, hooks: testing.Hooks) -> None:
    """What waits for time or for messages goes on after a crash where it was, at the same instants."""
    testing.survives_every_crash(call, steps=steps, hooks=hooks)


def test_updates_survive_every_crash() -> None:
    """Each is applied once and has the same answer, whenever a worker crashes: also between being taken and answered."""
    updates = [add_item.call("lamp", 2), add_item.call("unicorn", 1), add_item.call("chair", 1), check_out.call()]

    sweep = testing.survives_every_crash(cart.call("ann"), updates=updates)

    assert sweep.records > 3
    assert testing.run(cart.call("ann"), updates=updates) == Receipt("ann", 18_300)


def test_a_difference_of_answers_is_told() -> None:
    """What a caller was told is part of what must not differ."""
    with pytest.raises(testing.CrashSweepFailed, match="updates were answered by"):
        testing.survives_every_crash(forgetful.call(), updates=[count_up.call(), count_up.call()])


def test_children_are_crashed_too() -> None:
    """At each of their records and steps; two that run the same step side by side are told apart."""
    sweep = testing.survives_every_crash(weight.call("wheel"))

    records, calls = 3 + 2 * 3, 1 + 2 * 2
    assert (sweep.records, sweep.crashes) == (3, 2 * records + calls)


def test_code_that_is_not_deterministic_is_found() -> None:
    """The report names the crash, and what the replay decided instead."""
    with pytest.raises(testing.CrashSweepFailed) as failed:
        testing.survives_every_crash(fickle.call(1), steps=fresh)

    text = str(failed.value)
    assert text.startswith("workflow 'fickle': 3 records, ")
    assert "- actor worker crashed after record 1, before its effects: run fickle/run-1 is parked (mismatch): " in text
    assert "timer (sleep)" in text
    assert failed.value.sweep.differences[0].point == testing.CrashPoint("append", 1)


def test_result_that_depends_on_the_process_is_found() -> None:
    """A stub that remembers makes each run another one, unless it is made anew for each."""
    seen: list[int] = []

    def remembering(page: int) -> str:
        seen.append(page)
        return f"page {len(seen)}"

    with pytest.raises(
        testing.CrashSweepFailed, match=r"ended as completed with \"page 2\", without a crash as .*page 1"
    ):
        testing.survives_every_crash(retried.call(1), steps={fetch: remembering}, step_crashes="none")


def test_run_without_end_is_told_before_any_crash() -> None:
    """What does not even run undisturbed is no matter of crashes."""
    with pytest.raises(testing.CrashSweepFailed, match="without any crash: nothing is left that could happen"):
        testing.survives_every_crash(two_answers.call())


def fresh() -> testing.Stubs:
    """Begins each run of the sweep with the workflow's first way."""
    TIMES_CALLED[0] = 0
    return {fetch: "page"}
