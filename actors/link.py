"""Links: a run that would grow without end goes on as a new link of its chain, under its own id (continue-as-new).

The switch is one record: it ends the old link and begins the new one, in one append, so that there is no moment between
the two. Hooks that nobody has waited for, and messages that come with the switch, are the new link's; what the old one
has asked for ends with it. Numbers of records and commands go on.
"""

from __future__ import annotations

import asyncio
from typing import NoReturn

from .errors import InvalidValue, JetrunError
from .primitives import execution_of
from .records import Renewal, start_hash
from .signals import ContinueAsNew


def continue_as_new(*args: object, **kwargs: object) -> NoReturn:
    """Ends this link of the run and goes on with the workflow's first line, with these arguments and an empty log.

    Durable when the record of this decision is. Steps, timers and hooks that are open are taken back, children end as
    their `parent_close` says. It leaves the workflow like an exception that `except Exception` does not catch: its
    `finally` blocks run first. A run whose cancel was asked for does not go on: `CancelledError` is raised instead.

    Args:
        args, kwargs: The workflow's, at least one: a new link without any would do the same again.

    Raises:
        InvalidValue: There is no argument, or one does not fit the workflow's parameters; names the parameter.
        JetrunError: It is not called by the workflow's own task.
        NotInWorkflow: No workflow is running.
    """
    execution = execution_of("continue_as_new()")
    signature = execution.workflow.signature
    if not args and not kwargs:
        raise InvalidValue(f"continue_as_new() in {signature.what}", "no argument; say with what the new link begins")
    packed = signature.pack(args, kwargs)
    if execution.cancel_reason is not None:
        raise asyncio.CancelledError(execution.cancel_reason)
    if asyncio.current_task() is not execution.root:
        raise JetrunError(
            "continue_as_new() was called in a task; return to the workflow's own function and call it there"
        )
    signature.unpack(packed.args, packed.kwargs)
    ref, raw_args, raw_kwargs = execution.claim(packed.args, packed.kwargs)
    hashed = start_hash(packed.args, packed.kwargs)
    raise ContinueAsNew(Renewal(args=raw_args, kwargs=raw_kwargs, ref=ref, hash=hashed))
