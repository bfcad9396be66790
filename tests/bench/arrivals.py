"""Which message arrived when, told by one process to another: a line each in a file that only grows."""

import asyncio
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class Arrival(NamedTuple):
    """A message by its number, and the nanoseconds of the clock at which it was dealt with."""

    number: int
    at: int


class Recorder:
    """The telling end."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, numbers: Iterable[int]) -> None:
        """These have just been dealt with."""
        now = time.time_ns()
        os.write(self._file, b"".join(b"%d %d\n" % (number, now) for number in numbers))


class Arrivals:
    """The reading end; each line is read once."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self._file = path.open("rb")

    async def expect(self, count: int, within: float) -> list[Arrival]:
        """The next so many arrivals, or as many as came in time."""
        found: list[Arrival] = []
        rest = b""
        deadline = time.monotonic() + within
        while len(found) < count and time.monotonic() < deadline:
            *lines, rest = (rest + self._file.read()).split(b"\n")
            found += [Arrival(*map(int, line.split())) for line in lines]
            await asyncio.sleep(0.01)
        return found
