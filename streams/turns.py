"""Turns: the hot path of an actor worker. Letters become decisions, decisions records, records effects, and then the
letters are acked; in that order, whatever happens (ARCHITECTURE.md, "The life of a message").

Runs that have something to do are taken in batches: folded one after the other, appended with one append in flight
per run and hundreds across runs, their effects and acks sent together. A run is in one turn at a time (R7, R8).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Sequence
from typing import Final

import anyio
import msgspec

from ..actors.actor import Actor, Decision
from ..actors.admission import Verdict
from ..actors.errors import BadLog, BrokerError, JetrunError
from ..actors.fold import refs_of
from ..actors.limits import LOADS_MAX, REPLAY_YIELD_S, SUSPECT_DELIVERIES, TIMER_SERVED_US, TURN_MESSAGES_MAX
from ..actors.messages import Start, Tick
from ..actors.names import RunKey
from ..actors.registry import Registry
from .effects import Debt, Effects
from .letters import Letter, Unreadable
from .ports import Broker
from .run_log import RunLog
from .subjects import App
from .telemetry import log
from .watchdog import Watchdog

_BATCH_RUNS: Final = 64
"""Runs folded in one go: some 3 ms of the loop."""

_RETRY_S: Final = 0.1


class Stats(msgspec.Struct):
    """Counters of one worker since its start."""

    messages: int = 0
    appends: int = 0
    refused_appends: int = 0
    loads: int = 0
    dead: int = 0


class Slot:
    """A run's place in this worker: its letters, and its actor while that is cached."""

    __slots__ = ("actor", "is_busy", "is_ready", "key", "letters", "must_load", "partition")

    def __init__(self, key: RunKey, partition: int) -> None:
        self.key = key
        self.partition = partition
        self.actor: Actor | None = None
        self.letters: list[Letter] = []
        self.is_busy = False
        self.is_ready = False
        self.must_load = False


class Pending:
    """One run's part of a turn."""

    __slots__ = ("actor", "decision", "letters", "seqs", "slot", "was_parked")

    def __init__(self, slot: Slot, actor: Actor, letters: list[Letter], decision: Decision) -> None:
        self.slot = slot
        self.actor = actor
        self.letters = letters
        self.decision = decision
        self.seqs: list[int] = []
        self.was_parked = actor.journal.parked is not None


