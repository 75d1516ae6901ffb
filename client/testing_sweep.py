"""The crash sweep: one run again and again, with a worker crashed at another moment each time; nothing may differ.

What is crashed after a record: the actor worker, either before anything follows from the record, or when all of it is
durable and nothing is acked. What is crashed after a step: the step worker, before the step's result is sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import zip_longest
from typing import Any, Final, Literal

import msgspec

from ..actors.commands import describe
from ..actors.errors import JetrunError, RunError
from ..actors.names import RunKey
from ..actors.records import Answer, Outcome, Record
from ..actors.registry import Registry
from ..actors.workflow import Call
from .definitions import Definition, collect, workflow_of
from .testing_app import LIMIT, START, AppUnderTest, RunParked
from .testing_run import Hooks, Updates, begin, on_own_loop
from .testing_stage import StepCall, Unstubbed
from .testing_stubs import Stubs, read_stubs
from .testing_time import Stuck

Moment = Literal["append", "effects", "step"]

_SHOWN: Final[dict[Moment, str]] = {
    "append": "actor worker crashed after record {}, before its effects",
    "effects": "actor worker crashed after the effects of record {}, before its acks",
    "step": "step worker crashed after step call {}, before its result was sent",
}


class CrashPoint(msgspec.Struct, frozen=True):
    """Where a worker is crashed: after the so-manieth record or step call, those of children included."""

    moment: Moment
    number: int

    def __str__(self) -> str:
        return _SHOWN[self.moment].format(self.number)


class Difference(msgspec.Struct, frozen=True):
    """What a crash has changed."""

    point: CrashPoint | None
    """None for the run without a crash."""
    text: str

    def __str__(self) -> str:
        return f"{self.point or 'without any crash'}: {self.text}"


class CrashSweep(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep has come to."""

    workflow: str
    records: int
    """Of the run without a crash."""
    crashes: int
    """Moments at which a worker was crashed."""
    differences: list[Difference]

    def __str__(self) -> str:
        head = f"workflow {self.workflow!r}: {self.records} records, {self.crashes} crashes"
        if not self.differences:
            return f"{head}, nothing differs"
        return "\n".join([f"{head}, {len(self.differences)} differ:", *(f"- {one}" for one in self.differences)])


class CrashSweepFailed(AssertionError):
    """A crash makes a difference; `sweep` says where and which."""

    def __init__(self, sweep: CrashSweep) -> None:
        super().__init__(str(sweep))
        self.sweep: Final = sweep


class _Trial(msgspec.Struct, kw_only=True):
    """One run, as far as it is compared."""

    outcome: str = ""
    commands: list[str] = []
    answers: list[str] = []
    """To updates, in the order of the log."""
    records: int = 0
    moments: int = 0
    """Records of the run and of those that it has started."""
    calls: list[StepCall] = []
    may_repeat: set[tuple[RunKey, int]] = set()
    """Commands whose work was out when the step worker was crashed."""
    broken: str = ""
    """Why it came to no end."""
    has_struck: bool = False


def survives_every_crash(
    call: Call[Any],
    *definitions: Definition,
    steps: Stubs | Callable[[], Stubs] = (),
    hooks: Hooks = (),
    updates: Updates = (),
    unstubbed: Unstubbed = "run",
    step_crashes: Literal["none", "each"] = "each",
) -> CrashSweep:
    """Runs a workflow once, and then once for every moment at which a worker may crash; checks that nothing differs.

    After every record, those of children included, the actor worker is crashed, once before the record's effects and
    once before its acks; after every call of a step the step worker. Time is the same in all runs. Compared are the
    outcome, the commands decided, the answers to updates, and how often each attempt of a step was run: a crash of the
    actor worker repeats none, one of the step worker only what was in its hands.

    Args:
        definitions: As of `app`; without them the workflow is looked for among the loaded modules.
        steps: As of `app`, or a function that makes them anew for each run: for stubs that remember something.
        hooks: Payloads, each sent as soon as the run waits for it.
        updates: Each sent as soon as the one before has its answer.
        step_crashes: `none` leaves the step worker alone.

    Raises:
        CrashSweepFailed: Something differs; its text tells every such moment with the difference.
    """
    registry = collect(definitions or (workflow_of(call),))
    trials = _Trials(call, registry, steps, (hooks, updates), unstubbed)
    plain = trials.run(None)
    points: list[CrashPoint] = []
    if not plain.broken:
        for number in range(1, plain.moments + 1):
            points += [CrashPoint("append", number), CrashPoint("effects", number)]
        if step_crashes == "each":
            points += [CrashPoint("step", number) for number in range(1, len(plain.calls) + 1)]
    differences = [Difference(None, plain.broken)] if plain.broken else []
    crashes = 0
    for point in points:
        trial = trials.run(point)
        crashes += trial.has_struck
        differences += [Difference(point, text) for text in _compare(plain, trial)]
    sweep = CrashSweep(workflow=call.workflow, records=plain.records, crashes=crashes, differences=differences)
    if differences:
        raise CrashSweepFailed(sweep)
    return sweep


