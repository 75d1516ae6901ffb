"""Verdicts: what a rehearsal has shown against what its scenario expects, as lines for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, cast

import msgspec

from .graph_problem import Problem
from .graph_rehearsal import Rehearsed, rehearsed
from .graph_scenario import Scenario
from .graph_story import story_of

_SHOWN_CHARS_MAX: Final = 200
_DIFFERENCES_MAX: Final = 20
"""Of one output."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How a scenario has gone."""

    scenario: Scenario
    rehearsed: Rehearsed | None
    """None where the definition is not valid."""
    differences: tuple[str, ...]
    """From what was expected, a line each; none where all is as it should be."""
    notes: tuple[str, ...] = ()
    """What is probably not meant, a line each."""

    @property
    def is_as_expected(self) -> bool:
        return not self.differences

    def lines(self, *, has_outcome: bool = False, has_story: bool = False) -> list[str]:
        """Writes it for people.

        Args:
            has_outcome: With path, status, output and errors, whatever was expected.
            has_story: With everything that has happened.
        """
        found = self.rehearsed
        lines = [f"{'ok' if self.is_as_expected else 'not ok'} {self.scenario.name}"]
        lines += [f"  {line}" for line in self.differences]
        lines += [f"  note: {line}" for line in self.notes]
        if found is not None and (has_outcome or self.scenario.expected.is_nothing):
            lines += [f"  {line}" for line in outcome_lines(found)]
        if found is not None and has_story:
            lines += [f"  {line}" for line in story_lines(found)]
        return lines


def judge(scenario: Scenario) -> Verdict:
    """Rehearses a scenario and compares. Never raises."""
    subject, wanted = scenario.subject, scenario.expected
    if subject.graph is None:
        return Verdict(scenario=scenario, rehearsed=None, differences=tuple(_invalid(scenario)))
    if wanted.problems is not None:
        text = f"{subject.name} is valid; expected problems: {', '.join(wanted.problems) or 'any'}"
        return Verdict(scenario=scenario, rehearsed=None, differences=(text,))
    found = rehearsed(subject.graph, scenario)
    differences = [found.failure] if found.failure else []
    differences += _differences(scenario, found)
    return Verdict(scenario=scenario, rehearsed=found, differences=tuple(differences), notes=found.notes)


def outcome_lines(found: Rehearsed) -> list[str]:
    """Writes path, status, output and errors."""
    lines = [f"path: {_path_text(found.waves)}"]
    skipped = [task for task, status in found.tasks.items() if status == "skipped"]
    if skipped:
        lines.append(f"skipped: {', '.join(skipped)}")
    lines.append(f"status: {found.status}")
    if found.output is not None:
        lines.append(f"output: {_json(found.output)}")
    return [*lines, *_error_lines(found)]


def story_lines(found: Rehearsed) -> Iterator[str]:
    """Writes everything that has happened, with the seconds since the beginning."""
    for at_us, move in found.story:
        for kind, text, _ in story_of([move]):
            yield f"{at_us / 1e6:>9.3f}s  {kind:<16} {text}"


# --- comparing --------------------------------------------------------------------------------------------
def _invalid(scenario: Scenario) -> Iterator[str]:
    subject, wanted = scenario.subject, scenario.expected.problems
    if wanted is None:
        for problem in subject.problems:
            yield f"{subject.name}:{problem}" if problem.mark.line else f"{subject.name}: {problem}"
        return
    for text in wanted:
        if not any(text == problem.kind or text in str(problem) for problem in subject.problems):
            yield f"problems: expected {text!r}; got {_kinds(subject.problems)}"


def _kinds(problems: Iterable[Problem]) -> str:
    return ", ".join(dict.fromkeys(problem.kind for problem in problems)) or "none"


