"""The embedded server: one per store, gone with its owner, back with its data. Real processes throughout."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import anyio
import msgspec
import nats
import pytest

from jetrun.actors.errors import BrokerError, PortInUse, ServerLost, StoreInUse
from jetrun.streams import guard
from jetrun.streams.server import EmbeddedServer
from jetrun.streams.server_store import ServerStore, probe
from support.processes import Child, Processes

OWNER = """
import sys, time
from pathlib import Path
from jetrun.streams.server import EmbeddedServer
server = EmbeddedServer.start(Path(sys.argv[1]))
try:
    print("serving", server.url, server.pid, server.is_owner, flush=True)
    if sys.argv[2] == "leave":
        sys.exit()
    time.sleep(600)
except KeyboardInterrupt:
    server.stop()
    print("stopped", flush=True)
"""


async def start_owner(processes: Processes, store: Path, then: str = "stay") -> tuple[Child, str, int]:
    owner = processes.start_python("-c", OWNER, store, then, name="owner")
    found = await owner.wait_line(r"serving (\S+) (\d+) True")
    return owner, found[1], int(found[2])


def is_alive(pid: int) -> bool:
    """A zombie that nobody has waited for counts as dead."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(") ")[2].startswith("Z"))


async def wait_dead(pid: int, within_s: float) -> None:
    with anyio.fail_after(within_s):
        while is_alive(pid):
            await anyio.sleep(0.02)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "odd 'name\" $x"


async def publish_one(url: str, body: bytes) -> None:
    client = await nats.connect(url)
    jetstream = client.jetstream()
    await jetstream.add_stream(name="S", subjects=["s"])
    await jetstream.publish("s", body)
    await client.close()


async def read_last(url: str) -> bytes:
    client = await nats.connect(url)
    message = await client.jetstream().get_last_msg("S", "s")
    await client.close()
    assert message.data is not None
    return message.data


def test_start_gives_a_ready_jetstream_on_a_free_port(store: Path) -> None:
    """On return of `start` a client can connect and use JetStream."""
    with EmbeddedServer.start(store) as first, EmbeddedServer.start(store / "other") as second:
        info = probe("127.0.0.1", int(first.url.rpartition(":")[2]))

        assert info is not None
        assert info.jetstream
        assert first.is_owner
        assert second.is_owner
        assert first.url != second.url


async def test_data_survives_stop_and_start(store: Path) -> None:
    """What was acknowledged is there when the store is opened again, on whatever port."""
    with EmbeddedServer.start(store) as server:
        await publish_one(server.url, b"kept")

    with EmbeddedServer.start(store) as again:
        assert await read_last(again.url) == b"kept"


@pytest.mark.parametrize("sync_always", [False, True])
async def test_data_survives_kill_and_restart_on_the_same_port(store: Path, sync_always: bool) -> None:
    """`restart` after kill -9 of the server gives the same address and every acknowledged message."""
    with EmbeddedServer.start(store, sync_always=sync_always) as server:
        url, pid = server.url, server.pid
        await publish_one(url, b"kept")

        os.kill(pid, signal.SIGKILL)
        server.restart()

        assert server.url == url
        assert server.pid != pid
        assert await read_last(url) == b"kept"


async def test_second_user_of_a_store_joins(store: Path, processes: Processes) -> None:
    """Two servers on one store would destroy it: the second user gets the first one's server, and cannot stop it."""
    owner, url, pid = await start_owner(processes, store)

    with EmbeddedServer.start(store) as joined:
        assert (joined.url, joined.pid, joined.is_owner) == (url, pid, False)
        with pytest.raises(BrokerError, match="only its owner restarts it"):
            joined.restart()

    assert is_alive(pid)
    assert owner.is_running


async def test_many_starters_at_once_make_one_server(store: Path, processes: Processes) -> None:
    """The lock decides a race of starters; the others join the winner."""
    owners = [processes.start_python("-c", OWNER, store, "stay", name=f"owner {n}") for n in range(4)]

    found = [await owner.wait_line(r"serving (\S+) (\d+) (True|False)") for owner in owners]

    assert len({line[1] for line in found}) == 1
    assert sorted(line[3] for line in found) == ["False", "False", "False", "True"]


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
async def test_server_dies_with_its_owner(store: Path, processes: Processes, death: signal.Signals) -> None:
    """However the owner ends, its server is gone within 2 s and the store is free."""
    owner, _, pid = await start_owner(processes, store)

    owner.signal(death)

    await wait_dead(pid, within_s=2)
    with EmbeddedServer.start(store) as again:
        assert again.is_owner


