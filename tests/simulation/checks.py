"""The invariants of a simulation; those that a campaign shares are in `campaign`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple, cast

from campaign.audit import Case
from campaign.effects import Line, begins_by_attempt
from campaign.graph_definitions import CHANGED_GRAPHS
from campaign.graph_invariants import GRAPH_INVARIANTS
from campaign.graph_story import stories
from campaign.log_invariants import LOG_INVARIANTS
from campaign.run_invariants import (
    applied_once,
    asked_for,
    bounded,
    cancels_heeded,
    chained,
    decided_once,
    ended_once,
    ends_have_causes,
    families,
    hooks_applied,
    hooks_in_order,
    nothing_after_end,
    timers_not_ahead,
    timers_not_early,
)
from campaign.schedule_invariants import SCHEDULE_INVARIANTS
from campaign.step_invariants import (
    attempts_bounded,
    decided_before,
    one_result,
    produced,
    retries_not_early,
    same_input,
)
from jetrun.actors.limits import PIN_TIMEOUT_S
from jetrun.actors.names import RunKey
from jetrun.streams.actor_worker import HELLO_S
from support.simloop import EPOCH_US

from .replays import Replayer
from .shapes import judge_of
from .world import APP, FULL, Remains

CALLBACKS_MAX = 3_000_000
DELIVERIES_MAX = 150
EXPLAINED_S = 1.0
AFTER_END_US = 15_000_000
OWNERS_US = 30_000_000


class Invariant(NamedTuple):
    """Something that holds after every simulation."""

    number: str
    promise: str
    check: Callable[[Remains], list[str]]


def ends(remains: Remains) -> list[str]:
    """With all faults gone everything comes to its end."""
    if remains.is_quiet:
        return []
    left = {name: n for name, n in remains.case.remains.messages.items() if n}
    subjects = [subject for some in remains.case.remains.left.values() for subject in some][:10]
    names = [str(key) for key in remains.open_runs]
    return [f"not quiet {remains.scenario.seed}: open runs {names}, messages left {left} {subjects}"]


def right_results(remains: Remains) -> list[str]:
    """Every result is what the shape says, computed without the engine."""
    found: list[str] = []
    for key, plan in remains.case.plans.items():
        log = remains.case.log_of(key)
        was_cancelled = log.first("cancel") is not None
        if log.outcome is None or log.status in ("terminated", "cancelled") or (was_cancelled and plan.shape == "tour"):
            continue
        problem = judge_of(plan.shape).judge(plan.args, log)
        if problem:
            found.append(f"{key} {plan.args}: {problem}")
    return found


def replays(remains: Remains) -> list[str]:
    replayer = Replayer(APP.name, FULL, remains.objects, partial=remains.scenario.partial, changed=CHANGED_GRAPHS)
    return [f"{log.key}: {problem}" for log in remains.case.logs() if (problem := replayer.differs(log))]


def nothing_left(remains: Remains) -> list[str]:
    """No timer of an ended run stays behind, but where a fault kept it from being taken back."""
    left = remains.case.remains.messages[APP.timers]
    if not left or not remains.is_quiet:
        return []
    faults = remains.scenario.faults
    is_explained = (
        faults.call_lost
        or faults.commit_late
        or faults.request_lost
        or faults.ack_lost
        or any(stroke.what in ("freeze", "death", "down") for stroke in remains.strokes)
    )
    subjects = remains.case.remains.left[APP.timers]
    return [] if is_explained else [f"timers of ended runs are left: {', '.join(_slashed(s) for s in subjects)}"]


def listed(remains: Remains) -> list[str]:
    """An ended run is listed as ended."""
    index = remains.case.remains.index
    ended = {log.key for log in remains.case.logs() if log.outcome is not None}
    return [f"{key}: has ended and is not listed" for key in sorted(ended - set(index["ended"]))]


def no_livelock(remains: Remains) -> list[str]:
    found = [f"{remains.callbacks} callbacks"] if remains.callbacks > CALLBACKS_MAX else []
    return found + [
        f"message {seq} of {stream} was delivered {times} times"
        for (stream, seq), times in remains.monitor.deliveries.items()
        if times > DELIVERIES_MAX
    ]


def result_before_ack(remains: Remains) -> list[str]:
    return remains.monitor.violations


def none_after_end(remains: Remains) -> list[str]:
    """No attempt begins for the first time when its run has long ended, but where a fault kept its work from being taken back."""
    found: list[str] = []
    faults = remains.scenario.faults
    if faults.call_lost or faults.commit_late or faults.notice_lost:
        return found
    for begins in begins_by_attempt(remains.case.lines).values():
        line = begins[0]
        log = remains.case.log_behind(line)
        if log.outcome is None:
            continue
        ended_us = log.entries[-1].at_us
        if line.at_us > ended_us + AFTER_END_US and not any(
            stroke.at_us < line.at_us and (stroke.until_us or line.at_us) > ended_us - AFTER_END_US
            for stroke in remains.strokes
        ):
            found.append(f"{log.key}: step {line.command} began {(line.at_us - ended_us) / 1e6:.1f} s after the end")
    return found


def cancels_heeded_in_time(remains: Remains) -> list[str]:
    """What was kept undecided is applied later, with its own time: the end may have come before it."""
    kept = {str(log.key) for log in remains.case.logs() if any(entry.record.undecided for entry in log.entries)}
    return [text for text in cancels_heeded(cast("Case", remains.case)) if text.partition(":")[0] not in kept]


def one_result_each(remains: Remains) -> list[str]:
    """A run that ends by its max_duration takes its open steps along without a word."""
    return [
        text for text in one_result(cast("Case", remains.case)) if not ("capped/" in text and "has no result" in text)
    ]


def no_deaths(remains: Remains) -> list[str]:
    """A worker gives up for its server alone; each other cause is named once."""
    causes = {death.partition(" ")[2]: death for death in reversed(remains.case.deaths)}
    return list(causes.values())


def parked_for_a_reason(remains: Remains) -> list[str]:
    return [
        f"{log.key}: parked in record {entry.record.k}: {entry.record.parked.code} {entry.record.parked.reason[-900:]}"
        for log in remains.case.logs()
        for entry in log.entries
        if entry.record.parked is not None
        and not (entry.record.parked.code == "unknown_workflow" and log.key.workflow in remains.scenario.partial)
    ]


def dead_for_a_reason(remains: Remains) -> list[str]:
    """Dead letters are hooks and updates to ended runs, payloads that do not fit, and what steers a run that is not there yet."""
    found: list[str] = []
    for key, letter in remains.case.remains.dead:
        verb = letter.subject.split(".")[6]
        is_fine = (
            (letter.code == "ended" and verb in ("hook", "update"))
            or (letter.code == "payload" and key is not None and key.workflow == "picky")
            or (letter.code == "exists" and key is not None and key.run.startswith("trigger-"))
            or (letter.code == "no_run" and verb in ("pause", "resume", "terminate"))
        )
        if not is_fine:
            found.append(f"{key}: {verb} is dead: {letter.code}: {letter.reason}")
    return found


def explained(remains: Remains) -> list[str]:
    """A side effect is repeated only where a fault explains it; the death of an actor worker explains nothing."""
    found: list[str] = []
    for begins in begins_by_attempt(remains.case.lines).values():
        for first, second in pairwise(begins):
            if not any(_causes(remains, first, second)):
                after_s = (second.at_us - first.at_us) / 1e6
                found.append(
                    f"{first.workflow}/{first.run}: attempt {first.attempt} of step {first.command} again after {after_s:.2f} s"
                )
    return found


def _causes(remains: Remains, first: Line, second: Line) -> Iterator[str]:
    slack_us = round(EXPLAINED_S * 1e6)
    for stroke in remains.strokes:
        until_us = stroke.until_us or second.at_us
        is_near = stroke.at_us <= second.at_us and until_us >= first.at_us - slack_us
        if stroke.what == "down" and is_near:
            yield "the server was down"
        elif stroke.pid in (first.pid, second.pid) and is_near:
            yield f"{stroke.what} of the worker"
        elif stroke.what == "freeze" and stroke.at_us <= second.at_us and until_us >= first.at_us - OWNERS_US:
            yield "a pause, after which two actor workers carry out the same decision"
    if first.attempt > 1 and remains.scenario.faults.timer_doubled:
        yield "a schedule that fires twice"
    if _has_two_owners(remains, first, second):
        yield "an actor worker whose effects took longer than its pin lasts"
    if remains.scenario.faults.notice_lost:
        yield "two owners at once, who have not heard of each other"
    work = ".work.", f".{first.workflow}.{first.run}.{first.command}"
    result = f"wf.{APP.name}.run.{first.workflow}.{first.run}.step"
    for at_us, subject in remains.lost:
        is_work = (work[0] in subject or ".retry." in subject) and subject.endswith(work[1])
        # An unclear append: whoever asks for its fate, and who has taken over, each find the decision in the log.
        is_append = _is_inline(remains, first) and subject == APP.log_of(RunKey(first.workflow, first.run))
        if at_us <= second.at_us and (is_work or is_append or subject == result):
            yield f"a message was struck: {subject}"


def _is_inline(remains: Remains, line: Line) -> bool:
    """Tells whether an attempt was run by the actor workers themselves: nothing is queued that could be told apart."""
    asked = remains.case.log_behind(line).steps().get(line.command)
    return asked is not None and asked[1].inline and line.attempt == 1


def _has_two_owners(remains: Remains, first: Line, second: Line) -> bool:
    """Tells whether two workers carried out the run's decision at once meanwhile, the earlier one for long."""
    since_s, until_s = ((line.at_us - EPOCH_US) / 1e6 for line in (first, second))
    spans = [
        span
        for span in remains.carried
        if span.key == (first.workflow, first.run) and span.began_s <= until_s and span.ended_s >= since_s - EXPLAINED_S
    ]
    # Beats that travel longer than a new worker listens leave two that started together in the belief to be alone.
    least_s = 0.0 if remains.scenario.faults.delay_s > HELLO_S else PIN_TIMEOUT_S / 2
    return any(
        one.worker != other.worker and one.began_s + least_s <= other.began_s <= one.ended_s
        for one in spans
        for other in spans
    )


