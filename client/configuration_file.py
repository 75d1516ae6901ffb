"""The configuration file: `jetrun.toml`, or the table `tool.jetrun` of `pyproject.toml`; where it is and what it says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from stat import S_IWOTH
from typing import Final, cast

import msgspec

from ..actors.errors import BadConfiguration
from .configuration_keys import BY_NAME, Value, check, nearest

OWN: Final = "jetrun.toml"
SHARED: Final = "pyproject.toml"

_BYTES_MAX: Final = 1 << 20
_PLACE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_HEADER: Final = re.compile(r"\s*\[\s*([^\]]*?)\s*\]\s*(?:#.*)?$")


class Setting(msgspec.Struct, frozen=True):
    """A value of a file and where it stands there."""

    value: Value
    where: str
    """The file's path, with the line where that was found."""


class ConfigurationFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was read and found right."""

    path: Path
    settings: dict[str, Setting]


def find(folder: Path) -> ConfigurationFile | None:
    """Reads the nearest file of a folder and those above it; the search ends at a folder with `.git`, or at the root.

    In one folder `jetrun.toml` comes first; a `pyproject.toml` without the table counts as none. A folder above that
    everybody may write in, such as `/tmp`, is passed over: a stranger's file names code that would be run.

    Raises:
        BadConfiguration: The file is no TOML, has a key that does not exist, or a value that the key does not take.
    """
    for at in (folder, *folder.parents):
        if at == folder or not _is_open_to_all(at):
            found = _read(at / OWN) or _read(at / SHARED)
            if found is not None:
                return found
        if _exists(at / ".git"):
            return None
    return None


def _read(path: Path) -> ConfigurationFile | None:
    try:
        if not path.is_file():
            return None
    except OSError:
        return None  # a folder above that we may not look into
    shown = str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(_BYTES_MAX + 1)
    except OSError as error:
        raise BadConfiguration(f"{shown}: {error.strerror or error}") from error
    is_own = path.name == OWN
    if not is_own and b"jetrun" not in raw:
        return None  # whatever is wrong with it is not our concern
    table = _table(raw, shown, is_own=is_own)
    if table is None:
        return None
    text, header = raw.decode(), "" if is_own else "tool.jetrun"
    settings: dict[str, Setting] = {}
    for name, value in table.items():
        where = f"{shown}{_line_of(text, header, name)}"
        key = BY_NAME.get(name)
        if key is None:
            near = nearest(name)
            hint = f"did you mean {near!r}?" if near else f"the keys are {', '.join(BY_NAME)}"
            raise BadConfiguration(f"unknown key {name!r} in {where}; {hint}")
        checked = check(key, value, where=where)
        if key.is_path and isinstance(checked, str):
            checked = _path_from(path.parent, checked, where)
        settings[name] = Setting(checked, where)
    return ConfigurationFile(path=path, settings=settings)


def _table(raw: bytes, shown: str, *, is_own: bool) -> dict[str, object] | None:
    if len(raw) > _BYTES_MAX:
        raise BadConfiguration(f"{shown}: more than {_BYTES_MAX} bytes, which is no configuration")
    try:
        document = cast("dict[str, object]", tomllib.loads(raw.decode()))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise BadConfiguration(f"{shown}:{line}: not UTF-8 ({error.reason})") from error
    except ValueError as error:  # tomllib's own, and what Python says of a number with thousands of digits
        reason = str(error)
        place = _PLACE.search(reason)
        last = raw.count(b"\n") + 1
        at = "" if place is None else f":{place[1] or last}"
        raise BadConfiguration(f"{shown}{at}: not TOML ({_PLACE.sub('', reason)})") from error
    except RecursionError as error:
        raise BadConfiguration(f"{shown}: nested too deeply") from error
    if is_own:
        return document
    tool = document.get("tool")
    if not isinstance(tool, dict) or "jetrun" not in tool:
        return None
    table = cast("dict[str, object]", tool)["jetrun"]
    if not isinstance(table, dict):
        raise BadConfiguration(f"{shown}: tool.jetrun is no table; write [tool.jetrun] and the keys below it")
    return cast("dict[str, object]", table)


def _path_from(folder: Path, text: str, where: str) -> str:
    try:
        return str(folder / Path(text).expanduser())
    except RuntimeError as error:  # `~name` of nobody
        raise BadConfiguration(f"{where}: {text!r} has no home directory") from error


def _line_of(text: str, header: str, name: str) -> str:
    """Finds the line of a key as `:3`; empty where the file says it in a way that only a parser understands."""
    key = re.compile(rf"\s*[\"']?{re.escape(name)}[\"']?\s*[=.]")
    at = ""
    for number, line in enumerate(text.splitlines(), 1):
        found = _HEADER.match(line)
        if found is not None:
            at = re.sub(r"[\s\"']", "", found[1])
            if at == f"{header}.{name}".strip("."):
                return f":{number}"
        elif at == header and key.match(line):
            return f":{number}"
    return ""


def _is_open_to_all(folder: Path) -> bool:
    try:
        return bool(folder.stat().st_mode & S_IWOTH)
    except OSError:
        return True


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
