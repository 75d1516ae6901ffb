"""Waits: wakes who waits for runs to end, by `done` notices, and now and then without one (R19).

A notice is a hint that can be missed; whoever is woken reads the log. One subscription per workflow serves any number
of runs, one timer sweeps them all; a waiting run costs an entry and a future. Nothing is missed between the parts:
the subscription is in effect before the log is read, and no await lies between a look at `news` and the wait for more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar
from weakref import WeakValueDictionary

import msgspec

from ..actors.errors import NotProvisioned, OutcomeUnknown, ServerLost
from ..actors.limits import LISTEN_IDLE_S, READ_AGAIN_S, REPLICA_LAGS_S, WAIT_SWEEP_READS_MAX, WAIT_SWEEP_S
from ..actors.names import RunKey
from ..streams.ports import Broker, Subscription
from ..streams.subjects import App

T = TypeVar("T")


class _Notice(msgspec.Struct):
    status: str = ""
    id: str = ""


_NOTICE: Final = msgspec.json.Decoder(_Notice)


class Watch:
    """What a client has heard of one run; lives as long as somebody holds it."""

    __slots__ = ("__weakref__", "answered", "awaited", "is_done", "key", "news", "sleepers")

    def __init__(self, key: RunKey) -> None:
        self.key = key
        self.news = 0
        """Counts reasons to read the run's log: notices, gaps in which some may have been missed, long silence."""
        self.is_done = False
        """A notice said that the run has ended."""
        self.awaited: set[str] = set()
        """Ids of messages whose answers somebody waits for."""
        self.answered: set[str] = set()
        """Those of them that a notice has told of."""
        self.sleepers: list[asyncio.Future[None]] = []

    def wake(self) -> None:
        """Makes everybody who waits on this run look again."""
        self.news += 1
        for sleeper in self.sleepers:
            if not sleeper.done():
                sleeper.set_result(None)


class _Channel:
    """The notices of one workflow."""

    __slots__ = ("idle_since", "opening", "prefix_length", "subscription", "waiting", "watches")

    def __init__(self, prefix_length: int) -> None:
        self.prefix_length = prefix_length
        self.watches: WeakValueDictionary[str, Watch] = WeakValueDictionary()
        self.subscription: Subscription | None = None
        self.opening: asyncio.Event | None = None
        self.waiting = 0
        self.idle_since = 0.0

    def hear(self, subject: str, payload: bytes, _reply: str) -> None:
        watch = self.watches.get(subject[self.prefix_length :])
        if watch is None:
            return  # a run that this client does not wait for
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # anybody may publish anything there
            notice = _NOTICE.decode(payload)
            if notice.id in watch.awaited:
                watch.answered.add(notice.id)
            elif notice.status == "answered":
                return  # somebody else's
            if notice.status not in ("refused", "answered"):
                watch.is_done = True
        watch.wake()


