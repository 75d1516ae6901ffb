"""Configuration: the value of every key and where it comes from.

Arguments come before the environment, the environment before the file, the file before the defaults; each key by
itself. Read once per `Client.connect` or command; nothing else in jetrun reads the environment for its settings.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from ..actors.names import check_token
from .configuration_file import ConfigurationFile, find
from .configuration_keys import KEYS, Key, Value, check, nearest, parse

MASK: Final = "***"

_PREFIX: Final = "JETRUN_"
_OTHERS: Final = re.compile(r"JETRUN_(LIFELINE$|TEST_|CAMPAIGN_|SERVICE_|PORT$|PORT_[0-9])")
"""Variables that are none of ours to read: the tether of a child, tests, and what Kubernetes makes for a service `jetrun`."""
_SERVER: Final = re.compile(r",(?=\s*\w+://)")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A key with its value and where that comes from."""

    key: Key
    value: Value
    source: Literal["default", "file", "environment", "argument"]
    where: str = ""
    """The file with its line, the variable, or the option; empty for a default."""

    @property
    def shown(self) -> Value:
        """The value without secrets, for people and logs."""
        if self.key.is_secret:
            return MASK if self.value else ""
        return mask_url(self.value) if self.key.name == "url" and isinstance(self.value, str) else self.value


class Configuration:
    """What a program is told by its arguments, environment and file.

    Args:
        entries: One for each key.
        path: The file that was read, whether or not it has the last word on anything.
        warnings: What may be a mistake, one line each.
        has_color: False where `NO_COLOR` is set to anything (no-color.org).
    """

    def __init__(
        self, entries: tuple[Entry, ...], *, path: Path | None = None, warnings: tuple[str, ...] = (), has_color: bool
    ) -> None:
        self.entries: Final = entries
        self.path: Final = path
        self.warnings: Final = warnings
        self.has_color: Final = has_color
        self._by_name = {entry.key.name: entry for entry in entries}

    @classmethod
    def read(
        cls,
        arguments: Mapping[str, Value | None] | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> Configuration:
        """Reads all there is.

        A variable that is set but empty counts as not set; so does an argument that is None or an empty list.

        Args:
            arguments: What was given in code or on the command line, by key.
            environment: Stands for the process's own, in tests.
            folder: Where the search for the file begins; the working directory if None.

        Raises:
            BadConfiguration: The file, a variable or an argument has what cannot be; names the place.
            InvalidName: The app of an argument cannot be a name.
        """
        given = os.environ if environment is None else environment
        file = _find(folder)
        entries = tuple(_entry(key, arguments or {}, given, file) for key in KEYS)
        return cls(
            entries,
            path=None if file is None else file.path,
            warnings=_unknown(given),
            has_color=not given.get("NO_COLOR"),
        )

    def entry(self, name: str) -> Entry:
        """Returns a key's entry."""
        return self._by_name[name]

    def text(self, name: str) -> str:
        """Returns the value of a key that takes a text."""
        value = self._by_name[name].value
        assert isinstance(value, str)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Returns the value of a key that takes a list."""
        value = self._by_name[name].value
        assert isinstance(value, tuple)
        return value

    def count(self, name: str) -> int:
        """Returns the value of a key that takes a whole number, or whether a switch is on."""
        value = self._by_name[name].value
        assert isinstance(value, int)
        return value


def mask_url(url: str) -> str:
    """Hides what stands before the `@` of each server: it is a password or a token."""
    return ",".join(re.sub(r"^(\s*\w+://)?.*@", rf"\1{MASK}@", part) for part in _SERVER.split(url))


def _find(folder: Path | None) -> ConfigurationFile | None:
    try:
        start = Path.cwd() if folder is None else folder.resolve()
    except OSError:  # the working directory was removed
        return None
    return find(start)


def _entry(
    key: Key, arguments: Mapping[str, Value | None], environment: Mapping[str, str], file: ConfigurationFile | None
) -> Entry:
    argument = arguments.get(key.name)
    if argument is not None and (argument != "" or key.name == "app") and argument != ():
        where = key.option or key.name
        return Entry(key=key, value=_check_argument(key, argument, where), source="argument", where=where)
    text = environment.get(key.variable, "") if key.variable else ""
    if text:
        return Entry(key=key, value=parse(key, text, where=key.variable), source="environment", where=key.variable)
    setting = None if file is None else file.settings.get(key.name)
    if setting is not None:
        return Entry(key=key, value=setting.value, source="file", where=setting.where)
    return Entry(key=key, value=key.default, source="default")


def _check_argument(key: Key, value: Value, where: str) -> Value:
    if key.name == "app" and isinstance(value, str):
        return check_token("app name", value)
    return check(key, value, where=where)


def _unknown(environment: Mapping[str, str]) -> tuple[str, ...]:
    known = [key.variable for key in KEYS if key.variable]
    warnings: list[str] = []
    for name in sorted(environment):
        if not name.startswith(_PREFIX) or name in known or _OTHERS.match(name):
            continue
        near = nearest(name.removeprefix(_PREFIX))
        meant = next((key.variable for key in KEYS if key.name == near), "")
        hint = f"did you mean {meant}?" if meant else "see `wfctl config keys`"
        warnings.append(f"nothing reads the variable {name}; {hint}")
    return tuple(warnings)
