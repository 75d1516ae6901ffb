"""Loading: an actor rebuilt from its log, time-sliced, with what its last decision still owes carried out (R7, R11)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

import anyio
import anyio.lowlevel

from ..actors.actor import Actor
from ..actors.admission import Verdict
from ..actors.errors import BadLog, BadMessage, BadValue, InvalidValue
from ..actors.fold import refs_of
from ..actors.limits import REPLAY_YIELD_S
from ..actors.messages import Message, Start, check_depth, check_json
from ..actors.names import RunKey
from ..actors.records import Record
from ..actors.registry import Registry
from ..actors.work import decode_packed
from ..actors.workflow import NO_OLDER
from .acks import Acks
from .debt import Debt
from .effects import Effects
from .letters import Letter
from .ports import Broker
from .run_log import RunLog
from .subjects import App
from .watchdog import Watchdog


class Suspicion(NamedTuple):
    """Why a run's code must not run: what it is parked with, in the words of `records.Parked`."""

    code: str
    reason: str


HELD_THE_LOOP: Final = Suspicion("blocked", "the workflow held the loop; change its code, then unpark the run")
HELD_THE_LOOP_IN_REPLAY: Final = Suspicion(
    "blocked", "the workflow held the loop while its log was replayed; change its code, then unpark the run"
)


