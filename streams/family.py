"""Family: what goes between a run and its children. Starts, requests to end, and the news of an end (R21).

All of it is messages to mailboxes, safe to repeat: a start is known by its run id, the others by their ids.
"""

from __future__ import annotations

import logging
from typing import Final

import anyio

from ..actors.commands import StartChild
from ..actors.decision import Owed
from ..actors.errors import BadValue, BrokerError, ErrorInfo
from ..actors.messages import Cancel, ChildResult, Parent, Ref, Start, Terminate, encode_body
from ..actors.names import RunKey
from ..actors.open_child import ChildEnd
from ..actors.records import Outcome
from ..actors.verdict import Verdict
from ..actors.work import CHILD_ATTEMPT, token
from .ports import Broker, Outgoing
from .subjects import App
from .telemetry import log

_RETRY_S: Final = 0.5


class Family:
    """Makes the messages that a run owes to its parent and its children.

    Args:
        actors_key: The secret that the news of an end is checked against.
    """

    def __init__(self, broker: Broker, app: App, *, actors_key: bytes) -> None:
        self._broker = broker
        self._app = app
        self._key = actors_key

    async def messages(self, key: RunKey, owed: Owed, listener: Parent | None) -> list[Outgoing]:
        """Makes all messages that a decision owes; large values are where their readers look for them on return.

        Args:
            listener: Who is told of the run's end.
        """
        messages: list[Outgoing] = []
        for command in owed.children:
            child = RunKey(command.workflow, command.run)
            await self._hand_over(command.ref, key, child)
            messages.append(Outgoing(self._app.input(child, "start"), encode_body(self._start(key, command))))
        messages += [self._end(key, end) for end in owed.child_ends]
        if listener is not None and owed.outcome is not None:
            await self._hand_over(owed.outcome.ref, key, RunKey(listener.workflow, listener.run))
            messages.append(self._news(key, listener, owed.outcome))
        return messages

    def refusal(self, key: RunKey, parent: Parent, verdict: Verdict) -> Outgoing:
        """Makes the news that a child was never begun."""
        error = ErrorInfo(type="MessageRefused", message=verdict.reason, code=verdict.code)
        body = ChildResult(
            id=f"{key}/{parent.command}/refused",
            command=parent.command,
            token=parent.token,
            status="refused",
            error=error,
        )
        return self._to(parent, body)

    # --- inside -------------------------------------------------------------------------------------
    def _parent(self, key: RunKey, command: StartChild) -> Parent:
        return Parent(
            workflow=key.workflow,
            run=key.run,
            command=command.n,
            depth=command.depth,
            token=token(self._key, key, command.n, CHILD_ATTEMPT),
        )

    def _start(self, key: RunKey, command: StartChild) -> Start:
        return Start(
            id=f"{key}/{command.n}",
            args=command.args,
            kwargs=command.kwargs,
            ref=command.ref,
            parent=self._parent(key, command),
        )

    def _end(self, key: RunKey, end: ChildEnd) -> Outgoing:
        body = (Cancel if end.verb == "cancel" else Terminate)(
            id=f"{key}/{end.command.n}/{end.verb}", reason=end.reason, parent=self._parent(key, end.command)
        )
        child = RunKey(end.command.workflow, end.command.run)
        return Outgoing(self._app.input(child, end.verb), encode_body(body))

    def _news(self, key: RunKey, parent: Parent, outcome: Outcome) -> Outgoing:
        body = ChildResult(
            id=f"{key}/{parent.command}/ended",
            command=parent.command,
            token=parent.token,
            status=outcome.status,
            result=outcome.result,
            ref=outcome.ref,
            error=outcome.error,
            reason=outcome.reason,
        )
        return self._to(parent, body)

    def _to(self, parent: Parent, body: ChildResult) -> Outgoing:
        return Outgoing(self._app.input(RunKey(parent.workflow, parent.run), "child"), encode_body(body))

    async def _hand_over(self, ref: Ref | None, giver: RunKey, taker: RunKey) -> None:
        """Copies a large value: each run keeps what its log names, for as long as it is kept itself."""
        if ref is None:
            return
        while True:
            try:
                data = await self._broker.get_object(self._app.values, f"{giver}/{ref.sha256}")
                if data is not None:  # else the taker says what is missing
                    await self._broker.put_object(self._app.values, f"{taker}/{ref.sha256}", data)
            except BadValue as error:
                log("value.damaged", logging.ERROR, run=giver, value=ref.sha256, error=error)
                return
            except BrokerError as error:
                log("value.failed", logging.WARNING, run=giver, value=ref.sha256, error=error)
            else:
                return
            await anyio.sleep(_RETRY_S)