def _of_case(check: Callable[[Case], list[str]]) -> Callable[[Remains], list[str]]:
    return lambda remains: check(cast("Case", remains.case))


def _slashed(subject: str) -> str:
    tokens = subject.split(".")
    return f"{tokens[4]}/{tokens[5]} {subject}"


INVARIANTS = [
    Invariant("P7", "once healed, everything ends in time", ends),
    Invariant("P7", "no worker ends by itself", no_deaths),
    Invariant("I0", "every run in the log was asked for", _of_case(asked_for)),
    Invariant("I1", "an acknowledged start has exactly one terminal record", _of_case(ended_once)),
    Invariant("I1", "every result is right", right_results),
    Invariant("I2", "k is dense and the chain verifies", _of_case(chained)),
    Invariant("I3", "nothing follows the terminal record", _of_case(nothing_after_end)),
    Invariant("I4", "each message is applied at most once", _of_case(applied_once)),
    Invariant("I5", "each command is decided once", _of_case(decided_once)),
    Invariant("I6", "every log replays to the same decisions", replays),
    Invariant("I7", "an acknowledged hook or update is applied once or recorded as refused", _of_case(hooks_applied)),
    Invariant("I7", "hooks of one sender are applied in order", _of_case(hooks_in_order)),
    Invariant("I8", "every recorded result was produced by an attempt", _of_case(produced)),
    Invariant("I9", "no attempt begins before its decision is stored", _of_case(decided_before)),
    Invariant("I10", "all attempts see the recorded input", _of_case(same_input)),
    Invariant("I11", "no attempt begins long after the end", none_after_end),
    Invariant("I12", "no timer fires early, or twice", _of_case(timers_not_early)),
    Invariant("I12", "no tick overtakes what was accepted before its time", _of_case(timers_not_ahead)),
    Invariant("I13", "no timer of an ended run stays behind", nothing_left),
    Invariant("I13", "an ended run is listed as ended", listed),
    Invariant("I14", "no livelock", no_livelock),
    Invariant("I14", "logs are bounded", _of_case(bounded)),
    Invariant("I15", "exactly one result is recorded per step", one_result_each),
    Invariant("I16", "attempts are counted and bounded", _of_case(attempts_bounded)),
    Invariant("I17", "no retry begins early", _of_case(retries_not_early)),
    Invariant("I19", "a cancel that was applied in time cancels", cancels_heeded_in_time),
    Invariant("I19", "nothing ends that nobody ended", _of_case(ends_have_causes)),
    Invariant("I20", "children end once, and with their parents", _of_case(families)),
    *(
        Invariant(each.number, each.promise, _of_case(each.check))
        for each in (*LOG_INVARIANTS, *GRAPH_INVARIANTS, *SCHEDULE_INVARIANTS)
    ),
    Invariant("I30", "only what cannot be applied is dead", dead_for_a_reason),
    Invariant("I36", "work is acked once its result is durable or nobody waits for it", result_before_ack),
    Invariant("P4", "a side effect is repeated only where a fault explains it", explained),
    Invariant("P8", "no run is parked without a reason", parked_for_a_reason),
]


