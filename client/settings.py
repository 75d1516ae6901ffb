"""Settings: what parts of a program are told by its configuration, one frozen value per concern.

Where each value comes from, and which source wins, is `configuration.py`'s. Secrets never show in `repr`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from ..actors.durations import duration_us
from ..actors.limits import RETENTION_US
from ..streams.connection import Login
from .configuration import Configuration, mask_url
from .configuration_keys import BY_NAME

URL = str(BY_NAME["url"].default)
APP = str(BY_NAME["app"].default)


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
        """Reads the environment, and under it the nearest configuration file (docs/configuration.md).

        A variable that is set but empty counts as not set.

        Args:
            environment: Stands for the process's own, in tests.

        Raises:
            BadConfiguration: The file or a variable has what cannot be; names the place.
        """
        return cls.of(Configuration.read(environment=environment))

    @classmethod
    def of(cls, configuration: Configuration) -> Settings:
        """Takes its part of what was read."""
        return cls(
            url=configuration.text("url"),
            app=configuration.text("app"),
            user=configuration.text("user"),
            password=configuration.text("password"),
            token=configuration.text("token"),
            creds=configuration.text("creds"),
            has_color=configuration.has_color,
        )

    @property
    def login(self) -> Login:
        """How to prove to the server who we are."""
        return Login(
            user=self.user or None,
            password=self.password or None,
            token=self.token or None,
            creds_file=self.creds or None,
        )

    @property
    def variables(self) -> dict[str, str]:
        """What another program's environment has to hold for the same settings; secrets included."""
        values = {name: getattr(self, name) for name in ("url", "app", "user", "password", "token", "creds")}
        return {BY_NAME[name].variable: value for name, value in values.items() if value}

    def __repr__(self) -> str:
        return f"Settings(url={mask_url(self.url)!r}, app={self.app!r}, user={self.user!r}, creds={self.creds!r})"


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which code a worker runs, and how much of it at once."""

    modules: tuple[str, ...] = ()
    folder: Path | None = None
    """Where the modules are looked for: the file's folder if it names them, else None for the working directory."""
    queues: tuple[str, ...] = ()
    """Empty for those that the steps name."""
    concurrency: int = 50
    """Steps at once, per queue."""
    log_format: str = ""
    """`text` or `json`; empty for text on a terminal and JSON elsewhere."""
    log_level: str = "info"
    retention_us: int = RETENTION_US
    """How long the logs of ended runs are kept whole."""

    @classmethod
    def of(cls, configuration: Configuration) -> WorkerSettings:
        """Takes its part of what was read."""
        is_by_file = configuration.entry("modules").source == "file"
        return cls(
            modules=configuration.texts("modules"),
            folder=configuration.path.parent if is_by_file and configuration.path is not None else None,
            queues=configuration.texts("queues"),
            concurrency=configuration.count("concurrency"),
            log_format=configuration.text("log_format"),
            log_level=configuration.text("log_level"),
            retention_us=duration_us(configuration.text("retention"), what="retention"),
        )


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the embedded server listens and stores."""

    port: int = 4222
    """On 127.0.0.1; 0 for a free one."""
    store: Path = Path(".jetrun")
    sync_always: bool = False

    @classmethod
    def of(cls, configuration: Configuration) -> ServerSettings:
        """Takes its part of what was read."""
        return cls(
            port=configuration.count("port"),
            store=Path(configuration.text("store")),
            sync_always=bool(configuration.count("sync_always")),
        )