def _differences(scenario: Scenario, found: Rehearsed) -> Iterator[str]:
    wanted = scenario.expected
    if wanted.waves is not None:
        yield from _of_waves(wanted.waves, found.waves)
    if wanted.path is not None:
        yield from _of_path(wanted.path, found.waves)
    if wanted.status is not None and wanted.status != found.status:
        yield f"status: expected {wanted.status}, got {found.status}"
    if wanted.output is not msgspec.UNSET:
        differences = list(_of_value(wanted.output, found.output, "output"))
        yield from differences[:_DIFFERENCES_MAX]
        if len(differences) > _DIFFERENCES_MAX:
            yield f"output: and {len(differences) - _DIFFERENCES_MAX} more differences"
    if wanted.errors is not None:
        yield from _of_errors(wanted.errors, found.errors)
    for task, times in wanted.activations.items():
        if found.activations.get(task, 0) != times:
            yield f"activations of {task}: expected {times}, got {found.activations.get(task, 0)}"
    for task, status in wanted.tasks.items():
        if found.tasks.get(task) != status:
            yield f"task {task}: expected {status}, got {found.tasks.get(task) or 'no end'}"
    # What has gone wrong is told with the first difference: a failed run rarely has the path and the output expected.
    if wanted.status == "succeeded" and found.status == "failed":
        yield from _error_lines(found)


def _of_waves(wanted: Sequence[Sequence[str]], found: Sequence[Sequence[str]]) -> Iterator[str]:
    for number in range(max(len(wanted), len(found))):
        one = wanted[number] if number < len(wanted) else ()
        other = found[number] if number < len(found) else ()
        if Counter(one) != Counter(other):
            yield f"wave {number + 1}: expected {_names(one)}; got {_names(other)}"
            yield f"expected waves: {_path_text(wanted)}"
            yield f"got waves:      {_path_text(found)}"
            return


def _of_path(wanted: Sequence[str], found: Sequence[Sequence[str]]) -> Iterator[str]:
    """Takes of the path as many names as each wave has."""
    pieces: list[Sequence[str]] = []
    begin = 0
    for wave in found:
        pieces.append(wanted[begin : begin + len(wave)])
        begin += len(wave)
    for number, (piece, wave) in enumerate(zip(pieces, found, strict=True), 1):
        if Counter(piece) != Counter(wave):
            yield f"path, wave {number}: expected {_names(piece)}; got {_names(wave)}"
            break
    else:
        if begin >= len(wanted):
            return
        yield f"path: expected also {_names(wanted[begin:])}"
    yield f"expected path: {' '.join(wanted) or 'nothing'}"
    yield f"got path:      {_path_text(found)}"


def _of_errors(wanted: Sequence[str], found: Sequence[tuple[str, str]]) -> Iterator[str]:
    got = "; ".join(f"{code}: {text}" for code, text in found[-1:]) or "none"
    if not wanted and found:
        yield f"errors: expected none; got {got}"
    for text in wanted:
        if not any(text == code or text in message for code, message in found):
            yield f"errors: expected {text!r}; got {got}"


def _of_value(wanted: object, found: object, where: str) -> Iterator[str]:
    """Compares JSON. A number is the same with and without fraction; true is not 1."""
    plain, got = wanted, found  # as they are, whatever is found out about them below
    if isinstance(wanted, dict) and isinstance(found, dict):
        one, other = cast("dict[str, object]", wanted), cast("dict[str, object]", found)
        for name in [*one, *(name for name in other if name not in one)]:
            place = f"{where}.{name}"
            if name not in other:
                yield f"{place}: expected {_json(one[name])}, got nothing"
            elif name not in one:
                yield f"{place}: expected nothing, got {_json(other[name])}"
            else:
                yield from _of_value(one[name], other[name], place)
    elif isinstance(wanted, list) and isinstance(found, list):
        yield from _of_lists(cast("list[object]", wanted), cast("list[object]", found), where)
    elif not _is_same(plain, got):
        yield f"{where}: expected {_json(plain)}, got {_json(got)}"


def _is_same(wanted: object, found: object) -> bool:
    return wanted == found and (type(wanted) is bool) == (type(found) is bool)


def _of_lists(wanted: list[object], found: list[object], where: str) -> Iterator[str]:
    if len(wanted) != len(found):
        yield f"{where}: expected {_json(wanted)}, got {_json(found)}"
        return
    for index, (one, other) in enumerate(zip(wanted, found, strict=True)):
        yield from _of_value(one, other, f"{where}[{index}]")


def _error_lines(found: Rehearsed) -> list[str]:
    """Writes the run's own error, which names those of its tasks."""
    return [f"error: {code}: {text}" for code, text in found.errors[-1:]]


def _json(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN_CHARS_MAX else text[: _SHOWN_CHARS_MAX - 1] + "…"


def _names(names: Sequence[str]) -> str:
    return " ".join(names) or "nothing"


def _path_text(waves: Sequence[Sequence[str]]) -> str:
    return " > ".join(" ".join(wave) for wave in waves) or "nothing"
