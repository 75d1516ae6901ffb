"""Shapes of plain JSON data: for what a definition has where something else was expected."""

from __future__ import annotations

from typing import TypeGuard


def is_mapping(value: object) -> TypeGuard[dict[str, object]]:
    """Tells whether a value of plain JSON data is a mapping; its keys are texts then."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[object]]:
    """Tells whether a value of plain JSON data is a list."""
    return isinstance(value, list)
