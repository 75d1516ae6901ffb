"""A player: brings a shape of a workflow to its end in virtual time, with everything that may happen on the way.

Steps answer after a time drawn from the seed, timers tick a little late, messages come in groups, twice, or out of order,
and the worker may crash between any two things that it does.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from random import Random

import msgspec

from jetrun.actors.actor import Actor
from jetrun.actors.commands import RunStep, due_of
from jetrun.actors.decision import Owed
from jetrun.actors.errors import ErrorInfo
from jetrun.actors.journal import message_of
from jetrun.actors.limits import VALUE_INLINE_BYTES_MAX
from jetrun.actors.messages import Body, Message, Ref, Start, StepResult, Tick
from jetrun.actors.records import Record, decode_record, encode_record, record_hash

from .log_rig import SECOND, START_US, LogRig, decisions, state_of
from .workflow_shapes import Shape, plain

TURNS_MAX = 2_000


@dataclass(frozen=True)
class Trouble:
    """What may happen on the way; chances are from 0 to 1."""

    group_max: int = 1
    """Messages of one turn."""
    twice: float = 0.0
    """A message is delivered again."""
    shuffle: float = 0.0
    """A message overtakes the one before it."""
    crash: float = 0.0
    """The worker crashes: before its append, or between that and the effects."""
    late_us: int = 50_000
    """Ticks come up to so late."""
    evict: bool = False
    lost_code: float = 0.0
    """The worker is replaced by one that does not know the workflow; the next such change brings it back."""


CALM = Trouble()


class Player:
    """One run of a shape.

    Args:
        seed: Decides everything that may vary.
    """

    def __init__(self, shape: Shape, seed: int = 0, trouble: Trouble = CALM, *, check: bool = False) -> None:
        self.shape = shape
        self.rig = LogRig(shape.workflow, run=f"run-{shape.name}", evict=trouble.evict, check=check)
        self.delivered: list[Message] = []
        """All messages, in the order in which they came first."""
        self.debts: list[Owed] = []
        """What was owed after each decision."""
        self._random = Random(f"{shape.name}/{seed}")
        self._trouble = trouble
        self._events: list[tuple[int, int, Body, str]] = []
        self._count = 0
        self._out: set[tuple[int, int]] = set()

    def play(self) -> LogRig:
        """Plays until nothing can happen any more; the run has ended then."""
        shape = self.shape
        args = msgspec.Raw(msgspec.json.encode(shape.args))
        self._later(START_US, Start(id="begin", args=args))
        for one in shape.inputs:
            self._later(START_US + round(one.at_s * SECOND), one.body, one.name)
        for _ in range(TURNS_MAX):
            self._deploy()
            if not self._events:
                break
            self._turn(list(self._next_group()))
        else:
            raise AssertionError(f"{shape.name} does not end")
        assert self.rig.actor.journal.has_ended, f"{shape.name} waits for ever: {self.rig.summary}"
        return self.rig

    # --- turns ----------------------------------------------------------------------------------
    def _next_group(self) -> Iterator[Message]:
        size = self._random.randint(1, self._trouble.group_max)
        for _ in range(min(size, len(self._events))):
            event = heapq.heappop(self._events)
            is_overdue = isinstance(event[2], Start) and isinstance(self._events[0][2] if self._events else None, Tick)
            if self._events and not is_overdue and self._random.random() < self._trouble.shuffle:
                event = heapq.heapreplace(self._events, event)
            at_us, _, body, name = event
            message = self.rig.message(body, name, at_us=at_us)
            self.delivered.append(message)
            yield message

    def _deploy(self) -> None:
        """Takes the code away, or brings it back; in the end it is there."""
        is_over = not self._events
        is_lost = self.rig.workflow is None
        if is_lost and (is_over or self._random.random() < 0.3):
            self.rig.deploy(self.shape.workflow)
            self._later(self.rig.now_us, Tick(wake="parked"))
        elif not is_lost and not is_over and self._random.random() < self._trouble.lost_code:
            self.rig.deploy(None)

    def _turn(self, messages: list[Message]) -> None:
        if self.delivered and self._random.random() < self._trouble.twice:
            # Not what came before the start and is dead: after it, it would be another message.
            known = [m for m in self.delivered if (m.source, m.seq, "no_run") not in self.rig.dead]
            messages += [self._random.choice(known[:-1] or known)] if known else []
            messages = list({id(message): message for message in messages}.values())
        left = messages
        while left:
            left = self._decide(left)

    def _decide(self, messages: list[Message]) -> list[Message]:
        rig, crash = self.rig, self._trouble.crash
        decision = rig.fold(*messages)
        if self._random.random() < crash:
            rig.load()  # nothing was appended: the same messages come again
            return messages
        if len(decision.records) > 1 and self._random.random() < crash:
            rig.store(decision, parts=self._random.randint(1, len(decision.records) - 1))
            self._owe(rig.owed)
            return messages
        rig.store(decision)
        if decision.records:
            owed = rig.owed
            if self._random.random() < crash:
                rig.load()  # appended, nothing carried out: the successor owes the same
                owed = rig.owed
            self._owe(owed)
        return decision.rest

    def _owe(self, owed: Owed) -> None:
        self.debts.append(owed)
        now_us = self.rig.actor.journal.now_us
        for command in (*owed.steps, *owed.inline):
            self._work(command, 1, now_us)
        for command, retry in owed.retries:
            self._work(command, retry.attempt, retry.due_at_us)
        for name, due_at_us in owed.timers:
            late_us = self._random.randint(0, self._trouble.late_us)
            n = int(name) if name.isdigit() else 0
            self._later(due_at_us + late_us, Tick(n=n, due_at_us=due_at_us))
        if owed.parked is not None:
            self._later(owed.parked.retry_at_us, Tick(due_at_us=owed.parked.retry_at_us))

    def _work(self, command: RunStep, attempt: int, from_us: int) -> None:
        if (command.n, attempt) in self._out:
            return  # the queue has it already (R8)
        self._out.add((command.n, attempt))
        answer = (self.shape.answer or plain)(command, attempt)
        took_us = round(self._random.uniform(0.2, 1.8) * self.shape.step_s * SECOND)
        self._later(from_us + took_us, self._result(command.n, attempt, answer))

    def _result(self, n: int, attempt: int, answer: object) -> StepResult:
        if isinstance(answer, ErrorInfo):
            return StepResult(command=n, attempt=attempt, token="", error=answer)
        raw = msgspec.json.encode(answer)
        if len(raw) > VALUE_INLINE_BYTES_MAX:
            ref = Ref(sha256=sha256(raw).hexdigest(), size=len(raw))
            self.rig.objects[ref.sha256] = raw
            return StepResult(command=n, attempt=attempt, token="", ref=ref)
        return StepResult(command=n, attempt=attempt, token="", result=msgspec.Raw(raw))

    def _later(self, at_us: int, body: Body, name: str = "") -> None:
        self._count += 1
        heapq.heappush(self._events, (at_us, self._count, body, name))


def regrouped(player: Player, sizes: Iterator[int]) -> LogRig:
    """Gives the messages of a run that was played to a new actor, in other groups.

    A message never comes before what it answers is recorded: nobody works on what was not decided (P5).
    """
    rig = LogRig(player.shape.workflow, run=player.rig.key.run, check=False)
    rig.objects = dict(player.rig.objects)
    asked: set[tuple[int, int]] = {(0, 0)}
    group: list[Message] = []
    wanted = next(sizes)
    for message in player.delivered:
        if group and (len(group) >= wanted or cause_of(message) not in asked):
            _feed(rig, group, asked)
            wanted = next(sizes)
        group.append(message)
    _feed(rig, group, asked)
    return rig


def cause_of(message: Message) -> tuple[int, int]:
    """Names the command that a message answers, with the attempt."""
    match message.body:
        case StepResult() as body:
            return body.command, body.attempt
        case Tick() as body:
            return body.n, bool(body.n)
        case _:
            return 0, 0


def _feed(rig: LogRig, group: list[Message], asked: set[tuple[int, int]]) -> None:
    before = len(rig.log)
    rig.feed(*group)
    group.clear()
    for raw, _ in rig.log[before:]:
        record = decode_record(raw)
        asked |= {(command.n, 1) for command in record.commands}
        asked |= {(retry.n, retry.attempt) for retry in record.retries}


# --- what must be true of every log ------------------------------------------------------------------


def check_prefixes(rig: LogRig) -> None:
    """After each decision of a log, a worker that takes over makes the next one, byte for byte (I6)."""
    records = rig.records
    for index in range(1, len(records)):
        if records[index - 1].more or not records[index].code:
            continue  # a worker without the code can but keep messages, and obey a terminate
        actor = rig.replayed(rig.log[:index])
        try:
            _check_next(rig, actor, index)
        finally:
            actor.close()


def check_live(rig: LogRig) -> None:
    """A worker that never dies makes the same decisions from the same messages, and stands where a replay stands."""
    actor = rig.new_actor()
    for index, record in enumerate(rig.records):
        if index and rig.records[index - 1].more:
            continue
        if actor.is_spent:
            actor.close()
            actor = rig.replayed(rig.log[:index])
        _check_next(rig, actor, index)
        size = _size(rig.records, index)
        for raw, seq in rig.log[index : index + size]:
            actor.journal.add(decode_record(raw), digest=record_hash(raw), seq=seq)
        if record.outcome is None and not actor.is_spent:
            other = rig.replayed(rig.log[: index + size])
            assert state_of(other) == state_of(actor)
            other.close()
    actor.close()


def check_time(rig: LogRig) -> None:
    """No timer fired early, none twice, and none that was not asked for (R14, I12)."""
    due = {c.n: due_of(c) for record in rig.records for c in record.commands if due_of(c)}
    fired = [(n, record.at_us) for record in rig.records for n in record.fired]
    assert len({n for n, _ in fired}) == len(fired)
    assert [n for n, at_us in fired if due[n] > at_us] == []
    times = [record.at_us for record in rig.records]
    assert times == sorted(times)


def _check_next(rig: LogRig, actor: Actor, index: int) -> None:
    record = rig.records[index]
    messages = [message_of(folded) for folded in record.messages]
    decision = actor.fold(messages, objects=rig.objects, nonce=record.nonce)
    expected = decisions(rig.records[index : index + _size(rig.records, index)])
    made = decisions(decision.parts)
    assert [encode_record(one) for one in made] == [encode_record(one) for one in expected]


def _size(records: list[Record], index: int) -> int:
    size = 1
    while records[index + size - 1].more:
        size += 1
    return size
