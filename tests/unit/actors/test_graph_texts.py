"""Properties of a definition's text: any JSON and YAML is the data that was written, anything at all ends soon and in one line."""

from __future__ import annotations

import json
import time

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from jetrun.actors import graph_yaml
from jetrun.actors.graph_problem import GraphInvalid, Mark, Path, shown
from jetrun.actors.graph_scalar import resolve
from jetrun.actors.graph_source import Document, parse, readable
from jetrun.actors.graph_tree import Hopeless, Tree
from jetrun.actors.limits import GRAPH_DEFINITION_BYTES_MAX

scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
data = st.dictionaries(
    texts,
    st.recursive(
        scalars | texts, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4)
    ),
    max_size=5,
)


def leaves(value: object, path: Path = ()) -> list[tuple[Path, object]]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, (*path, key))]
    if isinstance(value, list):
        return [leaf for index, item in enumerate(value) for leaf in leaves(item, (*path, index))]
    return [(path, value)]


@given(data, st.sampled_from([None, 2, "\t"]), st.booleans())
def test_json_is_read_as_json_and_every_mark_points_at_its_value(
    value: dict[str, object], indent: int | str | None, ascii_: bool
) -> None:
    """Whatever another program writes is the same data here."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_)
    document = parse(text, name="t")
    assert document.value == value
    lines = text.split("\n")
    for path, leaf in leaves(value):
        mark = document.mark(path)
        written = json.dumps(leaf, ensure_ascii=ascii_)
        assert lines[mark.line - 1].startswith(written, mark.column - 1)
        if isinstance(path[-1], str):
            mark = document.mark(path, key=True)
            assert lines[mark.line - 1].startswith(json.dumps(path[-1], ensure_ascii=ascii_), mark.column - 1)


class NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def dumped(value: object, *, flow: bool | None = False) -> str:
    return yaml.dump(value, Dumper=NoAliases, default_flow_style=flow, sort_keys=False, width=40)


def is_written_alike(text: str) -> bool:
    """PyYAML quotes what YAML 1.1 would misread, and leaves "1e3" and "0o17" bare, which are numbers today."""
    return resolve(text) == text or dumped(text)[0] in "'\""


yaml_texts = texts.filter(is_written_alike)
yaml_data = st.dictionaries(
    yaml_texts,
    st.recursive(
        scalars | yaml_texts, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(yaml_texts, inner, max_size=4)
    ),
    max_size=5,
)


@given(yaml_data, st.sampled_from([False, True, None]))
def test_yaml_is_read_as_the_data_that_was_written(value: dict[str, object], flow: bool | None) -> None:
    document = parse(dumped(value, flow=flow), name="t")
    assert document.value == value


@given(
    st.lists(
        st.sampled_from(["build", "'it''s'", '"x\\ty"', "1.5", "~", "{{x}}", "{a: 1}", "[b]", "über"]),
        min_size=1,
        max_size=6,
    )
)
def test_every_mark_points_at_the_text_of_its_value(words: list[str]) -> None:
    """An error's caret is under what is wrong."""
    words = [word if word != "{{x}}" else '"{{x}}"' for word in words]
    text = "# c\ntop:\n" + "".join(f"  - käy{n}: {word}  # c\n    after: 1\n" for n, word in enumerate(words))
    document = parse(text, name="t")
    lines = text.split("\n")
    for n, word in enumerate(words):
        mark = document.mark(("top", n, f"käy{n}"))
        assert lines[mark.line - 1].startswith(word, mark.column - 1)
        mark = document.mark(("top", n, f"käy{n}"), key=True)
        assert lines[mark.line - 1].startswith(f"käy{n}:", mark.column - 1)


# --- anything at all -------------------------------------------------------------------------------------

pieces = st.sampled_from(
    [
        *"[]{},:?-&*!|>'\"%@`#~.\t\n\r \\",
        "\n  ",
        ": ",
        "- ",
        "? ",
        "--- ",
        "...\n",
        "&a ",
        "*a",
        "!!str ",
        "!<x> ",
        "<<: ",
        "|\n",
        ">-\n",
        "a",
        "b: ",
        "017",
        "1e3",
        "{{ x }}",
        "<% y %>",
        "\\u",
        "\\x4",
        '"\\ud800"',
        "\ud83d",
        "\ufeff",
        "\u2028",
        "\x85",
        "\0",
        "%YAML 1.1\n",
        "%TAG ! x\n",
        "😀",
        '{"a": ',
        "null",
        "NaN",
    ]
)
stuff = st.lists(pieces, max_size=25).map("".join)


