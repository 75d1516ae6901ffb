"""Queries: questions to a run's own code, answered by the worker that serves the run (`ask … query.<name>`).

Every actor worker hears every query, and who serves the run's partition answers; the others are silent. Between two
owners nobody answers, and who asks tries again: a query changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import anyio
import msgspec

from ..actors.actor import Actor
from ..actors.errors import BadLog, BadMessage, BrokerError, JetrunError
from ..actors.failures import error_info
from ..actors.limits import QUERIES_AT_ONCE_MAX, QUERY_S
from ..actors.names import RunKey, is_token
from ..actors.parking import reason_of
from ..actors.query import Given, Question, Reply, decode_question, failed
from ..actors.signals import Blocked
from .ports import Broker, Subscription
from .subjects import App, partition_of
from .telemetry import log
from .turns import Turns
from .watchdog import Watchdog

_REVIVALS_MAX: Final = 4
"""Logs of ended runs replayed at once."""


class Queries:
    """Answers the queries of the runs that a worker serves.

    Args:
        serves: Tells whether this worker serves a partition.
    """

    def __init__(
        self,
        broker: Broker,
        app: App,
        turns: Turns,
        watchdog: Watchdog,
        *,
        partitions: int,
        serves: Callable[[int], bool],
    ) -> None:
        self._broker = broker
        self._app = app
        self._turns = turns
        self._watchdog = watchdog
        self._partitions = partitions
        self._serves = serves
        self._spawn: Callable[..., None] | None = None
        self._at_once = 0
        self._revivals = anyio.CapacityLimiter(_REVIVALS_MAX)

    async def open(self, spawn: Callable[..., None]) -> Subscription:
        """Begins to answer."""
        self._spawn = spawn
        return await self._broker.listen(self._app.ask(RunKey("*", "*"), "query.*"), self._on_ask)

    def _on_ask(self, subject: str, payload: bytes, reply: str) -> None:
        workflow, run, _, name = subject.split(".")[-4:]
        partition = partition_of(run, self._partitions)
        if not reply or self._spawn is None or not self._serves(partition):
            return
        if not all(map(is_token, (workflow, run, name))):
            self._reply(reply, failed("subject", "workflow, run id or query is not a name"))
        elif self._at_once >= QUERIES_AT_ONCE_MAX:
            self._reply(reply, failed("busy", f"{QUERIES_AT_ONCE_MAX} queries are being answered; ask again"))
        else:
            self._at_once += 1
            self._spawn(self._answer, RunKey(workflow, run), partition, name, payload, reply)

    def _reply(self, to: str, reply: Reply) -> None:
        self._broker.notify(to, msgspec.json.encode(reply))

    async def _answer(self, key: RunKey, partition: int, name: str, payload: bytes, to: str) -> None:
        try:
            self._reply(to, await self._ask(key, partition, name, decode_question(payload)))
        except BadMessage as error:
            self._reply(to, failed(error.code, error.reason))
        except (BrokerError, BadLog) as error:
            log("query.failed", logging.WARNING, run=key, query=name, error=error)
            self._reply(to, failed("unavailable", str(error)))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is this query's: the worker goes on
            info = error_info(error)
            log("query.error", logging.ERROR, run=key, query=name, error=info.message, traceback=info.traceback)
            self._reply(to, failed("unavailable", f"{info.type}: {info.message}"))
        finally:
            self._at_once -= 1

    async def _ask(self, key: RunKey, partition: int, name: str, question: Question) -> Reply:
        found: list[Given | Actor] = []

        def see(actor: Actor) -> bool:
            if actor.journal.has_ended:
                found.append(actor)
                return True
            given = self._watched(key, lambda: actor.answer(name, question))
            found.append(given)
            return given.is_intact

        await self._turns.look(key, partition, see)
        (given,) = found
        return given.reply if isinstance(given, Given) else await self._ask_ended(given, name, question)

    async def _ask_ended(self, actor: Actor, name: str, question: Question) -> Reply:
        revival = actor.revival()
        key = actor.key
        if actor.workflow is None:
            return failed("parked", f"workflow {key.workflow!r} is not registered in this worker; deploy it")
        if revival is None:
            return failed("trimmed", f"run {key} has ended, and of its log the last record alone is left")
        loader = self._turns.loader
        async with self._revivals:
            objects, _ = await loader.objects(key, actor.logged_refs())
            try:
                if not await loader.run(key, revival.replay(objects)):
                    return _blocked(key, "the workflow held the loop while its log was replayed")
                return self._watched(key, lambda: revival.answer(name, question)).reply
            except (JetrunError, Blocked) as error:  # today's code does not make the decisions of the log
                if isinstance(error, BrokerError):
                    raise
                return failed(*reason_of(error))
            finally:
                revival.close()

    def _watched(self, key: RunKey, ask: Callable[[], Given]) -> Given:
        """Asks under the watchdog."""
        given: Given | None = None
        self._watchdog.begin_look(key)
        try:
            given = ask()
        except Blocked:
            given = None
        finally:
            is_interrupted = self._watchdog.end()
        if is_interrupted or given is None:
            text = f"the handler held the loop for more than {QUERY_S:g} s; a query reads what is in memory"
            return Given(_blocked(key, text), is_intact=False)
        return given


def _blocked(key: RunKey, text: str) -> Reply:
    log("query.blocked", logging.ERROR, run=key)
    return failed("blocked", text)
