"""Functions of expressions on lists and mappings. They make new ones and change none."""

from __future__ import annotations

from itertools import zip_longest
from typing import cast

import msgspec

from .graph_operators import add
from .graph_values import elements, is_before, is_equal, kind, mapping, scan_steps, text, whole
from .graph_view import Budget, ExpressionError, Undefined, shown
from .limits import GRAPH_ITEMS_MAX


def at(value: object, path: list[str]) -> object:
    """Follows keys, one after the other. Raises Undefined where one is missing."""
    for key in path:
        if type(value) is not dict:
            raise ExpressionError(f"{kind(value)} has no key {shown(key)}")
        fields = cast("dict[str, object]", value)
        if key not in fields:
            raise Undefined(f"there is no key {shown(key)}")
        value = fields[key]
    return value


def length(budget: Budget, value: object) -> object:
    """Counts characters, elements or keys."""
    if type(value) in (str, list, dict):
        return len(cast("str | list[object]", value))
    raise ExpressionError(f"length takes a text, a list or a mapping, not {kind(value)}")


def keys(budget: Budget, value: object) -> object:
    """Lists the keys, in their order."""
    found = mapping(value, "keys")
    budget.make(len(found))
    return [*found]


def values(budget: Budget, value: object) -> object:
    """Lists the values, in the order of their keys."""
    found = mapping(value, "values")
    budget.make(len(found))
    return [*found.values()]


def pairs(budget: Budget, value: object) -> object:
    """Lists `[key, value]`, in the order of the keys."""
    found = mapping(value, "items")
    budget.step(len(found))
    budget.make(3 * len(found))
    return [[key, each] for key, each in found.items()]


def first(budget: Budget, value: object, fallback: object = msgspec.UNSET) -> object:
    """Takes the first element or character; the second argument where there is none."""
    return _end(value, 0, fallback, "first")


def last(budget: Budget, value: object, fallback: object = msgspec.UNSET) -> object:
    """Takes the last element or character; the second argument where there is none."""
    return _end(value, -1, fallback, "last")


def _end(value: object, index: int, fallback: object, name: str) -> object:
    found = value if type(value) is str else elements(value, name)
    if found:
        return found[index]
    if fallback is msgspec.UNSET:
        raise Undefined(f"{name} of what is empty: give it a second argument for that case")
    return fallback


def unique(budget: Budget, value: object) -> object:
    """Keeps the first of equal elements, in their order."""
    found = elements(value, "unique")
    budget.step(len(found))
    budget.make(len(found))
    seen: set[object] = set()
    large: list[object] = []
    kept: list[object] = []
    for each in found:
        if type(each) in (list, dict):
            budget.step(len(large))
            if any(is_equal(each, other, budget) for other in large):
                continue
            large.append(each)
        else:
            if kind(each) == "no JSON value":
                raise ExpressionError("the list has what is no JSON value")
            mark = (type(each) is bool, each)
            if mark in seen:
                continue
            seen.add(mark)
        kept.append(each)
    return kept


def reverse(budget: Budget, value: object) -> object:
    """Turns a list or a text round."""
    found = value if type(value) is str else elements(value, "reverse")
    budget.make(len(found))
    return found[::-1]


def sort(budget: Budget, value: object, *, attribute: object = None, reverse: object = False) -> object:
    """Sorts numbers, or texts; equal ones stay in their order, also in reverse."""
    found = elements(value, "sort")
    marks = _marks(found, attribute, budget)
    rounds = len(found).bit_length()
    budget.step(len(found) * rounds)
    budget.step(sum(len(mark) for mark in marks if type(mark) is str) * rounds >> 10)
    budget.make(2 * len(found))
    if len({type(mark) is str for mark in marks}) > 1 or any(type(mark) not in (int, float, str) for mark in marks):
        raise ExpressionError("sort takes a list of numbers or of texts, or attribute= for a key that holds one")
    if type(reverse) is not bool:
        raise ExpressionError(f"sort takes reverse=true or false, not {kind(reverse)}")
    order = sorted(range(len(found)), key=lambda index: cast("float", marks[index]), reverse=reverse)
    return [found[index] for index in order]


def smallest(budget: Budget, value: object, *others: object, attribute: object = None) -> object:
    """Takes the least element of a list, or the least argument; the first of equal ones."""
    return _most("min", budget, value, others, attribute)


def largest(budget: Budget, value: object, *others: object, attribute: object = None) -> object:
    """Takes the greatest element of a list, or the greatest argument; the first of equal ones."""
    return _most("max", budget, value, others, attribute)


def _most(name: str, budget: Budget, value: object, others: tuple[object, ...], attribute: object) -> object:
    found = [value, *others] if others else elements(value, name)
    if not found:
        raise Undefined(f"{name} of an empty list")
    budget.step(len(found))
    marks = _marks(found, attribute, budget)
    best = 0
    for index in range(len(found)):
        budget.step(len(cast("str", marks[index])) >> 10 if type(marks[index]) is str else 0)
        one, other = (index, best) if name == "min" else (best, index)
        if is_before(marks[one], marks[other], name):
            best = index
    return found[best]