async def test_server_ends_when_its_owner_just_leaves(store: Path, processes: Processes) -> None:
    """An owner that forgets `stop` leaves nothing behind."""
    owner, _, pid = await start_owner(processes, store, "leave")

    assert await owner.wait_ended() == 0

    await wait_dead(pid, within_s=2)


async def test_server_dies_although_a_fork_of_the_owner_holds_the_pipe(store: Path, processes: Processes) -> None:
    """A forked worker inherits the lifeline; the owner's death is noticed all the same."""
    code = OWNER.replace("try:\n", "import os\nif os.fork() == 0:\n    time.sleep(20)\n    os._exit(0)\ntry:\n", 1)
    owner = processes.start_python("-c", code, store, "stay", name="owner")
    pid = int((await owner.wait_line(r"serving \S+ (\d+) True"))[1])

    owner.kill()

    await wait_dead(pid, within_s=2)


async def test_server_dies_with_its_guard(store: Path) -> None:
    """Even a killed guard leaves no server without anybody to stop it, and `restart` mends it."""
    with EmbeddedServer.start(store) as server:
        pid = server.pid
        guard_pid = os.getsid(pid)

        os.kill(guard_pid, signal.SIGKILL)

        with anyio.fail_after(5):
            await server.wait_closed()
        server.restart()
        assert not is_alive(pid)
        assert is_alive(server.pid)


async def test_lock_outlives_owner_and_guard_while_the_server_lives(store: Path) -> None:
    """No two servers on one store, ever: the server itself holds the lock."""
    holder = ServerStore(store)
    assert holder.acquire()
    assert holder.lock is not None
    with subprocess.Popen(["sleep", "60"], pass_fds=(holder.lock,)) as standing_in_for_the_server:
        holder.release()

        assert not ServerStore(store).acquire()

        standing_in_for_the_server.kill()
        standing_in_for_the_server.wait()
    again = ServerStore(store)
    assert again.acquire()
    again.release()


async def test_crash_of_the_server_is_noticed(store: Path) -> None:
    """`wait_closed` returns when the server dies, for its owner and for who has joined."""
    with EmbeddedServer.start(store) as server, EmbeddedServer.start(store) as joined:
        with anyio.move_on_after(0.3) as waiting:
            await server.wait_closed()
        assert waiting.cancelled_caught

        os.kill(server.pid, signal.SIGKILL)

        with anyio.fail_after(5):
            await server.wait_closed()
            await joined.wait_closed()


def test_port_in_use_is_said_plainly(store: Path) -> None:
    """A taken port is one clear line, and the store is free again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]

        with pytest.raises(PortInUse, match=f"port {port} of 127.0.0.1 is in use by another process"):
            EmbeddedServer.start(store, port=port)

    with EmbeddedServer.start(store, port=port) as server:
        assert server.is_owner
        assert server.url.endswith(f":{port}")


def test_store_in_use_with_another_port_or_weaker_sync_is_refused(store: Path) -> None:
    """Joining never silently gives less than was asked for."""
    with EmbeddedServer.start(store) as server:
        port = int(server.url.rpartition(":")[2])

        with pytest.raises(StoreInUse, match=rf"in use by process {os.getpid()} .*without port {port + 1}"):
            EmbeddedServer.start(store, port=port + 1)
        with pytest.raises(StoreInUse, match="without a sync at every write"):
            EmbeddedServer.start(store, sync_always=True)


def test_store_held_without_a_server_is_refused(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A holder that never serves is reported, not waited for without end."""
    monkeypatch.setattr("jetrun.streams.server.SERVER_JOIN_S", 0.2)
    holder = ServerStore(store)
    assert holder.acquire()

    with pytest.raises(StoreInUse, match="in use by another process and no server answers there"):
        EmbeddedServer.start(store)

    holder.release()


