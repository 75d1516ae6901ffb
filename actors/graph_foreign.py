"""What definitions made for StackStorm, or in full Jinja, call and jetrun has not: said with what to use instead."""

from __future__ import annotations

from typing import Final

_TASK: Final = "reads StackStorm's record of a task: publish what is needed of result() and read it from ctx()"
_STORE: Final = "reads StackStorm's key-value store: take the value as an input"
_REGEX: Final = "there are no regular expressions: use startswith, endswith, contains, split, or a step"
_VERSION: Final = "versions are not compared in expressions: do it in a step"
_TIME: Final = "times are not computed in expressions: do it in a step"
_CHANCE: Final = "a value by chance is drawn in a step"
_QUERY: Final = "use where(list, each.key), with `not` or `==` as it needs"
_YAML: Final = "YAML is read and written in a step; JSON is with json() and to_json()"

FOREIGN: Final[dict[str, str]] = {
    "_": "variables are ctx.name",
    "basename": "paths are taken apart with split(path, '/')",
    "datetime": _TIME,
    "decrypt_kv": _STORE,
    "dirname": "paths are taken apart with split(path, '/')",
    "format": "texts are put together with ~, or as mixed text",
    "from_json_string": "use json()",
    "from_yaml_string": _YAML,
    "json_dump": "use to_json()",
    "json_escape": "use to_json(), which has quotes around it",
    "json_parse": "use json()",
    "jsonpath_query": "use select(), where() and keys",
    "random": _CHANCE,
    "randoms": _CHANCE,
    "regex": _REGEX,
    "regex_match": _REGEX,
    "regex_replace": _REGEX,
    "regex_search": _REGEX,
    "regex_substring": _REGEX,
    "reject": _QUERY,
    "rejectattr": _QUERY,
    "selectattr": _QUERY,
    "st2kv": _STORE,
    "task": _TASK,
    "timespan": _TIME,
    "to_complex": "use to_json()",
    "to_human_time_from_seconds": _TIME,
    "to_json_string": "use to_json()",
    "to_yaml_string": _YAML,
    "use_none": "use coalesce() or default()",
    "version_bump_major": _VERSION,
    "version_bump_minor": _VERSION,
    "version_bump_patch": _VERSION,
    "version_compare": _VERSION,
    "version_equal": _VERSION,
    "version_less_than": _VERSION,
    "version_match": _VERSION,
    "version_more_than": _VERSION,
    "version_strip_patch": _VERSION,
    "yaml_dump": _YAML,
    "yaml_parse": _YAML,
}
"""A name: what to use instead."""
