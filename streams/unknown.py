"""Unknown workflows: what becomes of messages for a name that nobody in the app knows (R17)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..actors.decision import Decision
from ..actors.messages import Tick
from ..actors.names import RunKey
from ..actors.verdict import Verdict
from ..actors.workflow import ENGINE_PREFIX
from .letters import Letter


def refuse_unknown(key: RunKey, letters: Sequence[Letter], known: Iterable[str]) -> Decision:
    """Decides that messages are dead, and ticks nothing."""
    names = ", ".join(sorted(name for name in known if not name.startswith(ENGINE_PREFIX))) or "none"
    reason = f"workflow {key.workflow!r} is not registered; this app has: {names}"
    verdicts = [
        Verdict(message=letter.message, code="" if isinstance(letter.message.body, Tick) else "workflow", reason=reason)
        for letter in letters
    ]
    return Decision(records=[], parts=[], folded=[], verdicts=verdicts, rest=[], uploads={})
