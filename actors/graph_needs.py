"""Needs: what an entry of a graph comes after, as the builder is given it and as the definition names it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, Final, Protocol, cast

import msgspec

from .errors import DefinitionError
from .graph_problem import Problem
from .graph_words import shown
from .step import Step
from .workflow import Workflow


class Named(Protocol):
    """What an entry can be made of: a step, a workflow, another graph."""

    @property
    def name(self) -> str: ...


class Needs(msgspec.Struct, frozen=True):
    """Dependencies, in their order. Objects become names when the graph is whole: an entry that was made of the very
    object may have another name, and may come later.
    """

    of: tuple[str | Named, ...] = ()
    is_ordered: bool = True
    """False for what came as a set: its names are sorted, for a set's order differs between processes."""


NONE: Final = Needs()


def identity(source: Named) -> Named:
    """Returns the object that stands for the source: a step whose options were changed is the same step."""
    return cast("Step[..., Any]", source).base if isinstance(source, Step) else source


def read_needs(what: str, option: str, given: object, *, graphs: type) -> Needs:
    """Reads a dependency argument: any iterable of names, steps, workflows and graphs.

    Args:
        what: The entry, as errors shall call it.
        option: `after` or `after_any`.
        graphs: The builder's class.

    Raises:
        DefinitionError: It is a bare text or object, or holds what has no name.
    """
    if isinstance(given, str):
        raise DefinitionError(f'{what}: {option}={shown(given)} is a bare text; write ["{given[:64]}"]')
    if isinstance(given, (Step, Workflow, graphs)):
        raise DefinitionError(
            f"{what}: {option}={cast('Named', given).name} stands alone; write [{cast('Named', given).name}]"
        )
    if not isinstance(given, Iterable) or isinstance(given, (bytes, bytearray)):
        raise DefinitionError(f"{what}: {option}={shown(given)}; use a list of names, steps or workflows")
    listed = tuple(cast("Iterable[object]", given))
    for one in listed:
        if not isinstance(one, (str, Step, Workflow, graphs)):
            raise DefinitionError(f"{what}: {option} holds {shown(one)}; use names, steps or workflows")
    return Needs(cast("tuple[str | Named, ...]", listed), is_ordered=not isinstance(given, Set))


def names_of(
    needs: Needs, *, entry: str, option: str, made_of: Mapping[Named, Sequence[str]], problems: list[Problem]
) -> list[str]:
    """Returns the names of the entries that are meant; unknown ones stay as they are, for the validator to report.

    Args:
        entry: Whose needs they are; never meant by an object where another entry can be.
        made_of: Names of the entries that were made of an object.
        problems: Gets one for each object that means several entries.
    """
    names: list[str] = []
    for index, one in enumerate(needs.of):
        if isinstance(one, str):
            names.append(one)
            continue
        found = list(made_of.get(identity(one), ()))
        others = [name for name in found if name != entry] or found
        if len(others) > 1 and one.name not in others:
            listed = ", ".join(map(repr, others))
            problems.append(
                Problem(
                    kind="ambiguous_dependency",
                    message=f"{one.name!r} was made into {listed}; write the name of one of them",
                    path=("steps", entry, option, index),
                )
            )
        names.append(others[0] if len(others) == 1 else one.name)
    return names if needs.is_ordered else sorted(names)
