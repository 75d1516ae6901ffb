"""Turns: the hot path of an actor worker. Letters become decisions, decisions records, records effects, and then the
letters are acked; in that order, whatever happens (ARCHITECTURE.md, "The life of a message").

Runs that have something to do are taken in batches: folded one after the other, appended with one append in flight
per run and hundreds across runs, their effects and acks sent together. A run is in one turn at a time (R7, R8).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import anyio

from ..actors.actor import Actor
from ..actors.decision import Decision
from ..actors.errors import BadLog, BrokerError, PayloadTooLarge
from ..actors.failures import error_info
from ..actors.fold import refs_of
from ..actors.limits import LOADS_MAX, SUSPECT_DELIVERIES, TURN_MESSAGES_MAX
from ..actors.messages import Message, Start, Tick
from ..actors.names import RunKey
from ..actors.records import Summary
from ..actors.registry import Registry
from ..actors.signals import Blocked
from .acks import Acks
from .appends import Appends
from .debt import Debt
from .effects import Effects
from .host import Host, Stats, TurnOptions
from .letters import Detour, Letter, Unreadable, distinct
from .loading import HELD_THE_LOOP, Loader, Suspicion
from .ports import Broker
from .slots import Pending, Slot, Slots
from .subjects import App
from .telemetry import log
from .ticks import Ticks
from .unknown import refuse_unknown
from .watchdog import Watchdog

_BATCH_RUNS: Final = 64
"""Runs folded in one go: some 3 ms of the loop."""

_TURNS_MAX: Final = 4
"""Batches under way at once."""

_RETRY_S: Final = 0.1

_PAUSED_S: Final = 2.0
"""A worker that was stopped this long between a decision and its effects is not alone with them: another may have acted."""

_HEADERS_ROOM: Final = 1024


class Turns:
    """The turns of one worker."""

    def __init__(
        self,
        broker: Broker,
        app: App,
        registry: Registry,
        effects: Effects,
        watchdog: Watchdog,
        host: Host,
        options: TurnOptions,
    ) -> None:
        self.suspects: dict[RunKey, Suspicion] = {}
        self._broker = broker
        self._registry = registry
        self._effects = effects
        self._watchdog = watchdog
        self._host = host
        self._by = options.by
        self._acks = Acks(broker, host.on_settled)
        self._slots = Slots(options.cached_max)
        self.loader = Loader(
            broker, app, registry, effects, watchdog, self._acks, by=options.by, early_keep_us=options.early_keep_us
        )
        self._ticks = Ticks(broker, effects, host.spawn)
        self._appends = Appends(broker, app, give_back=self._give_back)
        self._ready: deque[Slot] = deque()
        self._waiting: list[anyio.Event] = []
        self._loads = anyio.CapacityLimiter(LOADS_MAX)
        self._nonces = 0
        self._turns = 0
        self._messages = 0
        self._dead = 0
        self._idle: anyio.Event | None = None

    # --- intake -----------------------------------------------------------------------------------
    def deliver(self, letters: Sequence[Letter | Unreadable | Detour]) -> None:
        """Takes letters in, in order; never blocks."""
        self._messages += len(letters)
        for letter in letters:
            if isinstance(letter, Unreadable):
                self._dead += 1
                self._turns += 1
                self._host.spawn(self._bury, letter)
                continue
            if isinstance(letter, Detour):
                self._turns += 1
                self._host.spawn(self._send_on, letter)
                continue
            slot = self._slots.of(letter.key, letter.partition)
            slot.letters.append(letter)
            if not slot.is_busy and not slot.is_ready:
                slot.is_ready = True
                self._ready.append(slot)
        if self._ready:
            self._call()

    @property
    def stats(self) -> Stats:
        appends = self._appends
        return Stats(self._messages, appends.stored, appends.refused, self.loader.loads, self._dead)

    @property
    def cached(self) -> int:
        """Actors in the cache."""
        return self._slots.cached

    def summary_of(self, key: RunKey) -> Summary | None:
        """Returns a cached run's summary."""
        slot = self._slots.find(key)
        return slot.actor.journal.summary if slot is not None and slot.actor is not None else None

    async def wait_idle(self, partition: int | None = None) -> None:
        """Waits until no turn is under way: of a partition's runs, or at all."""
        while self._is_busy(partition):
            if self._idle is None:
                self._idle = anyio.Event()
            await self._idle.wait()

    def _is_busy(self, partition: int | None) -> bool:
        if partition is None:
            return bool(self._turns)
        return any(slot.is_busy and slot.partition == partition for slot in self._slots)

    def drop(self, partition: int) -> None:
        """Forgets a partition's runs: another worker serves them now. Letters in hand stay unacked."""
        self._slots.drop(lambda slot: slot.partition == partition)

    # --- taking turns ----------------------------------------------------------------------------------
    async def run(self) -> None:
        """Takes ready runs in batches until cancelled.

        While `_TURNS_MAX` batches are under way the rest gathers: the busier the worker, the larger its batches.
        """
        async with anyio.create_task_group() as tasks:
            for _ in range(_TURNS_MAX):
                tasks.start_soon(self._take_turns)

    async def _take_turns(self) -> None:
        while True:
            batch = self._next_batch()
            if self._ready:
                self._call()
            if batch:
                await self._turn(batch)
            else:
                called = anyio.Event()
                self._waiting.append(called)
                await called.wait()

    def _call(self) -> None:
        """Wakes one of those that wait for ready runs; where none waits, the next that ends a turn sees them."""
        if self._waiting:
            self._waiting.pop().set()

    def _next_batch(self) -> list[Slot]:
        batch: list[Slot] = []
        while self._ready and len(batch) < _BATCH_RUNS:
            slot = self._ready.popleft()
            slot.is_ready = False
            if slot.letters and not slot.is_busy:
                slot.is_busy = True
                batch.append(slot)
        return batch

    async def _turn(self, batch: list[Slot]) -> None:
        self._turns += 1
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
                    self._host.spawn(self._prepare, slot, letters)
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
        """Takes what this turn looks at: what is at hand up to a suspicious message, and that one alone (R16)."""
        if len(slot.letters) == 1:  # nearly always
            letters, slot.letters = slot.letters, []
            return letters
        letters, replaced = distinct(slot.letters)
        for letter in replaced:
            self._acks.let_go(letter)
        for index, letter in enumerate(letters):
            if letter.delivery.deliveries >= SUSPECT_DELIVERIES:
                count = min(max(index, 1), TURN_MESSAGES_MAX)
                slot.letters = letters[count:]
                return letters[:count]
        slot.letters = letters[TURN_MESSAGES_MAX:]
        return letters[:TURN_MESSAGES_MAX]

    def _is_at_hand(self, slot: Slot, letters: Sequence[Letter]) -> bool:
        """Tells whether the turn can fold at once: the actor is cached, or surely new, and no large value is needed."""
        if slot.key in self.suspects:
            return False
        for letter in letters:
            if refs_of(letter.message) is not None:
                return False
        if slot.actor is not None:
            journal = slot.actor.journal
            return not (journal.backlog or journal.continued) or not slot.actor.kept_refs()
        # A first delivery of a start most often finds an empty log: the fence tells when it does not.
        return not slot.must_load and any(
            isinstance(letter.message.body, Start) and letter.delivery.deliveries == 1 for letter in letters
        )

    def _nonce(self) -> str:
        self._nonces += 1
        return f"{self._by}.{self._nonces}"

    # --- deciding ---------------------------------------------------------------------------------------
    def _fold(self, slot: Slot, letters: list[Letter], objects: dict[str, bytes]) -> Pending | None:
        actor = slot.actor
        if actor is None:
            actor = self.loader.new_actor(slot.key)
            self._slots.keep(slot, actor)
        messages = [letter.message for letter in letters]
        if actor.workflow is None and not actor.journal.k and slot.key.workflow not in self._host.known_workflows():
            return Pending(slot, actor, letters, refuse_unknown(slot.key, letters, self._registry.workflows))
        suspicion = self.suspects.pop(slot.key, None)
        try:
            if suspicion is not None:
                decision = actor.park(messages, suspicion.code, suspicion.reason, nonce=self._nonce())
                self._watchdog.forgive(slot.key)
            else:
                found = self._decide(slot.key, actor, letters, messages, objects)
                if found is None:
                    self.suspects[slot.key] = HELD_THE_LOOP
                    self._return(slot, letters)
                    return None
                decision = found
            self._check_size(decision)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever it is, it is this run's: the others go on
            self._fail(slot, letters, error, is_parking=suspicion is not None)
            return None
        return Pending(slot, actor, letters, decision)

    def _decide(
        self,
        key: RunKey,
        actor: Actor,
        letters: Sequence[Letter],
        messages: Sequence[Message],
        objects: dict[str, bytes],
    ) -> Decision | None:
        """Folds under the watchdog; None where something of the run's held the loop and was interrupted."""
        decision: Decision | None = None
        deliveries = letters[0].delivery.deliveries
        if len(letters) > 1:
            deliveries = max([letter.delivery.deliveries for letter in letters])
        self._watchdog.begin(key, deliveries)
        try:
            decision = actor.fold(messages, objects=objects, nonce=self._nonce())
        except Blocked:
            decision = None  # not in the workflow's function: in a constructor of a type of its arguments
        finally:
            is_interrupted = self._watchdog.end()
        if is_interrupted or decision is None:
            return None
        self._watchdog.forgive(key)
        return decision

    def _check_size(self, decision: Decision) -> None:
        limit = self._broker.payload_bytes_max
        for raw in decision.records:
            if len(raw) > limit - _HEADERS_ROOM:
                raise PayloadTooLarge(f"a record of {len(raw)} bytes, the server takes {limit}")

    def _fail(self, slot: Slot, letters: Sequence[Letter], error: BaseException, *, is_parking: bool) -> None:
        """Parks a run after an error of ours, or leaves its letters to be delivered again where not even that works."""
        info = error_info(error)
        log("run.error", logging.ERROR, run=slot.key, error=info.message, traceback=info.traceback)
        if is_parking:
            for letter in letters:
                self._acks.let_go(letter)
            self._slots.forget(slot)
            self._release(slot)
            return
        self.suspects[slot.key] = Suspicion("error", info.traceback)
        self._return(slot, letters)

    def _return(self, slot: Slot, letters: Sequence[Letter]) -> None:
        """Puts letters back and gives the run another turn with a fresh actor."""
        self._slots.forget(slot)
        slot.letters = [*letters, *slot.letters]
        self._release(slot)

    def _release(self, slot: Slot) -> None:
        """Ends the run's turn; begins the next where letters wait."""
        if slot.waiting and slot.hand_over():
            return
        slot.is_busy = False
        if slot.letters:
            if not slot.is_ready:
                slot.is_ready = True
                self._ready.append(slot)
                self._call()
        else:
            self._slots.rest(slot)

    # --- loading --------------------------------------------------------------------------------------------
    async def _prepare(self, slot: Slot, letters: list[Letter]) -> None:
        """Loads what the turn needs, repeats what the last decision owes, then takes the turn."""
        try:
            async with self._loads:
                actor = slot.actor
                if actor is None or actor.needs_objects:
                    actor = await self._load(slot, letters)
                objects, letters = await self.loader.objects_for(actor, letters)
            part = self._fold(slot, letters, objects) if letters else None
            if part is not None:
                await self._complete([part])
            elif slot.is_busy and not letters:
                self._release(slot)
        except (BrokerError, BadLog) as error:
            log("run.load_failed", logging.WARNING, run=slot.key, error=error)
            await anyio.sleep(_RETRY_S)
            self._return(slot, letters)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # as in `_fold`
            self._fail(slot, letters, error, is_parking=slot.key in self.suspects)
        finally:
            self._end_turn()

    async def _load(self, slot: Slot, letters: Sequence[Letter]) -> Actor:
        self._slots.forget(slot)
        actor = await self.loader.load(slot.key, [*letters, *slot.letters], self.suspects)
        self._slots.keep(slot, actor)
        if actor.journal.k and not actor.journal.has_ended:
            self._host.on_started(slot.key, actor.journal.started_at_us, is_new=False)
        return actor

    async def look(self, key: RunKey, partition: int, see: Callable[[Actor], bool]) -> None:
        """Shows a run between two turns, as its log stands now.

        Args:
            see: Called with the actor; tells whether it has left it as it was.

        Raises:
            BrokerError, BadLog: The log cannot be read now.
        """
        slot = self._slots.of(key, partition)
        await slot.borrow()
        self._turns += 1
        is_intact = False
        try:
            actor = slot.actor
            if actor is None or not await self._appends.is_newest(actor):
                async with self._loads:
                    actor = await self._load(slot, ())
            is_intact = see(actor) and bool(actor.journal.k) and not actor.journal.has_ended and not actor.is_spent
        finally:
            if not is_intact:
                self._slots.forget(slot)
            self._release(slot)
            self._end_turn()

    async def _bury(self, unreadable: Unreadable) -> None:
        try:
            await self._effects.bury_unreadable(unreadable)
            self._acks.ack(unreadable)
        finally:
            self._end_turn()

    async def _send_on(self, detour: Detour) -> None:
        try:
            await self._effects.send_on(detour)
            self._acks.ack(detour)
        finally:
            self._end_turn()

    # --- making it durable ---------------------------------------------------------------------------------
    async def _complete(self, pending: list[Pending]) -> None:
        now = asyncio.get_running_loop().time
        began = now()
        stored = await self._appends.append(pending)
        is_late = now() - began > _PAUSED_S
        debts: list[Debt] = []
        for part in stored:
            if part.decision.records:
                part.actor.commit(part.decision, part.seqs)
                debts.append(self._debt(part, is_repeat=is_late))
        if debts:
            await self._effects.carry_out(debts)
        for part in stored:
            if part.decision.verdicts:
                await self._bury_refused(part)
            if part.decision.records and part.actor.owed.inline and not is_late:
                self._turns += 1
                self._host.spawn(self._run_inline, part)
            else:
                self._settle(part)

    async def _run_inline(self, part: Pending) -> None:
        """Ends a turn whose effects take time; other runs do not wait for it (R7)."""
        try:
            await self._effects.run_inline(part.actor.key, part.actor.owed.inline, part.letters)
            self._settle(part)
        finally:
            self._end_turn()

    def _debt(self, part: Pending, *, is_repeat: bool) -> Debt:
        actor = part.actor
        journal, owed = actor.journal, actor.owed
        is_old = is_repeat
        if actor.has_grown_long(len(part.seqs)):
            log("run.long", logging.WARNING, run=actor.key, records=journal.k - journal.first_k)
        if owed.is_start:
            self._host.on_started(actor.key, journal.started_at_us, is_new=len(part.seqs) == journal.k)
        if owed.outcome is not None:
            is_old = self._host.on_ended(actor.key) or is_repeat
        return Debt(
            actor.key,
            owed,
            journal.now_us,
            journal.summary,
            is_repeat,
            is_old,
            has_deadline=actor.workflow is not None and actor.workflow.max_duration_us > 0,
            log_seq=journal.seq,
            parent=actor.listener,
            letters=part.letters,
            link=journal.link,
        )

    def _give_back(self, part: Pending) -> None:
        self._return(part.slot, part.letters)

    # --- ending the turn -----------------------------------------------------------------------------------
    async def _bury_refused(self, part: Pending) -> None:
        """Puts refused messages among the dead letters, and schedules ticks again that came too early."""
        key = part.slot.key
        for verdict in part.decision.verdicts:
            if verdict.code:
                self._dead += 1
                await self._effects.bury_verdict(key, verdict, part.letters)
            elif verdict.early_timer and isinstance(verdict.message.body, Tick):
                await self._ticks.again(key, verdict.early_timer, verdict.message.body)

    def _settle(self, part: Pending) -> None:
        """Acks, and lets the run go on."""
        decision, slot, actor = part.decision, part.slot, part.actor
        if decision.rest:
            rest = {id(message) for message in decision.rest}
            letters = {id(letter.message): letter for letter in part.letters}
            slot.letters = [letters[id(message)] for message in decision.rest] + slot.letters
            settled = [letter for letter in part.letters if id(letter.message) not in rest]
        else:
            settled = part.letters
        for letter in settled:
            self._acks.ack(letter)
        if actor.owed.timers and decision.records:
            self._ticks.serve_short(actor)
        if actor.journal.has_ended or actor.is_spent or not actor.journal.k:
            self._slots.forget(slot)
        self._release(slot)
