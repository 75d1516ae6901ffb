"""A mapping of a graph's definition, field by field: each of the type that is expected, or a problem and its default.

Nothing here raises: whatever is wrong is noted, and reading goes on.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from .durations import span_us
from .errors import InvalidDuration, InvalidName
from .graph_draft import Use
from .graph_expression import Expression
from .graph_findings import Findings, shown
from .graph_problem import Path
from .graph_reads import BROKEN, Reads, holds_expression, is_whole_expression
from .graph_shape import is_list, is_mapping
from .graph_template import Template
from .limits import DELAY_US_MAX, GRAPH_NAME_CHARS_MAX, GRAPH_VARIABLE_CHARS_MAX
from .names import check_token

_TASK_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_VARIABLE_NAME: Final = re.compile(r"\w[\w.-]*")
_SIZE: Final = re.compile(r"([0-9]{1,12}) ?(B|KiB|MiB|GiB|kB|KB|MB|GB)?")
_UNITS: Final = {
    "B": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
}


class Fields:
    """One mapping and the place where it stands.

    Args:
        value: Whatever stands there; what is no mapping is a problem, and then as empty.
        known: All fields that it may have.
        uses: Where variables that its expressions read are noted.
    """

    def __init__(
        self, findings: Findings, path: Path, value: object, *, what: str, known: Collection[str], uses: list[Use]
    ) -> None:
        self.findings = findings
        self.path = path
        self.reads = Reads(findings, uses)
        if not is_mapping(value):
            findings.error("bad_type", path, f"{what} is {shown(value)}, not a mapping of {', '.join(known)}")
        self.values = value if is_mapping(value) else {}
        for name in self.values:
            if name not in known:
                hint = findings.nearest(str(name), known) or f"; there are {', '.join(known)}"
                findings.error_at_key("unknown_field", (*path, name), f"{what} has no field {shown(name)}{hint}")

    def at(self, name: str) -> Path:
        """Returns a field's place."""
        return (*self.path, name)

    def has(self, name: str) -> bool:
        """Tells whether the field is there, be it null."""
        return name in self.values

    def bad(self, name: str, expected: str) -> None:
        """Notes that a field's value is of the wrong type."""
        self.findings.error("bad_type", self.at(name), f"{name} is {shown(self.values.get(name))}; {expected}")

    def text(self, name: str, default: str = "") -> str:
        """Returns a text; null is the default."""
        value = self.values.get(name)
        if value is None or isinstance(value, str):
            return default if value is None else value
        self.bad(name, "write a text")
        return default

    def token(self, name: str, default: str = "") -> str:
        """Returns a name as queues and apps have."""
        if not self.has(name):
            return default
        text = self.text(name)
        try:
            return check_token(name, text)
        except InvalidName as invalid:
            self.findings.error("bad_name", self.at(name), str(invalid))
            return default

    def choice(self, name: str, allowed: Collection[str], default: str) -> str:
        """Returns one of a few words."""
        if not self.has(name):
            return default
        value = self.values[name]
        if isinstance(value, str) and value in allowed:
            return value
        words = ", ".join(allowed)
        if isinstance(value, str):
            hint = self.findings.nearest(value, allowed)
            self.findings.error("bad_value", self.at(name), f"{name} is {shown(value)}; use one of {words}{hint}")
        else:
            self.bad(name, f"use one of {words}")
        return default

    def flag(self, name: str) -> bool:
        """Returns true or false; false where it is absent."""
        value = self.values.get(name, False)
        if isinstance(value, bool):
            return value
        self.bad(name, "use true or false")
        return False

    def whole(self, name: str, default: int, *, low: int, high: int) -> int:
        """Returns a whole number within its bounds."""
        if not self.has(name):
            return default
        value = self.values[name]
        if isinstance(value, bool) or not isinstance(value, int):
            self.bad(name, "use a whole number")
            return default
        if low <= value <= high:
            return value
        self._beyond(name, f"use {low} to {high}")
        return default

    def whole_or_expression(self, name: str, *, low: int, high: int) -> Template | None:
        """Returns a whole number or an expression for one; None where it is absent."""
        if not self.has(name):
            return None
        value = self.values[name]
        if isinstance(value, str):
            if is_whole_expression(value):
                return self.reads.template(self.at(name), value)
            self.bad(name, "use a whole number without quotes, or one expression")
            return BROKEN
        return Template(self.whole(name, low, low=low, high=high))

    def size(self, name: str, default: int, *, high: int) -> int:
        """Returns a number of bytes: a number, or a text such as `1MiB`."""
        value = self.values.get(name)
        if isinstance(value, str) and (match := _SIZE.fullmatch(value)) is not None:
            count = int(match[1]) * _UNITS[match[2] or "B"]
            if 1 <= count <= high:
                return count
            self._beyond(name, f"use 1 to {high} bytes")
            return default
        if isinstance(value, str):
            self.bad(name, "write a number of bytes, or '64KiB', '1MiB'")
            return default
        return self.whole(name, default, low=1, high=high)

    def duration(self, name: str) -> int:
        """Returns a duration with its unit, above zero, in microseconds; 0 where it is absent."""
        if not self.has(name):
            return 0
        value = self.values[name]
        if not isinstance(value, str):
            unit = f"write '{value}s' or '{value}m'" if isinstance(value, int | float) else "write '30s'"
            self.bad(name, f"a duration needs its unit: {unit if not isinstance(value, bool) else 'write 30s'}")
            return 0
        if holds_expression(value):
            self.bad(name, "it has to be fixed: write a duration such as '30s'")
            return 0
        us = self._span_us(name, value)
        if us == 0:
            self._beyond(name, "use more than nothing")
        return us or 0

    def span(self, name: str) -> Template | None:
        """Returns seconds, a duration with its unit, or an expression for either; None where it is absent."""
        if not self.has(name):
            return None
        value = self.values[name]
        if isinstance(value, str) and holds_expression(value):
            return self.reads.template(self.at(name), value)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            self.bad(name, "write seconds, a duration such as '30s', or an expression")
            return BROKEN
        return BROKEN if self._span_us(name, value) is None else Template(value)

    def template(self, name: str) -> Template:
        """Returns any value."""
        return self.reads.template(self.at(name), self.values.get(name))

    def token_or_template(self, name: str) -> Template:
        """Returns a name as workflows and hooks have, or a text with expressions."""
        value = self.values.get(name)
        if not isinstance(value, str) or not value.strip():
            self.bad(name, "write a name, or an expression for one")
            return BROKEN
        if not holds_expression(value):
            return Template(self.token(name))
        return self.reads.template(self.at(name), value.strip())

    def condition(self, name: str) -> Expression | None:
        """Returns a condition; None where it is absent."""
        return self.reads.condition(self.at(name), self.values[name]) if self.has(name) else None

    def names(self, name: str) -> list[tuple[str, Path]]:
        """Returns names, each with its place: a list, or a text with one name or several and commas between them."""
        value = self.values.get(name)
        path = self.at(name)
        found: list[tuple[str, Path]] = []
        if isinstance(value, str):
            found = [(each.strip(), path) for each in value.split(",")]
        elif is_list(value):
            for index, each in enumerate(value):
                if isinstance(each, str):
                    found.append((each, (*path, index)))
                else:
                    self.findings.error("bad_type", (*path, index), f"{shown(each)} is no name of a task")
        elif value is not None:
            self.bad(name, "write a name, or a list of names")
        for each, place in found:
            if not each:
                self.findings.error("bad_type", place, f"{name} has an empty name")
        return [(each, place) for each, place in found if each]

    def _span_us(self, name: str, value: float | str) -> int | None:
        try:
            us = span_us(value, what=name)
        except InvalidDuration as invalid:
            is_negative = value.startswith("-") if isinstance(value, str) else True
            kind = "limit_out_of_range" if is_negative else "bad_type"
            self.findings.error(kind, self.at(name), str(invalid))
            return None
        if us > DELAY_US_MAX:
            self._beyond(name, "that is too far away")
            return None
        return us

    def _beyond(self, name: str, expected: str) -> None:
        text = f"{name} is {shown(self.values.get(name))}; {expected}"
        self.findings.error("limit_out_of_range", self.at(name), text)


def check_task_name(findings: Findings, path: Path, name: str) -> bool:
    """Tells whether a task can be called so, and notes a problem if not."""
    if _TASK_NAME.fullmatch(name) and len(name) <= GRAPH_NAME_CHARS_MAX:
        return True
    rule = f"use letters, digits, '_' and '-', not first '-', at most {GRAPH_NAME_CHARS_MAX}"
    findings.error_at_key("bad_name", path, f"{shown(name)} is no name for a task; {rule}")
    return False


def check_variable_name(findings: Findings, path: Path, name: object) -> str:
    """Returns a variable's name; "" and a problem if nothing can be called so."""
    if not isinstance(name, str) or not _VARIABLE_NAME.fullmatch(name) or len(name) > GRAPH_VARIABLE_CHARS_MAX:
        rule = f"use letters, digits and '_', at most {GRAPH_VARIABLE_CHARS_MAX}"
        findings.error_at_key("bad_name", path, f"{shown(name)} is no name for a variable; {rule}")
        return ""
    if name.startswith("__"):
        text = f"variable {name!r} begins with '__', which is the engine's; use another"
        findings.error_at_key("private_variable", path, text)
        return ""
    return name
