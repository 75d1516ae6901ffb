"""Messages before the start: kept, given to the run when it starts, and dead when nobody starts it in time (R4)."""

from __future__ import annotations

import msgspec

from jetrun.actors import hook, workflow
from jetrun.actors.actor import Actor
from jetrun.actors.decision import Decision
from jetrun.actors.limits import EARLY_KEEP_US, HOOKS_KEPT_MAX
from jetrun.actors.messages import Body, Cancel, Hook, Message, Pause, Start, Tick, encode_body
from jetrun.actors.names import RunKey
from jetrun.actors.records import decode_record, record_hash

KEEP_US = 1_000
KEY = RunKey("waits", "w-1")


@workflow
async def waits() -> int:
    return await hook("a", int)


class Rig:
    """An actor and the log that it writes."""

    def __init__(self) -> None:
        self.log: list[bytes] = []
        self.actor = self.new()
        self._seq = 0

    def new(self) -> Actor:
        """Loads the run anew."""
        actor = Actor("t", KEY, waits, by="w", early_keep_us=KEEP_US)
        for seq, raw in enumerate(self.log, 1):
            actor.read(decode_record(raw), digest=record_hash(raw), seq=seq)
        if self.log:
            for _ in actor.replay({}):
                pass
        return actor

    def message(self, body: Body, at_us: int) -> Message:
        self._seq += 1
        source = Message.FIRED if isinstance(body, Tick) else Message.MAIL
        verb = "timer" if isinstance(body, Tick) else type(body).__name__.lower()
        name = "a" if isinstance(body, Hook) else ""
        raw = encode_body(body)
        return Message(source=source, seq=self._seq, at_us=at_us, verb=verb, name=name, raw=raw, body=body)

    def fold(self, *messages: Message) -> Decision:
        decision = self.actor.fold(messages, objects={}, nonce="n")
        seqs = [len(self.log) + offset for offset in range(1, len(decision.records) + 1)]
        self.log += decision.records
        self.actor.commit(decision, seqs)
        return decision


def payload(number: int) -> Hook:
    return Hook(payload=msgspec.Raw(b"%d" % number))


def test_a_message_that_is_kept_sets_the_timer() -> None:
    """Without it nobody would ever look at the run again."""
    rig = Rig()

    rig.fold(rig.message(payload(1), at_us=10))

    assert rig.actor.owed.timers == [("early", 10 + KEEP_US)]
    assert rig.new().owed.timers == [("early", 10 + KEEP_US)]


def test_what_comes_later_prolongs_the_wait_for_all() -> None:
    """The last hook would be kept for less than was promised."""
    rig = Rig()
    rig.fold(rig.message(payload(1), at_us=10))
    rig.fold(rig.message(Cancel(), at_us=500))

    early = rig.fold(rig.message(Tick(), at_us=10 + KEEP_US))

    assert rig.actor.owed.timers == [("early", 500 + KEEP_US)]
    assert early.records == []


def test_the_tick_in_time_ends_the_log_and_kills_what_was_kept() -> None:
    """A hook for a run that is never started would be kept for ever, and its sender never told."""
    rig = Rig()
    rig.fold(rig.message(payload(1), at_us=10), rig.message(payload(2), at_us=11))
    rig.fold(rig.message(Cancel(id="c"), at_us=12))

    decision = rig.fold(rig.message(Tick(), at_us=12 + KEEP_US))

    (record,) = decision.parts
    assert record.expired
    assert not record.undecided
    owed = rig.actor.owed
    assert owed.is_expired
    assert [(v.message.seq, v.message.verb, v.code) for v in owed.refused] == [
        (1, "hook", "no_run"),
        (2, "hook", "no_run"),
        (3, "cancel", "no_run"),
    ]
    assert owed.refused[0].reason == "nobody has started waits/w-1 within 1ms"
    assert owed.refused[0].message.raw == encode_body(payload(1))
    assert rig.actor.is_spent


def test_a_crash_after_the_end_leaves_the_same_to_do() -> None:
    """The messages would be dead without a dead letter (R7)."""
    rig = Rig()
    rig.fold(rig.message(payload(1), at_us=10))
    rig.fold(rig.message(Tick(), at_us=10 + KEEP_US))

    assert rig.new().owed == rig.actor.owed
    assert rig.new().journal.is_expired


def test_a_start_at_the_last_moment_wins() -> None:
    """What was accepted before the deadline beats the deadline (R14)."""
    rig = Rig()
    rig.fold(rig.message(payload(7), at_us=10))

    decision = rig.fold(rig.message(Tick(), at_us=10 + KEEP_US), rig.message(Start(), at_us=9 + KEEP_US))

    outcome = decision.parts[-1].outcome
    assert outcome is not None
    assert bytes(outcome.result) == b"7"


def test_a_hook_at_the_last_moment_is_kept_and_keeps_the_others() -> None:
    """Half of what one sender sent would be dead, the other half applied."""
    rig = Rig()
    rig.fold(rig.message(payload(1), at_us=10))

    decision = rig.fold(rig.message(Tick(), at_us=10 + KEEP_US), rig.message(payload(2), at_us=11 + KEEP_US))

    assert [folded.seq for folded in decision.parts[0].messages] == [3]
    assert not rig.actor.owed.is_expired
    assert len(rig.actor.journal.backlog) == 2


def test_other_messages_wait_for_the_new_log() -> None:
    """A pause that came with the tick would be lost with the log."""
    rig = Rig()
    rig.fold(rig.message(payload(1), at_us=10))
    pause = rig.message(Pause(), at_us=10 + KEEP_US)

    decision = rig.fold(rig.message(Tick(), at_us=10 + KEEP_US), pause)

    assert decision.rest == [pause]


def test_a_repeated_delivery_does_not_prolong_the_wait() -> None:
    """A hook whose ack was lost would be delivered, and the run waited for, again and again."""
    rig = Rig()
    kept = rig.message(payload(1), at_us=10)
    rig.fold(kept)

    decision = rig.fold(kept, rig.message(Tick(), at_us=10 + KEEP_US))

    assert decision.parts[0].expired
    assert [(verdict.message, verdict.is_repeat) for verdict in decision.verdicts] == [(kept, True)]


def test_so_many_are_kept_and_no_more() -> None:
    """Whoever may send hooks could fill the disk under run ids of their own invention."""
    rig = Rig()
    for _ in range(HOOKS_KEPT_MAX // 500):
        rig.fold(*(rig.message(payload(1), at_us=10) for _ in range(500)))

    decision = rig.fold(rig.message(payload(2), at_us=11))

    assert decision.records == []
    assert [verdict.code for verdict in decision.verdicts] == ["full"]


def test_a_day_is_the_default() -> None:
    """It is documented."""
    assert EARLY_KEEP_US == 24 * 3600 * 1_000_000
