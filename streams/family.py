"""Family: what goes between a run and its children. Starts, requests to end, and the news of an end (R21).

All of it is messages to mailboxes, safe to repeat: a start is known by its run id, the others by their ids.
"""

from __future__ import annotations

import logging
from typing import Final

import anyio
import msgspec

from ..actors.commands import StartChild
from ..actors.decision import Owed
from ..actors.errors import BadValue, BrokerError, ErrorInfo, NotProvisioned
from ..actors.messages import NULL, Cancel, ChildResult, Parent, Ref, Start, Terminate, encode_body
from ..actors.names import RunKey
from ..actors.open_child import ChildEnd
from ..actors.records import Outcome
from ..actors.schedule import SCHEDULE_WORKFLOW
from ..actors.work import CHILD_ATTEMPT, token
from .ports import Broker, Outgoing
from .subjects import App
from .telemetry import log

_RETRY_S: Final = 0.5
_MISSES_MAX: Final = 6
"""How often an app is looked for that is not there: a server that has just come back may not know its streams yet."""


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
            child, app = RunKey(command.workflow, command.run), self._app_of(command.app)
            if not await self._is_there(app):
                messages.append(self._not_there(key, command))
                continue
            await self._hand_over(command.ref, (self._app, key), (app, child))
            messages.append(Outgoing(app.input(child, "start"), encode_body(self._start(key, command))))
        messages += [
            self._end(key, end) for end in owed.child_ends if await self._is_there(self._app_of(end.command.app))
        ]
        if listener is not None and owed.outcome is not None and await self._is_there(self._app_of(listener.app)):
            parent = RunKey(listener.workflow, listener.run)
            outcome = owed.outcome
            if listener.workflow == SCHEDULE_WORKFLOW:  # it reads no results, its log is not to hold them
                outcome = msgspec.structs.replace(outcome, result=NULL, ref=None)
            await self._hand_over(outcome.ref, (self._app, key), (self._app_of(listener.app), parent))
            messages.append(self._news(key, listener, outcome))
        return messages

    def refusal(self, key: RunKey, parent: Parent, *, code: str, reason: str) -> Outgoing:
        """Makes the news that a child was never begun."""
        error = ErrorInfo(type="MessageRefused", message=reason, code=code)
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
            app=self._app.name if command.app else "",
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
        return Outgoing(self._app_of(end.command.app).input(child, end.verb), encode_body(body))

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
        app = self._app_of(parent.app)
        return Outgoing(app.input(RunKey(parent.workflow, parent.run), "child"), encode_body(body))

    def _app_of(self, name: str) -> App:
        return App(name) if name else self._app

    async def _is_there(self, app: App) -> bool:
        """Tells whether an app has its streams on this server; one that is missing is asked for again for a while."""
        if app == self._app:
            return True
        misses = 0
        while misses < _MISSES_MAX:
            try:
                await self._broker.stream_state(app.mail)
            except NotProvisioned as error:
                misses += 1
                log("app.missing", logging.WARNING, app=app.name, error=error)
            except BrokerError as error:
                log("app.unreachable", logging.WARNING, app=app.name, error=error)
            else:
                return True
            await anyio.sleep(_RETRY_S)
        return False

    def _not_there(self, key: RunKey, command: StartChild) -> Outgoing:
        """Makes the news, for the parent, that a child cannot begin."""
        reason = f"app {command.app!r} is not on this server; provision it, or check its name"
        parent = msgspec.structs.replace(self._parent(key, command), app="")
        child = RunKey(command.workflow, command.run)
        return self.refusal(child, parent, code="app", reason=reason)

    async def _hand_over(self, ref: Ref | None, giver: tuple[App, RunKey], taker: tuple[App, RunKey]) -> None:
        """Copies a large value: each run keeps what its log names, for as long as it is kept itself."""
        if ref is None:
            return
        (from_app, key), (to_app, to_key) = giver, taker
        while True:
            try:
                data = await self._broker.get_object(from_app.values, f"{key}/{ref.sha256}")
                if data is not None:  # else the taker says what is missing
                    await self._broker.put_object(to_app.values, f"{to_key}/{ref.sha256}", data)
            except BadValue as error:
                log("value.damaged", logging.ERROR, run=key, value=ref.sha256, error=error)
                return
            except BrokerError as error:
                log("value.failed", logging.WARNING, run=key, value=ref.sha256, error=error)
            else:
                return
            await anyio.sleep(_RETRY_S)
