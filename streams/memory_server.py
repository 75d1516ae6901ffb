"""MemoryServer: streams, consumers, notices and objects of the twin, and the timers that drive them.

One loop, no thread: a request runs to its end before the next one. Time comes from the clock that it is given and
passes by the running loop's timers, so that under a loop with virtual time all of it is virtual. Knows connections only
as links and callbacks; `memory.MemoryBroker` is the other end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import Context, copy_context
from functools import partial
from typing import Final

from ..actors.errors import NotProvisioned
from ..actors.limits import PARTITIONS, SERVER_PAYLOAD_BYTES_MAX
from .definitions import ConsumerDefinition, StreamDefinition, define
from .faults import NO_RESPONDERS
from .memory_consumer import MemoryConsumer, Pull
from .memory_faults import Dice, Faults
from .memory_link import Link, LinkState
from .memory_notices import Notices
from .memory_stream import MemoryStream, Schedule
from .memory_subjects import matches
from .ports import EXPECT_LAST, TRANSIENT_LAST, WRONG_LAST, Outgoing, PubAck, Stored
from .subjects import App, object_stream

RESTART_FIRE_S: Final = 0.26
"""Schedules that came due while the server was down fire this long after its start (seen)."""


class MemoryServer:
    """A JetStream server of one account in this process.

    Args:
        now_us: The server's clock, in microseconds since 1970.
        seed: Decides every draw: lateness of timers, members of queue groups, faults.
        faults: What goes wrong; may be changed at any time through `faults`.
        lease_us: The clock of leases, pins and pulls; the server's own if None. A kit that skips the time of schedules
            does not skip theirs: who holds a delivery would have lost it.
        lease_context: In which the timers of that clock are set; the server's own if None.
    """

    def __init__(
        self,
        now_us: Callable[[], int],
        *,
        seed: int = 0,
        faults: Faults | None = None,
        lease_us: Callable[[], int] | None = None,
        lease_context: Context | None = None,
    ) -> None:
        self.now_us = now_us
        self._lease_us = lease_us or now_us
        self.faults = faults or Faults()
        self.dice = Dice(seed)
        self.is_up = True
        self.payload_bytes_max = SERVER_PAYLOAD_BYTES_MAX
        self.denied: list[str] = []
        """Filters of subjects that nobody may publish to."""
        self._objects: dict[str, dict[str, bytes]] = {}
        self.on_trace: Callable[[str], None] | None = None
        """Gets one line for everything that is stored, delivered, acked, fired, dropped and cut."""
        self._context = copy_context()
        self._lease_context = lease_context or self._context
        self._streams: dict[str, MemoryStream] = {}
        self._consumers: dict[str, dict[str, MemoryConsumer]] = {}
        self._wakes: dict[tuple[str, str], tuple[int, asyncio.TimerHandle]] = {}
        self._links: list[Link] = []
        self._on_restored: dict[int, Callable[[], None]] = {}
        self._on_cut: dict[int, Callable[[], None]] = {}
        self.notices = Notices(self.dice, lambda: self.faults)
        self._followers: list[tuple[str, str, Link, Callable[[], None]]] = []
        self._names = 0

    # --- setting up ------------------------------------------------------------------------------
    def provision(self, app: App, queues: Iterable[str], partitions: int = PARTITIONS) -> None:
        """Makes an app's streams and consumers; leaves alone what is there."""
        definitions = define(app, queues=queues, partitions=partitions)
        for stream in definitions.streams:
            if stream.name not in self._streams:
                self.add_stream(stream)
        for name, consumers in definitions.consumers.items():
            for consumer in consumers:
                if consumer.durable_name not in self._consumers[name]:
                    self.add_consumer(name, consumer)

    def add_stream(self, definition: StreamDefinition) -> None:
        self._streams[definition.name] = MemoryStream(definition)
        self._consumers[definition.name] = {}

    def add_consumer(self, stream: str, definition: ConsumerDefinition) -> None:
        """Makes a consumer, or one anew that has delivered nothing yet."""
        consumer = MemoryConsumer(self.stream(stream), definition, partial(self.new_name, "pin"))
        self._consumers[stream][definition.durable_name] = consumer

    def delete_consumer(self, stream: str, consumer: str) -> None:
        """Loses what the consumer knew: its unacked messages are delivered anew once it is made again."""
        self.consumer(stream, consumer)
        del self._consumers[stream][consumer]

    # --- connections -----------------------------------------------------------------------------
    def connect(self, on_cut: Callable[[], None], on_restored: Callable[[], None]) -> Link:
        link = Link(self._context, lambda: self.dice.span_s(self.faults.delay_s))
        self._links.append(link)
        self._on_cut[id(link)] = on_cut
        self._on_restored[id(link)] = on_restored
        if not self.is_up:
            link.cut()
        return link

    def disconnect(self, link: Link, state: LinkState) -> None:
        """Ends a connection: closed by its owner, or dead with it; the server notices a little later."""
        if link in self._links:
            self._links.remove(link)
            del self._on_cut[id(link)], self._on_restored[id(link)]
            link.end(state)
            delay_s = self.dice.span_s(self.faults.delay_s)
            if delay_s:
                self._later(delay_s, partial(self._forget, link))
            else:
                self._forget(link)

    def stop(self) -> None:
        """Goes away as by kill -9: connections drop, all that was acknowledged is kept."""
        self.is_up = False
        self._trace("server stopped")
        self.notices.clear()
        self._followers.clear()
        for consumers in self._consumers.values():
            for consumer in consumers.values():
                consumer.restarted(self._lease_us())
        for link in list(self._links):
            link.cut()
            link.tell(self._on_cut[id(link)])

    def start(self) -> None:
        """Comes back with what was stored; clients reconnect."""
        self.is_up = True
        self._trace("server started")
        for link in list(self._links):
            self._later(self.dice.span_s(self.faults.reconnect_s), partial(self._reconnect, link))
        for stream, consumers in self._consumers.items():
            for consumer in consumers:
                self.tend(stream, consumer)

    def restart(self, down_s: float = 0.0) -> None:
        """Stops at once and starts after a while."""
        self.stop()
        asyncio.get_running_loop().call_later(down_s, self.start, context=self._context)

    # --- writing ---------------------------------------------------------------------------------
    def stream_of(self, subject: str) -> str:
        """Names the stream that captures a subject, or gives an empty text."""
        return next((name for name, stream in self._streams.items() if stream.takes(subject)), "")

    def publish(self, message: Outgoing, answer: Callable[[PubAck], None]) -> None:
        """Takes a publish that wants an answer, with the faults of the road and of a cluster."""
        faults, hits = self.faults, self.dice.hits
        is_fenced = EXPECT_LAST in (message.headers or {})
        if hits(faults.request_lost):
            self._trace(f"lost request {message.subject}")
        elif hits(faults.commit_late):
            self._trace(f"late commit {message.subject}")
            self._later(self.dice.span_s(faults.commit_late_s), lambda: self.accept(message))
        elif is_fenced and hits(faults.refusal_transient):
            self._trace(f"transient refusal {message.subject}")
            answer(PubAck(0, TRANSIENT_LAST, "last sequence by subject temporarily unavailable"))
        else:
            ack = self.accept(message)
            if ack is None:
                return  # listeners alone got it, and none of them answers
            if hits(faults.ack_lost):
                self._trace(f"lost ack {message.subject}")
            elif is_fenced and not ack.code and hits(faults.refusal_false):
                self._trace(f"false refusal {message.subject}")
                answer(PubAck(0, WRONG_LAST, f"wrong last sequence: {ack.seq}"))
            else:
                answer(ack)

    def accept(self, message: Outgoing, reply: str = "") -> PubAck | None:
        """Routes a message to listeners and to its stream; None when there is no stream to answer for it."""
        listeners = self.notices.route(message.subject, message.payload, reply)
        name = self.stream_of(message.subject)
        if not name:
            return None if listeners else PubAck(0, NO_RESPONDERS, "no responders")
        return self._store(name, message.subject, message.payload, message.headers or {})

    def take_notice(self, subject: str, payload: bytes) -> None:
        """Takes a publish that wants no answer."""
        self.accept(Outgoing(subject, payload))

    def purge(self, stream: str, subject: str, keep: int, to_seq: int) -> int:
        found = self.stream(stream)
        count = found.purge(subject, keep, to_seq)
        self._forget_dropped(stream, found)
        self._trace(f"purged {count} of {subject}")
        return count

    # --- reading ---------------------------------------------------------------------------------
    def stream(self, name: str) -> MemoryStream:
        """Finds a stream.

        Raises:
            NotProvisioned: There is none of that name.
        """
        try:
            return self._streams[name]
        except KeyError:
            raise NotProvisioned(f"stream {name!r} does not exist; run `wfctl provision`") from None

    def bucket(self, name: str) -> dict[str, bytes]:
        """Finds a bucket of the object store.

        Raises:
            NotProvisioned: There is none of that name.
        """
        self.stream(object_stream(name))
        return self._objects.setdefault(name, {})

    def consumer(self, stream: str, name: str) -> MemoryConsumer:
        """Finds a consumer.

        Raises:
            NotProvisioned: There is none of that name.
        """
        self.stream(stream)
        try:
            return self._consumers[stream][name]
        except KeyError:
            raise NotProvisioned(
                f"consumer {name!r} of stream {stream!r} does not exist; run `wfctl provision`"
            ) from None

    def loses_call(self) -> bool:
        """Draws whether a question to the server, or its answer, gets lost."""
        return self.dice.hits(self.faults.call_lost)

    def as_of_replica(self, messages: Sequence[Stored]) -> list[Stored]:
        """Leaves out what a lagging replica may not have yet."""
        if not self.dice.hits(self.faults.read_stale):
            return list(messages)
        horizon = self.now_us() - round(self.dice.span_s(self.faults.read_stale_s) * 1e6)
        return [message for message in messages if message.at_us < horizon]

    # --- following -------------------------------------------------------------------------------
    def follow(self, stream: str, subject: str, after_seq: int, link: Link, wake: Callable[[], None]) -> None:
        """Calls `wake` once, as soon as the filter has a message after a sequence."""
        if any(message.seq > after_seq for message in self.stream(stream).select(subject, from_seq=after_seq + 1)):
            wake()
        else:
            self._followers.append((stream, subject, link, wake))

    # --- consuming -------------------------------------------------------------------------------
    def request(self, stream: str, consumer: str, pull: Pull, count: int, pin: str, lasts_s: float) -> None:
        """Takes a pull's wish for `count` more deliveries within the time."""
        found = self._consumers[stream].get(consumer)
        if found is not None:
            found.request(pull, count, pin, round(lasts_s * 1e6), self._lease_us())
            self.tend(stream, consumer)

    def withdraw(self, stream: str, consumer: str, pull: Pull) -> None:
        found = self._consumers[stream].get(consumer)
        if found is not None:
            found.withdraw(pull)

    def unpin(self, stream: str, consumer: str) -> None:
        self.consumer(stream, consumer).unpin()
        self.tend(stream, consumer)

    def ack(self, reply: str, *, is_final: bool) -> bool:
        """Takes what a process says of a delivery: done, or still at work."""
        _, _, stream, name, _, seq_text, *_ = reply.split(".")
        consumer = self._consumers[stream].get(name)
        if consumer is None:
            return False
        seq = int(seq_text)
        if self.dice.hits(self.faults.delivery_ack_lost):
            self._trace(f"struck ack {stream} {seq}")
            return False
        if not is_final:
            consumer.progressed(seq, self._lease_us())
            return True
        known = consumer.acked(seq)
        if known and self.stream(stream).remove(seq):
            self._trace(f"acked {stream} {seq}")
        self.tend(stream, name)
        return known

    def tend(self, stream: str, name: str) -> None:
        """Lets a consumer hand out what it can and arms its next wake-up."""
        consumer = self._consumers[stream].get(name)
        if consumer is None or not self.is_up:
            return
        for seq in consumer.serve(self._lease_us()):
            self._trace(f"delivered {stream} {name} {seq}")
            if self.dice.hits(self.faults.delivery_doubled):
                self._trace(f"struck delivery {stream} {seq}")
                self._later(self.dice.span_s(1.0), partial(self._deliver_again, stream, name, seq))
        self._arm(stream, name, consumer.wake_at_us())

    def new_name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}-{self._names}"

    # --- private ---------------------------------------------------------------------------------
    def _forget(self, link: Link) -> None:
        link.is_served = False
        self.notices.drop(link)
        self._followers = [follower for follower in self._followers if follower[2] is not link]
        self._trace(f"connection {link.state.value}")

    def _reconnect(self, link: Link) -> None:
        if self.is_up and link.state is LinkState.CUT:
            link.restore()
            link.tell(self._on_restored[id(link)])

    def _store(self, name: str, subject: str, payload: bytes, headers: Mapping[str, str]) -> PubAck:
        stream = self._streams[name]
        ack = stream.store(subject, payload, headers, self.now_us())
        self._forget_dropped(name, stream)
        message = stream.get(ack.seq) if not ack.code else None
        if message is None:
            self._trace(f"refused {subject} {ack.code}")
            return ack
        self._trace(f"stored {name} {ack.seq} {message.subject}")
        if stream.republish is not None:
            self.notices.route(stream.republish.apply(message.subject), payload)
        schedule = stream.schedules.get(message.subject)
        if schedule is not None:
            self._schedule(name, schedule)
        for consumer_name, consumer in list(self._consumers[name].items()):
            if consumer.stored(message):
                self.tend(name, consumer_name)
        for follower in [one for one in self._followers if one[0] == name and matches(one[1], message.subject)]:
            self._followers.remove(follower)
            follower[3]()
        return ack

    def _forget_dropped(self, name: str, stream: MemoryStream) -> None:
        for seq in stream.dropped:
            for consumer in self._consumers[name].values():
                consumer.removed(seq)
        stream.dropped.clear()

    def _schedule(self, name: str, schedule: Schedule) -> None:
        wait_us = max(0, schedule.due_at_us - self.now_us())
        late_s = self.dice.span_s(self.faults.timer_late_s)
        self._later(wait_us / 1e6 + late_s, partial(self._fire, name, schedule))

    def _fire(self, name: str, schedule: Schedule) -> None:
        stream = self._streams[name]
        fired = stream.fired(schedule)
        if fired is None:
            return
        if not self.is_up:
            self._later(RESTART_FIRE_S, partial(self._fire, name, schedule))
            return
        if (early_us := schedule.due_at_us - self.now_us()) > 0:
            self._later(early_us / 1e6, partial(self._fire, name, schedule))
            return
        payload, headers = fired
        self._trace(f"fired {schedule.subject}")
        for _ in range(2 if self.dice.hits(self.faults.timer_doubled) else 1):
            self._store(name, schedule.target, payload, headers)
        stream.remove(schedule.seq)

    def _deliver_again(self, stream: str, name: str, seq: int) -> None:
        consumer = self._consumers[stream].get(name)
        if consumer is not None:
            consumer.expire(seq)
            self.tend(stream, name)

    def _arm(self, stream: str, name: str, at_us: int | None) -> None:
        armed = self._wakes.get((stream, name))
        if armed is not None:
            if at_us is not None and armed[0] <= at_us and not armed[1].cancelled():
                return  # it comes early enough, and arms the next one
            armed[1].cancel()
            del self._wakes[stream, name]
        if at_us is not None:
            delay_s = max(0, at_us - self._lease_us()) / 1e6
            wake = partial(self._wake, stream, name)
            timer = asyncio.get_running_loop().call_later(delay_s, wake, context=self._lease_context)
            self._wakes[stream, name] = (at_us, timer)

    def _wake(self, stream: str, name: str) -> None:
        self._wakes.pop((stream, name), None)
        self.tend(stream, name)

    def _later(self, delay_s: float, action: Callable[[], object]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(delay_s, action, context=self._context)

    def _trace(self, line: str) -> None:
        if self.on_trace is not None:
            self.on_trace(line)
