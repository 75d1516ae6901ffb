"""Effects: carrying out what a decision owes, after its record is durable and before its messages are acked (R7).

Fresh effects of a decision made just now go out in one batch. *Repeated* ones (after a crash, a lost answer, a long
pause) first look whether the work is still queued or its result waits in the mailbox: a step is not run again because
an actor worker died (R8). What is not answered is repeated until it is, or the worker ends.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

import anyio
import msgspec
from msgspec.structs import asdict

from ..actors.admission import Verdict
from ..actors.commands import Retry, RunStep
from ..actors.decision import Owed
from ..actors.errors import BadLog, BadMessage, BrokerError, ErrorInfo
from ..actors.limits import REASON_CHARS_MAX
from ..actors.messages import CONTINUED, Message, Start, Tick, encode_body
from ..actors.names import RunKey, link_id
from ..actors.records import Outcome, Summary, decode_record
from ..actors.work import Work, decode_work, encode_work, token
from .attempts import Attempts
from .dead_letter import dead_letter
from .debt import Debt, may_leave_something
from .family import Family
from .inline_steps import InlineSteps
from .letters import Detour, Letter, Unreadable
from .notices import NOTICE_BYTES_MAX, Done, done_of, notice_of
from .ports import EXPECT_LAST, SCHEDULE, SCHEDULE_TARGET, UNKNOWN, WRONG_LAST, Broker, Delivery, Outgoing, Stored
from .subjects import App, partition_of
from .taking_back import TakingBack
from .telemetry import log

_ANY_ATTEMPT: Final = 1 << 62
_BACKOFF_FIRST_S: Final = 0.02
_BACKOFF_MAX_S: Final = 2.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_IF_FREE: Final = {EXPECT_LAST: "0"}
"""Stores a message only where its subject holds none (R8)."""


class IndexEntry(Summary, frozen=True, kw_only=True, omit_defaults=True):
    """A run's entry in the INDEX stream (R20)."""

    workflow: str
    run: str
    is_trimmed: bool = False
    """The log was cut to its terminal record (R15)."""
    chain: str = ""
    """Of a link of a run that goes on: the run."""
    until_seq: int = 0
    """Where such a link's records end in the stream; with the next one the new link begins."""


_Sent: TypeAlias = tuple[Outgoing, Debt, RunStep | None]
"""A message, whose it is, and the step that it asks for if it asks for one."""


