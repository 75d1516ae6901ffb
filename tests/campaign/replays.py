"""Replays: every log, given to today's code again, must lead to the decisions that it holds (I6).

Twice: live, message by message as a worker that never dies would have folded them; and by replay of everything but
the last decision, as a worker that has just taken over would. Both must come to the record that is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from jetrun.actors.actor import Actor
from jetrun.actors.decision import Decision
from jetrun.actors.engine import ENGINE_WORKFLOWS
from jetrun.actors.journal import message_of
from jetrun.actors.records import Record, record_hash
from jetrun.actors.registry import Registry

from . import flows, graph_definitions
from .audit import Case
from .run_logs import Entry, RunLog

REGISTRY: Final = Registry.of_modules([flows.__name__, graph_definitions.__name__]).with_engine(ENGINE_WORKFLOWS)


def same_decisions(case: Case) -> list[str]:
    """Every log replays to the same decisions."""
    found: list[str] = []
    for log in case.logs():
        for how, check in (("live", _live), ("replayed", _replayed), ("read from its link", _read_from_link)):
            problem = check(case, log)
            if problem:
                found.append(f"{log.key} {how}: {problem}")
    return found


def _live(case: Case, log: RunLog) -> str:
    actor = _actor(case, log)
    try:
        for entries in _decisions(log.entries):
            problem = _fold(actor, entries, case.remains.objects)
            if problem:
                return problem
    finally:
        actor.close()
    return ""


def _replayed(case: Case, log: RunLog) -> str:
    decisions = list(_decisions(log.entries))
    if len(decisions) < 2:
        return ""
    actor = _actor(case, log)
    try:
        for entry in (entry for entries in decisions[:-1] for entry in entries):
            actor.read(entry.record, digest=record_hash(entry.raw), seq=entry.seq)
        for _ in actor.replay(case.remains.objects):
            pass
        return _fold(actor, decisions[-1], case.remains.objects)
    finally:
        actor.close()


def _read_from_link(case: Case, log: RunLog) -> str:
    """As a worker does that takes over a run that has continued as new: it reads no more than it needs."""
    decisions = list(_decisions(log.entries))
    link = decisions[-2][-1].record.link if len(decisions) > 1 else None
    if link is None:
        return ""
    actor = _actor(case, log)
    try:
        for entry in (entry for entries in decisions[:-1] for entry in entries if entry.seq >= link.seq):
            actor.read(entry.record, digest=record_hash(entry.raw), seq=entry.seq, is_link=True)
        for _ in actor.replay(case.remains.objects):
            pass
        return _fold(actor, decisions[-1], case.remains.objects)
    finally:
        actor.close()


def _fold(actor: Actor, entries: Sequence[Entry], objects: Mapping[str, bytes]) -> str:
    """Folds the messages of one decision and compares what comes of it; the actor then stands behind it."""
    first = entries[0].record
    messages = [message_of(folded) for folded in first.messages]
    decision = actor.fold(messages, objects=objects, nonce=first.nonce)
    recorded = [_essence(entry.record) for entry in entries]
    made = [_essence(part) for part in decision.parts]
    if made != recorded:
        return f"record {first.k} holds {_shown(recorded)}, the code decides {_shown(made)}"
    actor.commit(_as_stored(decision, entries), [entry.seq for entry in entries])
    return ""


def _as_stored(decision: Decision, entries: Sequence[Entry]) -> Decision:
    """The stored bytes, because the next record's `prev` is a hash of them: who decided, and when, differs."""
    return msgspec.structs.replace(
        decision, records=[entry.raw for entry in entries], parts=[entry.record for entry in entries]
    )


def _essence(record: Record) -> bytes:
    """What a record decides, without who wrote it."""
    plain = msgspec.structs.replace(record, by="", nonce="", prev="", python="", code="")
    return msgspec.json.encode(plain)


def _decisions(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Groups the parts of a decision."""
    group: list[Entry] = []
    for entry in entries:
        group.append(entry)
        if not entry.record.more:
            yield group
            group = []
    if group:
        yield group


def _actor(case: Case, log: RunLog) -> Actor:
    return Actor(case.app, log.key, REGISTRY.workflows.get(log.key.workflow), by="audit")


def _shown(essences: Sequence[bytes]) -> str:
    return b" ".join(essences)[:1500].decode(errors="replace")
