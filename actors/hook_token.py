"""Hook tokens: one text that names a hook of a run, for whoever is to answer it."""

from __future__ import annotations

from typing import NamedTuple

from .errors import InvalidName
from .names import RunKey, check_token


class HookToken(NamedTuple):
    """The address of a hook: `<workflow>/<run>/<hook>`.

    An address, not a secret: whoever may publish to the app may answer any hook, with or without its token. A service
    that hands tokens to strangers has to sign them itself.
    """

    key: RunKey
    name: str

    def __str__(self) -> str:
        return f"{self.key}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> HookToken:
        """Reads a token.

        Raises:
            InvalidName: It has not three parts, or one of them cannot be a name.
        """
        parts = text.split("/")
        if len(parts) != 3:
            raise InvalidName(f"hook token {ascii(text)[:80]} has not three parts; write <workflow>/<run>/<hook>")
        workflow, run, name = parts
        key = RunKey(check_token("workflow name", workflow), check_token("run id", run))
        return cls(key, check_token("hook name", name))