class Loader:
    """Rebuilds actors.

    Args:
        by: Worker and incarnation, written into records.
        early_keep_us: How long messages wait for the start of their run.
    """

    def __init__(
        self,
        broker: Broker,
        app: App,
        registry: Registry,
        effects: Effects,
        watchdog: Watchdog,
        acks: Acks,
        *,
        by: str,
        early_keep_us: int,
    ) -> None:
        self.loads = 0
        self._broker = broker
        self._app = app
        self._registry = registry
        self._effects = effects
        self._watchdog = watchdog
        self._acks = acks
        self._log = RunLog(broker, app)
        self._by = by
        self._early_keep_us = early_keep_us

    def new_actor(self, key: RunKey) -> Actor:
        """Makes the actor of a run whose log is empty, or will be read."""
        workflow = self._registry.workflows.get(key.workflow)
        older = self._registry.older.get(key.workflow, NO_OLDER)
        return Actor(self._app.name, key, workflow, by=self._by, early_keep_us=self._early_keep_us, older=older)

    async def load(self, key: RunKey, letters: Sequence[Letter], suspects: dict[RunKey, Suspicion]) -> Actor:
        """Rebuilds a run's actor; what its last decision owes is durable on return.

        Args:
            letters: All that is at hand for the run, also for later turns.
            suspects: Runs whose code must not run; one whose replay holds the loop is added.

        Raises:
            BrokerError: The log cannot be read now.
            BadLog: It cannot be read by this worker, or was advanced by another one meanwhile.
        """
        self.loads += 1
        actor = self.new_actor(key)
        newest = await self._log.read_into(actor)
        if not actor.journal.k:
            return actor
        if key in suspects:
            actor.skim()
        else:
            objects, _ = await self.objects(key, set() if actor.needs_objects else actor.refs())
            if not await self.run(key, actor.replay(objects)):
                suspects[key] = HELD_THE_LOOP_IN_REPLAY
                return await self.load(key, letters, suspects)
        if actor.unfinished is not None:
            await self._finish(actor)
        elif actor.journal.is_expired:
            await self._effects.carry_out([_debt(actor, letters)])
            return self.new_actor(key)
        elif await self._may_owe(actor, newest, letters):
            await self._effects.carry_out([_debt(actor, letters)])
        return actor

    async def objects_for(self, actor: Actor, letters: Sequence[Letter]) -> tuple[dict[str, bytes], list[Letter]]:
        """Fetches the large values that a fold needs; letters whose value cannot be had or used are buried."""
        wanted = {ref.sha256 for letter in letters if (ref := refs_of(letter.message)) is not None}
        wanted |= actor.refs() if actor.needs_objects else actor.kept_refs()
        if not wanted:
            return {}, list(letters)
        objects, missing = await self.objects(actor.key, wanted)
        left: list[Letter] = []
        for letter in letters:
            verdict = _judge_value(actor, letter.message, objects, missing)
            if verdict is None:
                left.append(letter)
                continue
            await self._effects.bury_verdict(actor.key, verdict, [letter])
            self._acks.ack(letter)
        return objects, left

    async def objects(self, key: RunKey, wanted: Collection[str]) -> tuple[dict[str, bytes], dict[str, str]]:
        """Fetches large values by hash; returns those found, and why the others cannot be had."""
        found: dict[str, bytes] = {}
        missing: dict[str, str] = {}
        for digest in sorted(wanted):
            try:
                data = await self._broker.get_object(self._app.values, f"{key.workflow}/{key.run}/{digest}")
            except BadValue as error:
                missing[digest] = str(error)
                continue
            if data is None:
                missing[digest] = f"no object {digest} of {key} in the store; put it there before the message is sent"
            elif sha256(data).hexdigest() != digest:
                missing[digest] = f"object {digest} of {key} has another hash than its name; put the value there"
            else:
                found[digest] = data
        return found, missing

    async def run(self, key: RunKey, replay: Iterator[None]) -> bool:
        """Runs a replay to its end, yielding to the loop; False when the code was interrupted for holding it."""
        began = anyio.current_time()
        while True:
            self._watchdog.begin(key, 1)
            try:
                is_done = next(replay, self) is self
            finally:
                is_interrupted = self._watchdog.end()
            if is_interrupted:
                return False
            if is_done:
                return True
            if anyio.current_time() - began > REPLAY_YIELD_S:
                await anyio.lowlevel.checkpoint()
                began = anyio.current_time()

    async def _may_owe(self, actor: Actor, newest: Record | None, letters: Sequence[Letter]) -> bool:
        """Tells whether the last decision's effects may not have been carried out: acks follow effects (R7).

        Its messages need not be at hand: whoever decided may hold them, alive or dead, and a takeover read can miss them
        (a replica that lags). Where one is not in its stream any more, all effects were carried out.
        """
        if any(actor.journal.has_folded(letter.message) for letter in letters):
            return True
        if newest is None or newest.by == self._by:
            return False  # this worker ends its turns before it begins others
        folded = newest.messages[-1]
        stream = self._app.mail if folded.source == Message.MAIL else self._app.timers
        stored = await self._broker.get(stream, folded.seq)
        return stored is not None and stored.at_us == folded.at_us

    async def _finish(self, actor: Actor) -> None:
        """Appends the missing parts of a decision that a crash cut in two, then carries it out."""
        rest = actor.unfinished
        assert rest is not None, "called for an unfinished decision only"
        seqs = await self._log.append_all(actor.key, rest.records, actor.journal.seq)
        if seqs is None:
            raise BadLog(f"{actor.key} was advanced by another worker while it was loaded")
        actor.commit(rest, seqs)
        await self._effects.carry_out([_debt(actor, ())])


def _judge_value(
    actor: Actor, message: Message, objects: Mapping[str, bytes], missing: Mapping[str, str]
) -> Verdict | None:
    """Returns the verdict on a message whose large value is missing, or a start whose arguments are no such."""
    ref = refs_of(message)
    if ref is None:
        return None
    if ref.sha256 in missing:
        return Verdict(message=message, code="missing_value", reason=missing[ref.sha256])
    if not isinstance(message.body, Start) or actor.workflow is None or actor.journal.start is not None:
        return None
    raw = objects[ref.sha256]
    try:
        check_depth(raw)
        check_json(raw)
        packed = decode_packed(raw)
        actor.workflow.signature.unpack(packed.args, packed.kwargs)
    except (BadMessage, InvalidValue, ValueError, RecursionError) as error:
        return Verdict(message=message, code="args", reason=f"object {ref.sha256}: {error}")
    return None


def _debt(actor: Actor, letters: Sequence[Letter]) -> Debt:
    return Debt(
        actor.key,
        actor.owed,
        actor.journal.now_us,
        actor.journal.summary,
        is_repeat=True,
        is_old=True,
        log_seq=actor.journal.seq,
        parent=actor.listener,
        letters=letters,
        link=actor.journal.link,
    )
