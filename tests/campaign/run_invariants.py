"""Invariants of runs: starts, ends, chains, hooks, timers, cancels, and what is left when all is quiet."""

from __future__ import annotations

from collections import Counter

from jetrun.actors.commands import Close, StartChild
from jetrun.actors.messages import ChildResult, Hook, Tick, Update
from jetrun.actors.names import RunKey
from jetrun.actors.records import record_hash

from .audit import Case, Invariant
from .run_logs import Entry, RunLog, ids_of
from .shapes import judge_of

RECORDS_PER_MESSAGE_MAX = 3
RECORDS_BASE = 30

KNOWN_FOR_EVER = frozenset({"start", "hook", "update", "cancel", "terminate", "pause", "resume"})
"""Verbs whose repetition a run recognises however often it has continued as new."""


def asked_for(case: Case) -> list[str]:
    found: list[str] = []
    for log in case.logs():
        parent = log.parent()
        if parent is not None:
            children = case.log_of(parent).children().values()
            if (log.key.workflow, log.key.run) not in {(child.workflow, child.run) for child in children}:
                found.append(f"{log.key}: {parent} has not decided to start it")
        elif log.key not in case.plans:
            found.append(f"{log.key}: nobody started it")
    return found


def ended_once(case: Case) -> list[str]:
    """Every acknowledged start has exactly one terminal record."""
    found: list[str] = []
    for key, plan in case.plans.items():
        if plan.letters[0].id not in case.acked:
            continue
        ends = sum(entry.record.outcome is not None for entry in case.log_of(key).entries)
        if ends != 1:
            last = case.log_of(key).entries[-1:]
            state = last[0].record.summary.status if last else "no record"
            found.append(f"{key}: {ends} terminal records ({state})")
    return found


def families(case: Case) -> list[str]:
    """Children end as their parents' logs say, once; and with their parents, as far as those want it (I20)."""
    found: list[str] = []
    for log in case.logs():
        ends: dict[int, list[str]] = {}
        for _, message in log.messages():
            if isinstance(message.body, ChildResult):
                ends.setdefault(message.body.command, []).append(message.body.status)
        for n, child in log.children().items():
            key = RunKey(child.workflow, child.run)
            own, told = case.log_of(key), ends.get(n, [])
            if len(told) > 1:
                found.append(f"{log.key}: heard {len(told)} times of the end of {key}")
            if told and told[0] != own.status and not (told[0] == "refused" and _is_of_another(own, n)):
                found.append(f"{log.key}: heard that {key} {told[0]}, its log says {own.status}")
            if log.outcome is not None and own.entries and own.outcome is None:
                found.append(f"{log.key}: {log.status}, and its child {key} goes on for ever")
            if _is_wanted(log, child) and log.outcome is not None and not own.entries:
                found.append(f"{log.key}: its child {key} never began")
    return found


def _is_of_another(log: RunLog, command: int) -> bool:
    """Tells whether a run was begun, and not by this command."""
    mark = next((entry.record.start for entry in log.entries if entry.record.start is not None), None)
    return mark is not None and (mark.parent is None or mark.parent.command != command)


def _is_wanted(log: RunLog, child: StartChild) -> bool:
    """Tells whether a child was still wanted at the end of the decision that asked for it."""
    decisions = [*log.decisions()]
    asked = next(commands for commands in decisions if child in commands)
    if any(isinstance(command, Close) and command.target == child.n for command in asked):
        return False
    return child.parent_close == "abandon" or asked is not decisions[-1]


def right_result(case: Case) -> list[str]:
    """Every result is what the shape says, computed without the engine."""
    found: list[str] = []
    for key, plan in case.plans.items():
        log = case.log_of(key)
        if log.outcome is None or log.status == "terminated" or _is_cancelled(log):
            continue
        problem = judge_of(plan.shape).judge(plan.args, log)
        if problem:
            found.append(f"{key} {plan.args}: {problem}")
    return found


