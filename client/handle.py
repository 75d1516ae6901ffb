"""Run handles: one run, seen and steered from outside. A handle costs the server nothing and can be dropped at any time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final, Generic, TypeVar, cast, overload

from ..actors.commands import StartChild
from ..actors.errors import RunNotFound
from ..actors.events import Event, events_of
from ..actors.hook import TypedHook
from ..actors.limits import QUERY_PATIENCE_S
from ..actors.messages import Body, Cancel, Pause, Resume, Terminate
from ..actors.names import RunKey
from ..actors.query import Askable
from ..actors.records import Record, StartMark
from ..actors.update import UpdateCall
from ..actors.values import decode
from .asking import answered_before, ask, perform
from .closing import closing
from .faults import ended, failure, not_found, refused, taken
from .graph_status import GraphStatus, graph_of, rerun_call
from .hooks import WaitingHook, waiting_hooks
from .links import Link
from .sender import RunMessage, message_id
from .session import Session
from .starting import Starting
from .status import RunStatus, StatusWord
from .waits import Watch

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class RunHandle(Generic[R_co]):
    """A run whose workflow returns an `R_co`; made by `Client.start` and `Client.get`.

    Args:
        mark: Of the start that this handle stands for; None for a handle on whatever run has the id.
        watch: Taken before that start was sent.
        seen: The watch's `news` at that time; -1 where the run may have ended before.
    """

    def __init__(
        self,
        session: Session,
        key: RunKey,
        result_type: Any,
        *,
        mark: StartMark | None = None,
        watch: Watch | None = None,
        seen: int = -1,
    ) -> None:
        self._session = session
        self._key: Final = key
        self._result_type = result_type
        self._mark = mark
        self._watch = watch
        self._seen = seen
        self._is_recorded = False

    @property
    def workflow(self) -> str:
        """The workflow's name."""
        return self._key.workflow

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._key.run

    def __repr__(self) -> str:
        return f"<run {self._key}>"

    # --- how it does -----------------------------------------------------------------------------
    async def result(self, timeout: float | None = None) -> R_co:
        """Waits for the end and returns what the workflow returned, decoded as its result type.

        Woken by a notice, read from the log; thousands of runs can be waited for at once. Cancelling leaves the run alone.

        Args:
            timeout: Seconds to wait.

        Raises:
            RunFailed: It failed; also an instance of the class that the workflow raised, where that class is loaded here.
            RunCancelled, RunTerminated: It ended so.
            RunNotFound: There is no such run.
            RunConflict: The id belongs to a start with other arguments, which came first.
            MessageRefused: The start is among the dead letters.
            TimeoutError: It has not ended in time.
        """
        record = await (self._wait_ended() if timeout is None else self._wait_ended_within(timeout))
        outcome = record.outcome
        assert outcome is not None
        raw = bytes(outcome.result) if outcome.ref is None else await self._session.claims.get(self._key, outcome.ref)
        if outcome.status != "completed":
            raise failure(self._key, outcome, raw)
        return cast("R_co", decode(raw, self._result_type, where=f"result of run {self._key}"))

    async def status(self) -> RunStatus:
        """Reads where the run stands. A start that no worker has looked at yet is `running` with no records.

        Raises:
            RunNotFound: There is no such run.
        """
        record = await self._find()
        if record is None:
            return RunStatus(workflow=self.workflow, run_id=self.run_id, status="running", at_us=0, records=0)
        return RunStatus.of(self._key, record)

    # --- messages to it ---------------------------------------------------------------------------
    @overload
    async def hook(
        self,
        name: TypedHook[T],
        payload: T,
        *,
        id: str | None = None,
        before_start: bool = False,
        validate: bool = False,
    ) -> str: ...
    @overload
    async def hook(
        self,
        name: str,
        payload: object = None,
        *,
        id: str | None = None,
        before_start: bool = False,
        validate: bool = False,
    ) -> str: ...
    async def hook(
        self,
        name: str | TypedHook[Any],
        payload: object = None,
        *,
        id: str | None = None,  # noqa: A002 - the word on the wire
        before_start: bool = False,
        validate: bool = False,
    ) -> str:
        """Gives a payload to the hook of that name; durable on return, and kept until the workflow waits for it.

        A run that ends before it has taken the payload refuses it: a dead letter, under the id that this returns. So it
        does with one that does not fit what it waits for, and waits on.

        Args:
            name: The hook's name, or a defined hook, of which the payload is checked here against its type.
            id: Names this intent: a second hook with the same id is not applied again. Unique by default.
            before_start: The run may not have been started yet; the payload is kept for a day.
            validate: Reads the run's log, and refuses here what does not fit the schema that the run has published.

        Raises:
            RunNotFound: There is no such run, this handle has not started it, and `before_start` was not given.
            RunEnded: It has ended.
            InvalidName, InvalidValue: Name or payload cannot be sent, or the payload does not fit; nothing was sent.
        """
        try:
            self._refuse_ended(await self._find())
        except RunNotFound:
            if not before_start:
                raise
        message = await self._session.hook(self._key, name, payload, id=id or message_id(), validate=validate)
        await self._session.sender.send(message)
        return message.body.id

    async def hooks(self) -> list[WaitingHook]:
        """Lists the hooks that the run waits for, at most 100, each with schema, token and expiry; reads the whole log.

        Raises:
            RunNotFound: There is no such run.
        """
        return waiting_hooks(self._key, await self.log())

    async def update(
        self,
        call: UpdateCall[T],
        *,
        id: str | None = None,  # noqa: A002 - the word on the wire
        timeout: float | None = None,
    ) -> T:
        """Has the run apply an update, exactly once, and returns its answer: `run.update(add_item.call("lamp", 2))`.

        The update is durable before anything is waited for; who stops waiting asks again under the same `id` and gets
        the same answer. A run that is paused or parked answers when it goes on.

        Args:
            id: Names this intent: an update with the same id is not applied again. Unique by default.
            timeout: Seconds to wait for the answer.

        Raises:
            UpdateRefused: It was not taken: by its validator, because nothing of that name is handled, because it does
                not fit, or because the run ended first. Also an instance of the class that the validator raised.
            UpdateFailed: Its handler raised, or had not ended when the run did. Also an instance of the class raised.
            RunEnded: The run had ended before, and knows nothing of an update of that id.
            RunNotFound: There is no such run.
            InvalidName, InvalidValue: It cannot be sent.
            TimeoutError: There was no answer in time; the update stands.
        """
        record = await self._find()
        if record is not None and record.outcome is not None:
            return cast("T", await answered_before(self._session, self._key, call, id, record))
        return cast("T", await perform(self._session, self._key, call, id=id, timeout_s=timeout))

    async def query(self, question: Askable[T], *, timeout: float = QUERY_PATIENCE_S) -> T:
        """Asks the run's code and returns its answer: `run.query(progress)`, `run.query(find.call("lamp"))`.

        Nothing is written, and nothing of the run changes. The answer is of the run as its log stands, paused or not; of
        a run that has ended, its log is replayed. A query that comes while the run decides waits for that.

        Args:
            timeout: Seconds within which somebody has to answer.

        Raises:
            QueryFailed: It has no answer; `error.code` says why: see there. Also an instance of the class raised.
            RunNotFound: There is no such run.
            InvalidName, InvalidValue: It cannot be asked, or its answer is not of the type.
        """
        return cast("T", await ask(self._session, self._key, question.call(), timeout_s=timeout))

    async def cancel(self, *, reason: str = "", wait: bool = False) -> StatusWord:
        """Asks the workflow to stop: `CancelledError` at its next await, cleanup runs. Idempotent.

        Args:
            wait: Until it has ended, whichever way.

        Returns:
            The status last seen. An ended one says how the run had ended before, or with `wait` ended now.

        Raises:
            RunNotFound: There is no such run.
        """
        return await self._stop("cancel", Cancel(id=message_id(), reason=reason), wait=wait)

    async def terminate(self, *, reason: str = "", wait: bool = False) -> StatusWord:
        """Ends the run at once, without cleanup. Idempotent; otherwise as `cancel`."""
        return await self._stop("terminate", Terminate(id=message_id(), reason=reason), wait=wait)

    async def pause(self, *, reason: str = "") -> None:
        """Keeps the run from deciding; its messages are kept in order, and steps that are out may end.

        Raises:
            RunNotFound: There is no such run.
            RunEnded: It has ended.
        """
        self._refuse_ended(await self._find())
        await self._send("pause", Pause(id=message_id(), reason=reason))

    async def resume(self) -> None:
        """Lets a paused run go on, and tries a parked one again. Raises as `pause` does."""
        self._refuse_ended(await self._find())
        await self._send("resume", Resume(id=message_id()))

    # --- its log -------------------------------------------------------------------------------------
    async def log(self) -> list[Record]:
        """Reads the run's records, all that retention has left.

        Raises:
            RunNotFound: There is no such run.
        """
        await self._find()
        return await self._session.reader.log(self._key)

    async def events(self) -> list[Event]:
        """Reads what has happened so far, in the words of `wfctl tail`. Raises as `log` does."""
        return [event for record in await self.log() for event in events_of(record)]

    async def children(self) -> list[RunHandle[Any]]:
        """Lists the children that the run has asked for so far, in that order, ended or not; raises as `log` does.

        Those in other apps are left out: a client of their app reads them. One that was given up in the moment in which it was asked for was never started: `status` raises `RunNotFound`.
        """
        commands = [command for record in await self.log() for command in record.commands]
        keys = [
            RunKey(command.workflow, command.run)
            for command in commands
            if isinstance(command, StartChild) and not command.app
        ]
        return [RunHandle(self._session, key, Any) for key in keys]

    async def chain(self) -> list[Link]:
        """Lists the links of the run's chain, oldest first: one, where it has never continued as new.

        Links that retention has forgotten are missing. Raises as `log` does.
        """
        await self._find()
        return await self._session.reader.links(self._key)

    async def graph(self) -> GraphStatus:
        """Reads where a graph run stands, task by task.

        Raises:
            RunNotFound: There is no such run.
            JetrunError: It is no graph's run, or has not begun.
        """
        await self._find()
        return (await graph_of(self._session, self._key))[1]

    async def rerun(self, *tasks: str, run_id: str, workflow: str | None = None) -> RunHandle[R_co]:
        """Begins an ended graph run again, as a new run that takes over what need not be done anew; durable on return.

        Calling it again with the same id and tasks finds the run that the first call has started. The ended run's log is
        not touched. What a task has done downstream of those that begin again is done again. A registered graph whose
        definition is another by now refuses: the new run fails at once, and says so. Give `jetrun-graph` as the workflow
        then: it runs under the definition that the ended run had.

        Args:
            tasks: From where; by default from the tasks that have failed, or were cancelled.
            run_id: The new run's id.
            workflow: Under which it runs; that of the ended run by default.

        Raises:
            RunNotFound: There is no such run.
            RunConflict: The new id is taken by another start.
            JetrunError: It is no graph's run, has not ended, a task has never begun in it, or none has failed.
        """
        await self._find()
        call = await rerun_call(self._session, self._key, tasks, workflow=workflow)
        starting = Starting(self._session, call.workflow, run_id, call.args, call.kwargs)
        await starting.send(())
        return RunHandle(self._session, starting.key, self._result_type, mark=starting.mark)

    async def tail(self) -> AsyncGenerator[Event, None]:
        """Yields events from the first on, without gap into what happens next; ends with the run. Raises as `log` does."""
        await self._find()
        async with closing(self._session.reader.tail(self._key)) as events:
            async for event in events:
                yield event

    # --- parts -----------------------------------------------------------------------------------------
    async def _find(self) -> Record | None:
        """Reads the run's last record; None while the start that this handle stands for is on its way.

        Raises:
            RunNotFound, RunConflict, MessageRefused: As `result` says.
        """
        reader = self._session.reader
        record = await reader.last(self._key)
        if (record is None or record.start is None) and self._mark is None and not self._is_recorded:
            if await reader.is_starting(self._key):
                return None
            record = await reader.last(self._key)  # it may have moved from the mailbox to the log in between
        if record is not None and record.start is not None:
            if self._mark is not None and record.start.hash != self._mark.hash:
                raise taken(self._key, "with other arguments")
            self._is_recorded = True
            return record
        if self._mark is None or self._is_recorded:
            raise not_found(self._key, self._session.app.name, record)
        letter = await self._session.dead_start(self._key, self._mark.id)
        if letter is not None:
            raise refused(self._key, letter)
        return None

    async def _find_ended(self) -> Record | None:
        record = await self._find()
        return record if record is not None and record.outcome is not None else None

    async def _wait_ended(self) -> Record:
        # Held by the handle: what is heard of the run is kept for it between two calls.
        watch = self._watch = await self._session.waits.watch(self._key)
        seen, self._seen = self._seen, -1
        return await self._session.waits.wait_settled(watch, self._find_ended, seen=seen)

    async def _wait_ended_within(self, timeout_s: float) -> Record:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._wait_ended()
        except TimeoutError as error:
            raise TimeoutError(f"run {self._key} has not ended within {timeout_s} s") from error

    async def _stop(self, verb: str, body: Body, *, wait: bool) -> StatusWord:
        record = await self._find()
        if record is None or record.outcome is None or record.outcome.status == "continued":
            await self._send(verb, body)
            if wait:
                record = await self._wait_ended()
        return "running" if record is None else record.summary.status

    async def _send(self, verb: str, body: Body) -> None:
        await self._session.sender.send(RunMessage(self._key, verb, "", body))

    def _refuse_ended(self, record: Record | None) -> None:
        if record is not None and record.outcome is not None and record.outcome.status != "continued":
            raise ended(self._key, record)  # of a link that is over, the run that goes on takes it
