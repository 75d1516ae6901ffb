"""ServerStore: the embedded server's directory, who owns it, and what is known about who serves it.

The lock is here and nowhere else: nats-server itself lets two servers start on one directory (seen on 2.15.1),
which destroys it. The lock is an flock on an open file that owner, guard and server share, so the system
frees it when the last of the three has ended, and never before the server.
"""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path
from typing import Final

import msgspec

from ..actors.errors import BrokerError

LOCK_NAME: Final = "jetrun.lock"
STATE_NAME: Final = "jetrun.json"
PROBE_S: Final = 1.0


class ServerState(msgspec.Struct, frozen=True, kw_only=True):
    """Who serves the store, as its owner wrote it down; true only while `is_served` says so."""

    host: str
    port: int
    server_id: str
    server_pid: int
    owner_pid: int
    sync_always: bool


class ServerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a server's INFO line that tells servers apart."""

    server_id: str
    version: str
    jetstream: bool = False


class ServerStore:
    """A directory for one embedded server.

    Raises:
        BrokerError: The directory cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            os.close(self._open_lock())
        except OSError as error:
            raise BrokerError(
                f"store {str(path)!r} cannot be used: {error.strerror}; name a writable directory"
            ) from error

    @property
    def lock(self) -> int | None:
        """Descriptor of the lock while it is held here, to be inherited by those who shall share it."""
        return self._lock

    def acquire(self) -> bool:
        """Takes the lock, or tells that somebody holds it. Never waits; idempotent while held here."""
        if self._lock is not None:
            return True
        lock = self._open_lock()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def release(self) -> None:
        """Gives up this process's share of the lock. Idempotent."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write_state(self, state: ServerState) -> None:
        """Says who serves the store; readers see the old or the new text, never a part."""
        draft = self.path / f"{STATE_NAME}.new"
        draft.write_bytes(msgspec.json.encode(state) + b"\n")
        draft.replace(self.path / STATE_NAME)

    def read_state(self) -> ServerState | None:
        """Reads who is said to serve the store, or None where nobody does or the text is unreadable."""
        try:
            return msgspec.json.decode((self.path / STATE_NAME).read_bytes(), type=ServerState)
        except (OSError, msgspec.DecodeError):
            return None

    def clear_state(self) -> None:
        """Forgets who served the store. Idempotent."""
        (self.path / STATE_NAME).unlink(missing_ok=True)

    def _open_lock(self) -> int:
        return os.open(self.path / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)


def is_served(state: ServerState) -> bool:
    """Tells whether the server of that state answers and its owner lives.

    A dead owner's server is about to be stopped by its guard: nobody shall join it.
    """
    info = probe(state.host, state.port)
    return info is not None and info.server_id == state.server_id and _is_alive(state.owner_pid)


def probe(host: str, port: int) -> ServerInfo | None:
    """Connects, reads a NATS server's greeting and leaves; None where no NATS server answers."""
    try:
        with socket.create_connection((host, port), timeout=PROBE_S) as connection, connection.makefile("rb") as lines:
            verb, _, body = lines.readline(64 * 1024).partition(b" ")
        return msgspec.json.decode(body, type=ServerInfo) if verb == b"INFO" else None
    except (OSError, msgspec.DecodeError):
        return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