@given(st.binary(max_size=60) | stuff | st.text(max_size=40))
@example("\ufeff\ufeff")
@example(b"\xff\xfe")
@example('{"a": "')
def test_anything_is_a_document_or_a_report(anything: bytes | str) -> None:
    """No traceback, and every place is one of the text's."""
    outcome = outcome_of(anything)
    if isinstance(outcome, Document):
        assert json.loads(json.dumps(outcome.value, allow_nan=False)) == outcome.value
        assert all(outcome.mark(path).line for path, _ in leaves(outcome.value))
        return
    assert outcome.problems
    text = readable(anything)
    lines = text.split("\n")
    for problem in outcome.problems:
        assert str(problem).isprintable()
        assert 1 <= problem.mark.line <= len(lines)
        assert 1 <= problem.mark.column <= len(lines[problem.mark.line - 1]) + 1
        assert shown(problem, text).count("\n") == 2


def outcome_of(anything: bytes | str) -> Document | GraphInvalid:
    try:
        return parse(anything, name="t")
    except GraphInvalid as invalid:
        return invalid


def seen_by(parser: type, text: str) -> tuple[object, object]:
    tree = Tree()
    try:
        is_there = graph_yaml.read(text, tree, parser=parser)
    except (graph_yaml.NotYaml, Hopeless) as error:
        return type(error), [problem.kind for problem in tree.problems]
    return (is_there, tree.value), tree.problems


@given(yaml_data.map(dumped))
def test_both_of_pyyamls_parsers_see_the_same_data(text: str) -> None:
    """A worker whose PyYAML came without libyaml reads the same graph."""
    assert seen_by(yaml.SafeLoader, text) == seen_by(graph_yaml.FAST, text)


@pytest.mark.parametrize(
    "text",
    [
        "a: !!x 1",
        "a: *x",
        "a: [1",
        "a: 1\n---\nb",
        "%TAG ! x\n",
        "a: 1\na: 2",
        "a:\n\tb",
        "a: b: c",
        "&x a: !y [&z b]",
        "",
        "# c",
        "---",
        'a: "\\U00110000"',
        "[" * 100,
        "- " * 100,
        "? [a]\n: b\n",
        "a: {{ x }}",
        "a: |\n  x\n b",
        "a: 1\n...\n# c\n",
        "{a: 1} b",
        "<<: 1",
        "'a': >-\n  x\n  y\n",
    ],
)
def test_both_of_pyyamls_parsers_refuse_the_same(text: str) -> None:
    assert seen_by(yaml.SafeLoader, text) == seen_by(graph_yaml.FAST, text)


MIB = GRAPH_DEFINITION_BYTES_MAX


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        *[
            "- \n",
            "[",
            "- - ",
            "[a, ",
            "{",
            '{"a":',
            "? ",
            "#\n",
            ": ",
            "\n",
            "a ",
            '"a',
            "a: 1\n",
            "a: *b\n",
            "x: [[\n",
            "{a: [",
            "!!a ",
            "&a ",
        ],
        *["{a, ", "a: |\n", "--- ", "...\n", "%TAG ! x\n", "'", '"', "\t", "{'a':"],
    ],
)
def test_a_mebibyte_of_anything_ends_soon(text: str) -> None:
    """B60: a text that costs a worker minutes would be an attack. On an idle machine each takes a second at most."""
    began = time.process_time()
    with pytest.raises(GraphInvalid):
        parse((text * MIB)[: MIB - 1], name="t")
    assert time.process_time() - began < 12


@pytest.mark.slow
@pytest.mark.parametrize("begin", ["", "a: 1\n...\n"])
def test_directives_are_no_bomb(begin: str) -> None:
    """libyaml compares each `%TAG` with all before it: 800 KB of them take it 17 s."""
    began = time.process_time()
    with pytest.raises(GraphInvalid, match=r"yaml_syntax|several_documents"):
        parse(begin + "".join(f"%TAG !a{n}! x\n" for n in range(50_000)) + "--- a", name="t")
    assert time.process_time() - began < 6


def test_a_definition_of_a_thousand_tasks_is_read_in_a_fraction_of_a_second() -> None:
    """Goal 6 of graphs: 1,000 tasks are validated in under a second, reading included."""
    task = '  task{0}:\n    action: core.local cmd="make {0}"\n    next:\n      - when: "{{{{ succeeded() }}}}"\n        publish: [x: 1]\n        do: task{1}\n'
    text = "version: 1.0\ntasks:\n" + "".join(task.format(n, n + 1) for n in range(1_000))
    began = time.process_time()
    document = parse(text, name="t")
    assert time.process_time() - began < 5
    assert document.mark(("tasks", "task999")) == Mark(2 + 999 * 6 + 2, 5)
