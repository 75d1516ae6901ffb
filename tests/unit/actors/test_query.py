"""Queries: read from the run's own code, between decisions and after the end; they change nothing."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import msgspec
import pytest

from jetrun.actors import (
    define_query,
    hook,
    info,
    now,
    random,
    set_status,
    sleep,
    start_child,
    step,
    uuid4,
    workflow,
)
from jetrun.actors.errors import BadMessage, ErrorInfo, NotInWorkflow
from jetrun.actors.limits import QUERY_BYTES_MAX
from jetrun.actors.query import Given, Question, decode_question
from support.log_rig import LogRig


class Progress(msgspec.Struct):
    done: int
    of: int


progress = define_query("progress", returns=Progress)


@define_query
def scaled(factor: int, plus: int = 1) -> int:
    raise NotImplementedError


@step
async def work(number: int) -> int:
    raise AssertionError


@workflow
async def long(count: int) -> int:
    done = 0
    progress.handler(lambda: Progress(done, count))

    @scaled.handler
    def scale(factor: int, plus: int = 1) -> int:
        return done * factor + plus

    for number in range(count):
        await work(number)
        done += 1
    return done


def ask(rig: LogRig, name: str, *args: object, **kwargs: object) -> Any:
    given = asked(rig, name, *args, **kwargs)
    assert given.is_intact
    return value(given)


def asked(rig: LogRig, name: str, *args: object, **kwargs: object) -> Given:
    return rig.actor.answer(name, question(*args, **kwargs))


def question(*args: object, **kwargs: object) -> Question:
    return Question(
        args=msgspec.Raw(msgspec.json.encode(args)), kwargs=msgspec.Raw(msgspec.json.encode(kwargs)) if kwargs else None
    )


def value(given: Given) -> Any:
    reply = given.reply
    if isinstance(reply.error, ErrorInfo):
        return reply.error.code
    assert isinstance(reply.result, msgspec.Raw)
    return msgspec.json.decode(reply.result)


def test_a_running_run_answers_from_its_code() -> None:
    rig = LogRig(long)
    rig.start(3)
    assert ask(rig, "progress") == {"done": 0, "of": 3}
    rig.step(1, 1)
    assert ask(rig, "progress") == {"done": 1, "of": 3}
    assert ask(rig, "scaled", 10) == 11
    assert ask(rig, "scaled", 10, plus=5) == 15


def test_paused_and_reloaded_runs_answer() -> None:
    rig = LogRig(long)
    rig.start(3)
    rig.step(1, 1)
    rig.pause()
    rig.load()
    assert ask(rig, "progress") == {"done": 1, "of": 3}


@pytest.mark.parametrize("end", ["completed", "terminated"])
def test_ended_runs_are_replayed_for_it(end: str) -> None:
    """What a run has come to can be asked for as long as its log is whole."""
    rig = LogRig(long)
    rig.start(2)
    rig.step(1, 1)
    if end == "terminated":
        rig.terminate()
    else:
        rig.step(2, 1)
    assert rig.status == end
    actor = rig.new_actor(rig.log)
    actor.skim()
    revival = actor.revival()
    assert revival is not None
    for _ in revival.replay(rig.objects):
        pass
    try:
        assert value(revival.answer("progress", question())) == {"done": 2 if end == "completed" else 1, "of": 2}
    finally:
        revival.close()
    trimmed = rig.new_actor()
    record = rig.last
    trimmed.read(record, digest="d", seq=9, is_alone=True)
    assert trimmed.revival() is None


def test_parked_runs_say_so() -> None:
    rig = LogRig(long)
    rig.start(2)
    rig.deploy(None)
    rig.step(1, 1)
    assert ask(rig, "progress") == "parked"


def test_a_run_that_was_not_started_is_not_found() -> None:
    assert ask(LogRig(long), "progress") == "not_found"


def test_unknown_names_and_wrong_arguments_are_told() -> None:
    rig = LogRig(long)
    rig.start(1)
    assert ask(rig, "nothing") == "unknown_query"
    error = asked(rig, "nothing").reply.error
    assert isinstance(error, ErrorInfo)
    assert "progress, scaled" in error.message
    assert ask(rig, "scaled", "x") == "args"
    assert ask(rig, "progress", 1) == "args"


held: dict[str, Any] = {}


@workflow
async def nosy() -> str:
    """Its query tries whatever it is told."""
    look = define_query("look")
    rng = random()
    child = start_child(other.call(), run_id="c-1")
    task = asyncio.ensure_future(hook("never"))
    event = asyncio.Event()
    waiter = asyncio.ensure_future(event.wait())
    await asyncio.sleep(0)

    @look.handler
    def answer(what: str) -> object:
        tries: dict[str, Any] = {
            "step": lambda: work(1),
            "child": lambda: other(),
            "start": lambda: start_child(other.call()),
            "cancel child": lambda: child.cancel("no"),
            "task": lambda: asyncio.get_running_loop().create_task(sleep(1)),
            "cancel task": lambda: task.cancel(),
            "wake": lambda: event.set(),
            "timer": lambda: asyncio.get_running_loop().call_later(1, print),
            "status": lambda: set_status("a", 1),
            "random": lambda: random().random(),
            "uuid": lambda: uuid4(),
            "future": lambda: asyncio.get_running_loop().create_future(),
            "handler": lambda: progress.handler(lambda: Progress(1, 1)),
            "now": lambda: now().year,
            "info": lambda: info().run_id,
            "raise": lambda: 1 / 0,
            "exit": lambda: (_ for _ in ()).throw(SystemExit(3)),
            "large": lambda: "x" * QUERY_BYTES_MAX,
            "odd": lambda: object(),
        }
        return tries[what]()

    await hook("go")
    task.cancel()
    waiter.cancel()
    assert isinstance(rng, Random)
    return f"{random().random():.6f}"


@workflow
async def other() -> str:
    return "other"


@pytest.mark.parametrize(
    "what",
    ["step", "child", "start", "cancel child", "task", "cancel task", "wake", "timer", "status", "random", "uuid", "future", "handler"],
)  # fmt: skip
def test_a_query_that_asks_for_something_is_refused_and_spoils_nothing(what: str) -> None:
    """Whatever was touched, the caller is told, and the worker loads the run anew."""
    calm = LogRig(nosy)
    calm.start()
    calm.hook("go")
    rig = LogRig(nosy)
    rig.start()
    given = asked(rig, "look", what)
    assert value(given) == "read_only"
    assert not given.is_intact
    rig.load()
    assert asked(rig, "look", "info").is_intact
    rig.hook("go")
    assert rig.result == calm.result
    assert rig.commands() == calm.commands()


def test_what_a_query_may_do_and_how_it_fails() -> None:
    rig = LogRig(nosy)
    rig.start()
    assert ask(rig, "look", "info") == "r-1"
    assert ask(rig, "look", "now") > 2000
    assert ask(rig, "look", "raise") == "failed"
    assert ask(rig, "look", "exit") == "failed"
    assert ask(rig, "look", "large") == "size"
    assert ask(rig, "look", "odd") == "result"
    rig.hook("go")
    assert rig.status == "completed"


def test_handlers_cannot_wait() -> None:
    @workflow
    async def flow() -> str:
        async def slow() -> Progress:
            return Progress(1, 1)

        try:
            progress.handler(slow)  # type: ignore[arg-type]
        except TypeError as error:
            return str(error)
        return ""

    rig = LogRig(flow)
    rig.start()
    assert "cannot wait" in rig.result


def test_outside_of_workflows_there_is_nothing_to_answer_for() -> None:
    with pytest.raises(NotInWorkflow):
        progress.handler(lambda: Progress(1, 1))


@pytest.mark.parametrize(
    ("raw", "code"),
    [(b"[]", "schema"), (b"{", "json"), (b'{"x":1}', "schema"), (b"{}" + b" " * QUERY_BYTES_MAX, "size")],
)
def test_bodies_are_read_strictly(raw: bytes, code: str) -> None:
    with pytest.raises(BadMessage) as caught:
        decode_question(raw)
    assert caught.value.code == code


def test_an_empty_body_asks_without_arguments() -> None:
    assert decode_question(b"") == decode_question(b"{}") == Question()
