"""A run that continues as new: one record ends a link and begins the next, and nothing is lost or applied twice (I21)."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from jetrun.actors import NotInWorkflow, continue_as_new, hook, info, random, shield, sleep, start_child, step, workflow
from jetrun.actors.commands import RunStep
from jetrun.actors.events import events_of
from jetrun.actors.limits import RECORD_BYTES_MAX
from jetrun.actors.messages import CONTINUED, Cancel, Hook, Message, Tick
from jetrun.actors.names import RunKey
from jetrun.actors.records import decode_record
from jetrun.actors.replay import verify
from support.log_rig import LogRig


@step
async def work(n: int) -> Any: ...


@workflow
async def countdown(n: int) -> str:
    """Works once per link."""
    await work(n)
    if n:
        continue_as_new(n - 1)
    return f"link {info().link}"


@workflow
async def collecting(taken: list[Any], links: int = 1) -> list[Any]:
    """Takes two payloads per link and goes on, until one says so."""
    for _ in range(2):
        taken.append(await hook("item"))
        if taken[-1] == "last":
            return [links, *taken]
    continue_as_new(taken, links=links + 1)


def begin(rig: LogRig) -> Message:
    """What the owed effects of a switch bring: it begins the new link."""
    link = rig.actor.journal.link
    assert link is not None
    return rig.message(Tick(n=link.n, wake=CONTINUED))


def hook_of(payload: object) -> Hook:
    return Hook(payload=msgspec.Raw(msgspec.json.encode(payload)))


def cancel_of(reason: str) -> Cancel:
    return Cancel(reason=reason)


@pytest.mark.parametrize("evict", [False, True])
def test_run_goes_on_with_new_arguments_under_its_own_id(evict: bool) -> None:
    rig = LogRig(countdown, evict=evict)
    rig.start(2)
    rig.step(1)
    assert rig.owed.is_continued
    assert (rig.status, rig.last.outcome) == ("running", None)
    assert rig.last.continued is not None
    assert (rig.last.continued.link, bytes(rig.last.continued.args)) == (2, b"[1]")
    rig.feed(begin(rig))
    rig.step(2)
    rig.feed(begin(rig))
    rig.step(3)

    assert rig.result == "link 3"
    assert [record.k for record in rig.records] == [1, 2, 3, 4, 5, 6]
    asked = [command for record in rig.records for command in record.commands]
    assert [(c.n, bytes(c.args)) for c in asked if isinstance(c, RunStep)] == [(1, b"[2]"), (2, b"[1]"), (3, b"[0]")]
    assert [record.link.n if record.link else 1 for record in rig.records] == [1, 1, 2, 2, 3, 3]


def test_any_message_begins_the_new_link_where_the_tick_is_lost() -> None:
    rig = LogRig(collecting)
    rig.start([])
    rig.hook("item", 1)
    rig.hook("item", 2)
    assert rig.last.continued is not None
    rig.hook("item", 3)
    rig.hook("item", "last")

    assert rig.result == [2, 1, 2, 3, "last"]


def test_tick_that_comes_after_the_link_has_begun_is_nothing() -> None:
    rig = LogRig(collecting)
    rig.start([])
    rig.hook("item", 1)
    rig.hook("item", 2)
    late = begin(rig)
    rig.hook("item", 3)
    decision = rig.feed(late)

    assert not decision.records
    rig.hook("item", "last")
    assert rig.result == [2, 1, 2, 3, "last"]


@pytest.mark.parametrize("evict", [False, True])
def test_hooks_that_come_with_the_switch_are_the_new_links(evict: bool) -> None:
    """All in one turn: the first two are the old link's, the others the next ones'."""
    rig = LogRig(collecting, evict=evict)
    rig.start([])
    rig.feed(*(rig.message(hook_of(n), "item") for n in (1, 2, 3, 4, 5, "last")))
    for _ in range(2):
        rig.feed(begin(rig))

    assert rig.result == [3, 1, 2, 3, 4, 5, "last"]
    assert not rig.dead


def test_kept_hooks_of_other_names_go_along() -> None:
    @workflow
    async def two_names(n: int) -> Any:
        if n:
            await hook("go")
            continue_as_new(n - 1)
        return await hook("other")

    rig = LogRig(two_names)
    rig.start(2)
    rig.hook("other", "kept")
    rig.hook("go")
    rig.feed(begin(rig))
    rig.hook("go")
    rig.feed(begin(rig))

    assert rig.result == "kept"


@pytest.mark.parametrize("evict", [False, True])
def test_redelivery_and_repeated_id_are_known_after_the_switch(evict: bool) -> None:
    """A killed server may deliver again what it had acked, and a sender may repeat what it is not sure of (R5)."""
    rig = LogRig(collecting, evict=evict)
    rig.start([])
    nameless = rig.message(hook_of("nameless"), "item")
    rig.feed(nameless)
    rig.hook("item", "named", message_id="intent-1")
    rig.feed(begin(rig))
    rig.hook("item", 3)
    rig.hook("item", 4)
    rig.feed(begin(rig))
    again = rig.feed(nameless)
    repeated = rig.hook("item", "named", message_id="intent-1")

    assert again.verdicts[0].is_repeat
    assert not again.records
    assert not repeated.records
    rig.hook("item", "last")
    assert rig.result == [3, "nameless", "named", 3, 4, "last"]


def test_what_is_open_ends_with_the_link() -> None:
    @workflow
    async def busy(n: int) -> int:
        if not n:
            return n
        task = asyncio.create_task(work(7))
        nap = asyncio.create_task(sleep("1h"))
        kept = start_child(countdown.call(1), parent_close="abandon")
        lost = start_child(countdown.call(2))
        await hook("go")
        del task, nap, kept, lost
        continue_as_new(n - 1)

    rig = LogRig(busy)
    rig.start(1)
    rig.hook("go")

    assert [command.n for command in rig.owed.closed_steps] == [4]
    assert rig.owed.closed_timers == [5]
    assert [(end.command.n, end.verb) for end in rig.owed.child_ends] == [(2, "cancel")]
    rig.step(4, 1)  # too late: the step was taken back
    rig.feed(begin(rig))
    assert rig.result == 0


def test_random_numbers_and_time_differ_between_links() -> None:
    @workflow
    async def drawing(seen: list[float]) -> list[float]:
        seen.append(random().random())
        await hook("go")
        if len(seen) == 2:
            return seen
        continue_as_new(seen)

    rig = LogRig(drawing)
    rig.start([])
    rig.hook("go")
    rig.hook("go")
    one, other = rig.result

    assert one != other


def test_finally_blocks_run_and_plain_except_does_not_catch() -> None:
    @workflow
    async def tidy(n: int) -> str:
        try:
            if n:
                continue_as_new(n - 1)
        except Exception:
            return "caught"
        finally:
            await work(n)
        return "done"

    rig = LogRig(tidy)
    rig.start(1)
    rig.step(1)
    rig.feed(begin(rig))
    rig.step(2)

    assert rig.result == "done"


def test_without_an_argument_it_is_refused() -> None:
    @workflow
    async def careless(n: int = 0) -> str:
        try:
            continue_as_new()
        except ValueError as error:
            return str(error)

    rig = LogRig(careless)
    rig.start()

    assert rig.result == "continue_as_new() in workflow careless: no argument; say with what the new link begins"


@pytest.mark.parametrize(("args", "named"), [((1, 2), "argument"), (("x",), "n")])
def test_arguments_that_do_not_fit_are_refused_at_once(args: tuple[Any, ...], named: str) -> None:
    @workflow
    async def strict(n: int) -> str:
        try:
            continue_as_new(*args)
        except ValueError as error:
            return str(error)

    rig = LogRig(strict)
    rig.start(1)

    assert named in rig.result


def test_in_a_task_it_is_refused() -> None:
    @workflow
    async def hasty(n: int) -> str:
        async def inner() -> None:
            continue_as_new(n + 1)

        try:
            await asyncio.create_task(inner())
        except Exception as error:
            return str(error)
        return "went on"

    rig = LogRig(hasty)
    rig.start(1)

    assert "call it there" in rig.result


def test_outside_a_workflow_it_is_refused() -> None:
    with pytest.raises(NotInWorkflow, match="continue_as_new"):
        continue_as_new(1)


def test_run_that_is_being_cancelled_ends() -> None:
    @workflow
    async def stubborn(n: int) -> None:
        try:
            await hook("never")
        finally:
            async with shield():
                await work(n)
            continue_as_new(n + 1)

    rig = LogRig(stubborn)
    rig.start(1)
    rig.cancel("enough")
    rig.step(3)

    assert (rig.status, rig.last.continued) == ("cancelled", None)


def test_pause_and_cancel_that_come_with_the_switch_are_the_new_links() -> None:
    rig = LogRig(collecting)
    rig.start([])
    rig.feed(rig.message(hook_of(1), "item"), rig.message(hook_of(2), "item"), rig.message(cancel_of("stop")))
    rig.feed(begin(rig))

    assert (rig.status, rig.last.outcome and rig.last.outcome.reason) == ("cancelled", "stop")


@pytest.mark.parametrize("evict", [False, True])
def test_resume_that_lets_the_run_switch_ends_the_pause(evict: bool) -> None:
    """What was held is applied before the resume itself: the new link must not begin on a pause that nobody ends."""
    rig = LogRig(collecting, evict=evict)
    rig.start([])
    rig.pause()
    for n in (1, 2, 3):
        rig.hook("item", n)
    rig.resume()
    assert rig.last.continued is not None
    assert rig.status == "running"
    rig.feed(begin(rig))
    rig.hook("item", "last")

    assert rig.result == [2, 1, 2, 3, "last"]


def test_large_load_spans_several_records_and_survives_a_crash_between_them() -> None:
    """What is carried may exceed a record: whoever finds the first parts alone derives the rest (R10)."""
    for crash_after in (1, 2, None):
        rig = LogRig(collecting)
        rig.start([])
        rig.hook("item", 1)
        big = [rig.message(hook_of("x" * 150_000), "other") for _ in range(9)]
        rig.feed(*big)
        decision = rig.fold(rig.message(hook_of(2), "item"))
        assert len(decision.records) > 2
        assert all(len(raw) < RECORD_BYTES_MAX for raw in decision.records)
        rig.store(decision, crash_after)
        rig.feed(begin(rig))
        rig.hook("item", "last")

        assert rig.result == [2, 1, 2, "last"]
        assert [code for _, _, code in rig.dead] == ["ended"] * 9


def test_changed_code_in_an_older_link_does_not_park_the_run() -> None:
    """A link depends on its own records alone."""
    rig = LogRig(countdown, check=False)
    rig.start(2)
    rig.step(1)
    rig.feed(begin(rig))

    @step
    async def other(n: int) -> Any: ...

    @workflow(name="countdown")
    async def changed(n: int) -> str:
        await (work(n) if n < 2 else other(n))
        if n:
            continue_as_new(n - 1)
        return f"link {info().link}"

    rig.workflow = changed
    rig.load()
    rig.step(2)
    rig.feed(begin(rig))
    rig.step(3)

    assert rig.result == "link 3"


def test_whole_log_is_verified_link_by_link() -> None:
    rig = LogRig(countdown)
    rig.start(1)
    rig.step(1)
    rig.feed(begin(rig))
    rig.step(2)

    verify("app", RunKey("countdown", "r-1"), countdown, rig.records, {})
    kinds = [event.kind for record in rig.records for event in events_of(record)]
    assert kinds == [
        "run.started",
        "step.scheduled",
        "step.completed",
        "run.continued",
        "step.scheduled",
        "step.completed",
        "run.completed",
    ]


def test_records_are_counted_per_link_and_the_code_is_told() -> None:
    @workflow(records_warn=3, records_max=5)
    async def watchful(links: int) -> int:
        while not info().should_continue_as_new:
            await hook("go")
        if links == 3:
            return info().records
        continue_as_new(links + 1)

    rig = LogRig(watchful)
    rig.start(1)
    while rig.status == "running":
        rig.hook("go")

    assert rig.result == 3
    assert rig.last.k == 9


def test_unknown_record_fields_are_not_needed_by_runs_that_never_continue() -> None:
    """The hot path pays nothing: a plain run's records have none of the new fields."""
    rig = LogRig(countdown)
    rig.start(0)
    rig.step(1)

    for raw, _ in rig.log:
        assert not {"link", "continued", "carried"} & set(msgspec.json.decode(raw))
    assert decode_record(rig.log[-1][0]).link is None


def test_worker_without_the_code_finds_carried_hooks_among_the_dead() -> None:
    """What its last decision refused may have come in an earlier link: it has to be buried all the same."""
    rig = LogRig(collecting)
    rig.start([])
    kept = rig.message(hook_of("kept"), "other")
    rig.feed(kept)
    rig.hook("item", 1)
    rig.hook("item", 2)
    rig.feed(begin(rig))
    rig.hook("item", "last")
    assert [verdict.message.seq for verdict in rig.owed.refused] == [kept.seq]

    rig.deploy(None)
    assert [verdict.message.seq for verdict in rig.owed.refused] == [kept.seq]
    assert [verdict.code for verdict in rig.owed.refused] == ["ended"]