def check(remains: Remains) -> list[str]:
    """Checks every invariant and returns what is broken; one that cannot be checked is broken."""
    found: list[str] = []
    for invariant in INVARIANTS:
        try:
            violations = invariant.check(remains)
        except Exception as error:
            violations = [f"the check itself failed: {error!r}"]
        found += [f"{invariant.number} {invariant.promise}: {violation}" for violation in violations]
    _count_rare(remains)
    return found


def _count_rare(remains: Remains) -> None:
    counts = remains.counts
    for log in remains.case.logs():
        records = [entry.record for entry in log.entries]
        counts["early hook"] += any(record.summary.status == "early" for record in records)
        parked = [record.k for record in records if record.parked is not None]
        counts["parked and unparked"] += bool(parked) and any(r.k > parked[-1] and not r.undecided for r in records)
        counts["paused and resumed"] += any(r.summary.status == "paused" for r in records) and log.outcome is not None
        counts["decision of several records"] += any(record.more for record in records)
        counts["link begun"] += sum(record.continued is not None for record in records)
        counts["step ended by its time"] += sum(n in log.steps() for record in records for n in record.fired)
        outcome = log.outcome
        if log.key.workflow == "crawling" and outcome is not None and outcome.status == "completed":
            counts["went on from a heartbeat"] += not bytes(outcome.result).startswith(b"[0,")
    for log, story, _ in stories(cast("Case", remains.case)):
        counts["graph begun as a new link"] += any(entry.record.continued is not None for entry in log.entries)
        counts["late arrival at a join"] += sum(
            meeting.is_met and meeting.late > 0 for meeting in story.meetings.values()
        )
        counts["graph stopped with tasks to begin"] += story.finished is not None and story.withheld > 0
        codes = {entry.record.code for entry in log.entries if log.key.workflow in CHANGED_GRAPHS and entry.record.code}
        counts["graph gone on with by a worker that knows it otherwise"] += len(codes) > 1
    for begins in begins_by_attempt(remains.case.lines).values():
        counts["attempt begun twice"] += len(begins) > 1