class Turns:
    """The turns of one worker.

    Args:
        by: Worker and incarnation, written into records.
        cached_max: Bound of cached actors; the longest unused are dropped and replayed on demand.
        spawn: Starts a task in the worker's group.
        known_workflows: Names that other workers or the provisioning know: their runs are parked, not refused (R17).
        on_started, on_ended: Hear of runs for the index.
    """

    def __init__(
        self,
        broker: Broker,
        app: App,
        registry: Registry,
        effects: Effects,
        watchdog: Watchdog,
        *,
        by: str,
        cached_max: int,
        spawn: Callable[..., None],
        known_workflows: Callable[[], Collection[str]],
        on_started: Callable[[RunKey, int], None],
        on_ended: Callable[[RunKey], bool],
    ) -> None:
        self.stats = Stats()
        self.suspects: dict[RunKey, str] = {}
        self._broker = broker
        self._app = app
        self._registry = registry
        self._effects = effects
        self._watchdog = watchdog
        self._log = RunLog(broker, app)
        self._by = by
        self._cached_max = cached_max
        self._spawn = spawn
        self._known_workflows = known_workflows
        self._on_started = on_started
        self._on_ended = on_ended
        self._slots: OrderedDict[RunKey, Slot] = OrderedDict()
        self._ready: deque[Slot] = deque()
        self._is_pumping = False
        self._loads = anyio.CapacityLimiter(LOADS_MAX)
        self._nonces = 0
        self._turns = 0
        self._cached = 0
        self._idle: anyio.Event | None = None

    # --- intake -----------------------------------------------------------------------------------
    def deliver(self, letters: Sequence[Letter | Unreadable]) -> None:
        """Takes letters in, in order; never blocks."""
        self.stats.messages += len(letters)
        for letter in letters:
            if isinstance(letter, Unreadable):
                self.stats.dead += 1
                self._turns += 1
                self._spawn(self._bury, letter)
                continue
            slot = self._slots.get(letter.key)
            if slot is None:
                slot = self._slots[letter.key] = Slot(letter.key, letter.partition)
            slot.letters.append(letter)
            if not slot.is_busy and not slot.is_ready:
                slot.is_ready = True
                self._ready.append(slot)
        if self._ready and not self._is_pumping:
            self._is_pumping = True
            self._spawn(self._pump)

    @property
    def cached(self) -> int:
        """Actors in the cache."""
        return self._cached

    def summary_of(self, key: RunKey) -> object | None:
        """Returns a cached run's summary."""
        slot = self._slots.get(key)
        return slot.actor.journal.summary if slot is not None and slot.actor is not None else None

    async def wait_idle(self, partition: int | None = None) -> None:
        """Waits until no turn is under way (of a partition's runs, or at all)."""
        while (any(s.is_busy and s.partition == partition for s in self._slots.values())) if partition is not None else self._turns:
            if self._idle is None:
                self._idle = anyio.Event()
            await self._idle.wait()

    def drop(self, partition: int) -> None:
        """Forgets a partition's runs: another worker serves them now. Letters in hand stay unacked."""
        for slot in [s for s in self._slots.values() if s.partition == partition and not s.is_busy]:
            slot.letters.clear()
            self._remove(slot)

    # --- the pump ------------------------------------------------------------------------------------
    async def _pump(self) -> None:
        self._is_pumping = False
        while self._ready:
            batch: list[Slot] = []
            while self._ready and len(batch) < _BATCH_RUNS:
                slot = self._ready.popleft()
                slot.is_ready = False
                if slot.letters and not slot.is_busy:
                    slot.is_busy = True
                    batch.append(slot)
            if batch:
                self._turns += 1
                if self._ready:
                    self._spawn(self._turn, batch)
                    await anyio.lowlevel.checkpoint()
                else:
                    await self._turn(batch)

    async def _turn(self, batch: list[Slot]) -> None:
        try:
            pending: list[Pending] = []
            for slot in batch:
                letters = self._take(slot)
                if self._is_at_hand(slot, letters):
                    part = self._fold(slot, letters, {})
                    if part is not None:
                        pending.append(part)
                else:
                    self._turns += 1
                    self._spawn(self._prepare, slot, letters)
            if pending:
                await self._complete(pending)
        finally:
            self._end_turn()

    def _end_turn(self) -> None:
        self._turns -= 1
        if self._idle is not None:
            self._idle.set()
            self._idle = None

    def _take(self, slot: Slot) -> list[Letter]:
        """Takes what this turn looks at: a suspicious message alone (R16), otherwise what is at hand."""
        letters = slot.letters
        letters.sort(key=_by_time)
        for index, letter in enumerate(letters):
            if letter.delivery.deliveries >= SUSPECT_DELIVERIES:
                slot.letters = letters[:index] + letters[index + 1 :]
                return [letter]
        slot.letters = letters[TURN_MESSAGES_MAX:]
        return letters[:TURN_MESSAGES_MAX]

    def _is_at_hand(self, slot: Slot, letters: Sequence[Letter]) -> bool:
        """Tells whether the turn can fold at once: the actor is cached, or surely new, and no large value is needed."""
        if slot.key in self.suspects:
            return False
        if any(refs_of(letter.message) is not None for letter in letters):
            return False
        if slot.actor is not None:
            return True
        # A first delivery of a start most often finds an empty log: the fence tells when it does not.
        return not slot.must_load and any(
            isinstance(letter.message.body, Start) and letter.delivery.deliveries == 1 for letter in letters
        )

    def _new_actor(self, slot: Slot) -> Actor:
        return Actor(self._app.name, slot.key, self._registry.workflows.get(slot.key.workflow), by=self._by)

    def _keep(self, slot: Slot, actor: Actor) -> None:
        if slot.actor is None:
            self._cached += 1
        slot.actor = actor
        slot.must_load = False

    def _forget(self, slot: Slot) -> None:
        """Drops a slot's actor; it is loaded anew when needed."""
        if slot.actor is not None:
            slot.actor.close()
            slot.actor = None
            self._cached -= 1
        slot.must_load = True

    def _remove(self, slot: Slot) -> None:
        self._forget(slot)
        self._slots.pop(slot.key, None)

    def _nonce(self) -> str:
        self._nonces += 1
        return f"{self._by}.{self._nonces}"

    # --- deciding ---------------------------------------------------------------------------------------
    def _fold(self, slot: Slot, letters: list[Letter], objects: dict[str, bytes]) -> Pending | None:
        actor = slot.actor
        if actor is None:
            actor = self._new_actor(slot)
            self._keep(slot, actor)
        messages = [letter.message for letter in letters]
        if actor.workflow is None and not actor.journal.k and slot.key.workflow not in self._known_workflows():
            return Pending(slot, actor, letters, self._refuse_unknown(slot.key, letters))
        reason = self.suspects.pop(slot.key, None)
        if reason is not None:
            return Pending(slot, actor, letters, actor.park(messages, "blocked", reason, nonce=self._nonce()))
        self._watchdog.begin(slot.key, max(letter.delivery.deliveries for letter in letters))
        try:
            decision = actor.fold(messages, objects=objects, nonce=self._nonce())
        finally:
            interrupted = self._watchdog.end()
        if interrupted:
            self.suspects[slot.key] = "the workflow held the loop; change its code, then unpark the run"
            self._return(slot, letters)
            return None
        return Pending(slot, actor, letters, decision)

    def _refuse_unknown(self, key: RunKey, letters: Sequence[Letter]) -> Decision:
        names = ", ".join(sorted(self._registry.workflows)) or "none"
        reason = f"workflow {key.workflow!r} is not registered; this app has: {names}"
        verdicts = [
            Verdict(message=letter.message, code="" if isinstance(letter.message.body, Tick) else "workflow", reason=reason)
            for letter in letters
        ]
        return Decision(records=[], parts=[], folded=[], verdicts=verdicts, rest=[], uploads={})

    def _return(self, slot: Slot, letters: Sequence[Letter]) -> None:
        """Puts letters back and gives the run another turn with a fresh actor."""
        self._forget(slot)
        slot.letters = [*letters, *slot.letters]
        self._release(slot)

    def _release(self, slot: Slot) -> None:
        """Ends the run's turn; begins the next where letters wait."""
        slot.is_busy = False
        if slot.letters:
            if not slot.is_ready:
                slot.is_ready = True
                self._ready.append(slot)
                if not self._is_pumping:
                    self._is_pumping = True
                    self._spawn(self._pump)
        elif slot.actor is None:
            self._slots.pop(slot.key, None)
        else:
            self._slots.move_to_end(slot.key)
            self._evict()

    def _evict(self) -> None:
        while self._cached > self._cached_max:
            for slot in self._slots.values():
                if slot.actor is not None and not slot.is_busy and not slot.letters:
                    self._remove(slot)
                    break
            else:
                return

    # --- loading --------------------------------------------------------------------------------------------
    async def _prepare(self, slot: Slot, letters: list[Letter]) -> None:
        """Loads what the turn needs, repeats what the last decision owes, then takes the turn."""
        try:
            async with self._loads:
                actor = slot.actor
                if actor is None or actor.needs_objects:
                    self._forget(slot)
                    actor = await self._load(slot)
                    self._keep(slot, actor)
                    await self._pay(slot, actor, letters)
                wanted = {ref.sha256 for letter in letters if (ref := refs_of(letter.message)) is not None}
                if actor.needs_objects:
                    wanted |= actor.refs()
                objects, missing = await self._objects(slot.key, wanted)
            if missing:
                await self._bury_missing(slot, letters, missing)
                letters = [x for x in letters if (r := refs_of(x.message)) is None or r.sha256 not in missing]
            part = self._fold(slot, letters, objects) if letters else None
            if part is not None:
                await self._complete([part])
            elif slot.is_busy and not letters:
                self._release(slot)
        except (BrokerError, BadLog) as error:
            log("run.load_failed", 30, run=slot.key, error=error)
            await anyio.sleep(_RETRY_S)
            self._return(slot, letters)
        finally:
            self._end_turn()

    async def _load(self, slot: Slot) -> Actor:
        self.stats.loads += 1
        actor = self._new_actor(slot)
        await self._log.read_into(actor)
        if not actor.journal.k:
            return actor
        if slot.key in self.suspects:
            return actor
        objects, _ = await self._objects(slot.key, actor.refs() if not actor.needs_objects else set())
        began = anyio.current_time()
        replay = actor.replay(objects)
        while True:
            self._watchdog.begin(slot.key, 1)
            try:
                is_done = next(replay, self) is self
            finally:
                interrupted = self._watchdog.end()
            if interrupted:
                self.suspects[slot.key] = "the workflow held the loop while its log was replayed"
                return await self._load(slot)
            if is_done:
                break
            if anyio.current_time() - began > REPLAY_YIELD_S:
                await anyio.lowlevel.checkpoint()
                began = anyio.current_time()
        if actor.unfinished is not None:
            await self._finish(actor, actor.unfinished)
        if not actor.journal.has_ended:
            self._on_started(slot.key, actor.journal.started_at_us)
        return actor

    async def _finish(self, actor: Actor, rest: Decision) -> None:
        """Appends the missing parts of a decision that a crash cut in two."""
        seqs = await self._append_parts(actor, rest)
        if seqs is None:
            raise BadLog(f"{actor.key} was advanced by another worker while it was loaded")
        await self._effects.carry_out([self._debt(actor, is_repeat=True)])
        actor.commit(rest, seqs)

    async def _pay(self, slot: Slot, actor: Actor, letters: Sequence[Letter]) -> None:
        """Carries out what the last decision owes, if one of its messages is still unacked (R7)."""
        if actor.journal.k and any(actor.journal.has_folded(letter.message) for letter in letters):
            await self._effects.carry_out([self._debt(actor, is_repeat=True)])

    async def _objects(self, key: RunKey, wanted: Collection[str]) -> tuple[dict[str, bytes], set[str]]:
        objects: dict[str, bytes] = {}
        missing: set[str] = set()
        for digest in wanted:
            data = await self._broker.get_object(self._app.values, f"{key.workflow}/{key.run}/{digest}")
            if data is None:
                missing.add(digest)
            else:
                objects[digest] = data
        return objects, missing

    async def _bury_missing(self, slot: Slot, letters: Sequence[Letter], missing: Collection[str]) -> None:
        for letter in letters:
            ref = refs_of(letter.message)
            if ref is not None and ref.sha256 in missing:
                verdict = Verdict(
                    message=letter.message, code="missing_value", reason=f"no object {ref.sha256} of {slot.key} in the store"
                )
                await self._effects.bury_verdict(letter, verdict)
                self._ack(letter)

    async def _bury(self, unreadable: Unreadable) -> None:
        try:
            await self._effects.bury_unreadable(unreadable)
            if unreadable.delivery.reply:
                self._broker.ack(unreadable.delivery.reply)
        finally:
            self._end_turn()

    # --- making it durable ---------------------------------------------------------------------------------
    async def _complete(self, pending: list[Pending]) -> None:
        began = anyio.current_time()
        stored = await self._append(pending)
        debts: list[Debt] = []
        for part in stored:
            if part.decision.records:
                self.stats.appends += len(part.seqs)
                part.actor.commit(part.decision, part.seqs)
                debts.append(self._debt(part.actor, is_repeat=_is_late(began), part=part))
        if debts:
            await self._effects.carry_out(debts)
        for part in stored:
            await self._settle(part)

    def _debt(self, actor: Actor, *, is_repeat: bool, part: Pending | None = None) -> Debt:
        journal = actor.journal
        owed = actor.owed
        is_old = is_repeat
        if owed.is_start and part is not None:
            self._on_started(actor.key, journal.started_at_us)
        if owed.outcome is not None:
            is_old = self._on_ended(actor.key) or is_repeat
        return Debt(actor.key, owed, journal.now_us, journal.summary, is_repeat, is_old)

    async def _append(self, pending: list[Pending]) -> list[Pending]:
        """Appends all decisions; returns the parts that are stored or need no record. The others get another turn."""
        stored: list[Pending] = []
        single: list[Pending] = []
        for part in pending:
            if part.decision.uploads:
                await self._upload(part)
            if not part.decision.records:
                if await self._is_current(part):
                    stored.append(part)
            elif len(part.decision.records) == 1:
                single.append(part)
            else:
                seqs = await self._append_parts(part.actor, part.decision)
                self._note(part, seqs, stored)
        if single:
            entries = [self._log.entry(p.slot.key, p.decision.records[0], p.actor.journal.seq) for p in single]
            acks = await self._broker.publish_many(entries)
            for part, ack in zip(single, acks, strict=True):
                if ack.code == 0:
                    self._note(part, [ack.seq], stored)
                else:
                    seq = await self._log.resolve(part.slot.key, part.decision.records[0], part.actor.journal.seq, ack)
                    self._note(part, None if seq is None else [seq], stored)
        return stored

    def _note(self, part: Pending, seqs: list[int] | None, stored: list[Pending]) -> None:
        if seqs is not None:
            part.seqs = seqs
            stored.append(part)
            return
        if part.actor.journal.k:
            self.stats.refused_appends += 1
            log("append.refused", 30, run=part.slot.key, after=part.actor.journal.seq, refused=self.stats.refused_appends)
        self._return(part.slot, part.letters)

    async def _append_parts(self, actor: Actor, decision: Decision) -> list[int] | None:
        seqs: list[int] = []
        after = actor.journal.seq
        for raw in decision.records:
            seq = await self._log.append(actor.key, raw, after)
            if seq is None:
                return None
            seqs.append(seq)
            after = seq
        return seqs

    async def _upload(self, part: Pending) -> None:
        prefix = f"{part.slot.key.workflow}/{part.slot.key.run}"
        for digest, data in part.decision.uploads.items():
            while True:
                try:
                    await self._broker.put_object(self._app.values, f"{prefix}/{digest}", data)
                    break
                except JetrunError as error:
                    log("upload.failed", 30, run=part.slot.key, error=error)
                    await anyio.sleep(_RETRY_S)

    async def _is_current(self, part: Pending) -> bool:
        """Makes sure that verdicts without a record were given by an actor that stands where the stream stands (R4)."""
        if all(verdict.is_repeat for verdict in part.decision.verdicts):
            return True
        try:
            if await self._log.last_seq(part.slot.key) == part.actor.journal.seq:
                return True
        except BrokerError as error:
            log("log.unreachable", 30, run=part.slot.key, error=error)
            await anyio.sleep(_RETRY_S)
        self._return(part.slot, part.letters)
        return False

    # --- ending the turn -----------------------------------------------------------------------------------
    async def _settle(self, part: Pending) -> None:
        """Buries, acks, and lets the run go on."""
        decision, slot = part.decision, part.slot
        rest = {id(message) for message in decision.rest}
        letters = {id(letter.message): letter for letter in part.letters}
        for verdict in decision.verdicts:
            if verdict.code:
                self.stats.dead += 1
                await self._effects.bury_verdict(letters[id(verdict.message)], verdict)
            elif verdict.is_early and isinstance(verdict.message.body, Tick):
                await self._again(slot.key, verdict.message.body)
        for record in decision.parts:
            for refused in record.refused:
                letter = next((x for x in part.letters if x.message.seq == refused.seq and x.message.source == refused.source), None)
                if letter is not None:
                    await self._effects.bury_verdict(
                        letter, Verdict(message=letter.message, code=refused.code, reason=refused.reason)
                    )
        for letter in part.letters:
            if id(letter.message) not in rest:
                self._ack(letter)
        if decision.records:
            self._serve_short_timers(part)
        slot.letters = [letters[id(message)] for message in decision.rest] + slot.letters
        if part.actor.journal.has_ended or part.actor.is_spent or not part.actor.journal.k:
            self._forget(slot)
        self._release(slot)

    def _ack(self, letter: Letter) -> None:
        # Without a handle (read at a takeover) the redelivery is acked on sight: it is in the log by then.
        if letter.delivery.reply:
            self._broker.ack(letter.delivery.reply)

    async def _again(self, key: RunKey, tick: Tick) -> None:
        """Schedules a timer again whose tick was stamped before its time by another server's clock."""
        name = str(tick.n) if tick.n else "max"
        await self._effects.publish(self._effects.schedule(key, name, tick.due_at_us))

    def _serve_short_timers(self, part: Pending) -> None:
        """Wakes timers under a second more precisely than the server's own scheduler does (R14)."""
        for name, due_at_us in part.actor.owed.timers:
            distance_us = due_at_us - part.actor.journal.now_us
            if distance_us < TIMER_SERVED_US and name.isdigit():
                self._spawn(self._serve, part.slot.key, int(name), due_at_us, distance_us / 1e6)

    async def _serve(self, key: RunKey, n: int, due_at_us: int, delay_s: float) -> None:
        await anyio.sleep(delay_s)
        try:
            await self._broker.publish(self._effects.tick(key, n, due_at_us))
        except BrokerError as error:  # the scheduled message comes too
            log("tick.failed", 30, run=key, error=error)


def _is_late(began: float) -> bool:
    """Tells whether the worker paused between decision and effects for so long that another may have acted for it."""
    return anyio.current_time() - began > 2.0


def _by_time(letter: Letter) -> tuple[int, int]:
    return (letter.message.at_us, letter.message.seq)
