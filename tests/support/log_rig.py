"""A rig for actors without streams: a log in a list, messages made by hand, and a check after each turn that whoever
reads the log anew comes to the same state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from jetrun.actors import Workflow
from jetrun.actors.actor import Actor
from jetrun.actors.commands import RunStep
from jetrun.actors.decision import Decision, Owed
from jetrun.actors.errors import ErrorInfo
from jetrun.actors.journal import message_of
from jetrun.actors.limits import RECORD_BYTES_MAX
from jetrun.actors.messages import (
    Body,
    Cancel,
    ChildResult,
    Hook,
    Message,
    Pause,
    Ref,
    Resume,
    Start,
    StepResult,
    Terminate,
    Tick,
    Update,
    decode_body,
    encode_body,
)
from jetrun.actors.names import RunKey
from jetrun.actors.parts import joined
from jetrun.actors.records import Record, Summary, decode_record, record_hash

START_US = 1_800_000_000_000_000
"""When the first message of a rig was accepted, where nothing else is said."""

SECOND = 1_000_000

_VERBS: dict[type[Any], str] = {
    Start: "start",
    Hook: "hook",
    Cancel: "cancel",
    Terminate: "terminate",
    Pause: "pause",
    Resume: "resume",
    StepResult: "step",
    ChildResult: "child",
    Tick: "timer",
    Update: "update",
}

Stored = tuple[bytes, int]


class LogRig:
    """One run, its log, and the actor that hosts it.

    Args:
        evict: The actor is thrown away after every turn, as by a worker with a small cache.
        check: After each turn the log is read anew, and must lead to the same state.
    """

    def __init__(
        self,
        workflow: Workflow[..., Any] | None,
        *,
        run: str = "r-1",
        name: str = "",
        evict: bool = False,
        check: bool = True,
    ) -> None:
        self.workflow = workflow
        self.older: dict[int, Workflow[..., Any]] = {}
        self.key = RunKey(name or (workflow.name if workflow is not None else "unknown"), run)
        self.objects: dict[str, bytes] = {}
        self.log: list[Stored] = []
        self.owed = Owed()
        """Of the last decision."""
        self.actor = self.new_actor()
        self.now_us = START_US
        self.dead: set[tuple[str, int, str]] = set()
        """The dead letters: source, sequence and code."""
        self._seq = 0
        self._evict = evict
        self._check = check
        self._turns = 0

    # --- messages -------------------------------------------------------------------------------
    def message(self, body: Body, name: str = "", *, at_s: float | None = None, at_us: int | None = None) -> Message:
        """Makes a message as a worker gets it: with the next sequence, its body read from its JSON.

        Without a time it comes a millisecond after the one before.
        """
        self._seq += 1
        if at_us is None:
            at_us = self.now_us + 1_000 if at_s is None else START_US + round(at_s * SECOND)
        self.now_us = max(self.now_us, at_us)
        raw = encode_body(body)
        verb = _VERBS[type(body)]
        source = Message.FIRED if verb == "timer" else Message.MAIL
        return Message(
            source=source, seq=self._seq, at_us=at_us, verb=verb, name=name, raw=raw, body=decode_body(verb, name, raw)
        )

    def start(self, *args: object, at_s: float | None = None, message_id: str = "", **kwargs: object) -> Decision:
        return self.feed(self.message(start_body(*args, message_id=message_id, **kwargs), at_s=at_s))

    def step(self, n: int, result: object = None, *, attempt: int = 1, at_s: float | None = None) -> Decision:
        """Gives a step its result; an `ErrorInfo` is a failure that may be tried again."""
        return self.feed(self.message(result_body(n, result, attempt=attempt), at_s=at_s))

    def fail(
        self, n: int, type_: str = "OSError", *, attempt: int = 1, at_s: float | None = None, **fields: Any
    ) -> Decision:
        """Gives a step a failed attempt."""
        error = ErrorInfo(type=type_, message="no luck")
        body = StepResult(command=n, attempt=attempt, token="", error=error, **fields)
        return self.feed(self.message(body, at_s=at_s))

    def child(self, n: int, result: object = None, *, status: str = "completed", at_s: float | None = None) -> Decision:
        """Tells of a child's end; with an `ErrorInfo` for a result it failed, or ended as `status` says."""
        error = result if isinstance(result, ErrorInfo) else None
        raw = msgspec.Raw(b"null" if error is not None else msgspec.json.encode(result))
        status = "failed" if error is not None and status == "completed" else status
        body = ChildResult(command=n, token="", status=status, result=raw, error=error)
        return self.feed(self.message(body, at_s=at_s))

    def hook(self, name: str, payload: object = None, *, at_s: float | None = None, message_id: str = "") -> Decision:
        return self.feed(self.message(hook_body(payload, message_id), name, at_s=at_s))

    def update(self, name: str, *args: object, at_s: float | None = None, message_id: str = "") -> Decision:
        return self.feed(self.message(update_body(*args, message_id=message_id), name, at_s=at_s))

    def tick(self, at_s: float, *, n: int = 0, due_at_us: int = 0, wake: str = "") -> Decision:
        return self.feed(self.message(Tick(n=n, due_at_us=due_at_us, wake=wake), at_s=at_s))

    def cancel(self, reason: str = "", *, at_s: float | None = None) -> Decision:
        return self.feed(self.message(Cancel(reason=reason), at_s=at_s))

    def terminate(self, reason: str = "", *, at_s: float | None = None) -> Decision:
        return self.feed(self.message(Terminate(reason=reason), at_s=at_s))

    def pause(self, *, at_s: float | None = None) -> Decision:
        return self.feed(self.message(Pause(), at_s=at_s))

    def resume(self, *, at_s: float | None = None) -> Decision:
        return self.feed(self.message(Resume(), at_s=at_s))

    # --- turns ----------------------------------------------------------------------------------
    def feed(self, *messages: Message) -> Decision:
        """Folds messages and stores what comes of them, turn after turn until none is left; returns the first decision."""
        first: Decision | None = None
        left: Sequence[Message] = messages
        while left:
            decision = self.fold(*left)
            self.store(decision)
            first = first or decision
            left = decision.rest
        assert first is not None
        return first

    def fold(self, *messages: Message) -> Decision:
        """Folds messages; nothing is stored."""
        self._turns += 1
        decision = self.actor.fold(messages, objects=self.objects, nonce=f"n{self._turns}")
        self.owed = self.actor.owed
        told = [*decision.folded, *decision.rest, *(verdict.message for verdict in decision.verdicts)]
        # A worker acks what was folded or judged: each message is in one of the lists, and in one only.
        assert sorted(map(id, told)) == sorted(map(id, messages))
        return decision

    def store(self, decision: Decision, parts: int | None = None) -> None:
        """Appends a decision, or only so many of its parts, in which case the actor is lost as in a crash."""
        self.objects |= decision.uploads
        verdicts = [verdict for verdict in decision.verdicts if verdict.code]
        self.dead |= {(verdict.message.source, verdict.message.seq, verdict.code) for verdict in verdicts}
        self.dead |= {(one.source, one.seq, one.code) for part in decision.parts for one in part.refused}
        for raw in decision.records[:parts]:
            assert len(raw) <= 2 * RECORD_BYTES_MAX
            self.log.append((raw, len(self.log) * 3 + 7))  # sequences of a stream have gaps
        if parts is not None and parts < len(decision.records):
            self.load()
            return
        self.actor.commit(decision, [seq for _, seq in self.log[len(self.log) - len(decision.records) :]])
        if self._check and decision.records:
            self.check()
        if self.actor.is_spent or self._evict:
            owed = self.owed
            self.load()
            self.owed = owed

    # --- loading --------------------------------------------------------------------------------
    def new_actor(self, log: Sequence[Stored] = (), *, is_link: bool = False) -> Actor:
        """Makes an actor that has read a log and not replayed it."""
        actor = Actor("app", self.key, self.workflow, by="w.1", older=self.older)
        for raw, seq in log:
            actor.read(decode_record(raw), digest=record_hash(raw), seq=seq, is_link=is_link)
        return actor

    def from_link(self) -> Sequence[Stored]:
        """Finds what a worker reads of the log: from where its newest record says that its link begins."""
        link = self.last.link
        return self.log if link is None else [stored for stored in self.log if stored[1] >= link.seq]

    def replayed(self, log: Sequence[Stored], *, is_link: bool = False) -> Actor:
        """Makes an actor that stands where a log ends."""
        actor = self.new_actor(log, is_link=is_link)
        if log:
            for _ in actor.replay(self.objects):
                pass
        return actor

    def load(self) -> None:
        """Throws the actor away and rebuilds it, finishing a decision that was appended in part."""
        self.actor.close()
        if self.actor.journal.is_expired:
            self.log.clear()  # what its last record says: the log is purged
        self.actor = (
            self.replayed(self.from_link(), is_link=self.last.link is not None) if self.log else self.new_actor()
        )
        self.owed = self.actor.owed
        rest = self.actor.unfinished
        if rest is not None:
            self.store(rest)

    def deploy(self, workflow: Workflow[..., Any] | None) -> None:
        """Restarts the worker with other code."""
        self.workflow = workflow
        self.load()

    def check(self) -> None:
        """Reads the log anew, whole and from where its link begins: the same state, and nothing that cannot be decided."""
        for actor in (self.replayed(self.log), self.replayed(self.from_link(), is_link=self.last.link is not None)):
            try:
                is_odd = actor.journal.parked is not None or actor.journal.is_expired
                assert not actor.is_spent or is_odd, actor.journal.key
                assert state_of(actor) == state_of(self.actor)
            finally:
                actor.close()

    # --- reading --------------------------------------------------------------------------------
    @property
    def records(self) -> list[Record]:
        return [decode_record(raw) for raw, _ in self.log]

    @property
    def last(self) -> Record:
        return decode_record(self.log[-1][0])

    @property
    def summary(self) -> Summary:
        return self.actor.journal.summary

    @property
    def status(self) -> str:
        return self.summary.status

    @property
    def result(self) -> Any:
        outcome = self.last.outcome
        assert outcome is not None, self.last
        assert outcome.status == "completed", outcome
        return msgspec.json.decode(outcome.result)

    @property
    def error(self) -> ErrorInfo:
        outcome = self.last.outcome
        assert outcome is not None
        assert outcome.error is not None, outcome
        return outcome.error

    def commands(self) -> list[bytes]:
        """All commands of the log, in their order, as JSON."""
        return [msgspec.json.encode(command) for record in self.records for command in record.commands]

    def asked(self) -> list[str]:
        """The steps of the log, in the order in which they were asked for."""
        return [command.name for r in self.records for command in r.commands if isinstance(command, RunStep)]


