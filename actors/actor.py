"""The actor: one run. It folds messages into decisions and is rebuilt from its log; it does no I/O.

A turn: `fold` messages, append the decision's records (fenced by `journal.seq`), `commit`, carry out `owed`. An append
that is refused means that somebody else advanced the run: throw the actor away and load it anew (R4). An actor that
could not decide (code differs, workflow unknown, blocked) parks: its messages are kept in the log undecided (R3).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from .beginning import execution_of, link_execution
from .decision import Decision, Owed, ends_of_children, owed_in, owed_of
from .early import early_timer, end_of_wait, unclaimed
from .execution import Execution
from .fold import Fold, command_refs, refs_of
from .journal import Journal, in_order, message_of
from .limits import EARLY_KEEP_US, RECORDS_MAX, RECORDS_WARN
from .messages import Hook, Message, Parent, Start, Terminate, Update
from .names import RunKey
from .open_step import limits_left
from .parking import OpenCommands, Parking, open_commands, parked_again, reason_of
from .query import Given, Question, Revival, answer, failed
from .recording import Recorder
from .records import Continued, Folded, Outcome, Record, record_hash
from .replay import Code, Replay, Unfinished
from .seen import has_key
from .signals import Blocked
from .turn import Turn, divide
from .verdict import Verdict
from .workflow import NO_OLDER, Workflow, version_of

_NOTHING_OWED: Final = Owed()
_NOTHING_OPEN: Final = OpenCommands([], [], [])


class Actor:
    """One run.

    Args:
        app: The app's name.
        key: The run.
        workflow: Its definition, the newest version; None where this worker does not know it.
        older: Other versions, for runs that began under them.
        by: Worker and incarnation, written into records.
        early_keep_us: How long messages wait for the start of the run.
    """

    def __init__(
        self,
        app: str,
        key: RunKey,
        workflow: Workflow[..., Any] | None,
        *,
        by: str,
        early_keep_us: int = EARLY_KEEP_US,
        older: Mapping[int, Workflow[..., Any]] = NO_OLDER,
    ) -> None:
        self.app = app
        self.key = key
        self.workflow = workflow
        self.journal = Journal(key)
        self.owed = _NOTHING_OWED
        self._newest = workflow
        self._older = older
        self._by = by
        self._early_keep_us = early_keep_us
        self._parking = Parking(self.journal, workflow.code_hash if workflow is not None else "")
        self._recorder = self._recorder_of(workflow)
        self._execution: Execution | None = None
        self._halt: tuple[str, str] | None = None
        """Code and reason of why it cannot decide."""
        self._log: list[Record] = []
        """All records, until they are replayed."""
        self._open = _NOTHING_OPEN
        """What was open when the code was dropped."""
        self._unfinished: Decision | None = None

    def _recorder_of(self, workflow: Workflow[..., Any] | None) -> Recorder:
        if workflow is None:
            return Recorder(self.journal, by=self._by, code="", records_max=RECORDS_MAX, version=1)
        code, records_max = workflow.code_hash, workflow.records_max
        return Recorder(self.journal, by=self._by, code=code, records_max=records_max, version=workflow.version)

    def _follow_version(self) -> None:
        """Goes on with the version of the code that the run's link is bound to, or with the newest."""
        workflow = version_of(self._newest, self._older, self.journal.version)
        if workflow is not self.workflow:
            self.workflow = workflow
            self._parking.use(workflow.code_hash if workflow is not None else "")
            self._recorder = self._recorder_of(workflow)

    # --- loading --------------------------------------------------------------------------------
    def read(self, record: Record, *, digest: str, seq: int, is_alone: bool = False, is_link: bool = False) -> None:
        """Takes the next record of the log in, from the first or from where its link begins.

        Raises:
            BadLog: It does not follow.
        """
        self._parking.read(record)
        self.journal.add(record, digest=digest, seq=seq, is_alone=is_alone, is_link=is_link)
        self._log.append(record)
        if self._older:
            self._follow_version()

    def refs(self) -> set[str]:
        """Names the large values that a replay needs."""
        return set() if self.journal.has_ended else self.logged_refs()

    def logged_refs(self) -> set[str]:
        """Names the large values in the log as it was read, of a run that has ended, too."""
        refs = _refs_in(folded for record in self._log for folded in (*record.messages, *record.carried))
        refs.update(ref.sha256 for record in self._log for ref in command_refs(record))
        return refs.union(*(_ref_of(record.continued) for record in self._log))

    def kept_refs(self) -> set[str]:
        """Names the large values that the next decision needs whatever comes: of messages that wait, of a link that begins."""
        return _refs_in(self.journal.backlog) | _ref_of(self.journal.continued)

    def replay(self, objects: Mapping[str, bytes]) -> Iterator[None]:
        """Rebuilds the execution from what was read, yielding between decisions so that the caller can yield to others.

        Afterwards the actor can fold. Where today's code does not make the decisions of the log, it will park.
        """
        journal = self.journal
        if self.workflow is None or journal.parked is not None or journal.has_ended or journal.is_expired:
            self.skim()
            return
        try:
            yield from self._replay(self.workflow, objects)
        except (Exception, Blocked) as error:  # noqa: BLE001  whatever the code does, the worker lives and the run waits
            self._stop(*reason_of(error))
            self.skim()
        else:
            self._log = []

    def skim(self) -> None:
        """Takes from a log whose code is not to run, or not able to, what its end owes."""
        last = self._log[-1]
        if last.expired:
            kept = (folded for record in self._log[:-1] for folded in record.messages)
            self.owed = Owed(refused=unclaimed(self.key, kept, self._early_keep_us), is_expired=True)
        elif last.summary.status == "early":
            self.owed = Owed(timers=early_timer(last.at_us, self._early_keep_us))
        else:
            self.owed = owed_in(self.key, self._log)

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
            messages: Whatever is at hand; they are applied in the order of the server's timestamps (R12).
            objects: Large values by hash, for every `ref` in the messages and in `kept_refs()` (in `refs()` while parked).
            nonce: Random, names this attempt to append.
        """
        tick = end_of_wait(self.journal, messages, self._early_keep_us)
        if tick is not None:
            return self._expire(tick, messages, nonce)
        turn = divide(
            messages,
            journal=self.journal,
            parking=self._parking,
            workflow=self.workflow,
            execution=self._execution,
        )
        if not turn.taken:
            if self._is_adrift and any(verdict.is_repeat for verdict in turn.verdicts):
                self._stop(*(self._halt or self._unknown()))
                return self._park(turn, nonce)
            return Decision(records=[], parts=[], folded=[], verdicts=turn.verdicts, rest=turn.rest, uploads={})
        if not turn.is_deciding:
            return (
                self._end(turn, self._recorder.too_long, nonce) if self._recorder.is_last else self._keep(turn, nonce)
            )
        if self.journal.parked is not None and isinstance(turn.taken[0].body, Terminate):
            return self._terminate(turn, nonce)
        if self.workflow is None:
            self._stop(*self._unknown())
        elif self._halt is None:
            try:
                return self._decide(self.workflow, turn, objects, nonce)
            except (Exception, Blocked) as error:  # noqa: BLE001  as in `replay`
                self._stop(*reason_of(error))
        if any(isinstance(message.body, Terminate) for message in turn.taken):
            return self._terminate(turn, nonce)
        return self._park(turn, nonce)

    def park(self, messages: Sequence[Message], code: str, reason: str, *, nonce: str) -> Decision:
        """Keeps the messages undecided and parks the run, whatever its code would do; a terminate ends it all the same."""
        self._stop(code, reason)
        turn = divide(messages, journal=self.journal, parking=self._parking, workflow=None, execution=None)
        if not turn.taken and not self._is_adrift:
            return Decision(records=[], parts=[], folded=[], verdicts=turn.verdicts, rest=turn.rest, uploads={})
        if any(isinstance(message.body, Terminate) for message in turn.taken):
            return self._terminate(turn, nonce)
        return self._park(turn, nonce)

    def commit(self, decision: Decision, seqs: Sequence[int]) -> None:
        """Takes note that the decision's records are stored under these sequences."""
        for raw, record, seq in zip(decision.records, decision.parts, seqs, strict=True):
            self.journal.add(record, digest=record_hash(raw), seq=seq)
        self._unfinished = None
        if self.journal.has_ended or self.journal.continued is not None:
            self.close()
            if self._older:
                self._follow_version()

    @property
    def is_spent(self) -> bool:
        """Tells that the actor has to be loaded anew for its next turn: it parked, is parked and its log has grown, or
        its log is gone.
        """
        return self._halt is not None or self.journal.parked is not None or self.journal.is_expired

    def has_grown_long(self, records: int) -> bool:
        """Tells whether with these newest records the run has passed the bound at which it should continue as new."""
        bound = self.workflow.records_warn if self.workflow is not None else RECORDS_WARN
        count = self.journal.k - self.journal.first_k
        return count - records < bound <= count

    @property
    def listener(self) -> Parent | None:
        """Who is told that the run has ended, by the decision that ends it."""
        start = self.journal.start
        return start.parent if start is not None and self.owed.outcome is not None else None

    def answer(self, name: str, question: Question) -> Given:
        """Answers a query as the last decision has left the run; it is not one, and nothing follows from it.

        An answer that is not intact has touched what the next decision needs: load the actor anew.
        """
        if self._execution is not None:
            return answer(self._execution, name, question)
        if not self.journal.k or self.journal.status == "early":
            return Given(failed("not_found", f"no run {self.key} has begun"))
        parked = self.journal.parked
        if parked is None and self._halt is None and self.workflow is not None:
            return Given(failed("unavailable", f"run {self.key} is about to begin its next link; ask again"))
        reason = parked.reason if parked is not None else (self._halt or self._unknown())[1]
        return Given(failed("parked", f"run {self.key} is parked, its code cannot go on: {reason}"))

    def revival(self) -> Revival | None:
        """Makes of an ended run's log what queries can be asked of; None where the log is not whole, or the code is not here."""
        if self.workflow is None or not self._log:
            return None
        if self._log[0].k > 1 and self._log[0].continued is None:
            return None
        return Revival(self.app, self.key, self._newest or self.workflow, self._log, self._older)

    def close(self) -> None:
        """Drops the execution; the journal stays."""
        if self._execution is not None:
            self._execution.kill()
            self._execution = None

    # --- inside: with the code ------------------------------------------------------------------------
    def _decide(self, workflow: Workflow[..., Any], turn: Turn, objects: Mapping[str, bytes], nonce: str) -> Decision:
        if self.journal.parked is not None:
            for _ in self._replay(workflow, objects, left=(*turn.taken, *turn.rest)):
                pass
            if self._unfinished is not None:
                return self._unfinished  # what was kept since then is decided next
        messages = turn.taken
        if self.journal.backlog:
            messages = in_order([*map(message_of, self.journal.backlog), *messages])
        execution, continued = self._execution, None
        if execution is None:
            continued = self.journal.continued
            execution = self._begin(workflow, messages[0])
        execution.begin_decision(records=self.journal.k - self.journal.first_k + 1)
        fold = Fold(execution, objects=objects, is_paused=self.journal.is_paused)
        if continued is not None:
            fold.begin_link(continued)
        kept = fold.apply_all(messages)
        if execution.failure is not None:
            raise execution.failure
        if fold.outcome is None and fold.renewal is None and self._recorder.is_last:
            fold.end(self._recorder.too_long)
        self.owed = owed_of(execution, fold, is_unparked=self.journal.parked is not None)
        return self._recorder.decided(turn, execution, fold, nonce, kept=kept)

    def _begin(self, workflow: Workflow[..., Any], first: Message) -> Execution:
        journal = self.journal
        if journal.link is None:
            execution = execution_of(workflow, self.app, self.key, first)
        else:
            parent = journal.start.parent if journal.start is not None else None
            execution = link_execution(workflow, self.app, self.key, journal.link, parent)
        self._hold(execution)
        return execution

    def _hold(self, execution: Execution | None) -> None:
        self._execution = execution

    def _replay(
        self, workflow: Workflow[..., Any], objects: Mapping[str, bytes], *, left: Sequence[Message] = ()
    ) -> Iterator[None]:
        self.close()
        code = Code(workflow=self._newest or workflow, app=self.app, key=self.key, hold=self._hold, older=self._older)
        replay = Replay(self._log, code, objects, self._early_keep_us)
        yield from replay.run()
        self._log = []
        self.owed = replay.owed
        if replay.unfinished is not None:
            self._unfinished = self._finish(replay.unfinished, left)

    def _finish(self, unfinished: Unfinished, left: Sequence[Message]) -> Decision:
        """Makes the parts of a half-appended decision that are missing."""
        execution = self._execution
        assert execution is not None, "a decision was made"
        self.owed = owed_of(execution, unfinished.fold, is_unparked=self.journal.parked is not None)
        return self._recorder.rest(execution, unfinished.fold, unfinished.found, left=left)

    # --- inside: without it ---------------------------------------------------------------------------
    def _stop(self, code: str, reason: str) -> None:
        """Takes note that the run cannot decide; its code is dropped."""
        self._halt = (code, reason)
        self._open = self._open_commands()
        self._unfinished = None
        self.close()

    @property
    def _is_adrift(self) -> bool:
        """Tells whether the run goes on without the code that made its last decision: what that owes besides the log
        (the limit of the whole run, parts that are missing) waits until the code is back, so the run parks.
        """
        return (self.workflow is None or self._halt is not None) and self.journal.status in ("running", "paused")

    def _unknown(self) -> tuple[str, str]:
        return "unknown_workflow", f"workflow {self.key.workflow!r} is not registered in this worker; deploy it"

    def _open_commands(self) -> OpenCommands:
        execution = self._execution
        if self._log:
            return open_commands(self._log)  # whatever code there is has not come to the end of it
        if execution is None:
            return self._open
        return OpenCommands(
            steps=[entry.command for entry in execution.steps.values()],
            timers=[*execution.timers, *limits_left(execution)],
            children=[child.command for child in execution.children.values()],
        )

    def _keep(self, turn: Turn, nonce: str) -> Decision:
        """Keeps messages for a run that is paused, parked or not yet started."""
        decision = self._recorder.kept(turn, nonce, parked=self.journal.parked)
        self.owed = Owed(is_start=any(isinstance(message.body, Start) for message in turn.taken))
        if self.journal.status == "early":
            self.owed = Owed(timers=early_timer(decision.parts[0].at_us, self._early_keep_us))
        return decision

    def _park(self, turn: Turn, nonce: str) -> Decision:
        """Keeps messages for a run that cannot decide, and has it tried again later."""
        assert self._halt is not None, "only a halted run parks"
        now_us = max([self.journal.now_us, *(message.at_us for message in turn.taken)])
        parked = parked_again(*self._halt, self.journal.parked, now_us=now_us)
        self.owed = Owed(parked=parked, is_start=any(isinstance(message.body, Start) for message in turn.taken))
        return self._recorder.kept(turn, nonce, parked=parked)

    def _terminate(self, turn: Turn, nonce: str) -> Decision:
        """Ends a run whose code cannot go on, or need not."""
        reason = next(m.body.reason for m in turn.taken if isinstance(m.body, Terminate))
        return self._end(turn, Outcome(status="terminated", reason=reason), nonce)

    def _end(self, turn: Turn, outcome: Outcome, nonce: str) -> Decision:
        waiting = [*map(message_of, self.journal.backlog), *turn.taken]
        why = f"the run has ended ({outcome.status}) and did not take this"
        refused = [
            Verdict(message=m, code="ended", reason=f"{why} {m.verb}")
            for m in waiting
            if isinstance(m.body, (Hook, Update))
        ]
        still_open = self._open_commands()
        self.owed = Owed(
            outcome=outcome,
            closed_steps=still_open.steps,
            closed_timers=still_open.timers,
            child_ends=ends_of_children(self.key, outcome.status, still_open.children),
            is_unparked=self.journal.parked is not None,
            refused=refused,
        )
        return self._recorder.ended(turn, nonce, outcome, refused)

    def _expire(self, tick: Message, messages: Sequence[Message], nonce: str) -> Decision:
        """Makes the record that ends a log without start, so that nobody adds to it while it is purged.

        Only with it are the messages dead: where another worker has recorded a start meanwhile, it is refused.
        """
        others = [message for message in messages if message is not tick]
        self.owed = Owed(refused=unclaimed(self.key, self.journal.backlog, self._early_keep_us), is_expired=True)
        turn = Turn(
            taken=[tick],
            verdicts=[Verdict(message=m, is_repeat=True) for m in others if self.journal.has_folded(m)],
            rest=[m for m in others if not self.journal.has_folded(m)],
            is_deciding=False,
            start=None,
        )
        return self._recorder.expired(turn, nonce)


def _ref_of(continued: Continued | None) -> set[str]:
    return {continued.ref.sha256} if continued is not None and continued.ref is not None else set()


def _refs_in(messages: Iterable[Folded]) -> set[str]:
    folded = (message_of(folded) for folded in messages if has_key(folded.body, b'"ref"'))
    return {ref.sha256 for ref in map(refs_of, folded) if ref is not None}