class Effects:
    """Carries out what decisions owe.

    Args:
        actors_key: The secret that step results are checked against.
        partitions: The app's number of partitions.
        inline: Runs inline steps; None for one that carries out no decisions, but publishes.
    """

    def __init__(
        self, broker: Broker, app: App, *, actors_key: bytes, partitions: int, inline: InlineSteps | None = None
    ) -> None:
        self._inline = inline
        self._broker = broker
        self._app = app
        self._key = actors_key
        self._partitions = partitions
        self._family = Family(broker, app, actors_key=actors_key)
        self._attempts = Attempts(broker, app, actors_key=actors_key, partitions=partitions)
        self._taking_back = TakingBack(broker, app, partitions=partitions)

    async def carry_out(self, debts: Sequence[Debt]) -> None:
        """Carries out all debts; on return every effect is durable (notices are sent).

        But for fresh inline steps: they are left to `run_inline`, so that no run waits for those of another.
        """
        batch: list[_Sent] = []
        slow: list[Debt] = []
        purges: list[Debt] = []
        for debt in debts:
            owed = debt.owed
            if owed.parked is not None and owed.parked.tries > 1:
                # Not replaced but taken away: see `OpenRuns`.
                await self._taking_back.purge_one(self._app.index, self._app.index_of("parked", debt.key))
            if debt.is_repeat or owed.retries:
                slow.append(debt)
            elif owed.steps:
                batch += [(self._work(debt.key, command), debt, command) for command in owed.steps]
            batch += [(self._timer(debt.key, name, due_at_us), debt, None) for name, due_at_us in owed.timers]
            if owed.children or owed.child_ends or debt.parent is not None:
                batch += [(message, debt, None) for message in await self._family.messages(debt.key, owed, debt.parent)]
            if owed.outcome is not None or owed.parked is not None or owed.is_continued:
                batch += self._standing(debt)
            if may_leave_something(debt):
                purges.append(debt)
        if batch:
            await self._send(batch)
        for debt in slow:
            await self._repeat(debt)
        for debt in purges:
            await self._taking_back.purge(debt)
        for debt in debts:
            owed = debt.owed
            if owed.refused or owed.is_expired or owed.rests_until_us:
                await self._conclude(debt)
            if owed.answers or owed.outcome is not None:
                self._tell(debt.key, owed)

    async def _conclude(self, debt: Debt) -> None:
        """Does what comes last for a run, where there is any such thing."""
        for verdict in debt.owed.refused:
            await self.bury_verdict(debt.key, verdict, debt.letters)
        if debt.owed.is_expired:
            await self._forget(debt)
        if debt.owed.rests_until_us:
            await self.publish(self._beginning(debt))  # not before: what is purged may be all timers of the run

    async def run_inline(self, key: RunKey, commands: Sequence[RunStep], letters: Sequence[Letter]) -> None:
        """Runs a decision's inline steps; on return their results are durable.

        Args:
            letters: The decision's messages, as far as they are at hand.
        """
        works = [self._work_for(key, command, 1) for command in commands]
        if self._inline is not None:
            await self._inline.run(key, works, letters, self.publish)

    def notify_done(self, key: RunKey, outcome: Outcome) -> None:
        """Tells who listens that a run has ended; large results stay away from the notice."""
        done = done_of(key, outcome)
        raw = msgspec.json.encode(done)
        if len(raw) > NOTICE_BYTES_MAX:
            raw = msgspec.json.encode(msgspec.structs.replace(done, result=msgspec.UNSET, reason=done.reason[:1000]))
        self._broker.notify(self._app.done(key), raw)

    def _tell(self, key: RunKey, owed: Owed) -> None:
        for answer in owed.answers:
            self._broker.notify(self._app.done(key), notice_of(key, answer))
        if owed.outcome is not None:
            self.notify_done(key, owed.outcome)

    async def bury(
        self, delivery: Delivery, key: RunKey | None, *, code: str, reason: str, message_id: str = ""
    ) -> None:
        """Puts a message among the dead letters, durably, and tells who may be waiting."""
        reason = reason if len(reason) <= REASON_CHARS_MAX else reason[: REASON_CHARS_MAX - 1] + "…"
        log("message.dead", logging.WARNING, code=code, reason=reason, subject=delivery.subject, seq=delivery.seq)
        await self.publish(dead_letter(self._app, delivery, key, code=code, reason=reason))
        if key is not None:
            error = ErrorInfo(type="MessageRefused", message=reason, code=code)
            refusal = Done(workflow=key.workflow, run=key.run, status="refused", error=error, id=message_id)
            self._broker.notify(self._app.done(key), msgspec.json.encode(refusal))

    async def bury_unreadable(self, unreadable: Unreadable) -> None:
        """Buries what intake could not read."""
        await self.bury(unreadable.delivery, unreadable.key, code=unreadable.code, reason=unreadable.reason)

    async def bury_verdict(self, key: RunKey, verdict: Verdict, letters: Iterable[Letter]) -> None:
        """Buries what an actor refused.

        Args:
            letters: Where its delivery may be; one that is in the log alone was acked long ago.
        """
        message = verdict.message
        delivery = next(
            (x.delivery for x in letters if x.message.seq == message.seq and x.message.source == message.source), None
        )
        if isinstance(message.body, Start) and message.body.parent is not None:
            await self.publish(self._family.refusal(key, message.body.parent, code=verdict.code, reason=verdict.reason))
        await self.bury(
            delivery or self._as_delivered(key, message),
            key,
            code=verdict.code,
            reason=verdict.reason,
            message_id=message.body.id,
        )

    async def send_on(self, detour: Detour) -> None:
        """Gives a message that was addressed to a link of a chain to the run; it is durable there on return."""
        await self.publish(Outgoing(self._app.input(detour.key, detour.verb, detour.name), detour.raw))

    async def publish(self, message: Outgoing) -> None:
        """Publishes until it is stored; for messages that are safe to repeat."""
        delay_s = _BACKOFF_FIRST_S
        while True:
            try:
                ack = await self._broker.publish(message)
                if ack.code == 0:
                    return
                log(
                    "publish.refused",
                    logging.WARNING,
                    subject=message.subject,
                    code=ack.code,
                    description=ack.description,
                )
            except BrokerError as error:
                log("publish.failed", logging.WARNING, subject=message.subject, error=error)
            await anyio.sleep(delay_s)
            delay_s = min(delay_s * 2, _BACKOFF_MAX_S)

    def tick(self, key: RunKey, n: int = 0, due_at_us: int = 0, *, wake: str = "") -> Outgoing:
        """Makes the message that brings a run's time forward through its own mailbox (R14)."""
        return Outgoing(self._app.input(key, "timer"), encode_body(Tick(n=n, due_at_us=due_at_us, wake=wake)))

    def schedule(self, key: RunKey, name: str, due_at_us: int) -> Outgoing:
        """Makes the delayed message of a timer."""
        return self._timer(key, name, due_at_us)

    def index_entry(self, state: str, key: RunKey, summary: Summary) -> Outgoing:
        """Makes a run's entry in INDEX."""
        entry = IndexEntry(workflow=key.workflow, run=key.run, **asdict(summary))
        return Outgoing(self._app.index_of(state, key), msgspec.json.encode(entry))

    # --- messages -----------------------------------------------------------------------------------
    def _as_delivered(self, key: RunKey, message: Message) -> Delivery:
        """Makes a delivery of what the log holds of it: all but its headers."""
        verb = f"{message.verb}.{message.name}" if message.name else message.verb
        subject = self._app.mailbox(partition_of(key.run, self._partitions), key, verb)
        return Delivery(subject, message.raw, message.seq, message.at_us, 1, 0, "")

    def _work(self, key: RunKey, command: RunStep) -> Outgoing:
        """Makes the message of a step's first attempt."""
        return Outgoing(self._app.work_of(command.queue, key, command.n), self._work_body(key, command, 1), _IF_FREE)

    def _work_body(self, key: RunKey, command: RunStep, attempt: int) -> bytes:
        return encode_work(self._work_for(key, command, attempt))

    def _work_for(self, key: RunKey, command: RunStep, attempt: int) -> Work:
        return Work(
            workflow=key.workflow,
            run=key.run,
            command=command.n,
            attempt=attempt,
            name=command.name,
            args=command.args,
            kwargs=command.kwargs,
            ref=command.ref,
            timeout_us=command.timeout_us,
            recoveries_max=command.recoveries_max,
            heartbeat_us=command.heartbeat_us,
            task=command.task,
            token=token(self._key, key, command.n, attempt),
        )

    def _timer(self, key: RunKey, name: str, due_at_us: int) -> Outgoing:
        partition = partition_of(key.run, self._partitions)
        n = int(name) if name.isdigit() else 0
        headers = {SCHEDULE: f"@at {instant(due_at_us)}", SCHEDULE_TARGET: self._app.fired(partition, key)}
        return Outgoing(self._app.timer(partition, key, name), encode_body(Tick(n=n, due_at_us=due_at_us)), headers)

    def _standing(self, debt: Debt) -> Iterator[_Sent]:
        """Makes what says of a run that it does not go on by itself."""
        parked = debt.owed.parked
        if debt.owed.outcome is not None:
            yield self.index_entry("ended", debt.key, debt.summary), debt, None
        elif debt.owed.is_continued:
            yield self._link_entry(debt), debt, None
            if not debt.owed.rests_until_us:
                yield self._beginning(debt), debt, None
        elif parked is not None:
            yield self.index_entry("parked", debt.key, debt.summary), debt, None
        if parked is not None:
            yield self._timer(debt.key, "park", parked.retry_at_us), debt, None

    def _beginning(self, debt: Debt) -> Outgoing:
        """Makes the message with which a new link begins: at once, or when the next try is due."""
        due_at_us = debt.owed.rests_until_us
        if due_at_us:
            return self._timer(debt.key, "next", due_at_us)
        return self.tick(debt.key, debt.link.n if debt.link is not None else 0, wake=CONTINUED)

    def _link_entry(self, debt: Debt) -> Outgoing:
        """Makes the entry by which a link that has ended is listed and, in its time, purged."""
        key, link = debt.key, debt.link
        assert link is not None, "its link has ended"
        summary = msgspec.structs.replace(debt.summary, status="continued", ended_at_us=debt.now_us)
        name = RunKey(key.workflow, link_id(key.run, link.n - 1))
        entry = IndexEntry(
            workflow=key.workflow, run=name.run, chain=key.run, until_seq=link.seq - 1, **asdict(summary)
        )
        return Outgoing(self._app.index_of("ended", name), msgspec.json.encode(entry))

    def _retry(self, key: RunKey, command: RunStep, retry: Retry) -> Outgoing:
        headers = {
            SCHEDULE: f"@at {instant(retry.due_at_us)}",
            SCHEDULE_TARGET: self._app.work_of(command.queue, key, command.n),
            EXPECT_LAST: "0",  # what a leader that was cut off stores late must not replace a later attempt
        }
        return Outgoing(self._app.retry(key, command.n), self._work_body(key, command, retry.attempt), headers)

    # --- sending ------------------------------------------------------------------------------------------
    async def _send(self, batch: Sequence[_Sent]) -> None:
        try:
            acks = await self._broker.publish_many([message for message, _, _ in batch])
        except BrokerError as error:
            log("effects.failed", logging.WARNING, error=error)
            for message, debt, command in batch:
                await self._settle(message, debt, command)
            return
        for (message, debt, command), ack in zip(batch, acks, strict=True):
            if ack.code == 0 or (command is not None and ack.code == WRONG_LAST):
                continue  # 10071: it is queued or running already, which is success (R8)
            if ack.code != UNKNOWN:
                log(
                    "effect.refused",
                    logging.WARNING,
                    subject=message.subject,
                    code=ack.code,
                    description=ack.description,
                )
            await self._settle(message, debt, command)

    async def _settle(self, message: Outgoing, debt: Debt, command: RunStep | None) -> None:
        if command is None:
            await self.publish(message)
        else:
            await self._queue(debt, command, 1, message)

    async def _repeat(self, debt: Debt) -> None:
        retried = {command.n for command, _ in debt.owed.retries}
        for command in debt.owed.steps:
            if command.n not in retried:
                await self._queue(debt, command, 1, self._work(debt.key, command))
        for command, retry in debt.owed.retries:
            message = self._retry(debt.key, command, retry)
            if debt.is_repeat or not await self._is_stored(message):
                await self._queue(debt, command, retry.attempt, message)
        if debt.is_repeat and debt.owed.inline:
            await self._repeat_inline(debt)

    async def _repeat_inline(self, debt: Debt) -> None:
        commands = [c for c in debt.owed.inline if not await self._is_surely_under_way(debt, c, 1)]
        if commands:
            await self.run_inline(debt.key, commands, debt.letters)

    async def _is_stored(self, message: Outgoing) -> bool:
        try:
            return (await self._broker.publish(message)).code == 0
        except BrokerError as error:
            log("effect.failed", logging.WARNING, subject=message.subject, error=error)
            return False

    async def _queue(self, debt: Debt, command: RunStep, attempt: int, message: Outgoing) -> None:
        """Queues an attempt unless it is queued, running or done already."""
        delay_s = _BACKOFF_FIRST_S
        while not await self._is_surely_under_way(debt, command, attempt):
            if await self._is_stored(message):
                return
            await anyio.sleep(delay_s)
            delay_s = min(delay_s * 2, _BACKOFF_MAX_S)

    async def _is_surely_under_way(self, debt: Debt, command: RunStep, attempt: int) -> bool:
        """Looks for an attempt until the server says."""
        delay_s = _BACKOFF_FIRST_S
        while True:
            try:
                return await self._is_under_way(debt, command, attempt)
            except BrokerError as error:
                log("effect.unclear", logging.WARNING, run=debt.key, command=command.n, error=error)
            await anyio.sleep(delay_s)
            delay_s = min(delay_s * 2, _BACKOFF_MAX_S)

    async def _is_under_way(self, debt: Debt, command: RunStep, attempt: int) -> bool:
        """Looks for an attempt: waiting as a retry, queued or running, its result in the mailbox or in the log.

        The result is published before the work is acked, and acked after it is in the log: this order of looking finds
        one of them. Whoever has advanced the run has carried out all that was owed before (R7).
        """
        key = debt.key
        retry, work = self._app.retry(key, command.n), self._app.work_of(command.queue, key, command.n)
        waiting = await self._broker.last(self._app.work, retry) if attempt > 1 else None
        if waiting is not None:
            if _attempt_in(waiting) >= attempt:
                return True
            await self._taking_back.purge_one(self._app.work, retry)  # of an earlier attempt, stored late
        queued = await self._broker.last(self._app.work, work)
        if queued is not None and _attempt_in(queued) >= attempt:
            return True
        if await self._attempts.is_in_mailbox(key, command.n, attempt):
            return True
        return await self._is_advanced(debt)

    async def _is_advanced(self, debt: Debt) -> bool:
        last = await self._broker.last(self._app.log, self._app.log_of(debt.key))
        if last is None or last.seq <= debt.log_seq:
            return False
        try:
            decode_record(last.payload)
        except BadLog as error:
            return error.is_newer
        return True

    async def _forget(self, debt: Debt) -> None:
        """Purges a log that has expired, before anything can be appended again (R4)."""
        while True:
            try:
                await self._broker.purge(self._app.log, self._app.log_of(debt.key), to_seq=debt.log_seq)
            except BrokerError as error:
                log("purge.failed", logging.WARNING, run=debt.key, error=error)
                await anyio.sleep(_BACKOFF_MAX_S)
            else:
                return


def _attempt_in(stored: Stored) -> int:
    """Reads which attempt work is for; work that cannot be read is buried by whoever gets it, and counts as any."""
    try:
        return decode_work(stored.payload).attempt
    except BadMessage:
        return _ANY_ATTEMPT


def instant(at_us: int) -> str:
    """Writes a time as RFC 3339 in UTC with microseconds, as `@at` wants it."""
    return (_EPOCH + timedelta(microseconds=at_us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
