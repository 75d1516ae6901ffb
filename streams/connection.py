"""Connection: nats-py's client, with a direct way in and out, and every private corner of it that jetrun leans on.

`Wire` keeps what nats-py is good at (dialling, authentication, TLS, reconnecting, pings) and replaces what costs:
messages go from the parser straight to plain callables, commands are joined into one write per turn of the loop.
No other file touches nats-py's internals; the version range in pyproject.toml is what this file was tried with.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from functools import partial
from logging import ERROR, WARNING
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from nats import errors as nats_errors
from nats.aio.client import Client, Srv
from nats.aio.subscription import Subscription as NatsSubscription

from ..actors.errors import BrokerError, PayloadTooLarge, ServerLost, WrongCredentials
from ..actors.limits import (
    CONNECT_TIMEOUT_S,
    DIAL_PAUSE_S,
    DIAL_WAIT_S,
    DIAL_WAIT_SHORT_S,
    FLUSH_TIMEOUT_S,
    PING_INTERVAL_S,
    PINGS_OUTSTANDING_MAX,
    READ_BYTES,
    RECONNECT_PAUSE_S,
    RECONNECTS_ONE_SHOT_MAX,
    RETIRED_S,
    UNSENT_BYTES_MAX,
    WRITE_BYTES,
)
from .frames import FrameParser, Sink
from .subjects import check_subject
from .telemetry import log

if TYPE_CHECKING:
    from typing_extensions import override  # known to type checkers without being installed
else:

    def override(method: object) -> object:
        """Stands in for `typing.override`, which Python 3.11 lacks."""
        return method


_DENIED: Final = re.compile(r"permissions violation for (publish|subscription)\b.*? to \"([^\"]*)\"", re.IGNORECASE)
_REFUSED: Final = ("authorization violation", "authentication", "nkey", "invalid client credentials")


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """How to prove who we are; all empty for a server that asks nobody."""

    user: str | None = None
    password: str | None = None
    token: str | None = None
    creds_file: str | None = None
    nkey_file: str | None = None
    inbox_prefix: str = "_INBOX"
    """Per role, where replies must not be readable by others."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where to connect, as whom, and how patient to be."""

    url: str
    """One address or several separated by commas."""
    name: str
    is_one_shot: bool = False
    """A command that shall fail soon rather than wait for a server to come back."""
    dial_wait_s: float = DIAL_WAIT_S
    """How long to dial before the first connection is there."""
    login: Login = Login()
    tls: ssl.SSLContext | None = None

    @property
    def addresses(self) -> list[str]:
        return [part.strip() for part in self.url.split(",") if part.strip()]

    @property
    def shown(self) -> str:
        """The addresses without user and password, for messages."""
        return ", ".join(re.sub(r"//.*@", "//", part) for part in self.addresses)