def chained(case: Case) -> list[str]:
    """`k` is dense, `prev` verifies, sequences and times grow."""
    found: list[str] = []
    for log in case.logs():
        prev, seq, at_us = "", 0, 0
        for number, entry in enumerate(log.entries, 1):
            record = entry.record
            if record.k != number or record.prev != prev:
                found.append(f"{log.key}: record {record.k} stands at place {number}, or does not follow")
            if entry.seq <= seq or record.at_us < at_us:
                found.append(f"{log.key}: record {record.k} goes back in sequence or time")
            prev, seq, at_us = record_hash(entry.raw), entry.seq, record.at_us
    return found


def nothing_after_end(case: Case) -> list[str]:
    return [
        f"{log.key}: record {entry.record.k} follows the end"
        for log in case.logs()
        for before, entry in zip(log.entries, log.entries[1:], strict=False)
        if before.record.outcome is not None
    ]


def applied_once(case: Case) -> list[str]:
    """No delivery is folded twice, and no intent. Results and ticks are known again within their link alone: they are
    for its commands, of which the next one has none.
    """
    found: list[str] = []
    for log in case.logs():
        deliveries = Counter(
            (m.source, m.seq, m.at_us) if m.verb in KNOWN_FOR_EVER else (m.source, m.seq, m.at_us, _link_of(e))
            for e, m in log.messages()
        )
        ids = Counter(m.body.id for _, m in log.messages() if m.body.id)
        found += [f"{log.key}: message {what} is folded {n} times" for what, n in deliveries.items() if n > 1]
        found += [f"{log.key}: id {what} is folded {n} times" for what, n in ids.items() if n > 1]
    return found


def _link_of(entry: Entry) -> int:
    return entry.record.link.n if entry.record.link is not None else 1


def decided_once(case: Case) -> list[str]:
    """Commands are numbered 1, 2, 3 … without gap or repeat."""
    found: list[str] = []
    for log in case.logs():
        numbers = [command.n for entry in log.entries for command in entry.record.commands]
        if numbers != list(range(1, len(numbers) + 1)):
            found.append(f"{log.key}: commands {numbers}")
    return found


def hooks_applied(case: Case) -> list[str]:
    """Every acknowledged hook or update is folded once, or recorded as refused, or dead."""
    found: list[str] = []
    dead = ids_of(case.remains.dead)
    for key, plan in case.plans.items():
        folded = {
            message.body.id for _, message in case.log_of(key).messages() if isinstance(message.body, (Hook, Update))
        }
        found.extend(
            f"{key}: {letter.verb} {letter.id} was acknowledged and is nowhere"
            for letter in plan.letters
            if letter.verb in ("hook", "update") and letter.id in case.acked and letter.id not in folded | dead
        )
    return found


def hooks_in_order(case: Case) -> list[str]:
    """Hooks of one sender are folded in the order in which the mailbox took them."""
    found: list[str] = []
    for log in case.logs():
        seqs = [message.seq for _, message in log.messages() if isinstance(message.body, Hook)]
        if seqs != sorted(seqs):
            found.append(f"{log.key}: hooks were folded in the order {seqs}")
    return found


def timers_not_ahead(case: Case) -> list[str]:
    """No tick is applied before what the server had accepted before the timer's time (R14)."""
    found: list[str] = []
    for log in case.logs():
        reached_us = 0
        for entry, message in log.messages():
            if isinstance(message.body, Tick):
                reached_us = max(reached_us, message.body.due_at_us)
            elif message.source == "m" and message.at_us < reached_us:
                late_ms = (reached_us - message.at_us) / 1000
                found.append(
                    f"{log.key}: {message.verb} {message.seq} is applied in record {entry.record.k}, after the tick of "
                    f"a timer that was due {late_ms:.0f} ms later"
                )
    return found


