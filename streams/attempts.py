"""Attempts: whether one attempt of a step is still waited for, as mailbox and log say. Read by actor workers alone (R8)."""

from __future__ import annotations

from ..actors.errors import OutcomeUnknown
from ..actors.names import RunKey
from ..actors.settled import is_settled, reported_by
from ..actors.work import is_token_valid
from .ports import Broker
from .run_log import RunLog
from .subjects import App, partition_of


class Attempts:
    """The attempts of one app's steps.

    Args:
        actors_key: The secret that step results are checked against.
        partitions: The app's number of partitions.
    """

    def __init__(self, broker: Broker, app: App, *, actors_key: bytes, partitions: int) -> None:
        self._broker = broker
        self._app = app
        self._log = RunLog(broker, app)
        self._key = actors_key
        self._partitions = partitions

    async def is_open(self, key: RunKey, command: int, attempt: int) -> bool:
        """Tells whether an attempt that was asked for is neither reported nor taken back.

        The mailbox is read first: a result goes from there into the log, so that one of the two has it.

        Raises:
            BrokerError: Mailbox or log cannot be read now.
            BadLog: The log holds what this worker cannot read.
        """
        if await self.is_in_mailbox(key, command, attempt):
            return False
        return not is_settled(await self._log.records(key), command, attempt)

    async def is_in_mailbox(self, key: RunKey, command: int, attempt: int) -> bool:
        """Tells whether a result of that attempt, or of a later one, waits to be folded.

        Raises:
            BrokerError: The mailbox cannot be read now.
        """
        mailbox = self._app.mailbox(partition_of(key.run, self._partitions), key, "step")
        newest = await self._broker.last(self._app.mail, mailbox)
        if newest is None:
            return False
        stored = await self._broker.read(self._app.mail, mailbox)
        if not stored or stored[-1].seq < newest.seq:
            raise OutcomeUnknown(f"{mailbox} was read up to before message {newest.seq}, the newest; ask again")
        return any(self._reports(message.payload, key, command, attempt) for message in stored)

    def _reports(self, body: bytes, key: RunKey, command: int, attempt: int) -> bool:
        reported = reported_by(body)
        if reported.command != command or reported.attempt < attempt:
            return False
        # What was not asked for here is buried when its turn comes: nothing may be left undone because of it (R18).
        return is_token_valid(self._key, key, command, reported.attempt, reported.token)
