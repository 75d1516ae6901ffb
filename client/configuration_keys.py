"""Configuration keys: every key there is, what its value can be, and how a value is read of a file or a variable."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Final, TypeAlias, cast

import msgspec

from ..actors.durations import duration_us
from ..actors.errors import BadConfiguration, InvalidDuration, InvalidName
from ..actors.names import check_token

Value: TypeAlias = str | int | bool | tuple[str, ...]

_SHOWN_MAX: Final = 60
_COUNT_MAX: Final = 1_000_000
_YES: Final = ("1", "true", "yes", "on")
_NO: Final = ("0", "false", "no", "off")
_ALSO: Final = {
    "server": "url",
    "servers": "url",
    "address": "url",
    "nats": "url",
    "module": "modules",
    "queue": "queues",
    "credentials": "creds",
    "pass": "password",
    "username": "user",
    "level": "log_level",
}
"""What others call a key."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key: its name in files, its option, its variable, and what it takes. The default's type is the value's."""

    name: str
    default: Value
    about: str
    option: str
    variable: str = ""
    """Empty for those of `wfctl dev` and `wfctl server`: Kubernetes sets JETRUN_PORT where a service is called jetrun."""
    is_secret: bool = False
    is_path: bool = False
    """In a file it is relative to the file's folder."""
    is_name: bool = False
    is_duration: bool = False
    """A text such as `7d` or `1h30m`."""
    words: tuple[str, ...] = ()
    """All that it can be, where that is a short list."""
    least: int = 0
    most: int = _COUNT_MAX


KEYS: Final = (
    Key(
        name="url",
        default="nats://127.0.0.1:4222",
        option="--url",
        variable="JETRUN_URL",
        about="the server's address; several of one cluster are separated by commas",
    ),
    Key(
        name="app",
        default="default",
        option="--app",
        variable="JETRUN_APP",
        is_name=True,
        about="the app: the set of streams that is meant",
    ),
    Key(name="user", default="", option="", variable="JETRUN_USER", about="user name for the server"),
    Key(name="password", default="", option="", variable="JETRUN_PASSWORD", is_secret=True, about="password of `user`"),
    Key(name="token", default="", option="", variable="JETRUN_TOKEN", is_secret=True, about="token for the server"),
    Key(name="creds", default="", option="", variable="JETRUN_CREDS", is_path=True, about="path of a `.creds` file"),
    Key(
        name="modules",
        default=(),
        option="-m",
        variable="JETRUN_MODULES",
        about="modules with workflows and steps; of a file they are looked for in its folder, else in the working directory",
    ),
    Key(
        name="queues",
        default=(),
        option="-q",
        variable="JETRUN_QUEUES",
        is_name=True,
        about="queues that a step worker works on, and that provisioning makes besides; none: those that the steps name",
    ),
    Key(
        name="concurrency",
        default=50,
        option="--concurrency",
        variable="JETRUN_CONCURRENCY",
        least=1,
        about="steps at once, per queue",
    ),
    Key(
        name="log_format",
        default="",
        option="--log-format",
        variable="JETRUN_LOG_FORMAT",
        words=("text", "json"),
        about="form of workers' logs; none: text on a terminal and JSON elsewhere",
    ),
    Key(
        name="log_level",
        default="info",
        option="--log-level",
        variable="JETRUN_LOG_LEVEL",
        words=("debug", "info", "warning", "error"),
        about="lowest level that workers log",
    ),
    Key(
        name="retention",
        default="7d",
        option="--retention",
        variable="JETRUN_RETENTION",
        is_duration=True,
        about="how long the logs of ended runs are kept whole; then their last record, until 30 days after the end",
    ),
    Key(
        name="port",
        default=4222,
        option="--port",
        most=65_535,
        about="port of the embedded server on 127.0.0.1; 0 for a free one",
    ),
    Key(
        name="store",
        default=".jetrun",
        option="--store",
        is_path=True,
        about="folder of the embedded server",
    ),
    Key(
        name="sync_always",
        default=False,
        option="--sync-always",
        about="whether the embedded server acknowledges a write only when it is on disk",
    ),
)
BY_NAME: Final = {key.name: key for key in KEYS}


def check(key: Key, value: object, *, where: str) -> Value:
    """Returns a value of a file, or an argument, if the key takes it.

    Args:
        where: What the error shall begin with: a file with its line, or the option.

    Raises:
        BadConfiguration: It is of another type, empty, or out of bounds.
    """
    wanted, shown = key.default, _shown(key, value)
    what = where if where in (key.option, key.variable) else f"{where}: {key.name}"
    if isinstance(wanted, bool):
        if isinstance(value, bool):
            return value
        raise BadConfiguration(f"{what} is {shown}, expected true or false")
    if isinstance(wanted, int):
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadConfiguration(f"{what} is {shown}, expected a whole number")
        if not key.least <= value <= key.most:
            raise BadConfiguration(f"{what} is {value}, expected {key.least} to {key.most}")
        return value
    if isinstance(wanted, str):
        if not isinstance(value, str) or not value.strip():
            raise BadConfiguration(f"{what} is {shown}, expected a text")
        return _check_text(key, value, what)
    items = cast("list[object] | tuple[object, ...]", value) if isinstance(value, list | tuple) else None
    if items is not None and all(isinstance(item, str) and item.strip() for item in items):
        return tuple(_check_text(key, cast("str", item), what) for item in items)
    raise BadConfiguration(f"{what} is {shown}, expected a list of texts")


def parse(key: Key, text: str, *, where: str) -> Value:
    """Reads a variable's text: numbers and switches by what they say, lists by their commas.

    Raises:
        BadConfiguration: As `check`.
    """
    if isinstance(key.default, bool):
        word = text.strip().lower()
        if word in _YES or word in _NO:
            return word in _YES
    elif isinstance(key.default, int):
        if re.fullmatch(r"\s*[0-9]{1,9}\s*", text):
            return check(key, int(text), where=where)
    elif isinstance(key.default, tuple):
        return check(key, [item.strip() for item in text.split(",") if item.strip()], where=where)
    return check(key, text, where=where)


def nearest(name: str, known: Iterable[str] = ()) -> str:
    """Returns the key that was most likely meant, or the empty text where none is near.

    Args:
        known: What to choose from; all keys, and what others call them, if left out.
    """
    names = list(known) or [*BY_NAME, *_ALSO]
    found = difflib.get_close_matches(name.lower().replace("-", "_"), names, n=1, cutoff=0.6)
    return _ALSO.get(found[0], found[0]) if found else ""


def _check_text(key: Key, text: str, what: str) -> str:
    if key.words and text not in key.words:
        raise BadConfiguration(
            f"{what} {text[:_SHOWN_MAX]!r} is none of {', '.join(f'`{word}`' for word in key.words)}"
        )
    if not key.is_secret and not text.isprintable():
        raise BadConfiguration(f"{what} is {_shown(key, text)}, expected no control characters")
    try:
        if key.is_name:
            check_token(what, text)
        if key.is_duration:
            duration_us(text, what=what)
    except (InvalidName, InvalidDuration) as error:
        raise BadConfiguration(str(error)) from error
    return text


def _shown(key: Key, value: object) -> str:
    kind: dict[type, str] = {
        bool: "a switch",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "a table",
    }
    what = kind.get(type(value), f"a {type(value).__name__}")
    if key.is_secret or isinstance(value, dict):
        return what
    if value == "":
        return "empty"
    text = repr(value)
    return f"{what} ({text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + '…'})"
