"""Scopes: what branches see, and what a join makes of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jetrun.actors.graph_state import NOTHING, Scope

_NAMES = st.sampled_from("abcdef")
_BRANCH = st.lists(st.dictionaries(_NAMES, st.none(), min_size=1, max_size=3), max_size=4)


def _newest(scopes: list[Scope]) -> dict[str, int]:
    """What a join has to come to, without any short way."""
    versions: dict[str, int] = {}
    for scope in scopes:
        for name, version in scope.versions.items():
            versions[name] = max(version, versions.get(name, -1))
    return versions


@given(begin=st.dictionaries(_NAMES, st.none()), branches=st.lists(_BRANCH, min_size=2, max_size=5), nested=_BRANCH)
def test_join_takes_the_newest_of_each_variable(
    begin: dict[str, None], branches: list[list[dict[str, None]]], nested: list[dict[str, None]]
) -> None:
    """Whoever finishes first: an old value never overwrites a new one, nor does one that a branch has not touched."""
    version = 1
    base = NOTHING.with_values(dict.fromkeys(begin, 1), version).as_base()
    ends: list[Scope] = []
    for publishes in branches:
        scope = base
        for names in publishes:
            version += 1
            scope = scope.with_values(dict.fromkeys(names, version), version)
        ends.append(scope)
    inner = ends[0].merged(ends[1]).as_base()
    for names in nested:
        version += 1
        inner = inner.with_values(dict.fromkeys(names, version), version)
    ends.append(inner)

    for order in (ends, ends[::-1]):
        joined = order[0]
        for scope in order[1:]:
            joined = joined.merged(scope)

        assert joined.versions == _newest(ends)
        assert all(value == joined.versions[name] for name, value in joined.values.items())


def test_branches_share_what_they_do_not_change() -> None:
    """A branch that publishes leaves what the others see alone."""
    base = NOTHING.with_values({"x": 1}, 1).as_base()
    one = base.with_values({"x": 2}, 2)

    assert base.values == {"x": 1}
    assert one.values == {"x": 2}
    assert base.merged(base) is base
    assert one.merged(base) is one