class _Trials:
    """All runs of a sweep."""

    def __init__(
        self,
        call: Call[Any],
        registry: Registry,
        steps: Stubs | Callable[[], Stubs],
        inputs: tuple[Hooks, Updates],
        unstubbed: Unstubbed,
    ) -> None:
        self._call = call
        self._registry = registry
        self._steps = steps
        self._inputs = inputs
        self._unstubbed: Unstubbed = unstubbed

    def run(self, point: CrashPoint | None) -> _Trial:
        stubs = read_stubs(self._steps() if callable(self._steps) else self._steps)
        registry = Registry(
            workflows=self._registry.workflows,
            steps={**self._registry.steps, **{name: stub.step for name, stub in stubs.items()}},
        )
        under_test = AppUnderTest(registry, stubs, unstubbed=self._unstubbed, start=START, limit=LIMIT)
        under_test.parked_tries_max = 1
        return on_own_loop(self._live(under_test, point))

    async def _live(self, under_test: AppUnderTest, point: CrashPoint | None) -> _Trial:
        trial = _Trial()
        strike = _Strike(under_test, point, trial)
        try:
            async with under_test:
                strike.arm()
                handle = await begin(under_test, self._call, *self._inputs)
                with suppress(RunError):  # how it ended is in the log
                    await handle.result()
                await under_test.until_settled()
                log = await handle.log()
                trial.records, trial.moments = len(log), len(under_test.twin.records())
                trial.commands = [describe(command) for record in log for command in record.commands]
                trial.answers = [_answered(answer) for record in log for answer in record.answers]
                trial.outcome = _ending(log[-1].outcome)
        except (RunParked, Stuck) as error:
            trial.broken = str(error)
        except JetrunError as error:
            trial.broken = f"{type(error).__name__}: {error}"
        trial.calls = under_test.calls()
        if trial.may_repeat:  # a body begins again, and its steps with it
            trial.may_repeat |= {_command_of(call) for call in trial.calls if call.is_in_place}
        return trial


class _Strike:
    """Crashes one worker at one moment."""

    def __init__(self, under_test: AppUnderTest, point: CrashPoint | None, trial: _Trial) -> None:
        self._app = under_test
        self._point = point
        self._trial = trial
        self._records = 0
        self._calls = 0

    def arm(self) -> None:
        if self._point is None:
            return
        if self._point.moment == "step":
            self._app.stage.on_done = self._hear_call
        else:
            self._app.twin.on_record.append(self._hear_record)

    def _hear_record(self, _key: RunKey, _record: Record) -> None:
        assert self._point is not None
        self._records += 1
        if self._records != self._point.number:
            return
        if self._point.moment == "append":
            self._strike_actors()
        else:
            self._app.twin.actors.set_on_ack(self._strike_actors)

    def _hear_call(self, _call: StepCall) -> None:
        assert self._point is not None
        self._calls += 1
        if self._calls == self._point.number:
            self._trial.has_struck = True
            self._trial.may_repeat = self._app.twin.work_in_hand()
            self._app.crash_step_worker()

    def _strike_actors(self) -> bool:
        self._app.twin.actors.set_on_ack(None)
        self._trial.has_struck = True
        self._app.crash_actor_worker()
        return True


def _compare(plain: _Trial, trial: _Trial) -> list[str]:
    if trial.broken:
        return [trial.broken]
    if not trial.has_struck:
        return ["this moment did not come: the run went another way before"]
    texts: list[str] = []
    if trial.outcome != plain.outcome:
        texts.append(f"the run ended as {trial.outcome}, without a crash as {plain.outcome}")
    for n, (wanted, found) in enumerate(zip_longest(plain.commands, trial.commands, fillvalue="nothing"), 1):
        if wanted != found:
            texts.append(f"command {n} is {found}, without a crash {wanted}")
            break
    if trial.answers != plain.answers:
        texts.append(f"updates were answered by {trial.answers}, without a crash by {plain.answers}")
    wanted_calls, found_calls = (Counter(map(_call_key, one.calls)) for one in (plain, trial))
    for key in sorted(wanted_calls | found_calls):
        command, step, attempt = key
        wanted_count, found_count = wanted_calls[key], found_calls[key]
        if not wanted_count <= found_count <= wanted_count + (command in trial.may_repeat):
            texts.append(
                f"attempt {attempt} of step {step!r} (command {command[1]} of {command[0]}) ran {found_count} times, "
                f"without a crash {wanted_count} times"
            )
    return texts


def _call_key(call: StepCall) -> tuple[tuple[RunKey, int], str, int]:
    return (_command_of(call), call.step, call.attempt)


def _command_of(call: StepCall) -> tuple[RunKey, int]:
    return (RunKey(call.workflow, call.run_id), call.command)


def _answered(answer: Answer) -> str:
    if answer.error is not None:
        return f"{answer.name} {'refused' if answer.is_refused else 'failed'} with {answer.error.message}"
    value = bytes(answer.result).decode() if answer.ref is None else f"object {answer.ref.sha256}"
    return f"{answer.name} with {value}"


def _ending(outcome: Outcome | None) -> str:
    if outcome is None:
        return "open"
    if outcome.error is not None:
        return f"{outcome.status} with {outcome.error.type}: {outcome.error.message}"
    value = bytes(outcome.result).decode() if outcome.ref is None else f"object {outcome.ref.sha256}"
    return f"{outcome.status} with {value}" if outcome.status == "completed" else f"{outcome.status} {outcome.reason!r}"
