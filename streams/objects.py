"""Objects: large values in a bucket of the JetStream object store (ADR-20), readable by every NATS client and CLI.

Names are tokens joined by `/` (`order/o-1/<sha256>`). The chunks of one upload are the messages of
`$O.<bucket>.C.<name with dots>.<upload>`, which makes a run's values one subject tree: found and purged by a filter
without a look at others. Every upload has its own subject, so two workers that store the same value at once do not
disturb each other; the metadata, written last, names the upload that counts.
"""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

import msgspec

from ..actors.errors import BadValue
from ..actors.limits import OBJECT_BYTES_MAX, OBJECT_CHUNK_BYTES, OBJECT_TIMEOUT_S, VALUE_BYTES_MAX
from ..actors.names import is_token
from .faults import raise_for
from .ports import Broker, Outgoing
from .requests import Requests
from .subjects import object_stream

_ROLLUP: Final = {"Nats-Rollup": "sub"}


class _Options(msgspec.Struct):
    max_chunk_size: int = OBJECT_CHUNK_BYTES


class _Info(msgspec.Struct, kw_only=True):
    name: str
    bucket: str
    nuid: str
    size: int
    chunks: int
    digest: str
    mtime: str = ""
    deleted: bool = False
    options: _Options = msgspec.field(default_factory=_Options)


class _Subjects(msgspec.Struct):
    subjects: dict[str, int] | None = None


class _StreamInfo(msgspec.Struct):
    state: _Subjects


_DECODE: Final = msgspec.json.Decoder(_Info).decode


class Objects:
    """Large values of one connection."""

    def __init__(self, broker: Broker, requests: Requests) -> None:
        self._broker = broker
        self._requests = requests

    async def put(self, bucket: str, name: str, data: bytes, upload: str) -> None:
        """Stores a value durably; does nothing when it is there already.

        Args:
            upload: A token that no other upload uses.
        """
        digest = _digest(data)
        found = await self._info(bucket, name)
        if found is not None and found.digest == digest and found.size == len(data):
            return
        nuid = f"{_dotted(name)}.{upload}"
        chunks = [data[start : start + OBJECT_CHUNK_BYTES] for start in range(0, len(data), OBJECT_CHUNK_BYTES)] or [
            b""
        ]
        messages = [Outgoing(f"$O.{bucket}.C.{nuid}", chunk) for chunk in chunks]
        for ack in await self._broker.publish_many(messages, timeout_s=OBJECT_TIMEOUT_S):
            raise_for(ack, f"object {name!r}")
        info = _Info(
            name=name,
            bucket=bucket,
            nuid=nuid,
            size=len(data),
            chunks=len(chunks),
            digest=digest,
            mtime=datetime.fromtimestamp(self._broker.now_us() / 1e6, UTC).isoformat().replace("+00:00", "Z"),
        )
        meta = Outgoing(_meta(bucket, name), msgspec.json.encode(info), _ROLLUP)
        raise_for(await self._broker.publish(meta, timeout_s=OBJECT_TIMEOUT_S), f"object {name!r}")

    async def get(self, bucket: str, name: str) -> bytes | None:
        """Reads a value whole.

        Raises:
            BadValue: It is too large, or damaged: its chunks do not make its digest.
        """
        info = await self._info(bucket, name)
        if info is None:
            return None
        if info.size > OBJECT_BYTES_MAX:
            raise BadValue(f"object {name!r} has {info.size} bytes; at most {VALUE_BYTES_MAX}")
        chunks = await self._broker.read(object_stream(bucket), f"$O.{bucket}.C.{info.nuid}")
        data = b"".join(chunk.payload for chunk in chunks)
        if len(data) != info.size or _digest(data) != info.digest:
            raise BadValue(
                f"object {name!r} is damaged: {len(data)} of {info.size} bytes; restore the bucket from a backup"
            )
        return data

    async def delete(self, bucket: str, prefix: str) -> int:
        """Deletes all values whose name begins with the prefix; returns how many."""
        stream, tree = object_stream(bucket), [part for part in prefix.split("/")[:-1] if part]
        filter_ = ".".join(["$O", bucket, "C", *tree, ">"])
        request = {"subjects_filter": filter_}
        info = await self._requests.get(f"STREAM.INFO.{stream}", request, _StreamInfo, what=f"objects {prefix!r}")
        by_name: dict[str, list[str]] = {}
        for subject in info.state.subjects or {}:
            name = "/".join(subject.split(".")[3:-1])
            if name.startswith(prefix):
                by_name.setdefault(name, []).append(subject)
        # The metadata goes first: a value without chunks would look damaged to a reader.
        await asyncio.gather(*(self._broker.purge(stream, _meta(bucket, name)) for name in by_name))
        await asyncio.gather(
            *(self._broker.purge(stream, subject) for subjects in by_name.values() for subject in subjects)
        )
        return len(by_name)

    async def _info(self, bucket: str, name: str) -> _Info | None:
        stored = await self._broker.last(object_stream(bucket), _meta(bucket, name))
        if stored is None:
            return None
        try:
            info = _DECODE(stored.payload)
        except msgspec.DecodeError as error:
            raise BadValue(f"object {name!r} has metadata that cannot be read: {error}") from error
        return None if info.deleted else info


def _meta(bucket: str, name: str) -> str:
    return f"$O.{bucket}.M.{urlsafe_b64encode(name.encode()).decode()}"


def _dotted(name: str) -> str:
    tokens = name.split("/")
    assert all(is_token(token) for token in tokens), "object names are made of names"
    return ".".join(tokens)


def _digest(data: bytes) -> str:
    return "SHA-256=" + urlsafe_b64encode(sha256(data).digest()).decode()
