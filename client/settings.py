"""Settings: what a program is told by its environment, read here and nowhere else, once per `connect` or command.

Options given in code win over the environment. Secrets never show in `repr`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import msgspec

URL = "nats://127.0.0.1:4222"
APP = "default"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server is, which app is meant, and who we are."""

    url: str = URL
    """`JETRUN_URL`; several servers of one cluster are separated by commas."""
    app: str = APP
    """`JETRUN_APP`."""
    user: str = ""
    """`JETRUN_USER`."""
    password: str = ""
    """`JETRUN_PASSWORD`."""
    token: str = ""
    """`JETRUN_TOKEN`."""
    creds: str = ""
    """`JETRUN_CREDS`: path of a `.creds` file."""
    has_color: bool = True
    """False where `NO_COLOR` is set to anything (no-color.org)."""

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Reads the environment; a variable that is set but empty counts as not set.

        Args:
            environment: Stands for the process's own, in tests.
        """
        given = os.environ if environment is None else environment
        return cls(
            url=given.get("JETRUN_URL") or URL,
            app=given.get("JETRUN_APP") or APP,
            user=given.get("JETRUN_USER", ""),
            password=given.get("JETRUN_PASSWORD", ""),
            token=given.get("JETRUN_TOKEN", ""),
            creds=given.get("JETRUN_CREDS", ""),
            has_color=not given.get("NO_COLOR"),
        )

    def __repr__(self) -> str:
        url = re.sub(r"//[^@/,]*@", "//", self.url)
        return f"Settings(url={url!r}, app={self.app!r}, user={self.user!r}, creds={self.creds!r})"