class Wire(Client):
    """A NATS connection that calls sinks directly and writes once per turn of the loop.

    Callbacks (plain functions, called on the loop): `on_disconnect`, `on_reconnect`, `on_closed` (gone for good,
    with the reason; not after `close`), `on_denied` ("publish" or "subscription", and the subject).
    """

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.target = target
        self.on_disconnect: list[Callable[[], None]] = []
        self.on_reconnect: list[Callable[[], None]] = []
        self.on_closed: list[Callable[[str], None]] = []
        self.on_denied: list[Callable[[str, str], None]] = []
        self._sinks: dict[int, Sink] = {}
        self._ps = FrameParser(self, self._sinks)  # type: ignore[assignment]  # what nats-py calls of it is there
        self._at_pass_end: list[Callable[[], None]] = []
        self._loop = asyncio.get_running_loop()
        self._is_write_due = False
        self._losses = 0
        self._is_leaving = False
        self._has_been_up = False
        self._appended = 0
        self._reason = ""
        self._cause: Exception | None = None

    @classmethod
    async def open(cls, target: Target) -> Wire:
        """Connects, trying again until a one-shot command's or a worker's patience ends.

        Raises:
            ServerLost: Nobody answers at the address in time.
            WrongCredentials: The server refused us; tried once.
        """
        patience_s = DIAL_WAIT_SHORT_S if target.is_one_shot else target.dial_wait_s
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience_s
        said = ""
        while True:
            wire = cls(target)
            try:
                await wire._dial()
            except ServerLost as error:
                if loop.time() + DIAL_PAUSE_S >= deadline:
                    raise
                if str(error) != said:
                    said = str(error)
                    log("connection.unreachable", WARNING, url=target.shown, reason=error)
                await asyncio.sleep(DIAL_PAUSE_S)
            else:
                return wire

    # --- state -----------------------------------------------------------------------------------
    @property
    def server_version(self) -> str:
        return str(self._server_info.get("version", ""))

    @property
    def has_jetstream(self) -> bool:
        """What the server says of itself; the account may differ."""
        return bool(self._server_info.get("jetstream", False))

    @property
    def written_count(self) -> int:
        """How many commands have left for the socket; at most, after nats-py wrote some of its own."""
        return self._appended - len(self._pending)

    @property
    def appended_count(self) -> int:
        """How many commands were given to `send`."""
        return self._appended

    # --- out ---------------------------------------------------------------------------------------
    def send(self, command: bytes) -> None:
        """Sends a protocol command with all others of this turn of the loop; kept while disconnected, up to a bound."""
        size = self._pending_data_size + len(command)
        if size > UNSENT_BYTES_MAX and not self.is_connected:
            return  # Acks and notices may be lost with a connection; publishes are bounded and timed by the publisher.
        self._pending.append(command)
        self._pending_data_size = size
        self._appended += 1
        if size > WRITE_BYTES:
            self._write_pending()
        elif not self._is_write_due:
            self._is_write_due = True
            self._loop.call_soon(self._write_pending)

    def send_publish(self, subject: str, reply: str, headers: bytes, payload: bytes) -> None:
        """Sends a message. `headers` is a whole block or empty; sizes are the caller's to check."""
        if headers:
            line = f"HPUB {subject} {reply} {len(headers)} {len(headers) + len(payload)}\r\n"
        else:
            line = f"PUB {subject} {reply} {len(payload)}\r\n"
        self.send(b"".join((line.encode(), headers, payload, b"\r\n")))

    def send_notice(self, subject: str, payload: bytes) -> None:
        """Sends a message that wants no answer.

        Raises:
            InvalidName: The subject cannot be sent.
            PayloadTooLarge: The server would close the connection.
        """
        check_subject(subject)
        if len(payload) > self.max_payload:
            raise PayloadTooLarge(
                f"notice to {subject!r} has {len(payload)} bytes, the server takes {self.max_payload}"
            )
        self.send_publish(subject, "", b"", payload)

    async def settle(self) -> None:
        """Waits until the server has handled everything sent so far.

        Raises:
            ServerLost: It did not answer in time.
        """
        while True:
            losses = self._losses
            # nats-py's flush writes its PING past the commands that still wait here: an answer would prove nothing.
            self._write_pending()
            try:
                await self.flush(FLUSH_TIMEOUT_S)
            except (nats_errors.Error, OSError) as error:
                if self._losses > losses and self.is_connected:
                    continue  # the answer went to the connection that broke
                text = f"no answer from {self.target.shown} for {FLUSH_TIMEOUT_S} s: {_shown(error)}"
                raise ServerLost(text) from error
            else:
                return

    # --- in -------------------------------------------------------------------------------------------
    def attach(self, subject: str, sink: Sink, *, queue: str = "") -> int:
        """Subscribes a sink; renewed by itself after a reconnect. Returns the subscription's id."""
        check_subject(subject)
        if queue:
            check_subject(queue)
        self._sid += 1
        sid = self._sid
        self._sinks[sid] = sink
        # nats-py renews what it finds in `_subs`; without `_start` the entry costs no task.
        self._subs[sid] = NatsSubscription(self, sid, subject, queue)
        self.send(f"SUB {subject} {queue} {sid}\r\n".encode())
        return sid

    def mute(self, sid: int) -> None:
        """Asks the server to send nothing more; what it has sent by then still reaches the sink, until `detach`."""
        self._subs.pop(sid, None)
        self.send(f"UNSUB {sid}\r\n".encode())

    def detach(self, sid: int) -> None:
        """Ends a subscription of `attach`; nothing is called for it any more. Idempotent."""
        if self._sinks.pop(sid, None) is not None and self._subs.pop(sid, None) is not None:
            self.send(f"UNSUB {sid}\r\n".encode())

    def retire(self, sid: int, last_sink: Sink) -> None:
        """Ends a subscription of `attach`, and gives what was on its way already to another sink. Idempotent."""
        if self._subs.pop(sid, None) is not None:
            self._sinks[sid] = last_sink
            self.send(f"UNSUB {sid}\r\n".encode())
            self._loop.call_later(RETIRED_S, self._sinks.pop, sid, None)

    def at_pass_end(self, callback: Callable[[], None]) -> None:
        """Calls once, after all messages of the chunk that is being read have reached their sinks."""
        self._at_pass_end.append(callback)

    # --- the end ------------------------------------------------------------------------------------------
    async def leave(self) -> None:
        """Writes what waits and closes. Idempotent."""
        if self._is_leaving:
            return
        self._is_leaving = True
        try:
            self._write_pending()
            await self.close()
        except (OSError, RuntimeError) as error:
            # The transport closed under us (uvloop: "the handler is closed"). Whoever leaves has a reason of its own to tell.
            log("connection.cut", WARNING, url=self.target.shown, reason=error)

    # --- nats-py's corners --------------------------------------------------------------------------------
    async def _dial(self) -> None:
        target, login = self.target, self.target.login
        _check_files(login)
        try:
            await self.connect(
                target.addresses,
                name=target.name,
                user=login.user,
                password=login.password,
                token=login.token,
                user_credentials=login.creds_file,
                nkeys_seed=login.nkey_file,
                inbox_prefix=login.inbox_prefix,
                tls=target.tls,
                allow_reconnect=False,  # the first time we decide ourselves whether to try again
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=CONNECT_TIMEOUT_S,
                ping_interval=PING_INTERVAL_S,
                max_outstanding_pings=PINGS_OUTSTANDING_MAX,
                pending_size=UNSENT_BYTES_MAX,
                error_cb=self._note_error,
                disconnected_cb=self._note_disconnect,
                reconnected_cb=self._note_reconnect,
                closed_cb=self._note_closed,
            )
        except ImportError as error:
            raise BrokerError(
                "credentials and nkey files need the package nkeys: pip install 'nats-py[nkeys]'"
            ) from error
        except (TimeoutError, nats_errors.Error, OSError, ValueError) as error:
            self._hang_up()
            raise self._explain(self._cause or error) from error
        self._has_been_up = True
        self.options["allow_reconnect"] = True
        self.options["max_reconnect_attempts"] = RECONNECTS_ONE_SHOT_MAX if target.is_one_shot else -1
        self.options["reconnect_time_wait"] = RECONNECT_PAUSE_S

    def _hang_up(self) -> None:
        if self._transport is not None:
            self._transport.close()  # type: ignore[no-untyped-call]  # nats-py has no annotation there

    def _explain(self, error: Exception) -> BrokerError:
        text = _shown(error)
        if any(word in text.lower() for word in _REFUSED):
            return WrongCredentials(
                f"the server at {self.target.shown} refused us ({text}); give user and password, token or creds"
            )
        if isinstance(error, ssl.SSLError):
            return ServerLost(f"no TLS with the server at {self.target.shown}: {text}; check the certificate authority")
        return ServerLost(
            f"no NATS server at {self.target.shown}: {text}; start one with `wfctl server` or give another address"
        )

    async def _note_error(self, error: Exception) -> None:
        if isinstance(error, nats_errors.NoServersError):
            return
        self._cause = error
        reason, self._reason = self._reason, _shown(error)
        if self._has_been_up and reason != self._reason:  # every try to reconnect ends here; said once
            log("connection.error", WARNING, url=self.target.shown, reason=self._reason)

    async def _note_disconnect(self) -> None:
        if self._is_leaving or not self._has_been_up:
            return
        self._losses += 1
        log("connection.lost", WARNING, url=self.target.shown, reason=self._reason)
        for callback in list(self.on_disconnect):
            _tell(callback)

    async def _note_reconnect(self) -> None:
        self._reason = ""
        log("connection.back", WARNING, url=self.target.shown)
        for callback in list(self.on_reconnect):
            _tell(callback)

    async def _note_closed(self) -> None:
        if self._is_leaving or not self._has_been_up:
            return
        reason = self._reason or (_shown(self._err) if self._err else "connection closed")
        log("connection.closed", ERROR, url=self.target.shown, reason=reason)
        for callback in list(self.on_closed):
            _tell(partial(callback, reason))

    async def handle_message(self, sid: int, subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None:
        await self._process_msg(sid, subject, reply, payload, headers)

    async def handle_ping(self) -> None:
        await self._process_ping()

    async def handle_pong(self) -> None:
        await self._process_pong()

    async def handle_info(self, info: dict[str, object]) -> None:
        await self._process_info(info)

    async def handle_error(self, text: str) -> None:
        """Tells who waits about a denied subject; anything else ends the connection, in nats-py for good."""
        found = _DENIED.search(text)
        if found is not None:
            for callback in list(self.on_denied):
                _tell(partial(callback, found[1].lower(), found[2]))
            return
        self._reason = text.strip("'")
        await self._process_err(text.lower())

    @override
    async def _connect_to_server(self, s: Srv) -> None:
        await super()._connect_to_server(s)
        # nats-py's 32 KiB limit pauses the socket after every 64 KiB read; a larger one reads on while we parse.
        reader: Any = getattr(self._transport, "_io_reader", None)
        if isinstance(reader, asyncio.StreamReader):
            reader._limit = READ_BYTES  # type: ignore[attr-defined]  # noqa: SLF001 - asyncio has no setter

    @override
    async def _read_loop(self) -> None:
        while not (self.is_closed or self.is_reconnecting) and self._transport is not None:
            try:
                if self._transport.at_eof():
                    self._reason = self._reason or "the server closed the connection"
                    await self._process_op_err(nats_errors.UnexpectedEOF())
                    return
                await self._ps.parse(await self._transport.read(READ_BYTES))
                if self._at_pass_end:
                    callbacks, self._at_pass_end = self._at_pass_end, []
                    for callback in callbacks:
                        callback()
            except (nats_errors.ProtocolError, OSError) as error:
                self._reason = _shown(error)
                await self._process_op_err(error)
                return

    def _write_pending(self) -> None:
        self._is_write_due = False
        if not self._pending or not self.is_connected or self._transport is None:
            return
        data = b"".join(self._pending)
        self._pending = []
        self._pending_data_size = 0
        try:
            self._transport.write(data)
        except (
            OSError,
            RuntimeError,
        ) as error:  # uvloop raises for a transport that is closing; the read loop sees it too
            self._reason = _shown(error)


def _tell(callback: Callable[[], None]) -> None:
    """Calls back out of nats-py's tasks, which would end without a word at an exception."""
    try:
        callback()
    except Exception as error:  # noqa: BLE001 - the connection serves others too
        log("connection.callback_failed", ERROR, callback=repr(callback), error=repr(error))


def _check_files(login: Login) -> None:
    for path in (login.creds_file, login.nkey_file):
        if path is not None and not Path(path).is_file():
            raise WrongCredentials(f"no credentials file at {path!r}")


def _shown(error: BaseException) -> str:
    text = str(error).removeprefix("nats: ").strip().strip("'")
    return text or type(error).__name__
