"""What workflow code asks the engine for, besides plain asyncio: sleep, time, chance, who am I."""

from __future__ import annotations

import asyncio
import random as random_module
import uuid
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final

import msgspec

from .durations import Duration, due_at_us
from .errors import NotInWorkflow
from .execution import Execution
from .host import BodyHost, refuse_in_body, running_host
from .loop import TimerHost, running_loop
from .names import RunKey, check_token
from .reading import Reading
from .schedule import scheduled_at, time_in
from .status import StatusValues
from .values import encode

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a workflow may know of its own run."""

    app: str
    workflow: str
    run_id: str
    started_at: datetime
    code: str
    """Hash of the workflow's code in this worker."""
    commands: int
    """Commands decided so far."""
    records: int = 0
    """Records of this link of the run, the one that is being decided included."""
    should_continue_as_new: bool = False
    """They are `records_warn` or more: a good place for `continue_as_new` should come soon."""
    link: int = 1
    """Which link of its chain the run is in: 1, and one more with each `continue_as_new`."""
    attempt: int = 1
    """Which try of the workflow this is, where `@workflow(max_retries=...)` lets it begin again."""
    parent: RunKey | None = None
    """The run that has started this one as its child."""
    scheduled_at: datetime | None = None
    """The time for which a schedule has started this run: what the schedule says, however late it is; None for other runs."""


def execution_of(what: str) -> Execution:
    """Returns the execution of the workflow that calls.

    Raises:
        NotInWorkflow: No workflow is running.
        ReadOnly: It is called by a query's handler or an update's validator.
    """
    host = _host_of(what)
    if isinstance(host, Reading):
        host.refuse(what)
    assert isinstance(host, Execution)
    return host


def _readable(what: str) -> Execution:
    """Returns the execution of the code that calls, which may be a query's: only to look at."""
    host = _host_of(what)
    if isinstance(host, Reading):
        return host.execution
    assert isinstance(host, Execution)
    return host


def _host_of(what: str) -> TimerHost:
    loop = running_loop()
    if loop is None:
        refuse_in_body(what)
        raise NotInWorkflow(f"{what} works inside a workflow; elsewhere use the standard library")
    return loop.host


def _host() -> BodyHost | None:
    """Returns the host of a body that calls; a deterministic loop comes first."""
    return running_host() if running_loop() is None else None


async def sleep(delay: Duration | datetime) -> None:
    """Waits durably: no process waits, the run is woken by a delayed message, never early.

    In a workflow with `durable=False` it waits as `asyncio.sleep` does.

    Args:
        delay: Seconds, a text ("90s", "1h30m"), a timedelta, or the aware datetime to wake at; the past is now.

    Raises:
        InvalidDuration: The delay is negative, has no unit, or is more than 100 years.
        NotInWorkflow: No workflow is running.
    """
    host = _host()
    if host is not None:
        return await host.sleep(due_at_us(delay, now_us=(at_us := host.now_us()), what="sleep") - at_us)
    execution = execution_of("sleep()")
    loop = execution.loop
    due = due_at_us(delay, now_us=loop.now_us, what="sleep")
    future = loop.create_future()
    timer = loop.start_timer(due, _wake, (future,))
    try:
        await future
    finally:
        timer.cancel()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def now() -> datetime:
    """Tells the run's time, aware, in UTC: the server's time of the newest message, never backwards."""
    host = _host()
    return _instant(host.now_us() if host is not None else _readable("now()").loop.now_us)


def random() -> random_module.Random:
    """Returns the run's own generator: the same numbers on every replay."""
    return (_host() or execution_of("random()")).random


def uuid4() -> uuid.UUID:
    """Makes a random UUID, the same on every replay."""
    return uuid.UUID(int=(_host() or execution_of("uuid4()")).uuids.getrandbits(128), version=4)


def info() -> RunInfo:
    """Tells which run this is. In a workflow with `durable=False`, `parent` and `code` are not known, `commands` counts the
    steps that were begun, `started_at` is when the worker was asked, and `scheduled_at` is read from the run's id.
    """
    host = _host()
    if host is not None:
        return RunInfo(
            app=host.app,
            workflow=host.key.workflow,
            run_id=host.key.run,
            started_at=_instant(host.started_at_us),
            code="",
            commands=host.steps_begun,
            scheduled_at=time_in(host.key.run),
        )
    execution = _readable("info()")
    parent = RunKey(execution.parent.workflow, execution.parent.run) if execution.parent is not None else None
    return RunInfo(
        app=execution.app,
        workflow=execution.key.workflow,
        run_id=execution.key.run,
        started_at=_instant(execution.started_at_us),
        code=execution.workflow.code_hash,
        commands=execution.last_command,
        records=execution.records,
        should_continue_as_new=execution.records >= execution.workflow.records_warn,
        link=execution.link,
        attempt=execution.attempt,
        parent=parent,
        scheduled_at=scheduled_at(parent, execution.key.run),
    )


def _instant(at_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at_us)


def set_status(key: str, value: object) -> None:
    """Says something of this run that everybody sees who looks at it: `set_status("phase", "packing")`.

    It is in the run's summary (`RunHandle.status().values`, `wfctl runs show`), in its events, and stays after the end.
    Durable with the next decision of the run; the same value again changes nothing.

    Args:
        key: A subject token. At most 32 of them.
        value: Anything that becomes JSON, all together at most 4 KiB; None takes the key away.

    Raises:
        InvalidName: The key cannot be a token.
        InvalidValue: The value cannot become JSON, or there are too many or too large ones; nothing has changed.
        NotInWorkflow: No workflow is running.
    """
    execution = execution_of("set_status()")
    check_token("status key", key)
    raw = encode(value, where=f"status value {key!r}")
    if execution.loop.is_stopped:
        return  # clean-up code of a run that is dead here
    if execution.status is None:
        execution.status = StatusValues()
    if msgspec.json.decode(raw) != execution.status.values.get(key):
        execution.status.set(key, raw)


def patched(patch_id: str) -> bool:
    """Tells whether the run is on the new side of a change of its code, of which the old side is in the `else`.

    True for runs that come here for the first time under the changed code, which is marked in their log; False, for good,
    for those whose log was written before the change. When no run of the old side is left, drop that side and leave
    `deprecate_patch` in its place; when no run with the mark is left, drop that too.

    Args:
        patch_id: Names the change within the workflow.

    Raises:
        InvalidName: The id cannot be a token.
        NotInWorkflow: No workflow is running.
    """
    return execution_of("patched()").patched(check_token("patch id", patch_id))


def deprecate_patch(patch_id: str) -> None:
    """Says that the old side of a change is gone: logs with its mark replay, and new runs get none.

    Raises as `patched` does.
    """
    execution_of("deprecate_patch()").deprecate_patch(check_token("patch id", patch_id))


def shield() -> AbstractAsyncContextManager[None]:
    """Holds a cancel of the run back while the block runs; it is delivered at the end of the outermost block.

    Use it for what must not be left half done, and for clean-up: `async with shield(): await refund(...)`.
    """
    return _Shield(execution_of("shield()"))


class _Shield(AbstractAsyncContextManager[None]):
    def __init__(self, execution: Execution) -> None:
        self._execution = execution

    async def __aenter__(self) -> None:
        self._execution.enter_shield()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._execution.leave_shield()
