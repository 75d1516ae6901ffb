"""Recording: what a run decided, or keeps for later, written down as records."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from .decision import Decision, summary_of
from .errors import ErrorInfo
from .execution import Execution
from .fold import Fold
from .journal import Journal, folded_of
from .messages import Message, Start
from .parts import missing, split
from .records import VERSION, Continued, Outcome, Parked, Record, Renewal, Summary
from .turn import Turn
from .verdict import Verdict

PYTHON: Final = ".".join(platform.python_version_tuple()[:2])


class Recorder:
    """Writes the records that follow a journal.

    Args:
        by: Worker and incarnation.
        code: Hash of the workflow's code in this worker; empty where it has none.
        records_max: So many records a run may have, or each link of its chain.
        version: Of that code.
    """

    def __init__(self, journal: Journal, *, by: str, code: str, records_max: int, version: int) -> None:
        self._journal = journal
        self._records_max = records_max
        self._version = version
        self._by = by
        self._code = code

    @property
    def is_last(self) -> bool:
        """Tells whether the next record has to be the run's last."""
        journal = self._journal
        return journal.k - journal.first_k >= self._records_max - 1 and journal.start is not None

    @property
    def too_long(self) -> Outcome:
        """How a run ends whose log has no room for more."""
        reason = f"the run's log has reached {self._records_max} records; call continue_as_new() before that"
        return Outcome(status="failed", error=ErrorInfo(type="RunTooLong", message=reason, code="run_too_long"))

    def decided(self, turn: Turn, execution: Execution, fold: Fold, nonce: str, *, kept: int = 0) -> Decision:
        """Writes down what the code decided.

        Args:
            kept: So many messages wait for the end of a pause.
        """
        record = self._whole(turn, nonce, execution, fold, kept=kept)
        return _decision(record, turn, execution.uploads)

    def rest(self, execution: Execution, fold: Fold, found: Record, *, left: Sequence[Message]) -> Decision:
        """Writes down what is missing of a decision whose first parts are in the log (R10).

        Args:
            found: The parts, joined.
            left: Messages for the next turn.
        """
        turn = Turn(taken=[], verdicts=[], rest=list(left), is_deciding=True, start=self._journal.start)
        whole = self._whole(turn, found.nonce, execution, fold)
        return _decision(missing(whole, found), turn, execution.uploads)

    def kept(self, turn: Turn, nonce: str, *, parked: Parked | None) -> Decision:
        """Writes down messages that wait undecided: the run is on pause, parked or not yet started."""
        summary = self._journal.summary
        if parked is not None:
            start = next((m for m in turn.taken if isinstance(m.body, Start)), None)
            started_at_us = summary.started_at_us or (start.at_us if start is not None else 0)
            summary = msgspec.structs.replace(summary, status="parked", started_at_us=started_at_us)
        return _decision(self._plain(turn, nonce, summary, undecided=True, parked=parked), turn, {})

    def ended(self, turn: Turn, nonce: str, outcome: Outcome, refused: Sequence[Verdict]) -> Decision:
        """Writes down an end in which the code had no part."""
        record = self._plain(turn, nonce, self._journal.summary, outcome=outcome, refused=refused)
        summary = msgspec.structs.replace(
            record.summary,
            status=outcome.status,
            ended_at_us=record.at_us,
            steps_open=0,
            timers_open=0,
            updates_open=0,
            hooks_open=[],
            hooks_more=0,
        )
        return _decision(msgspec.structs.replace(record, summary=summary), turn, {})

    def expired(self, turn: Turn, nonce: str) -> Decision:
        """Writes down that nobody starts the run any more."""
        return _decision(self._plain(turn, nonce, self._journal.summary, expired=True), turn, {})

    # --- inside ---------------------------------------------------------------------------------
    def _whole(self, turn: Turn, nonce: str, execution: Execution, fold: Fold, *, kept: int = 0) -> Record:
        journal = self._journal
        record = Record(
            v=VERSION,
            k=journal.k + 1,
            prev=journal.prev,
            nonce=nonce,
            by=self._by,
            code=self._code,
            version=self._version,
            python=PYTHON,
            at_us=max(execution.loop.now_us, journal.now_us),
            start=turn.start,
            link=journal.link,
            messages=list(map(folded_of, turn.taken)),
            commands=execution.decided,
            kept=kept,
            unparked=journal.parked is not None,
            outcome=fold.outcome,
            summary=summary_of(execution, fold),
        )
        # Apart, because each field that is given costs every decision: most have none of these.
        if fold.fired or fold.retries or fold.refused or fold.renewal is not None:
            record = msgspec.structs.replace(
                record,
                fired=fold.fired,
                retries=fold.retries,
                refused=[verdict.refusal for verdict in fold.refused],
                continued=None if fold.renewal is None else self._continued(fold.renewal),
                carried=[folded_of(m) for m in fold.carried],
            )
        if execution.desk is not None or execution.status is not None:
            record = msgspec.structs.replace(
                record,
                answers=execution.desk.answers if execution.desk is not None else [],
                values=execution.status.changed if execution.status is not None else {},
            )
        return record

    def _continued(self, renewal: Renewal) -> Continued:
        journal = self._journal
        return Continued(
            args=renewal.args,
            kwargs=renewal.kwargs,
            ref=renewal.ref,
            hash=renewal.hash,
            attempt=renewal.attempt,
            due_at_us=renewal.due_at_us,
            error=renewal.error,
            link=journal.link.n + 1 if journal.link is not None else 2,
            seen=journal.seen.pack(),
        )

    def _plain(
        self,
        turn: Turn,
        nonce: str,
        summary: Summary,
        *,
        undecided: bool = False,
        parked: Parked | None = None,
        expired: bool = False,
        outcome: Outcome | None = None,
        refused: Sequence[Verdict] = (),
    ) -> Record:
        journal = self._journal
        return Record(
            v=VERSION,
            k=journal.k + 1,
            prev=journal.prev,
            nonce=nonce,
            by=self._by,
            code=self._code,
            python=PYTHON,
            at_us=max([journal.now_us, *(m.at_us for m in turn.taken)])
            if undecided or outcome is not None
            else journal.now_us,
            start=turn.start,
            link=journal.link,
            messages=[folded_of(m) for m in turn.taken],
            refused=[verdict.refusal for verdict in refused],
            undecided=undecided,
            parked=parked,
            expired=expired,
            outcome=outcome,
            summary=summary,
        )


def _decision(record: Record, turn: Turn, uploads: Mapping[str, bytes]) -> Decision:
    parts, records = split(record)
    return Decision(
        records=records,
        parts=parts,
        folded=turn.taken,
        verdicts=turn.verdicts,
        rest=turn.rest,
        uploads=dict(uploads),
    )
