"""The actor: one run. It folds messages into decisions and is rebuilt from its log; it does no I/O.

A turn: `fold` messages, append the decision's records (fenced by `journal.seq`), `commit`, carry out `owed`. An append
that is refused means that somebody else advanced the run: throw the actor away and load it anew (R4). An actor that
could not decide (code differs, workflow unknown, blocked) parks: its messages are kept in the log undecided (R3).
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from .admission import Verdict, judge, mark_of
from .commands import Command
from .decision import Decision, Owed, owed_of, summary_of
from .errors import BadMessage, ErrorInfo, InvalidValue, ReplayMismatch
from .execution import Execution
from .failures import error_info
from .fold import Fold, refs_of
from .journal import Journal, folded_of, message_of
from .limits import (
    EARLY_KEEP_US,
    PARK_RETRY_FIRST_US,
    PARK_RETRY_MAX_US,
    RECORDS_MAX,
    TURN_BYTES_MAX,
    TURN_MESSAGES_MAX,
)
from .messages import Message, Pause, Resume, Start, Terminate, Tick
from .names import RunKey
from .parts import joined, split
from .records import (
    VERSION,
    Outcome,
    Parked,
    Record,
    StartMark,
    Summary,
    encode_record,
    record_hash,
)
from .signals import Blocked
from .workflow import Workflow

PYTHON: Final = ".".join(platform.python_version_tuple()[:2])


class Actor:
    """One run.

    Args:
        app: The app's name.
        key: The run.
        workflow: Its definition, None where this worker does not know it.
        by: Worker and incarnation, written into records.
    """

    def __init__(self, app: str, key: RunKey, workflow: Workflow[..., object] | None, *, by: str) -> None:
        self.app = app
        self.key = key
        self.workflow = workflow
        self.journal = Journal(key)
        self.owed = Owed()
        self._by = by
        self._execution: Execution | None = None
        self._halt: Parked | None = None
        self._log: list[Record] = []
        self._unfinished: Decision | None = None

    # --- loading --------------------------------------------------------------------------------
    def read(self, record: Record, *, digest: str, seq: int, is_alone: bool = False) -> None:
        """Takes the next record of the log in. Raises BadLog when it does not follow."""
        self.journal.add(record, digest=digest, seq=seq, is_alone=is_alone)
        self._log.append(record)

    def refs(self) -> set[str]:
        """Names the large values that a replay needs."""
        found = {
            ref.sha256 for record in self._log for m in record.messages if (ref := refs_of(message_of(m))) is not None
        }
        return found if not self.journal.has_ended else set()

    def replay(self, objects: Mapping[str, bytes]) -> Iterator[None]:
        """Rebuilds the execution from what was read, yielding between decisions so that the caller can yield to others.

        Afterwards the actor can fold. Where today's code does not make the decisions of the log, it will park.
        """
        if self.journal.parked is not None or self.journal.has_ended:
            self._skim()
            return
        try:
            yield from self._replay(objects)
        except ReplayMismatch as mismatch:
            self._stop("mismatch", str(mismatch))
        except Blocked as blocked:
            self._stop("blocked", str(blocked) or "the workflow held the loop while its log was replayed")
        except (InvalidValue, BadMessage, KeyError) as error:
            self._stop("mismatch", f"the log cannot be replayed by this code: {error!r}")
        self._log = []

    @property
    def unfinished(self) -> Decision | None:
        """The rest of a decision whose parts were not all appended; append it before anything else (R10)."""
        return self._unfinished

    @property
    def needs_objects(self) -> bool:
        """Tells whether the next fold will replay a parked run's log."""
        return self.journal.parked is not None

    # --- deciding -----------------------------------------------------------------------------------
    def fold(self, messages: Sequence[Message], *, objects: Mapping[str, bytes], nonce: str) -> Decision:
        """Decides what the messages lead to.

        Args:
            messages: In the order of the server's timestamps.
            objects: Large values by hash, for every `ref` in the messages (and `refs()` while parked).
            nonce: Random, names this attempt to append.
        """
        taken, verdicts, rest, is_deciding = self._take(messages)
        if not taken:
            return Decision(records=[], parts=[], folded=[], verdicts=verdicts, rest=rest, uploads={})
        self.journal.note_ids(taken)
        if not is_deciding:
            return self._keep(taken, verdicts, rest, nonce, self.journal.parked)
        was_parked = self.journal.parked is not None
        fold: Fold | None = None
        if self.workflow is None:
            self._stop(
                "unknown_workflow", f"workflow {self.key.workflow!r} is not registered in this worker; deploy it"
            )
        elif self._halt is None:
            try:
                fold = self._apply(taken, objects)
            except ReplayMismatch as mismatch:
                self._stop("mismatch", str(mismatch))
            except Blocked as blocked:
                self._stop("blocked", str(blocked) or "the workflow held the loop")
            except InvalidValue as error:
                self._stop("invalid_start", str(error))
            except Exception as error:  # noqa: BLE001  # a defect of ours or a hostile value: the run waits, the worker lives
                self._stop("error", error_info(error).traceback)
        if fold is None:
            return self._keep(taken, verdicts, rest, nonce, self._next_park(taken[-1].at_us))
        return self._decided(taken, verdicts, rest, nonce, fold, is_unparked=was_parked)

    def park(self, messages: Sequence[Message], code: str, reason: str, *, nonce: str) -> Decision:
        """Keeps the messages undecided and parks the run, whatever its code would do."""
        self._stop(code, reason)
        fresh = [m for m in messages if not self.journal.has_folded(m)]
        verdicts = [Verdict(message=m, is_repeat=True) for m in messages if self.journal.has_folded(m)]
        if not fresh:
            return Decision(records=[], parts=[], folded=[], verdicts=verdicts, rest=[], uploads={})
        self.journal.note_ids(fresh)
        return self._keep(fresh, verdicts, [], nonce, self._next_park(fresh[-1].at_us))

    def commit(self, decision: Decision, seqs: Sequence[int]) -> None:
        """Takes note that the decision's records are stored under these sequences."""
        for raw, record, seq in zip(decision.records, decision.parts, seqs, strict=True):
            self.journal.add(record, digest=record_hash(raw), seq=seq)
        self._unfinished = None
        if self.journal.has_ended:
            self.close()

    @property
    def is_spent(self) -> bool:
        """Tells that the actor has to be loaded anew for its next turn: it parked, or is parked and its log has grown."""
        return self._halt is not None or self.journal.parked is not None

    def close(self) -> None:
        """Drops the execution; the journal stays."""
        if self._execution is not None:
            self._execution.kill()
            self._execution = None

    # --- inside: which messages ----------------------------------------------------------------------
    def _take(self, messages: Sequence[Message]) -> tuple[list[Message], list[Verdict], list[Message], bool]:
        """Splits messages into those of this record, those that need none, and the rest."""
        journal = self.journal
        verdicts: list[Verdict] = []
        taken: list[Message] = []
        start = journal.start
        is_kept = journal.status in ("paused", "parked") or start is None
        size = 0
        ids: set[str] = set()
        queue = list(messages) if start is not None else sorted(messages, key=_start_first)
        for index, message in enumerate(queue):
            verdict = self._judge(message, start)
            if verdict is None and message.body.id in ids:
                verdict = Verdict(message=message)  # the same intent twice in one turn (R5)
            if verdict is not None:
                verdicts.append(verdict)
                continue
            begins = start is None and isinstance(message.body, Start)
            wakes = is_kept and (begins or (start is not None and self._wakes(message)))
            if is_kept and not wakes and isinstance(message.body, Tick):
                verdicts.append(Verdict(message=message))  # whatever wakes the run brings the time as well
                continue
            size += len(message.raw)
            is_full = len(taken) >= TURN_MESSAGES_MAX or (size > TURN_BYTES_MAX and bool(taken))
            if is_full or (wakes and taken):
                return taken, verdicts, queue[index:], not is_kept
            taken.append(message)
            if message.body.id:
                ids.add(message.body.id)
            if isinstance(message.body, Start) and begins:
                start = mark_of(message.body)
            is_kept = is_kept and not wakes
            if isinstance(message.body, Pause) and not is_kept:
                return taken, verdicts, queue[index + 1 :], True
        return taken, verdicts, [], not is_kept

    def _judge(self, message: Message, start: StartMark | None) -> Verdict | None:
        execution = self._execution
        if execution is None or self.workflow is None:
            steps, is_due = None, self.journal.parked is not None
        else:
            steps, is_due = execution.steps, Fold(execution, self.workflow, objects={}).is_due(message.at_us)
        return judge(
            message, journal=self.journal, workflow=self.workflow, start=start, open_steps=steps, is_due=is_due
        )

    def _wakes(self, message: Message) -> bool:
        body, parked = message.body, self.journal.parked
        if isinstance(body, (Terminate, Resume)):
            return True
        if parked is None:
            return message.verb == "cancel"  # who cancels a paused run wants it to end, not to stay paused
        if not isinstance(body, Tick):
            return False
        # A workflow that held the loop would do so again; only other code is worth another try.
        is_worth_it = parked.code != "blocked" or self._code() != self._parked_code()
        return is_worth_it and (body.wake == "parked" or message.at_us >= parked.retry_at_us)

    def _code(self) -> str:
        return self.workflow.code_hash if self.workflow is not None else ""

    def _parked_code(self) -> str:
        return next((r.code for r in reversed(self._log) if r.parked is not None), "")

    def _in_order(self, taken: Sequence[Message]) -> list[Message]:
        """Joins what was kept with what came: the start first, then as accepted by the server (R12)."""
        if not self.journal.backlog:
            return sorted(taken, key=_start_first) if self.journal.start is None else list(taken)
        kept = [message_of(folded) for folded in self.journal.backlog]
        return sorted([*kept, *taken], key=_start_first)

    # --- inside: the code -----------------------------------------------------------------------------
    def _known(self) -> Workflow[..., object]:
        assert self.workflow is not None, "only a known workflow decides"
        return self.workflow

    def _apply(self, taken: Sequence[Message], objects: Mapping[str, bytes]) -> Fold:
        if self.journal.parked is not None and self._execution is None:
            for _ in self._replay(objects):
                pass
        execution = self._begin(taken)
        execution.begin_decision()
        fold = Fold(execution, self._known(), objects=objects)
        for message in self._in_order(taken):
            if fold.outcome is not None:
                fold.refuse_ended(message)
            elif execution.failure is None:
                fold.apply(message)
        if execution.failure is not None:
            raise execution.failure
        return fold

    def _begin(self, taken: Sequence[Message]) -> Execution:
        if self._execution is None:
            start = next((m for m in self._in_order(taken) if isinstance(m.body, Start)), None)
            assert start is not None, "a run without execution has its start at hand"
            self._execution = self._execute(start)
        return self._execution

    def _execute(self, start: Message) -> Execution:
        seed = f"{self.app}/{self.key}/{start.seq}/{start.at_us}"
        return Execution(self._known(), app=self.app, key=self.key, started_at_us=start.at_us, seed=seed)

    def _skim(self) -> None:
        """Reads what is needed of a log that is not replayed: ids, and what its end owes."""
        for record in self._log:
            self.journal.note_ids(message_of(folded) for folded in record.messages)
        last = self._log[-1]
        self.owed = Owed(parked=last.parked, outcome=last.outcome)

    def _replay(self, objects: Mapping[str, bytes]) -> Iterator[None]:
        self.close()
        backlog: list[Message] = []
        for record, is_open_ended in joined(self._log):
            messages = [message_of(folded) for folded in record.messages]
            self.journal.note_ids(messages)
            if record.undecided:
                backlog += messages
                is_early = record.summary.status == "early"
                self.owed = Owed(
                    parked=record.parked, timers=[("early", record.at_us + EARLY_KEEP_US)] if is_early else []
                )
                continue
            ordered = sorted([*backlog, *messages], key=_start_first)
            backlog = []
            if self._execution is None:
                self._execution = self._execute(ordered[0])
            self._replay_one(self._execution, record, ordered, objects, is_open_ended=is_open_ended)
            yield

    def _replay_one(
        self,
        execution: Execution,
        record: Record,
        messages: Sequence[Message],
        objects: Mapping[str, bytes],
        *,
        is_open_ended: bool,
    ) -> None:
        execution.begin_decision(record.commands, is_open=is_open_ended)
        fold = Fold(execution, self._known(), objects=objects, recorded=record)
        for message in messages:
            if fold.outcome is None and execution.failure is None:
                fold.apply(message)
        execution.end_replay()
        if fold.outcome is not None and not is_open_ended:
            status = fold.outcome.status
            raise ReplayMismatch(
                command=execution.last_command + 1,
                recorded="a run that goes on",
                asked=f"the end ({status})",
                source="its return",
            )
        self.owed = owed_of(execution, fold, record)
        if is_open_ended:
            self._unfinished = self._finish(execution, fold, record)

    def _stop(self, code: str, reason: str) -> None:
        self.close()
        self._unfinished = None
        self._halt = Parked(code=code, reason=reason, tries=0, retry_at_us=0)

    def _next_park(self, at_us: int) -> Parked:
        assert self._halt is not None, "only a halted actor parks"
        before = self.journal.parked
        tries = before.tries + 1 if before is not None else 1
        delay_us = min(PARK_RETRY_FIRST_US * 2 ** min(tries - 1, 20), PARK_RETRY_MAX_US)
        now_us = max(at_us, self.journal.now_us)
        return Parked(code=self._halt.code, reason=self._halt.reason, tries=tries, retry_at_us=now_us + delay_us)

    # --- inside: records ---------------------------------------------------------------------------------
    def _keep(
        self, taken: list[Message], verdicts: list[Verdict], rest: list[Message], nonce: str, parked: Parked | None
    ) -> Decision:
        """Makes the record of messages that wait undecided."""
        summary = self.journal.summary
        start = next((m for m in taken if isinstance(m.body, Start)), None)
        if parked is not None:
            summary = msgspec.structs.replace(
                summary, status="parked", started_at_us=summary.started_at_us or (start.at_us if start else 0)
            )
        record = self._record(taken, nonce, summary, undecided=True, parked=parked)
        self.owed = Owed(parked=parked if parked is not self.journal.parked else None, is_start=start is not None)
        if summary.status == "early" and self.journal.k == 0:
            self.owed = Owed(timers=[("early", record.at_us + EARLY_KEEP_US)])
        return Decision(
            records=[encode_record(record)], parts=[record], folded=taken, verdicts=verdicts, rest=rest, uploads={}
        )

    def _decided(
        self,
        taken: list[Message],
        verdicts: list[Verdict],
        rest: list[Message],
        nonce: str,
        fold: Fold,
        *,
        is_unparked: bool,
    ) -> Decision:
        execution = self._execution
        assert execution is not None, "a decision was made"
        outcome = fold.outcome
        if outcome is None and self.journal.k >= RECORDS_MAX - 1:
            outcome = _too_long()
        summary = summary_of(execution, fold, outcome)
        record = self._record(taken, nonce, summary, commands=list(execution.decided), fold=fold, outcome=outcome)
        self.owed = owed_of(execution, fold, record, is_unparked=is_unparked)
        parts = split(record)
        return Decision(
            records=[raw for _, raw in parts],
            parts=[part for part, _ in parts],
            folded=taken,
            verdicts=verdicts,
            rest=rest,
            uploads=dict(execution.uploads),
        )

    def _finish(self, execution: Execution, fold: Fold, record: Record) -> Decision:
        """Makes the parts of a half-appended decision that are missing."""
        outcome = fold.outcome
        rest = self._record(
            [],
            record.nonce,
            summary_of(execution, fold, outcome),
            commands=execution.decided[len(record.commands) :],
            outcome=outcome,
        )
        self.owed = owed_of(execution, fold, msgspec.structs.replace(record, outcome=outcome))
        parts = split(rest)
        return Decision(
            records=[raw for _, raw in parts],
            parts=[p for p, _ in parts],
            folded=[],
            verdicts=[],
            rest=[],
            uploads=dict(execution.uploads),
        )

    def _record(
        self,
        taken: Sequence[Message],
        nonce: str,
        summary: Summary,
        *,
        commands: list[Command] | None = None,
        fold: Fold | None = None,
        outcome: Outcome | None = None,
        undecided: bool = False,
        parked: Parked | None = None,
    ) -> Record:
        journal = self.journal
        now_us = self._execution.loop.now_us if self._execution is not None else journal.now_us
        return Record(
            v=VERSION,
            k=journal.k + 1,
            prev=journal.prev,
            nonce=nonce,
            by=self._by,
            code=self._code(),
            python=PYTHON,
            at_us=max([now_us, journal.now_us, *(m.at_us for m in taken)])
            if undecided
            else max(now_us, journal.now_us),
            start=journal.start or _start_mark(taken),
            messages=[folded_of(m) for m in taken],
            fired=fold.fired if fold is not None else [],
            commands=commands or [],
            retries=fold.retries if fold is not None else [],
            refused=[refusal(verdict) for verdict in fold.refused] if fold is not None else [],
            undecided=undecided,
            parked=parked,
            outcome=outcome,
            summary=summary,
        )


def _start_first(message: Message) -> tuple[bool, int, int]:
    return (message.verb != "start", message.at_us, message.seq)


def _start_mark(taken: Sequence[Message]) -> StartMark | None:
    return next((mark_of(m.body) for m in taken if isinstance(m.body, Start)), None)


def _too_long() -> Outcome:
    text = f"the run's log has reached {RECORDS_MAX} records; continue as a new run before that"
    return Outcome(status="failed", error=ErrorInfo(type="RunTooLong", message=text, code="run_too_long"))
