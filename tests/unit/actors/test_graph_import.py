"""Definitions of Orquesta in our words: the same graph comes out, or the reasons why not."""

from __future__ import annotations

import pytest

from jetrun.actors.graph_compile import compile_graph
from jetrun.actors.graph_import import imported, normal
from jetrun.actors.graph_problem import GraphInvalid
from jetrun.actors.graph_source import Document, parse

ORQUESTA = """\
version: 1.0
description: <% no expression here %>
input:
  - which
  - count: 3
vars:
  - seen: <% list(1, 2) %>
output:
  - all: "<% ctx().seen %> of <% ctx().count %>"
tasks:
  first:
    action: core.echo message="<% ctx().which %>" times=3
    next:
      - when: <% succeeded() and ctx().which = "a" %>
        publish: seen=<% result() %> note="two words"
        do: second, third
      - when: "{{ failed() }}"
        do: noop
  second:
    with: x in <% ctx().seen %>
    action: core.echo message=<% item(x) %>
  third:
    join: all
    action: <% ctx().which %>
    delay: <% ctx().count + 1 %>
    retry:
      count: 2
      when: <% failed() %>
"""


def test_yaql_and_inline_forms_are_written_out() -> None:
    """What is read afterwards has one language and one form."""
    value = imported(parse(ORQUESTA, name="o"))

    assert value == {
        "version": 1.0,
        "description": "<% no expression here %>",
        "input": ["which", {"count": 3}],
        "vars": [{"seen": "{{ [1, 2] }}"}],
        "output": [{"all": "{{ ctx().seen }} of {{ ctx().count }}"}],
        "tasks": {
            "first": {
                "action": "core.echo",
                "input": {"message": "{{ ctx().which }}", "times": 3},
                "next": [
                    {
                        "when": '{{ succeeded() and (ctx().which == "a") }}',
                        "publish": [{"seen": "{{ result() }}"}, {"note": "two words"}],
                        "do": ["second", "third"],
                    },
                    {"when": "{{ failed() }}", "do": ["noop"]},
                ],
            },
            "second": {
                "with": {"items": "x in {{ ctx().seen }}"},
                "action": "core.echo",
                "input": {"message": '{{ item("x") }}'},
            },
            "third": {
                "join": "all",
                "action": "{{ ctx().which }}",
                "delay": "{{ ctx().count + 1 }}",
                "retry": {"count": 2, "when": "{{ failed() }}"},
            },
        },
    }


def test_translation_makes_the_same_graph() -> None:
    """A run cannot tell which of the two it is of."""
    document = parse(ORQUESTA, name="o")
    before = compile_graph(document).graph
    after = compile_graph(Document.of(imported(document), name="o")).graph

    assert normal(before) == normal(after)
    assert "<%" not in repr(normal(after)).replace("<% no expression here %>", "")


def test_translation_is_the_same_when_repeated() -> None:
    """What is in our words already stays as it is."""
    once = imported(parse(ORQUESTA, name="o"))

    assert imported(Document.of(once, name="o")) == once


def test_graphs_that_differ_are_told_apart() -> None:
    """The comparison is what the promise rests on."""
    before = compile_graph(parse(ORQUESTA, name="o")).graph
    after = compile_graph(parse(ORQUESTA.replace("ctx().count + 1", "ctx().count + 2"), name="o")).graph

    assert normal(before) != normal(after)


def test_every_reason_is_named() -> None:
    """Whoever mends a file wants to do it once."""
    text = ORQUESTA.replace("<% list(1, 2) %>", "<% $.x.where($ > 1) %>").replace("<% failed() %>", "<% st2kv('a') %>")

    with pytest.raises(GraphInvalid) as invalid:
        imported(parse(text, name="o"))
    assert [problem.mark.line for problem in invalid.value.problems] == [7, 28]


def test_dependencies_are_imported_as_well() -> None:
    """Either form may hold YAQL."""
    text = "steps: {a: {step: s x=<% 1 %>, publish: y=<% result() %>}, b: {after: a, run_if: <% ctx().y > 1 %>}}"

    assert imported(
        parse(
            text.replace("<%", "'<%")
            .replace("%>", "%>'")
            .replace("s x='<% 1 %>'", "'s x=<% 1 %>'")
            .replace("y='<% result() %>'", "'y=<% result() %>'"),
            name="o",
        )
    ) == {
        "steps": {
            "a": {"step": "s", "input": {"x": "{{ 1 }}"}, "publish": [{"y": "{{ result() }}"}]},
            "b": {"after": "a", "run_if": "{{ ctx().y > 1 }}"},
        }
    }
