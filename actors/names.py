"""Names: what may become a subject token, checked before any subject is built from it.

The rule lives here and nowhere else: `[A-Za-z0-9_-]`, at most 128 bytes, first character a letter or digit.
A leading `_` is the engine's own. Nothing else can be told apart safely on the wire (dots split tokens, the
server stores literal `*` and `>`, control characters reach terminals).
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final, NamedTuple

from .errors import InvalidName
from .limits import TOKEN_BYTES_MAX

_LINK: Final = "--"
_TOKEN: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{TOKEN_BYTES_MAX - 1}}}")


class RunKey(NamedTuple):
    """What names a run within an app."""

    workflow: str
    run: str

    def __str__(self) -> str:
        return f"{self.workflow}/{self.run}"


def link_id(run: str, link: int) -> str:
    """Names one link of a run's chain, to read what it was; the run's own id always means the link that goes on.

    Where the run's id leaves no room its hash stands for it; such a link is found by `RunHandle.chain` alone.
    """
    text = f"{run}{_LINK}{link}"
    if len(text) <= TOKEN_BYTES_MAX:
        return text
    return f"{blake2b(run.encode(), digest_size=16).hexdigest()}{_LINK}{link}"


def chain_of(run: str) -> tuple[str, int]:
    """Reads the name of a link: the run's id and the link's number, 0 where it names no link."""
    stem, mark, digits = run.rpartition(_LINK)
    is_link = bool(mark and stem) and digits.isdigit() and digits.isascii() and digits[0] != "0"
    return (stem, int(digits)) if is_link else (run, 0)


def names_link(run: str) -> bool:
    """Tells whether a run id is the name of a link."""
    return _LINK in run and chain_of(run)[1] > 0


def is_token(text: str) -> bool:
    """Tells whether the text can be a name."""
    return _TOKEN.fullmatch(text) is not None


def check_token(kind: str, text: str) -> str:
    """Returns the text if it can be a name.

    Args:
        kind: What the name is for, as the error shall call it: "run id", "queue".

    Raises:
        InvalidName: Says which character or bound is violated.
    """
    if isinstance(text, str) and _TOKEN.fullmatch(text) is not None:
        return text
    raise InvalidName(f"{kind} {_shown(text)} {_reason(text)}")


def check_step_name(text: str) -> str:
    """Returns the text if it can be a step's name: as a token, also several with dots between them (`core.echo`).

    No subject holds it, so that the names which actions have elsewhere can stay.

    Raises:
        InvalidName: Says which character or bound is violated.
    """
    if isinstance(text, str) and len(text) <= TOKEN_BYTES_MAX:
        for part in text.split("."):
            check_token("step name", part or text)
        return text
    return check_token("step name", text)


def check_run_id(text: str) -> str:
    """Returns the text if a run can be started under it. Raises InvalidName, also where it is the name of a link."""
    check_token("run id", text)
    run, link = chain_of(text)
    if link:
        raise InvalidName(f"run id {text!r} names link {link} of run {run!r}; do not end an id with '--' and a number")
    return text


def _reason(text: object) -> str:
    if not isinstance(text, str):
        return f"is a {type(text).__name__}, not a text"
    if not text:
        return "is empty; use letters, digits, '_' and '-'"
    if len(text) > TOKEN_BYTES_MAX:
        return f"is too long: {len(text)} > {TOKEN_BYTES_MAX} characters"
    if text[0] in "_-":
        return f"starts with {text[0]!r}; start with a letter or digit"
    bad = next(c for c in text if _TOKEN.fullmatch("a" + c) is None)
    return f"contains {bad!a}; use letters, digits, '_' and '-'"


def _shown(text: object) -> str:
    shown = ascii(text)
    return shown if len(shown) <= 80 else shown[:77] + "..."
