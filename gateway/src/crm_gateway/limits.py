"""How much one caller may ask, in this process: over time, as the RateLimit fields show, and at once."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_REMEMBERED = 50_000


@dataclass(slots=True)
class Bucket:
    """What is left of a quota, and when that was true."""

    tokens: float
    at: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the request may go on, and the quota as the caller is told of it."""

    allowed: bool
    remaining: int
    policy: str
    seconds: int
    """Until there is one more than `remaining`."""


class Limits:
    """Buckets that fill evenly, up to the whole quota of a window.

    The number of callers remembered is bounded; the one forgotten first is who has been silent longest, whose
    bucket is as good as full.
    """

    def __init__(
        self, name: str, requests: int, window: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.requests = requests
        self.window = window
        self._rate = requests / window
        self._clock = clock
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, who: str, cost: int = 1) -> Verdict:
        """Count one request; a cost of 0 only looks."""
        now = self._clock()
        bucket = self._buckets.get(who)
        if bucket is None:
            bucket = self._buckets[who] = Bucket(float(self.requests), now)
            if len(self._buckets) > _REMEMBERED:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(who)
            bucket.tokens = min(self.requests, bucket.tokens + (now - bucket.at) * self._rate)
            bucket.at = now
        allowed = bucket.tokens >= 1
        if allowed:
            bucket.tokens -= cost
        remaining = int(bucket.tokens)
        seconds = max(1, math.ceil((remaining + 1 - bucket.tokens) / self._rate))
        return Verdict(allowed, remaining, self.name, seconds)


class InFlight:
    """How many requests each caller has under way, so many at most."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._counts: dict[str, int] = {}

    def enter(self, who: str) -> bool:
        """Whether one more may go on, which must then leave."""
        count = self._counts.get(who, 0)
        if count == self.limit:
            return False
        self._counts[who] = count + 1
        return True

    def leave(self, who: str) -> None:
        count = self._counts.pop(who) - 1
        if count:
            self._counts[who] = count
