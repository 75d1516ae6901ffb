"""Reads YAML with the place of every value, by PyYAML's events: nothing is constructed that the tree has not allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Protocol

import yaml

from .graph_problem import Mark, mark_at, quoted
from .graph_tree import Tree

FAST: Final[type] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser, twenty times as fast, where PyYAML was built with it; it makes the same events."""

_DIRECTIVE: Final = re.compile(r"(?:[ \t]*+(?:#[^\n]*+)?\n)*+(%[^\n]*+)")
_BLANK: Final = re.compile(r"(?:[ \t]*+(?:#[^\n]*+)?\n|\.\.\.(?=[ \t\n]|\Z))*+[ \t]*+(?:#[^\n]*+)?")
_ANCHOR: Final = re.compile(r"&[^ \t\n]++[ \t]++(?![ \t\n#!])")
_CONTENT: Final = re.compile(r"[^ \t\n]")
_TAG_PREFIX: Final = "tag:yaml.org,2002:"
_QUOTE_HINT: Final = "; a text that holds ': ' or '{{', or begins with a sign, has to be quoted"
_QUOTE_REASONS: Final = ("mapping values are not allowed", "cannot start any token")
_TAB_HINT: Final = "; indent with spaces"


class _Spot(Protocol):
    """A mark of either of PyYAML's parsers."""

    line: int
    column: int
    index: int


class NotYaml(Exception):
    """The text is no YAML, or more than one document.

    Args:
        kind: As in `Problem.kind`.
        message: What is wrong.
        offset: Where, in characters.
        mark: The same place.
    """

    def __init__(self, kind: str, message: str, offset: int, mark: Mark) -> None:
        super().__init__(message)
        self.kind = kind
        self.offset = offset
        self.mark = mark


def read(text: str, tree: Tree, *, parser: type = FAST) -> bool:
    """Reads a text into the tree. False if it holds nothing, or nothing but comments.

    Args:
        text: Its lines end with a line feed alone, and YAML allows each of its characters.
        tree: A new one.
        parser: One of PyYAML's loaders.

    Raises:
        NotYaml: The text is none. The tree has what stands before that place.
        Hopeless: The tree cannot take it.
    """
    if found := _DIRECTIVE.match(text):
        message = f"directive {quoted(found[1])} is not taken: leave the line out; texts are read as YAML 1.2"
        raise NotYaml("yaml_syntax", message, found.start(1), mark_at(text, found.start(1)))
    try:
        return _take(text, yaml.parse(text, Loader=parser), tree)
    except yaml.MarkedYAMLError as error:
        raise _refusal(text, error, tree) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # The parser written in Python takes "\U00110000" to chr().
        raise NotYaml("yaml_syntax", "a character or an escape that is none", 0, Mark(1, 1)) from error


def _take(text: str, events: Iterator[yaml.Event], tree: Tree) -> bool:
    is_empty = True
    for event in events:
        if isinstance(event, yaml.ScalarEvent):
            is_empty = is_empty and not (event.value or event.style)
            _scalar(event, _begin(text, event), tree)
        elif isinstance(event, yaml.CollectionStartEvent):
            is_empty = False
            _check_tag(event, tree)
            begin = tree.begin_mapping if isinstance(event, yaml.MappingStartEvent) else tree.begin_list
            begin(_begin(text, event))
        elif isinstance(event, yaml.CollectionEndEvent):
            tree.end()
        elif isinstance(event, yaml.AliasEvent):
            is_empty = False
            tree.alias(str(event.anchor), _mark(event.start_mark))
        elif isinstance(event, yaml.DocumentEndEvent):
            # The parser is asked for nothing after this: a second document may be a bomb of directives.
            _check_rest(text, event.end_mark.index if event.end_mark is not None else len(text))
            break
    return not is_empty


def _begin(text: str, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> Mark:
    """Finds the value itself where an anchor stands before it on its line."""
    mark = _mark(event.start_mark)
    if event.anchor is None or event.start_mark is None or not (found := _ANCHOR.match(text, event.start_mark.index)):
        return mark
    return Mark(mark.line, mark.column + len(found[0]))


def _scalar(event: yaml.ScalarEvent, mark: Mark, tree: Tree) -> None:
    if event.tag is not None:
        _check_tag(event, tree)
        tree.text(event.value, mark)
    elif event.style:
        tree.text(event.value, mark)
    else:
        tree.word(event.value, mark)


def _check_tag(event: yaml.ScalarEvent | yaml.CollectionStartEvent, tree: Tree) -> None:
    if event.tag is not None:
        _refuse_tag(str(event.tag), _mark(event.start_mark), tree)


def _refuse_tag(tag: str, mark: Mark, tree: Tree) -> None:
    shown = tag.replace(_TAG_PREFIX, "!!", 1)
    tree.refuse(
        "tag_not_allowed", f"tag {quoted(shown)} is not taken: leave it out, and quote what is to be a text", mark
    )


def _check_rest(text: str, offset: int) -> None:
    """Refuses whatever follows the document, but blanks, comments and its end `...`."""
    found = _BLANK.match(text, offset)
    assert found is not None
    at = found.end()
    if at == len(text):
        return
    if text.startswith(("---", "%"), at):
        message = "a second document begins here: one text holds one definition"
        raise NotYaml("several_documents", message, at, mark_at(text, at))
    raise NotYaml("yaml_syntax", "text after the end of the document", at, mark_at(text, at))


def _refusal(text: str, error: yaml.MarkedYAMLError, tree: Tree) -> NotYaml:
    place = error.problem_mark or error.context_mark
    reason = str(error.problem or "no YAML")
    offset = min(place.index, len(text)) if place is not None else 0
    # libyaml places the end of a text whose last line has no end on a line of its own.
    mark = _mark(place) if offset < len(text) else mark_at(text, offset)
    opener = _sign_at(text, tree.innermost)
    if opener in {"[", "{"} and not _CONTENT.search(text, offset):
        # The end of the text is where the parser noticed it, and no place to mend it.
        return NotYaml("yaml_syntax", f"{opener!r} is not closed", offset, tree.innermost)
    if "undefined tag handle" in reason:
        return NotYaml(
            "tag_not_allowed", "a tag is not taken: leave it out, and quote what is to be a text", offset, mark
        )
    if error.context and error.context_mark is not None:
        began = _mark(error.context_mark)
        if began != mark:
            reason += f" ({error.context} that begins at {began.line}:{began.column})"
    return NotYaml("yaml_syntax", _one_line(reason) + _hint(text, offset, reason), offset, mark)


def _hint(text: str, offset: int, reason: str) -> str:
    line = text[text.rfind("\n", 0, offset) + 1 :].partition("\n")[0]
    if "\t" in line[: len(line) - len(line.lstrip())] or text.startswith("\t", offset):
        return _TAB_HINT
    return _QUOTE_HINT if "{{" in line or any(part in reason for part in _QUOTE_REASONS) else ""


def _one_line(reason: str) -> str:
    return "".join(char if char.isprintable() else " " for char in reason)


def _mark(place: _Spot | None) -> Mark:
    return Mark(1, 1) if place is None else Mark(place.line + 1, place.column + 1)


def _sign_at(text: str, mark: Mark) -> str:
    if not mark.line:
        return ""
    line = text.split("\n", mark.line)[mark.line - 1]
    return line[mark.column - 1 : mark.column]
