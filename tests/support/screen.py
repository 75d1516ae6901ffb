"""A screen: what a command prints on a connection to the in-memory twin."""

from __future__ import annotations

import io
import json
from typing import Any

from jetrun.cli.connection import Connection
from jetrun.cli.output import Output
from support.client_rig import APP, ClientRig


class Screen:
    """A connection to the twin whose lines can be read back."""

    def __init__(self, rig: ClientRig, *, is_json: bool = False) -> None:
        self._stream = io.StringIO()
        self.connection = Connection(rig.broker, APP.name, Output(is_json=is_json, stream=self._stream))

    @property
    def lines(self) -> list[str]:
        return self._stream.getvalue().splitlines()

    @property
    def json(self) -> list[Any]:
        return [json.loads(line) for line in self.lines]