def _marks(found: list[object], attribute: object, budget: Budget) -> list[object]:
    if attribute is None:
        return found
    if type(attribute) is not str:
        raise ExpressionError(f"attribute= takes a text, not {kind(attribute)}")
    path = attribute.split(".")
    budget.step(len(found) * len(path))
    return [at(each, path) for each in found]


def total(budget: Budget, value: object) -> object:
    """Adds the numbers of a list; 0 for none."""
    found = elements(value, "sum")
    budget.step(len(found))
    reached: object = 0
    for each in found:
        if type(each) is not int and type(each) is not float:
            raise ExpressionError(f"sum takes a list of numbers, not with {kind(each)} in it")
        reached = add(reached, each, budget)
    return reached


def span(budget: Budget, start: object, stop: object = None, step: object = 1) -> object:
    """Counts as Python's range does: from 0 or `start` to before the stop."""
    low, high = (0, start) if stop is None else (whole(start, "range"), stop)
    stride = whole(step, "range")
    if stride == 0:
        raise ExpressionError("range takes a step that is not 0")
    numbers = range(low, whole(high, "range"), stride)
    if numbers[GRAPH_ITEMS_MAX:]:
        raise ExpressionError(f"range makes at most {GRAPH_ITEMS_MAX} numbers")
    budget.make(len(numbers))
    return [*numbers]


def together(budget: Budget, *lists: object, pad: object = None) -> object:
    """Makes lists of the first elements, of the second ones …; shorter lists are filled up with `pad`."""
    found = [elements(each, "zip") for each in lists]
    rows = max(map(len, found))
    budget.step(rows)
    budget.make(rows * (len(found) + 1))
    return [[*row] for row in zip_longest(*found, fillvalue=pad)]


def merge(budget: Budget, *mappings: object) -> object:
    """Puts mappings together; of equal keys the last value counts, and nothing is merged within values."""
    made: dict[str, object] = {}
    for each in mappings:
        found = mapping(each, "merge")
        budget.step(len(found))
        budget.make(len(found))
        made.update(found)
    return made


def from_items(budget: Budget, pairs_of: object) -> object:
    """Makes a mapping of `[key, value]` pairs; the last value of a key counts."""
    found = elements(pairs_of, "from_items")
    budget.step(len(found))
    budget.make(len(found))
    made: dict[str, object] = {}
    for each in found:
        pair = elements(each, "from_items")
        if len(pair) != 2:
            raise ExpressionError(f"from_items takes lists of a key and its value, not one of {len(pair)}")
        made[text(pair[0], "a mapping's key")] = pair[1]
    return made


def flatten(budget: Budget, value: object, levels: object = None) -> object:
    """Puts the elements of lists within the list in their place, through and through or so many levels deep."""
    left = -1 if levels is None else max(0, whole(levels, "flatten"))
    found = elements(value, "flatten")
    while left:
        budget.step(len(found))
        if not any(type(each) is list for each in found):
            break
        made: list[object] = []
        for each in found:
            inner = cast("list[object]", each) if type(each) is list else [each]
            budget.make(len(inner))
            made.extend(inner)
        found = made
        left -= 1
    return found


def index_of(budget: Budget, container: object, value: object) -> object:
    """Finds where a part of a text, or an element of a list, stands first; -1 where there is none."""
    if type(container) is str:
        budget.step(scan_steps(container))
        return container.find(text(value, "index_of"))
    for index, each in enumerate(elements(container, "index_of")):
        budget.step()
        if is_equal(each, value, budget):
            return index
    return -1


def last_index_of(budget: Budget, container: object, value: object) -> object:
    """Finds where a part of a text stands last; -1 where there is none."""
    found = text(container, "last_index_of")
    budget.step(scan_steps(found))
    return found.rfind(text(value, "last_index_of"))


def substring(budget: Budget, value: object, start: object, length_max: object = -1) -> object:
    """Takes so many characters from `start` on, all where the number is negative; a negative start counts from the end."""
    found, low, count = text(value, "substring"), whole(start, "substring"), whole(length_max, "substring")
    low = low if low >= 0 else len(found) + low
    if low < 0:
        raise ExpressionError("substring takes a start within the text")
    budget.make(len(found))
    return found[low:] if count < 0 else found[low : low + count]


def is_blank(budget: Budget, value: object) -> object:
    """Tells whether it is null, or a text of white space alone."""
    if value is None:
        return True
    found = text(value, "is_blank")
    budget.step(scan_steps(found))
    return not found.strip()


def as_list(budget: Budget, value: object) -> object:
    """Returns a list as it is: nothing else is taken for one."""
    return elements(value, "list")
