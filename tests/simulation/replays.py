"""Replays: every log, given to today's code again, must lead to the decisions that it holds (I6).

Once live, message by message, as a worker that never dies would have folded them; and once more by the replay of all but
the last decision, as a worker that has just taken over would. Both must come to the records that are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from campaign.graph_story import first_definition
from campaign.run_logs import Entry, RunLog
from jetrun.actors.actor import Actor
from jetrun.actors.errors import JetrunError
from jetrun.actors.graph_workflow import GraphWorkflow
from jetrun.actors.journal import message_of
from jetrun.actors.records import Record, record_hash
from jetrun.actors.registry import Registry
from jetrun.actors.workflow import Workflow


class Replayer:
    """Replays the logs of one simulation.

    Args:
        objects: Large values by hash.
        partial: Workflows that some worker did not know.
        changed: Graphs that some workers knew in another definition; a run keeps the one that it began with.
    """

    def __init__(
        self,
        app: str,
        registry: Registry,
        objects: Mapping[str, bytes],
        *,
        partial: frozenset[str] = frozenset(),
        changed: Mapping[str, GraphWorkflow] = {},
    ) -> None:
        self._app = app
        self._registry = registry
        self._objects = objects
        self._partial = partial
        self._changed = changed

    def differs(self, log: RunLog) -> str:
        """Says where the code decides otherwise than the log; empty where it does not."""
        groups = list(_decisions(log.entries))
        is_cut = any(one.record.more and other.record.undecided for one, other in pairwise(log.entries))
        try:
            problem = "" if is_cut else self._live(log, groups)  # parked between two parts of a decision
            if not problem and len(groups) > 1 and log.key.workflow not in self._partial:
                actor = self._loaded(log, groups[:-1])
                problem = self._fold(actor, groups[-1])
                actor.close()
        except (JetrunError, AssertionError) as error:
            problem = f"{type(error).__name__}: {error}"
        return problem

    def _live(self, log: RunLog, groups: Sequence[list[Entry]]) -> str:
        actor = self._loaded(log, [])
        for index, group in enumerate(groups):
            if actor.is_spent:
                actor.close()
                actor = self._loaded(log, groups[:index])
            if group[0].record.parked is not None and not group[0].record.messages:
                actor.close()  # parked for what was folded before, by a worker that could not make that decision again
                actor = self._loaded(log, groups[: index + 1])
                continue
            problem = self._fold(actor, group)
            if problem and log.key.workflow in self._partial:
                # Whoever decided did not know the code.
                actor.close()
                actor = self._loaded(log, groups[:index], knows=False)
                problem = self._fold(actor, group) and problem
                if not actor.is_spent:
                    actor = self._loaded(log, groups[: index + 1])
            if problem:
                return problem
        actor.close()
        return ""

    def _loaded(self, log: RunLog, groups: Sequence[Sequence[Entry]], *, knows: bool = True) -> Actor:
        workflow = self._workflow_of(log) if knows else None
        actor = Actor(self._app, log.key, workflow, by="audit")
        for entry in (entry for group in groups for entry in group):
            actor.read(entry.record, digest=record_hash(entry.raw), seq=entry.seq)
        if groups:
            for _ in actor.replay(self._objects):
                pass
        return actor

    def _workflow_of(self, log: RunLog) -> Workflow[..., Any]:
        changed = self._changed.get(log.key.workflow)
        if changed is not None and first_definition(log, self._objects) == changed.definition.raw:
            return changed
        return self._registry.workflows[log.key.workflow]

    def _fold(self, actor: Actor, entries: Sequence[Entry]) -> str:
        """Folds the messages of one decision and compares what comes of it; the actor then stands behind it."""
        first = entries[0].record
        messages = [message_of(folded) for folded in first.messages]
        decision = actor.fold(messages, objects=self._objects, nonce=first.nonce)
        held, made = _essence([entry.record for entry in entries]), _essence(decision.parts)
        if made != held:
            return f"record {first.k} holds {_shown(held)}, the code decides {_shown(made)}"
        stored = msgspec.structs.replace(
            decision, records=[entry.raw for entry in entries], parts=[entry.record for entry in entries]
        )
        actor.commit(stored, [entry.seq for entry in entries])
        return ""


def _essence(parts: Sequence[Record]) -> bytes:
    """What a decision says, without who wrote it, and where it was parted, which depends on the writer's name."""
    if not parts:
        return b""
    last = parts[-1]
    lists = [name for name in last.__struct_fields__ if isinstance(getattr(last, name), list)]
    whole = {name: [value for part in parts for value in getattr(part, name)] for name in lists}
    plain = msgspec.structs.replace(last, k=parts[0].k, by="", nonce="", prev="", python="", code="", **whole)
    if len(parts) > 1 and plain.continued is not None:
        # Who finishes a decision for another has noted the ids of its first part already, and names them to the new
        # link, which notes them itself as well.
        plain = msgspec.structs.replace(plain, continued=msgspec.structs.replace(plain.continued, seen=""))
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


def _shown(essence: bytes) -> str:
    return essence[:1500].decode(errors="replace")
