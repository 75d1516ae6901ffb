"""A definition as YAML that reads the same in YAML 1.1 and 1.2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import yaml

from ..actors.graph_problem import GraphInvalid, Problem
from ..actors.graph_source import parse
from . import render

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./]*(?:[ -][A-Za-z0-9_./]+)*")
_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_WIDTH: Final = 1_000_000
"""Lines are not folded: an expression in two lines is hard to find."""


class _Dumper(yaml.SafeDumper):
    """Quotes every text that is not plainly a word, and indents lists as people do."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: object) -> bool:  # definitions have no aliases
        return True


def _text(_: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    is_plain = _PLAIN.fullmatch(text) is not None and text.lower() not in _WORDS
    style = None if is_plain else "|" if "\n" in text else '"' if "'" in text and '"' not in text else "'"
    return yaml.ScalarNode("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def yaml_of(value: Mapping[str, object], *, of: str) -> str:
    """Writes a definition that was read from the file `of`.

    Raises:
        GraphInvalid: What would be written does not read as the same.
    """
    text = _dumped(value, is_ascii=False)
    if any(render.safe(line) != line for line in text.split("\n")):
        text = _dumped(value, is_ascii=True)  # it may go to a terminal
    if parse(text, name=of).value != value:
        message = "the definition cannot be written as YAML that reads the same; nothing is written"
        raise GraphInvalid(of, [Problem(kind="not_translatable", message=message)])
    return text


def _dumped(value: Mapping[str, object], *, is_ascii: bool) -> str:
    return yaml.dump(
        dict(value),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=not is_ascii,
        width=_WIDTH,
        default_flow_style=False,
    )