def timers_not_early(case: Case) -> list[str]:
    """A timer fires once, in a record whose newest message and whose own append are not before its time."""
    found: list[str] = []
    for log in case.logs():
        due = log.due()
        times = Counter(n for entry in log.entries for n in entry.record.fired)
        found += [f"{log.key}: timer {n} fired {count} times" for n, count in times.items() if count > 1]
        newest_us = 0
        for entry in log.entries:
            newest_us = max([newest_us, *(folded.at_us for folded in entry.record.messages)])
            for n in entry.record.fired:
                due_us = due[n]
                if newest_us < due_us or entry.at_us < due_us:
                    early_ms = (due_us - min(newest_us, entry.at_us)) / 1000
                    found.append(f"{log.key}: timer {n} fired {early_ms:.1f} ms early")
    return found


def cancels_heeded(case: Case) -> list[str]:
    """A run whose cancel was applied before its last decision ends as cancelled; a saga that was failing may fail."""
    found: list[str] = []
    for log in case.logs():
        cancel = log.first("cancel")
        is_before = cancel is not None and _applied_by(log, cancel) < log.entries[-1].record.k
        allowed = ("cancelled", "terminated", "failed") if log.key.workflow == "tour" else ("cancelled", "terminated")
        if is_before and log.status not in allowed:
            found.append(f"{log.key}: was cancelled in record {cancel.record.k if cancel else 0} and {log.status}")
    return found


def _applied_by(log: RunLog, cancel: Entry) -> int:
    """Tells with which record a cancel was applied: one that a switch carries by the next link's first decision,
    after what the run was sent before it.
    """
    sent = next(message for message in cancel.record.messages if message.verb == "cancel")
    later = (e.record for e in log.entries if e.record.k >= cancel.record.k)
    switches = [r.k for r in later if any(m.verb == "cancel" and m.seq == sent.seq for m in r.carried)]
    return max([cancel.record.k, *(k + 1 for k in switches)])


def ends_have_causes(case: Case) -> list[str]:
    """Nothing is cancelled or terminated that nobody wanted to end."""
    found: list[str] = []
    for log in case.logs():
        for status, verb in (("cancelled", "cancel"), ("terminated", "terminate")):
            if log.status == status and log.first(verb) is None:
                found.append(f"{log.key}: {status}, and no {verb} was folded")
    return found


def quiet(case: Case) -> list[str]:
    """Nothing is left in mailboxes, queues and timers."""
    return [
        f"{stream} holds {count} messages: {', '.join(case.remains.left[stream])}"
        for stream, count in case.remains.messages.items()
        if count
    ]


def index_clean(case: Case) -> list[str]:
    """An ended run is listed as ended and nowhere else."""
    index = case.remains.index
    ended_at_us = {log.key: log.entries[-1].at_us for log in case.logs() if log.outcome is not None}
    found = [f"{key}: has ended and is not listed" for key in ended_at_us if key not in index["ended"]]
    for state in ("open", "parked"):
        for key, listed_at_us in index[state].items():
            if key in ended_at_us:
                after_ms = (listed_at_us - ended_at_us[key]) / 1000
                found.append(f"{key}: has ended and is listed as {state}, by an entry {after_ms:.0f} ms after the end")
    return found


def bounded(case: Case) -> list[str]:
    """No run's log grows without need."""
    found: list[str] = []
    for log in case.logs():
        bound = RECORDS_BASE + RECORDS_PER_MESSAGE_MAX * sum(len(entry.record.commands) for entry in log.entries)
        if len(log.entries) > bound:
            found.append(f"{log.key}: {len(log.entries)} records, at most {bound} make sense")
    return found


def told_alike(case: Case) -> list[str]:
    """A client is told what the terminal record says."""
    return [
        f"{key}: clients are told {answer!r}, the log says {case.log_of(key).status!r}"
        for key, answer in case.told.items()
        if answer != case.log_of(key).status
    ]


