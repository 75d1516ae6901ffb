"""The kinds of problems that a graph's definition can have: stable words, in one place, each with its meaning.

docs/graph-definitions.md has the same table; a test compares the two.
"""

from __future__ import annotations

from typing import Final

KINDS: Final = {
    "unknown_field": "A field that does not exist there; the message has the nearest right name.",
    "missing_field": "A field without which the others mean nothing.",
    "bad_type": "A value of the wrong type: a number for a text, a duration without unit, a plain text for a condition.",
    "bad_value": "A value of the right type that is none of those allowed.",
    "bad_name": "A name with characters that names cannot have, or too long.",
    "bad_combination": "Fields that exclude each other, or one that means nothing without another.",
    "duplicate_name": "The same name twice in a list of names.",
    "name_conflict": "A step's name that is also an input or a variable.",
    "reserved_name": "A name that has a meaning of its own: `continue`, `fail`, `noop`, `retry`.",
    "no_tasks": "Nothing to run.",
    "no_entry": "Every task has an inbound edge, and `start` names none.",
    "undefined_target": "`do` or `start` names a task that does not exist.",
    "duplicate_target": "The same task twice in one `do`, `start`, `after` or `after_any`.",
    "unreachable_task": "A task that no run can come to, such as one of a cycle without a way in.",
    "join_exceeds_inbound": "A join that waits for more tasks than lead to it.",
    "join_without_inbound": "A join to which no task leads; it is taken as no join.",
    "join_ambiguous": "A join whose predecessors can arrive several times; it fires once.",
    "unconditional_cycle": "A cycle of transitions without conditions: nothing but a limit ends it.",
    "items_without_action": "`with` on a task that runs neither a step nor a workflow.",
    "expression_syntax": "A text in `{{ }}` or `<% %>` that is no expression.",
    "yaql_not_translatable": "YAQL in `<% %>` that has no exact translation; the message says which part.",
    "expression_unknown_function": "An expression that calls a function which does not exist.",
    "undefined_variable": "A variable that nothing sets on any way to where it is read.",
    "maybe_undefined": "A variable that is set on some ways to where it is read, and not on others.",
    "private_variable": "A variable whose name begins with `__`: these are the engine's.",
    "dependency_cycle": "Steps that wait for each other; the message has the whole cycle.",
    "missing_dependency": "`after` or `after_any` names a step that does not exist.",
    "limit_out_of_range": "A number, a duration or a size beyond its bounds.",
    "write_conflict": "Two branches that run at once set the same variable; the one that writes last wins.",
}
"""Word and meaning. What only a text can have (`duplicate_key` and the like) belongs to `graph_source`."""