class Waits:
    """All waiting of one client."""

    def __init__(self, broker: Broker, app: App) -> None:
        self._broker = broker
        self._app = app
        self._loop = asyncio.get_running_loop()
        self._channels: dict[str, _Channel] = {}
        self._asleep: dict[Watch, float] = {}
        """Watches with sleepers, by the time since which they sleep, oldest first."""
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        broker.on_reconnect(self.look_again)

    # --- watches ----------------------------------------------------------------------------------
    def watch_nowait(self, key: RunKey) -> Watch | None:
        """Watches a run if its workflow is subscribed to already; taken before a start is published, it misses nothing."""
        channel = self._channels.get(key.workflow)
        return None if channel is None or channel.subscription is None else _watch(channel, key)

    async def watch(self, key: RunKey) -> Watch:
        """Watches a run; notices sent from now on are heard."""
        channel = self._channels.get(key.workflow)
        if channel is None:
            prefix = self._app.done(RunKey(key.workflow, ""))
            channel = self._channels[key.workflow] = _Channel(len(prefix))
        while channel.subscription is None:
            self._check_open()
            if channel.opening is not None:
                await channel.opening.wait()
                continue
            channel.opening = asyncio.Event()
            try:
                subject = self._app.done(RunKey(key.workflow, "*"))
                channel.subscription = await self._broker.listen(subject, channel.hear)
                channel.idle_since = self._loop.time()
            finally:
                channel.opening.set()
                channel.opening = None
        return _watch(channel, key)

    # --- waiting -----------------------------------------------------------------------------------
    async def wait_settled(self, watch: Watch, settle: Callable[[], Awaitable[T | None]], *, seen: int = -1) -> T:
        """Calls `settle` whenever there may be news of the run, until it returns something.

        Args:
            seen: The watch's `news` at a time when the run had not ended; the first call then waits for more. By
                default it comes at once.
        """
        channel = self._channels[watch.key.workflow]
        channel.waiting += 1
        try:
            is_first = seen == -1
            lags = iter(REPLICA_LAGS_S)
            while True:
                if watch.news == seen:
                    await self._sleep(watch)
                seen = watch.news
                try:
                    settled = await settle()
                except (OutcomeUnknown, NotProvisioned):
                    if is_first:
                        raise
                    settled = None  # the server is away; a reconnect or the next sweep looks again
                if settled is not None:
                    return settled
                is_first = False
                if watch.is_done and (lag := next(lags, None)) is not None:
                    await asyncio.sleep(lag)
                    seen = -1
        finally:
            channel.waiting -= 1
            channel.idle_since = self._loop.time()

    async def _sleep(self, watch: Watch) -> None:
        self._check_open()
        sleeper: asyncio.Future[None] = self._loop.create_future()
        watch.sleepers.append(sleeper)
        self._asleep.setdefault(watch, self._loop.time())
        if self._sweep_timer is None:
            self._sweep_timer = self._loop.call_later(WAIT_SWEEP_S, self._sweep)
        try:
            await sleeper
        finally:
            watch.sleepers.remove(sleeper)
            if not watch.sleepers:
                self._asleep.pop(watch, None)

    def look_again(self) -> None:
        """Has all waiting runs read soon: notices may have been missed while the connection was gone."""
        for channel in self._channels.values():
            for watch in channel.watches.values():
                watch.news += 1
        self._asleep = dict.fromkeys(self._asleep, -READ_AGAIN_S)

    def _sweep(self) -> None:
        self._sweep_timer = self._loop.call_later(WAIT_SWEEP_S, self._sweep) if self._asleep else None
        overdue_at = self._loop.time() - READ_AGAIN_S
        overdue: list[Watch] = []
        for watch, since in self._asleep.items():
            if since > overdue_at or len(overdue) == WAIT_SWEEP_READS_MAX:
                break
            overdue.append(watch)
        for watch in overdue:
            del self._asleep[watch]
            watch.wake()

    # --- the end ---------------------------------------------------------------------------------------
    async def close_idle(self) -> None:
        """Ends subscriptions that nobody has waited on for a while: their notices are traffic for nothing."""
        now = self._loop.time()
        for channel in list(self._channels.values()):
            subscription = channel.subscription
            if subscription is not None and not channel.waiting and now - channel.idle_since > LISTEN_IDLE_S:
                channel.subscription = None
                for watch in channel.watches.values():
                    watch.news += 1
                await subscription.close()

    async def close(self) -> None:
        """Ends all subscriptions; whoever waits gets `ServerLost`. Idempotent."""
        self._is_closed = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        for watch in self._asleep:
            for sleeper in watch.sleepers:
                if not sleeper.done():
                    sleeper.set_exception(_closed())
        for channel in list(self._channels.values()):
            subscription, channel.subscription = channel.subscription, None
            if subscription is not None:
                await subscription.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise _closed()


def _watch(channel: _Channel, key: RunKey) -> Watch:
    watch = channel.watches.get(key.run)
    if watch is None:
        watch = channel.watches[key.run] = Watch(key)
    return watch


def _closed() -> ServerLost:
    return ServerLost("this client was closed; connect another")