def start_body(*args: object, message_id: str = "", **kwargs: object) -> Start:
    raw = msgspec.Raw(msgspec.json.encode(args))
    return Start(id=message_id, args=raw, kwargs=msgspec.Raw(msgspec.json.encode(kwargs)) if kwargs else None)


def hook_body(payload: object = None, message_id: str = "") -> Hook:
    return Hook(id=message_id, payload=msgspec.Raw(msgspec.json.encode(payload)))


def update_body(*args: object, message_id: str = "") -> Update:
    return Update(id=message_id, args=msgspec.Raw(msgspec.json.encode(args)))


def result_body(n: int, result: object = None, *, attempt: int = 1) -> StepResult:
    if isinstance(result, ErrorInfo):
        return StepResult(command=n, attempt=attempt, token="", error=result)
    if isinstance(result, Ref):
        return StepResult(command=n, attempt=attempt, token="", ref=result)
    return StepResult(command=n, attempt=attempt, token="", result=msgspec.Raw(msgspec.json.encode(result)))


def state_of(actor: Actor) -> tuple[object, ...]:
    """What two actors of one run must agree on."""
    journal = actor.journal
    execution = actor._execution
    inside: object = None
    if execution is not None and not journal.has_ended:
        inside = (
            execution.loop.now_us,
            {n: (entry.attempt, msgspec.json.encode(entry.command)) for n, entry in execution.steps.items()},
            {n: due for n, (due, _) in execution.timers.items()},
            {n: child.command for n, child in execution.children.items()},
            execution.inbox.shown(),
            execution.failures,
            execution.last_command,
            execution.status.values if execution.status is not None else {},
            (list(execution.desk.open), sorted(execution.desk.updates)) if execution.desk is not None else ([], []),
        )
    return (
        (journal.k, journal.prev, journal.seq, journal.now_us, journal.summary, journal.start, journal.parked),
        (journal.backlog, journal.is_paused, journal.outcome, journal.link, journal.continued),
        (sorted(journal.seen._deliveries), list(journal.seen._ids), list(journal.seen._carried or ())),
        inside,
    )


def decisions(log: Iterable[Record]) -> list[Record]:
    """The decisions of a log, their parts joined, without who wrote them and when."""
    return [
        msgspec.structs.replace(record, by="", nonce="", prev="", python="", code="") for record, _ in joined([*log])
    ]


def messages_of(log: Iterable[Record]) -> list[Message]:
    """The messages that a log has taken, in its order."""
    return [message_of(folded) for record in log for folded in record.messages]
