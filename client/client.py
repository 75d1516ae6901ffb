"""Client: what other programs use to start runs, to reach them, and to see how they and the fleet do."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Iterable, Sequence
from logging import WARNING
from typing import Any, Literal, ParamSpec, Self, TypeVar, overload

from ..actors.errors import InvalidName
from ..actors.hook import TypedHook
from ..actors.hook_token import HookToken
from ..actors.limits import DIAL_WAIT_SHORT_S
from ..actors.names import RunKey, check_token
from ..actors.records import Status
from ..actors.workflow import Call, Workflow
from ..streams.dead_letter import DeadLetter
from ..streams.jetstream import JetStream
from ..streams.ports import Broker
from ..streams.subjects import App
from ..streams.telemetry import log
from .catalog import Catalog
from .completion import complete, fail
from .configuration import Configuration
from .fleet import Fleet, QueueState, Worker
from .handle import RunHandle
from .hooks import WaitingHook
from .reader import RunEvent
from .schedules import Schedules
from .session import Session
from .settings import Settings
from .starting import Starting
from .status import RunSummary, StatusWord

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Client:
    """A connection to one app, for any number of runs at once; a process needs one.

    Made by `Client.connect`; `async with` closes it at the end.

    Args:
        broker: The connection; closed with the client.
        app: The app's name.
    """

    def __init__(self, broker: Broker, app: str = "default") -> None:
        self._session = Session(broker, App(app))
        self._catalog = Catalog(broker, self._session.app)
        self._fleet = Fleet(broker, self._session.app)

    @classmethod
    async def connect(  # noqa: PLR0913 - the options of a connection are what they are
        cls,
        url: str | None = None,
        *,
        app: str | None = None,
        name: str = "jetrun client",
        user: str | None = None,
        password: str | None = None,
        token: str | None = None,
        creds: str | None = None,
        tls: ssl.SSLContext | None = None,
        is_one_shot: bool = False,
    ) -> Client:
        """Connects: `async with await Client.connect() as client: ...`.

        What is not given comes from the environment, then from the nearest configuration file (docs/configuration.md).

        Args:
            url: `nats://host:port`, several separated by commas; else `JETRUN_URL`, the file's `url`, the local server.
            app: Else `JETRUN_APP`, the file's `app`, `default`.
            name: How the server shows this connection.
            creds: Path of a `.creds` file.
            is_one_shot: For commands: a lost connection is given up within seconds, where a service waits for the server.

        Raises:
            BadConfiguration: The file or a variable has what cannot be; names the place.
            ServerLost, WrongCredentials, JetStreamOff, ServerTooOld: No use of that server is possible.
        """
        given = {"url": url, "app": app, "user": user, "password": password, "token": token, "creds": creds}
        configuration = Configuration.read(given)
        for warning in configuration.warnings:
            log("configuration.unknown_variable", WARNING, warning=warning)
        settings = Settings.of(configuration)
        broker = await JetStream.connect(
            settings.url,
            name=name,
            is_one_shot=is_one_shot,
            dial_wait_s=DIAL_WAIT_SHORT_S,
            login=settings.login,
            tls=tls,
        )
        return cls(broker, settings.app)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection; who still waits for a result gets `ServerLost`. Idempotent."""
        await self._session.close()

    @property
    def app(self) -> str:
        """The app's name."""
        return self._session.app.name

    # --- runs -------------------------------------------------------------------------------------
    async def start(
        self,
        call: Call[R],
        *,
        run_id: str,
        conflict: Literal["existing", "fail"] = "existing",
        hooks: Sequence[tuple[str | TypedHook[Any], object]] = (),
    ) -> RunHandle[R]:
        """Starts a run; durable on return. Idempotent by run id: the same call again gives the same run, ended or not.

        An id names one run until it is forgotten, 30 days after its end.

        Args:
            call: `order.call("o-1")`, or by name `call("order", "o-1")`.
            run_id: Letters, digits, `_` and `-`; names the run among those of the workflow.
            conflict: `existing` takes a run of that id and these arguments for this one, and returns once the message
                is stored. `fail` demands a new run, and waits until a worker has recorded it as begun by this call.
            hooks: Names (or defined hooks) and payloads of hooks that follow the start in the same breath, in this order. They are sent
                to a run that exists, too; one that has ended refuses them (dead letter `ended`).

        Raises:
            RunConflict: The id is taken: by a start with other arguments, or with `fail` by any other. Where both
                come at the same moment, `RunHandle.result` of the later one raises it.
            MessageRefused: With `fail`: the start is among the dead letters. Else `RunHandle.result` raises it.
            InvalidName, InvalidValue: Names or values cannot be sent; nothing was.
            StreamFull, NotProvisioned, OutcomeUnknown: As the broker says; the same call again is safe.
        """
        starting = Starting(self._session, call.workflow, run_id, call.args, call.kwargs)
        waits = self._session.waits
        await waits.close_idle()
        watch = waits.watch_nowait(starting.key)
        seen = -1 if watch is None else watch.news
        if conflict == "fail":
            await starting.send_new(hooks)
        else:
            record = await starting.send(hooks)
            if record is not None and record.outcome is not None:
                seen = -1
        return RunHandle(self._session, starting.key, call.result_type, mark=starting.mark, watch=watch, seen=seen)

    @overload
    def get(self, run: Workflow[P, R], run_id: str) -> RunHandle[R]: ...
    @overload
    def get(self, run: str, run_id: str | None = None) -> RunHandle[Any]: ...
    def get(self, run: Workflow[P, R] | str, run_id: str | None = None) -> RunHandle[Any]:
        """Returns a handle on a run, without asking whether it exists.

        Args:
            run: A workflow, its name, or both names in one: `order/o-1`.

        Raises:
            InvalidName: A name cannot be a token.
        """
        if isinstance(run, Workflow):
            workflow, result_type = run.name, run.signature.result_type
        else:
            workflow, result_type = run, Any
            if run_id is None:
                workflow, slash, run_id = run.partition("/")
                if not slash:
                    raise InvalidName(
                        f"run {run!r} lacks its workflow; write it as workflow/run, for example order/{run}"
                    )
        key = RunKey(check_token("workflow name", workflow), check_token("run id", run_id or ""))
        return RunHandle(self._session, key, result_type)

    async def cancel(self, run: str, *, reason: str = "", wait: bool = False) -> StatusWord:
        """Asks a run, given as `workflow/run`, to stop; as `RunHandle.cancel`."""
        return await self.get(run).cancel(reason=reason, wait=wait)

    async def hooks(self, run: str) -> Sequence[WaitingHook]:
        """Lists what a run, given as `workflow/run`, waits for; as `RunHandle.hooks`."""
        return await self.get(run).hooks()

    @overload
    async def send_hook(
        self,
        token: str,
        payload: T,
        *,
        hook: TypedHook[T],
        id: str | None = None,
        before_start: bool = False,
        validate: bool = False,
    ) -> str: ...
    @overload
    async def send_hook(
        self,
        token: str,
        payload: object = None,
        *,
        id: str | None = None,
        before_start: bool = False,
        validate: bool = False,
    ) -> str: ...
    async def send_hook(
        self,
        token: str,
        payload: object = None,
        *,
        hook: TypedHook[Any] | None = None,
        id: str | None = None,  # noqa: A002 - the word on the wire
        before_start: bool = False,
        validate: bool = False,
    ) -> str:
        """Gives a payload to the hook that a token names; otherwise as `RunHandle.hook`.

        Args:
            token: `<workflow>/<run>/<hook>`, as a step gets it by `on_created`. An address, not a secret.
            hook: The defined hook that it has to be, of which the payload is checked here against its type.

        Raises:
            InvalidName: The token cannot be one, or is of another hook than `hook`.
        """
        key, name = HookToken.parse(token)
        if hook is not None and hook.name != name:
            raise InvalidName(f"hook token {token!r} is not of hook {hook.name!r}; take that hook's token")
        return await self.get(*key).hook(
            name if hook is None else hook, payload, id=id, before_start=before_start, validate=validate
        )

    # --- steps ------------------------------------------------------------------------------------
    async def complete_step(self, token: str, result: object = None) -> None:
        """Gives a step that has ended by `complete_later()` its result; durable on return. Idempotent: the first counts.

        Nothing happens where nobody waits any more: the step was completed, timed out or cancelled, or its run has
        ended. A result that does not fit the step's type fails it (`invalid_result`).

        Args:
            token: What the step's `attempt().completion_token` gave.

        Raises:
            InvalidValue: That can be no token, or the result cannot be sent. One that is false becomes a dead letter.
            StreamFull, NotProvisioned, OutcomeUnknown: As the broker says; the same call again is safe.
        """
        await complete(self._session, token, result)

    async def fail_step(self, token: str, error: BaseException | str) -> None:
        """Tells that an attempt which has ended by `complete_later()` has failed; durable on return. Idempotent.

        It is tried again as the step's options say, with a new token; not after a `FatalError`.

        Raises:
            InvalidValue, StreamFull, NotProvisioned, OutcomeUnknown: As `complete_step`.
        """
        await fail(self._session, token, error, now_us=self._session.broker.now_us())

    # --- lists ------------------------------------------------------------------------------------
    def list(
        self, *, status: Status | None = None, workflow: str | None = None, limit: int | None = None
    ) -> AsyncGenerator[RunSummary, None]:
        """Yields runs from the index, those that changed longest ago first.

        The index is a cache: runs younger than a second may be missing, one that ends meanwhile may come twice.
        """
        return self._catalog.runs(status=status, workflow=workflow, limit=limit)

    async def find(self, run_id: str) -> Sequence[RunSummary]:
        """Finds the runs of that id, of whatever workflow, in the index; see `list`."""
        return await self._catalog.named(run_id)

    def dead(self, *, workflow: str | None = None, run_id: str | None = None) -> AsyncGenerator[DeadLetter, None]:
        """Yields dead letters, oldest first. Those whose subject names no run come only where no workflow is asked for."""
        return self._catalog.dead(workflow=workflow, run_id=run_id)

    def tail(self, *, workflow: str | None = None) -> AsyncGenerator[RunEvent, None]:
        """Yields the events of all runs, of one workflow or any, from the first that is kept on into live; never ends."""
        pattern = "*" if workflow is None else check_token("workflow name", workflow)
        return self._session.reader.tail_all(pattern)

    @property
    def schedules(self) -> Schedules:
        """The app's schedules: runs at times of the clock."""
        return Schedules(self._session, self._catalog)

    # --- the fleet ----------------------------------------------------------------------------------
    async def workers(self) -> Sequence[Worker]:
        """Listens for little more than a second and returns the workers that are there."""
        return await self._fleet.workers()

    async def queues(self, names: Iterable[str] = ()) -> Sequence[QueueState]:
        """Tells what waits in each queue; takes as long as `workers`.

        Args:
            names: Queues that may have no live worker; those that have one, and `default`, are found without.
        """
        return await self._fleet.queues(names)