async def test_stale_state_of_a_killed_owner_is_not_believed(store: Path, processes: Processes) -> None:
    """The state file outlives kill -9; the next user starts a server instead of joining a ghost."""
    owner, _, pid = await start_owner(processes, store)
    owner.kill()
    await wait_dead(pid, within_s=2)
    assert ServerStore(store).read_state() is not None

    with EmbeddedServer.start(store) as server:
        assert server.is_owner


def test_failed_start_shows_the_servers_own_words(store: Path) -> None:
    """The reason for a failed start is the server's, in one line; nothing keeps running and the store is free."""
    store.mkdir()
    (store / "jetstream").write_text("not a directory")

    with pytest.raises(ServerLost, match=r"nats-server did not start: .*not a directory") as caught:
        EmbeddedServer.start(store)

    assert "\n" not in str(caught.value)
    (store / "jetstream").unlink()
    EmbeddedServer.start(store).stop()


def test_unusable_store_and_open_host_are_refused(tmp_path: Path) -> None:
    """A server without credentials listens on loopback alone; a bad path is one clear line."""
    file = tmp_path / "file"
    file.write_text("")

    with pytest.raises(BrokerError, match="cannot be used"):
        EmbeddedServer.start(file / "store")
    with pytest.raises(BrokerError, match="not a loopback address"):
        EmbeddedServer.start(tmp_path / "store", host="0.0.0.0")


def test_log_goes_where_it_is_asked_for(tmp_path: Path, store: Path) -> None:
    """The log can live outside the store; where it cannot be written, one clear line says so."""
    with EmbeddedServer.start(store, log=tmp_path / "logs" / "server.log"):
        assert "Server is ready" in (tmp_path / "logs" / "server.log").read_text()
    (tmp_path / "file").write_text("")

    with pytest.raises(BrokerError, match="nats-server cannot be started"):
        EmbeddedServer.start(store, log=tmp_path / "file" / "server.log")

    EmbeddedServer.start(store).stop()


async def test_interrupt_reaches_the_owner_alone(store: Path, processes: Processes) -> None:
    """Ctrl-C goes to the terminal's group: the owner stops the server itself, cleanly."""
    owner, _, pid = await start_owner(processes, store)

    owner.interrupt()

    await owner.wait_line("stopped")
    assert await owner.wait_ended() == 0
    assert not is_alive(pid)
    log = (store / "nats-server.log").read_text()
    assert 'Trapped "terminated" signal' in log
    assert "interrupt" not in log


def test_guard_kills_what_ignores_the_request(tmp_path: Path) -> None:
    """After the grace the command is killed -9."""
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), "0.2", sys.executable, "-c", stubborn]
    output = tmp_path / "output"
    with (
        output.open("wb") as errors,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors) as guarding,
    ):
        assert guarding.stdin is not None
        assert guarding.stdout is not None
        pid = int(guarding.stdout.readline())
        while b"up" not in output.read_bytes():
            time.sleep(0.01)

        guarding.stdin.close()

        assert guarding.wait(5) == 128 + signal.SIGKILL
        assert not is_alive(pid)


def test_guard_passes_on_the_status_of_its_command(tmp_path: Path) -> None:
    """The guard ends as its command ends, and says so when there is no such command."""

    def guarded(*command: str) -> subprocess.CompletedProcess[bytes]:
        parts = [sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), "1", *command]
        with subprocess.Popen(["sleep", "10"], stdout=subprocess.PIPE) as lifeline:
            ended = subprocess.run(parts, stdin=lifeline.stdout, capture_output=True, timeout=5, check=False)
            lifeline.kill()
        return ended

    assert guarded(sys.executable, "-c", "raise SystemExit(7)").returncode == 7
    missing = guarded(str(tmp_path / "missing"))
    assert missing.returncode == 127
    assert b"No such file" in missing.stderr


def test_state_is_json_that_others_can_read(store: Path) -> None:
    """`wfctl` and scripts find the server of a store by its state file."""
    with EmbeddedServer.start(store) as server:
        state: dict[str, object] = msgspec.json.decode((store / "jetrun.json").read_bytes())

        assert f"nats://{state['host']}:{state['port']}" == server.url
        assert state["server_pid"] == server.pid