def updates_told_alike(case: Case) -> list[str]:
    """A client that repeats an update is told the answer that is in the log, each time."""
    found: list[str] = []
    for key, plan in case.plans.items():
        log = case.log_of(key)
        given = {answer.id: answer for entry in log.entries for answer in entry.record.answers}
        for letter in plan.letters:
            told = case.answers.get(letter.id)
            if told is None or letter.verb != "update":
                continue
            answer = given.get(letter.id)
            if answer is None:
                expected = "ended"
            else:
                expected = answer.error.code if answer.error is not None else bytes(answer.result).decode()
            if told != expected:
                found.append(f"{key}: of update {letter.id} clients are told {told!r}, the log says {expected!r}")
    return found


def not_parked(case: Case) -> list[str]:
    """A crash parks nobody: the code is the same everywhere."""
    return [
        f"{log.key}: parked in record {entry.record.k}: {entry.record.parked.code} {entry.record.parked.reason[:200]}"
        for log in case.logs()
        for entry in log.entries
        if entry.record.parked is not None
    ]


def nobody_died(case: Case) -> list[str]:
    return case.deaths


def drained_well(case: Case) -> list[str]:
    """Of who was killed while it drained, nothing can be said."""
    killed = {fault.pid for fault in case.faults if fault.what == "kill"}
    drains = [fault for fault in case.faults if fault.what == "drain" and fault.pid not in killed]
    return [f"{fault.kind} {fault.pid} ended with code {fault.code} when told to" for fault in drains if fault.code]


def dead_for_a_reason(case: Case) -> list[str]:
    """Only messages to runs that have ended are among the dead, and starts of a run that a schedule was told to start twice."""
    return [
        f"{key}: dead letter {letter.code}: {letter.reason}"
        for key, letter in case.remains.dead
        if letter.code != "ended"
        and not (letter.code == "exists" and key is not None and key.run.startswith("trigger-"))
    ]


def _is_cancelled(log: RunLog) -> bool:
    return log.status == "cancelled" or (log.first("cancel") is not None and log.key.workflow == "tour")


def keys_of(case: Case) -> set[RunKey]:
    """Names every run that is known."""
    return {*case.plans, *case.remains.logs}


RUN_INVARIANTS = [
    Invariant("I0", "every run in the log was asked for", asked_for),
    Invariant("I1", "an acknowledged start has exactly one terminal record", ended_once),
    Invariant("I1", "every result is right", right_result),
    Invariant("I2", "k is dense and the chain verifies", chained),
    Invariant("I3", "nothing follows the terminal record", nothing_after_end),
    Invariant("I4", "each message is applied at most once", applied_once),
    Invariant("I5", "each command is decided once", decided_once),
    Invariant("I7", "an acknowledged hook is applied once or recorded as refused", hooks_applied),
    Invariant("I7", "hooks of one sender are applied in order", hooks_in_order),
    Invariant("I12", "no timer fires early, or twice", timers_not_early),
    Invariant("I12", "no tick overtakes what was accepted before its time", timers_not_ahead),
    Invariant("I13", "nothing is left when all is quiet", quiet),
    Invariant("I13", "no ended run is listed as open or parked", index_clean),
    Invariant("I14", "logs are bounded", bounded),
    Invariant("I19", "a cancel that was applied in time cancels", cancels_heeded),
    Invariant("I19", "nothing ends that nobody ended", ends_have_causes),
    Invariant("I20", "children end once, and with their parents", families),
    Invariant("I27", "clients are told what the log says", told_alike),
    Invariant("I27", "who repeats an update is told the answer in the log", updates_told_alike),
    Invariant("I30", "only messages to ended runs are dead letters", dead_for_a_reason),
    Invariant("P8", "no run is parked", not_parked),
    Invariant("P7", "no worker ends by itself", nobody_died),
    Invariant("F56", "a worker that is told to end does so in order", drained_well),
]
