"""Loading: an actor rebuilt from its log, time-sliced, with what its last decision still owes carried out (R7, R11)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import anyio
import anyio.lowlevel

from ..actors.actor import Actor
from ..actors.admission import Verdict
from ..actors.errors import BadLog
from ..actors.fold import refs_of
from ..actors.limits import REPLAY_YIELD_S
from ..actors.names import RunKey
from ..actors.registry import Registry
from .effects import Debt, Effects
from .letters import Letter
from .ports import Broker
from .run_log import RunLog
from .subjects import App
from .watchdog import Watchdog


class Loader:
    """Rebuilds actors.

    Args:
        by: Worker and incarnation, written into records.
    """

    def __init__(
        self, broker: Broker, app: App, registry: Registry, effects: Effects, watchdog: Watchdog, *, by: str
    ) -> None:
        self.loads = 0
        self._broker = broker
        self._app = app
        self._registry = registry
        self._effects = effects
        self._watchdog = watchdog
        self._log = RunLog(broker, app)
        self._by = by

    def new_actor(self, key: RunKey) -> Actor:
        """Makes the actor of a run whose log is empty, or will be read."""
        return Actor(self._app.name, key, self._registry.workflows.get(key.workflow), by=self._by)

    async def load(self, key: RunKey, letters: Sequence[Letter], suspects: dict[RunKey, str]) -> Actor:
        """Rebuilds a run's actor; what its last decision owes is durable on return.

        Args:
            letters: At hand for the run: an unacked message of the last record says that effects may be owed.
            suspects: Runs whose code must not run, with the reason; a replay that holds the loop adds its own.

        Raises:
            BrokerError: The log cannot be read now.
            BadLog: It cannot be read by this worker, or was advanced by another one meanwhile.
        """
        self.loads += 1
        actor = self.new_actor(key)
        await self._log.read_into(actor)
        if not actor.journal.k or key in suspects:
            return actor
        objects, _ = await self.objects(key, set() if actor.needs_objects else actor.refs())
        if not await self._replay(actor, objects):
            suspects[key] = (
                "the workflow held the loop while its log was replayed; change its code, then unpark the run"
            )
            return await self.load(key, letters, suspects)
        if actor.unfinished is not None:
            await self._finish(actor)
        elif any(actor.journal.has_folded(letter.message) for letter in letters):
            await self._effects.carry_out([_debt(actor)])
        return actor

    async def objects_for(self, actor: Actor, letters: Sequence[Letter]) -> tuple[dict[str, bytes], list[Letter]]:
        """Fetches the large values that a fold needs; letters whose value is not in the store are buried."""
        wanted = {ref.sha256 for letter in letters if (ref := refs_of(letter.message)) is not None}
        if actor.needs_objects:
            wanted |= actor.refs()
        if not wanted:
            return {}, list(letters)
        objects, missing = await self.objects(actor.key, wanted)
        left: list[Letter] = []
        for letter in letters:
            ref = refs_of(letter.message)
            if ref is None or ref.sha256 not in missing:
                left.append(letter)
                continue
            reason = f"no object {ref.sha256} of {actor.key} in the store; put it there before the message is sent"
            await self._effects.bury_verdict(
                letter, Verdict(message=letter.message, code="missing_value", reason=reason)
            )
            if letter.delivery.reply:
                self._broker.ack(letter.delivery.reply)
        return objects, left

    async def objects(self, key: RunKey, wanted: Collection[str]) -> tuple[dict[str, bytes], set[str]]:
        """Fetches large values by hash; returns those found and the hashes of those that are not there."""
        found: dict[str, bytes] = {}
        missing: set[str] = set()
        for digest in wanted:
            data = await self._broker.get_object(self._app.values, f"{key.workflow}/{key.run}/{digest}")
            if data is None:
                missing.add(digest)
            else:
                found[digest] = data
        return found, missing

    async def _replay(self, actor: Actor, objects: dict[str, bytes]) -> bool:
        """Replays, yielding to the loop; False when the code was interrupted for holding it."""
        replay = actor.replay(objects)
        began = anyio.current_time()
        while True:
            self._watchdog.begin(actor.key, 1)
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

    async def _finish(self, actor: Actor) -> None:
        """Appends the missing parts of a decision that a crash cut in two, then carries it out."""
        rest = actor.unfinished
        assert rest is not None, "called for an unfinished decision only"
        seqs = await self._log.append_all(actor.key, rest.records, actor.journal.seq)
        if seqs is None:
            raise BadLog(f"{actor.key} was advanced by another worker while it was loaded")
        debt = _debt(actor)
        actor.commit(rest, seqs)
        await self._effects.carry_out([debt])


def _debt(actor: Actor) -> Debt:
    return Debt(actor.key, actor.owed, actor.journal.now_us, actor.journal.summary, is_repeat=True, is_old=True)
