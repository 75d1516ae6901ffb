"""Variables that a graph's definition sets: `vars`, `output`, `publish`, and the names and defaults of `input`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .graph_draft import Setting, Use
from .graph_fields import check_variable_name
from .graph_findings import Findings, shown
from .graph_inline import InlineInvalid, parse_inline
from .graph_model import Assignment
from .graph_problem import Path
from .graph_reads import Reads
from .graph_shape import is_list, is_mapping
from .graph_template import Template

_FORMS: Final = "write a list of one-key mappings, or a mapping"


def read_assignments(
    findings: Findings, path: Path, value: object, *, inline: bool = False
) -> tuple[tuple[Assignment, ...], tuple[Setting, ...]]:
    """Reads variables in the order in which they are set.

    Args:
        inline: Whether a text `a=1 b=2` is one of the forms.
    """
    assignments: list[Assignment] = []
    settings: list[Setting] = []
    for place, key, inner in _pairs(findings, path, value, inline=inline):
        name = check_variable_name(findings, place, key)
        uses: list[Use] = []
        template = Reads(findings, uses).template(place, inner)
        if name:
            assignments.append((name, template))
            settings.append(Setting(name=name, path=place, uses=tuple(uses)))
    return tuple(assignments), tuple(settings)


def read_inputs(
    findings: Findings, path: Path, value: object
) -> tuple[tuple[tuple[str, Template | None], ...], tuple[Setting, ...]]:
    """Reads `input`: names, or names with defaults; earlier ones are visible to later."""
    inputs: list[tuple[str, Template | None]] = []
    settings: list[Setting] = []
    seen: set[str] = set()
    if value is not None and not is_list(value):
        findings.error("bad_type", path, f"input is {shown(value)}; write a list of names, or of 'name: default'")
    for index, each in enumerate(value if is_list(value) else []):
        uses: list[Use] = []
        place: Path = (*path, index)
        key: object = each
        default: Template | None = None
        if is_mapping(each):
            if len(each) != 1:
                findings.error("bad_type", place, f"it has {len(each)} keys; write one 'name: default' per entry")
                continue
            name_there, inner = next(iter(each.items()))
            key, place = name_there, (*place, name_there)
            default = Reads(findings, uses).template(place, inner)
        name = check_variable_name(findings, place, key)
        if name and name in seen:
            findings.error("duplicate_name", place, f"input {name!r} is there twice; leave one out")
        elif name:
            seen.add(name)
            inputs.append((name, default))
            settings.append(Setting(name=name, path=place, uses=tuple(uses)))
    return tuple(inputs), tuple(settings)


def _pairs(findings: Findings, path: Path, value: object, *, inline: bool) -> Iterator[tuple[Path, object, object]]:
    if is_mapping(value):
        for key, inner in value.items():
            yield (*path, key), key, inner
    elif is_list(value):
        for index, each in enumerate(value):
            if is_mapping(each) and len(each) == 1:
                key, inner = next(iter(each.items()))
                yield (*path, index, key), key, inner
            else:
                count = f"has {len(each)} keys" if is_mapping(each) else f"is {shown(each)}"
                findings.error("bad_type", (*path, index), f"the entry {count}; write one 'name: value' per entry")
    elif isinstance(value, str) and inline:
        yield from _inline_pairs(findings, path, value)
    elif value is not None:
        forms = f"{_FORMS}, or 'a=1 b=2'" if inline else _FORMS
        findings.error("bad_type", path, f"it is {shown(value)}; {forms}")


def _inline_pairs(findings: Findings, path: Path, text: str) -> Iterator[tuple[Path, object, object]]:
    try:
        pairs = parse_inline(text)
    except InlineInvalid as invalid:
        findings.error("bad_type", path, str(invalid))
        return
    if not pairs:
        findings.error("bad_type", path, "it is an empty text; write 'name=value'")
    for key, inner in pairs:
        yield path, key, inner
