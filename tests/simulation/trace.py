"""The trace: one line for everything that happens, with its virtual time; its hash tells two runs apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b


class Trace:
    """The lines of one simulation.

    Args:
        time: The loop's virtual time, in seconds.
    """

    def __init__(self, time: Callable[[], float]) -> None:
        self.lines: list[str] = []
        self._time = time
        self._hash = blake2b(digest_size=16)

    def add(self, text: str) -> None:
        line = f"{self._time():11.6f} {text}"
        self.lines.append(line)
        self._hash.update(line.encode())

    @property
    def digest(self) -> str:
        """Equal for equal histories, to the last message."""
        return self._hash.hexdigest()

    def about(self, words: Iterable[str], count: int) -> list[str]:
        """Returns the last lines that hold one of the words, or tell of a process."""
        wanted = [*words, "process ", "server "]
        return [line for line in self.lines if any(word in line for word in wanted)][-count:]
