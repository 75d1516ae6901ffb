"""Hooks as their senders see them: what a run waits for, with the schema that it has published, read from its log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from ..actors.commands import OpenHook
from ..actors.errors import InvalidValue
from ..actors.hook_schema import ANYTHING
from ..actors.hook_token import HookToken
from ..actors.names import RunKey, chain_of
from ..actors.records import Record
from .schema_check import misfit


class WaitingHook(msgspec.Struct, frozen=True, kw_only=True):
    """A hook that a run waits for."""

    name: str
    type: str
    """The name of the payload's type; empty where anything fits."""
    schema: dict[str, Any]
    """JSON Schema of the payload; empty where anything fits, and where the type has none of at most 16 KiB."""
    token: str
    """Addresses the hook: `Client.send_hook(token, payload)`, `wfctl hooks send TOKEN`. No secret."""
    since_us: int
    """The run's time when it began to wait; 0 where the log does not tell any more."""
    expires_at_us: int
    """When its timeout ends; 0 for none."""


def waiting_hooks(key: RunKey, log: Sequence[Record]) -> list[WaitingHook]:
    """Lists what the last record of a log says that the run waits for: at most `HOOKS_SHOWN_MAX`."""
    if not log:
        return []
    key = RunKey(key.workflow, chain_of(key.run)[0])  # an answer is for the link that goes on
    opened = {hook.n: (record, hook, schema) for record, hook, schema in _opened(log)}
    found: list[WaitingHook] = []
    for wait in log[-1].summary.hooks_open:
        record, hook, schema = opened.get(wait.n, (None, None, ANYTHING))
        found.append(
            WaitingHook(
                name=wait.name,
                type=wait.type,
                schema=_plain(schema),
                token=str(HookToken(key, wait.name)),
                since_us=record.at_us if record is not None else 0,
                expires_at_us=hook.due_at_us if hook is not None else 0,
            )
        )
    return found


def published_schemas(key: RunKey, name: str, log: Sequence[Record]) -> list[dict[str, Any]]:
    """Lists the schemas of a hook's open waits; where there is none, that of the last; none where none has been."""
    found = [hook.schema for hook in waiting_hooks(key, log) if hook.name == name]
    return found or [_plain(schema) for _, hook, schema in _opened(log) if hook.name == name][-1:]


def check_published(key: RunKey, name: str, payload: bytes, log: Sequence[Record]) -> None:
    """Checks a payload against what a run has published for a hook: it has to fit one of `published_schemas`.

    Raises:
        InvalidValue: It fits none, or the run has not come to that hook yet.
    """
    where = f"payload of hook {name!r}"
    schemas = published_schemas(key, name, log)
    if not schemas:
        raise InvalidValue(
            where, f"no schema to check it, run {key} has not come to that hook; send it unchecked, or later"
        )
    value = msgspec.json.decode(payload)
    reasons = [misfit(schema, value) for schema in schemas]
    if all(reasons):
        raise InvalidValue(where, reasons[0])


def _opened(log: Sequence[Record]) -> Iterator[tuple[Record, OpenHook, bytes]]:
    """Yields the hooks that were opened, each with the schema that held for its name then."""
    schemas: dict[str, bytes] = {}
    for record in log:
        for command in record.commands:
            if isinstance(command, OpenHook):
                if command.schema is not None:
                    schemas[command.name] = bytes(command.schema)
                yield record, command, schemas.get(command.name, ANYTHING)
        if record.continued is not None:
            schemas.clear()  # each link of a chain publishes anew


def _plain(schema: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(schema, type=dict[str, Any])
    except msgspec.ValidationError:  # `true`, which fits everything too
        return {}
