"""Children: what a run decides about the runs that it starts, live and on every replay (R21)."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from jetrun.actors import ChildFailed, ChildHandle, call, info, sleep, start_child, step, workflow
from jetrun.actors.commands import CancelChild, Close, StartChild
from jetrun.actors.errors import DefinitionError, ErrorInfo, InvalidName, JetrunError, NotInWorkflow
from jetrun.actors.limits import CHILD_DEPTH_MAX, TOKEN_BYTES_MAX, VALUE_INLINE_BYTES_MAX
from jetrun.actors.messages import Cancel, Hook, Parent, Start, Terminate
from jetrun.actors.names import RunKey, is_token
from jetrun.actors.records import start_hash
from support.log_rig import LogRig, start_body


@step
async def charge(cents: int) -> str:
    raise AssertionError


@workflow
async def payment(cents: int, currency: str = "EUR") -> str:
    return await charge(cents)


@workflow
async def shop(cents: int) -> str:
    return await payment(cents) + "!"


class OutOfStock(Exception):
    pass


# --- starting ----------------------------------------------------------------------------------


def test_awaiting_a_workflow_starts_it_and_gives_its_result() -> None:
    rig = LogRig(shop)

    rig.start(100)
    (child,) = rig.owed.children
    rig.child(child.n, "r-7")

    assert (child.workflow, child.run, bytes(child.args)) == ("payment", "shop-r-1-1", b"[100]")
    assert child.hash == start_hash(b"[100]", None)
    assert rig.result == "r-7!"


def test_a_child_is_asked_for_once_however_often_its_parent_is_replayed() -> None:
    rig = LogRig(shop, evict=True)

    rig.start(100)
    rig.tick(5)
    rig.tick(50)
    rig.child(1, "a")

    assert [c for record in rig.records for c in record.commands if isinstance(c, StartChild)] == [
        StartChild(
            n=1, workflow="payment", run="shop-r-1-1", args=msgspec.Raw(b"[100]"), hash=start_hash(b"[100]", None)
        )
    ]
    assert rig.result == "a!"


def test_ids_of_children_are_names_however_long_their_parents() -> None:
    long = "x" * TOKEN_BYTES_MAX
    ids: set[str] = set()
    for run in (long, long[:-1] + "y", "short"):
        rig = LogRig(shop, run=run)
        rig.start(1)
        (child,) = rig.owed.children
        assert is_token(child.run)
        ids.add(child.run)

    assert len(ids) == 3


def test_large_arguments_go_to_the_store() -> None:
    @workflow
    async def parent(text: str) -> object:
        return await start_child(call("any", text)).result()

    rig = LogRig(parent)
    rig.start("x" * VALUE_INLINE_BYTES_MAX)

    (child,) = rig.owed.children
    assert child.ref is not None
    assert msgspec.json.decode(rig.objects[child.ref.sha256])["args"] == ["x" * VALUE_INLINE_BYTES_MAX]


def test_children_know_their_parent_and_how_deep_they_are() -> None:
    @workflow
    async def told() -> str:
        parent = info().parent
        start_child(call("grandchild"))
        return f"{parent}"

    rig = LogRig(told)
    parent = Parent(workflow="shop", run="o-1", command=3, depth=2, token="t")
    rig.feed(rig.message(Start(id="s", parent=parent)))

    assert rig.result == "shop/o-1"
    assert rig.actor.journal.start is not None
    assert rig.actor.journal.start.parent == parent
    assert rig.actor.listener == parent


@pytest.mark.parametrize(("depth", "is_fine"), [(CHILD_DEPTH_MAX - 1, True), (CHILD_DEPTH_MAX, False)])
def test_children_of_children_end_somewhere(depth: int, is_fine: bool) -> None:
    """A recursion that nobody ends would start runs for ever."""

    @workflow
    async def deep() -> str:
        try:
            start_child(call("deep"))
        except JetrunError as error:
            return str(error)
        await sleep("1h")
        return "never"

    rig = LogRig(deep)
    rig.feed(rig.message(Start(id="s", parent=Parent(workflow="deep", run="d", command=1, depth=depth))))

    if is_fine:
        assert [child.depth for child in rig.owed.children] == [depth + 1]
    else:
        assert f"at most {CHILD_DEPTH_MAX}" in rig.result


def test_bad_options_are_refused_before_anything_is_decided() -> None:
    @workflow
    async def wrong() -> list[str]:
        found: list[str] = []
        for options in ({"run_id": "a.b"}, {"parent_close": "ignore"}):
            try:
                start_child(payment.call(1), **options)  # type: ignore[arg-type]
            except (InvalidName, DefinitionError) as error:
                found.append(str(error))
        return found

    rig = LogRig(wrong)
    rig.start()

    assert rig.commands() == []
    assert [text.split()[0] for text in rig.result] == ["run", "parent_close='ignore';"]
    with pytest.raises(NotInWorkflow):
        start_child(payment.call(1))


# --- their end -----------------------------------------------------------------------------------


def test_a_failed_child_raises_its_own_class_too() -> None:
    @workflow
    async def parent() -> str:
        try:
            await payment(1)
        except OutOfStock as error:
            return str(error) if isinstance(error, ChildFailed) else "not a ChildFailed"
        return "?"

    rig = LogRig(parent)
    rig.start()
    rig.child(1, ErrorInfo(type=f"{__name__}.OutOfStock", message="none left"))

    assert rig.result.startswith("child payment/parent-r-1-1 failed: ")
    assert rig.result.endswith("OutOfStock: none left")


@pytest.mark.parametrize("status", ["cancelled", "terminated", "refused"])
def test_a_child_that_did_not_complete_says_how_it_ended(status: str) -> None:
    @workflow
    async def parent() -> str:
        try:
            return await payment(1)
        except ChildFailed as error:
            return error.status

    rig = LogRig(parent)
    rig.start()
    rig.child(1, ErrorInfo(type="MessageRefused", message="taken"), status=status)

    assert rig.result == status


def test_a_result_of_another_type_fails_the_child() -> None:
    rig = LogRig(shop)
    rig.start(1)
    rig.child(1, {"not": "a text"})

    assert rig.error.type.endswith("ChildFailed")
    assert "result of child payment/shop-r-1-1" in rig.error.message


def test_the_end_of_a_child_counts_once() -> None:
    @workflow
    async def parent() -> list[str]:
        return [await payment(1), await payment(2)]

    rig = LogRig(parent)
    rig.start()
    rig.child(1, "a")
    rig.child(1, "b")
    rig.child(2, "c")

    assert rig.result == ["a", "c"]


def test_many_children_at_once() -> None:
    @workflow
    async def parent(count: int) -> list[str]:
        return await asyncio.gather(*(payment(n) for n in range(count)))

    rig = LogRig(parent)
    rig.start(50)
    assert [child.n for child in rig.owed.children] == list(range(1, 51))
    assert rig.summary.children_open == 50
    for n in reversed(range(1, 51)):
        rig.child(n, str(n))

    assert rig.result == [str(n) for n in range(1, 51)]
    assert rig.summary.children_open == 0


# --- letting go ------------------------------------------------------------------------------------


def test_who_stops_awaiting_a_child_cancels_it() -> None:
    @workflow
    async def parent() -> str:
        try:
            async with asyncio.timeout(10):
                return await payment(1)
        except TimeoutError:
            await sleep("1h")
            return "late"

    rig = LogRig(parent)
    rig.start()
    rig.tick(11)

    (end,) = rig.owed.child_ends
    assert (end.verb, end.command.run) == ("cancel", "parent-r-1-2")
    assert Close(n=3, target=2) in rig.last.commands
    rig.child(2, "too late")
    rig.tick(4000)
    assert rig.result == "late"


def test_a_handle_leaves_the_child_alone_until_told() -> None:
    @workflow
    async def parent() -> str:
        child: ChildHandle[str] = start_child(payment.call(1), run_id="p-1")
        try:
            async with asyncio.timeout(10):
                return await child.result()
        except TimeoutError:
            child.cancel("too slow")
            child.cancel("again")
        try:
            return await child.result()
        except ChildFailed as error:
            return f"{child.run_id} {error.status}"

    rig = LogRig(parent)
    rig.start()
    assert [child.run for child in rig.owed.children] == ["p-1"]
    rig.tick(11)
    assert [(end.verb, end.reason) for end in rig.owed.child_ends] == [("cancel", "too slow"), ("cancel", "again")]
    assert [c.target for c in rig.last.commands if isinstance(c, CancelChild)] == [1, 1]
    rig.child(1, None, status="cancelled")

    assert rig.result == "p-1 cancelled"


@pytest.mark.parametrize(("policy", "verbs"), [("cancel", ["cancel"]), ("terminate", ["terminate"]), ("abandon", [])])
@pytest.mark.parametrize("how", ["completes", "is cancelled", "is terminated"])
def test_what_becomes_of_children_when_their_parent_ends(policy: str, verbs: list[str], how: str) -> None:
    @workflow
    async def parent() -> str:
        start_child(payment.call(1), parent_close=policy)  # type: ignore[arg-type]
        await sleep(10)
        return "done"

    rig = LogRig(parent)
    rig.start()
    match how:
        case "completes":
            rig.tick(11)
        case "is cancelled":
            rig.cancel()
        case _:
            rig.terminate()

    assert [end.verb for end in rig.owed.child_ends] == verbs
    assert all("has ended" in end.reason for end in rig.owed.child_ends)
    live = rig.owed.child_ends
    rig.load()  # a worker that has only the log owes the same
    assert rig.owed.child_ends == live


@pytest.mark.parametrize("parent_close", ["cancel", "abandon"])
def test_what_the_last_decision_asks_of_children_is_owed_to_whoever_comes_after(parent_close: str) -> None:
    """A worker that dies between the end and its effects would leave children that nobody ends."""

    @workflow
    async def parent() -> str:
        handle = start_child(payment.call(1), parent_close=parent_close)  # type: ignore[arg-type]
        try:
            return await payment(2)
        finally:
            handle.cancel("no more")

    rig = LogRig(parent)
    rig.start()
    rig.cancel()

    assert rig.status == "cancelled"
    live = rig.owed.child_ends
    assert {(end.command.n, end.reason) for end in live} >= {
        (1, "no more"),
        (2, "parent/r-1 does not wait for it any more"),
    }
    rig.load()
    assert rig.owed.child_ends == live


def test_an_abandoned_child_of_a_run_that_ends_at_once_is_started() -> None:
    """Fire and forget; with any other policy it would end before it began."""

    @workflow
    async def parent() -> str:
        start_child(payment.call(1), parent_close="abandon")
        start_child(payment.call(2))
        return "done"

    rig = LogRig(parent)
    rig.start()

    assert [bytes(child.args) for child in rig.owed.children] == [b"[1]"]
    assert rig.owed.child_ends == []
    live = rig.owed.children
    rig.load()
    assert rig.owed.children == live


# --- whose child -----------------------------------------------------------------------------------

PARENT = Parent(workflow="shop", run="o-1", command=1, token="t")


def test_a_start_by_another_parent_is_refused() -> None:
    """Its parent would wait for an end that nobody tells."""
    rig = LogRig(payment)
    rig.start(100)

    decision = rig.feed(rig.message(msgspec.structs.replace(start_body(100), parent=PARENT)))

    assert [verdict.code for verdict in decision.verdicts] == ["exists"]


def test_the_same_start_by_its_parent_is_no_second_one() -> None:
    rig = LogRig(payment)
    start = msgspec.structs.replace(start_body(100, message_id="shop/o-1/1"), parent=PARENT)
    rig.feed(rig.message(start))

    decision = rig.feed(rig.message(start))

    assert [verdict.code for verdict in decision.verdicts] == [""]


@pytest.mark.parametrize("body", [Cancel(parent=PARENT), Terminate(parent=PARENT)])
def test_a_parent_ends_its_own_children_alone(body: Cancel | Terminate) -> None:
    """A child that was refused has its id from somebody else's run."""
    stranger, mine = LogRig(payment), LogRig(payment)
    stranger.start(100)
    mine.feed(mine.message(msgspec.structs.replace(start_body(100), parent=PARENT)))

    stranger.feed(stranger.message(body))
    mine.feed(mine.message(body))

    assert stranger.status == "running"
    assert mine.status in ("cancelled", "terminated")
    nobody = LogRig(payment)
    nobody.feed(nobody.message(body))
    assert nobody.log == []


def test_news_of_a_child_that_come_while_paused_are_kept() -> None:
    rig = LogRig(shop)
    rig.start(1)
    rig.pause()
    rig.child(1, "a")
    rig.feed(rig.message(Hook(), "other"))
    assert rig.status == "paused"
    rig.resume()

    assert rig.result == "a!"
    assert rig.key == RunKey("shop", "r-1")
