"""A graph's definition as data: what a run's log holds, and the compiled graph that it stands for."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec

from .errors import DefinitionError
from .graph_compile import compile_graph
from .graph_model import Graph
from .graph_source import Document, parse

_ENCODER = msgspec.json.Encoder()


class Definition:
    """A definition.

    Args:
        raw: Its canonical JSON.
        name: What it is called where it does not say.
    """

    __slots__ = ("_document", "_graph", "_name", "hash", "raw")

    def __init__(self, raw: bytes, *, name: str = "graph", document: Document | None = None) -> None:
        self.raw = raw
        self._document = document
        """Its text, whose lines problems name."""
        self.hash = blake2b(raw, digest_size=8).hexdigest()
        self._name = name
        self._graph: Graph | None = None

    @classmethod
    def of(cls, value: object, *, name: str = "graph") -> Definition:
        """Takes a definition as plain data, or as YAML or JSON text.

        Raises:
            GraphInvalid: It is no text of a definition.
            DefinitionError: It is no data at all.
        """
        if isinstance(value, (str, bytes)):
            return _parsed(value, name)
        if not isinstance(value, dict):
            raise DefinitionError(f"a graph's definition is a mapping or a text, not {type(value).__name__}")
        return cls(_ENCODER.encode(value), name=name)

    @classmethod
    def of_raw(cls, raw: bytes | msgspec.Raw) -> Definition:
        """Takes a definition from a log."""
        return _known(bytes(raw))

    @property
    def graph(self) -> Graph:
        """The compiled graph; the same for equal definitions. Raises GraphInvalid with all that is wrong."""
        if self._graph is None:
            document = self._document
            self._graph = compile_graph(document).graph if document is not None else _compiled(self.raw, self._name)
            self._document = None
        return self._graph

    @property
    def value(self) -> dict[str, Any]:
        """The definition as plain data."""
        return msgspec.json.decode(self.raw, type=dict[str, Any])

    def __repr__(self) -> str:
        return f"<definition {self._name!r} {self.hash}>"


@lru_cache(maxsize=64)
def _parsed(text: str | bytes, name: str) -> Definition:
    """Reads a text once, however many runs of it this worker loads."""
    document = parse(text, name=name)
    return Definition(_ENCODER.encode(document.value), name=name, document=document)


@lru_cache(maxsize=256)
def _known(raw: bytes) -> Definition:
    return Definition(raw)


@lru_cache(maxsize=256)
def _compiled(raw: bytes, name: str) -> Graph:
    return compile_graph(Document.of(msgspec.json.decode(raw), name=name)).graph
