"""A client on the in-memory twin, in virtual time, and a hand that writes what actor workers would write."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from jetrun.actors import call
from jetrun.actors.errors import ErrorInfo
from jetrun.actors.messages import Body, Start, decode_body
from jetrun.actors.names import RunKey
from jetrun.actors.records import (
    VERSION,
    Outcome,
    Record,
    StartMark,
    Status,
    Summary,
    encode_record,
    record_hash,
    start_hash,
)
from jetrun.client import Client, RunHandle
from jetrun.streams.memory import MemoryBroker, MemoryServer
from jetrun.streams.ports import Outgoing, PubAck
from jetrun.streams.subjects import App
from support.simloop import SimLoop, run

APP = App("t")
KEY = RunKey("order", "o-1")


class ClientRig:
    """The twin with a client, and a connection that stands for all workers."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop = loop
        self.server = MemoryServer(loop.now_us)
        self.server.provision(APP, ["default"])
        self.worker = MemoryBroker(self.server)
        self.broker = MemoryBroker(self.server)
        self.client = Client(self.broker, APP.name)
        self._ends: dict[RunKey, tuple[int, str]] = {}

    # --- what a program does ----------------------------------------------------------------------
    async def started(self) -> RunHandle[Any]:
        """Starts `KEY` with the argument that `mark("o-1")` stands for."""
        return await self.client.start(call(KEY.workflow, KEY.run), run_id=KEY.run)

    def count_reads(self) -> list[str]:
        """Returns a list that grows with each subject whose last message the client reads."""
        reads: list[str] = []
        last_direct = self.broker.last_direct

        async def counted(stream: str, subject: str) -> Any:
            reads.append(subject)
            return await last_direct(stream, subject)

        self.broker.last_direct = counted  # type: ignore[method-assign]  # sees what the server is asked
        return reads

    # --- what workers write -----------------------------------------------------------------------
    async def record(self, key: RunKey = KEY, *, notice: bool = True, **fields: Any) -> Record:
        """Appends a record to a run's log, and sends the `done` notice of a terminal one."""
        k, prev = self._ends.get(key, (0, ""))
        outcome: Outcome | None = fields.get("outcome")
        status = outcome.status if outcome is not None else "running"
        fields.setdefault(
            "summary", Summary(status=status, started_at_us=1, ended_at_us=2 if outcome is not None else 0)
        )
        record = Record(v=VERSION, k=k + 1, prev=prev, nonce=f"n{k}", by="w", at_us=self.loop.now_us(), **fields)
        raw = encode_record(record)
        self._ends[key] = (k + 1, record_hash(raw))
        ack = await self.worker.publish(Outgoing(APP.log_of(key), raw))
        assert ack.code == 0
        if outcome is not None and notice:
            self.notice(key, status=status)
        return record

    async def begin(self, *args: object, key: RunKey = KEY, start_id: str = "s") -> Record:
        """Appends the first record of a run that was started with those arguments."""
        return await self.record(key, start=StartMark(id=start_id, hash=start_hash(msgspec.json.encode(args), None)))

    async def end(self, *args: object, key: RunKey = KEY, result: object = None, notice: bool = True) -> Record:
        """Appends the terminal record of a run that completed."""
        outcome = Outcome(status="completed", result=msgspec.Raw(msgspec.json.encode(result)))
        return await self.record(key, start=self.mark(*args), outcome=outcome, notice=notice)

    async def fail(self, error: ErrorInfo) -> None:
        """Appends the terminal record of a run that failed."""
        await self.record(start=self.mark("o-1"), outcome=Outcome(status="failed", error=error))

    def mark(self, *args: object, start_id: str = "s") -> StartMark:
        return StartMark(id=start_id, hash=start_hash(msgspec.json.encode(args), None))

    def notice(self, key: RunKey = KEY, **body: object) -> None:
        self.worker.notify(APP.done(key), msgspec.json.encode({"workflow": key.workflow, "run": key.run, **body}))

    async def bury(self, raw: bytes, key: RunKey = KEY, *, code: str = "args", reason: str = "wrong") -> None:
        """Puts a message among the dead letters and says so."""
        letter = {"code": code, "reason": reason, "subject": "s", "seq": 1, "at_us": 1, "body": raw.decode()}
        await self.worker.publish(Outgoing(APP.dead_of(key), msgspec.json.encode(letter)))
        self.notice(key, status="refused")

    async def append_strange(self, raw: bytes, key: RunKey = KEY) -> None:
        """Stores what no worker has written under a run's log subject."""
        await self.worker.publish(Outgoing(APP.log_of(key), raw))

    async def append_strange_record(self, key: RunKey = KEY) -> None:
        """Stores a record that does not follow the one before it."""
        record = Record(v=VERSION, k=99, prev="", nonce="", by="x", at_us=0, summary=Summary(status="running"))
        await self.append_strange(encode_record(record), key)

    async def index(self, state: str, key: RunKey, status: Status) -> PubAck:
        body = {"workflow": key.workflow, "run": key.run, "status": status, "started_at_us": 5}
        return await self.worker.publish(Outgoing(APP.index_of(state, key), msgspec.json.encode(body)))

    def drop_notices(self) -> None:
        """From now on no notice reaches anybody."""
        self.server.faults.notice_lost = 1.0

    # --- what was sent to runs ----------------------------------------------------------------------
    async def mail(self) -> list[tuple[str, Body]]:
        """Reads the mailbox: verb with name, and body, in order."""
        stored = await self.worker.read(APP.mail, f"wf.{APP.name}.mail.>")
        addresses = [APP.read_mail(message.subject) for message in stored]
        return [
            (f"{a.verb}.{a.name}" if a.name else a.verb, decode_body(a.verb, a.name, message.payload))
            for a, message in zip(addresses, stored, strict=True)
        ]

    async def starts(self) -> list[Start]:
        return [body for _, body in await self.mail() if isinstance(body, Start)]


def on_twin(test: Callable[[ClientRig], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Runs a test in virtual time with a rig of its own."""

    async def main(loop: SimLoop) -> None:
        rig = ClientRig(loop)
        await test(rig)
        await rig.client.close()

    def wrapped() -> None:
        run(main, seed=1)

    wrapped.__name__, wrapped.__doc__ = test.__name__, test.__doc__
    return wrapped
