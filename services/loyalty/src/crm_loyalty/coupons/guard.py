"""A guard against guessing: who asks for too many codes that nobody was given has to wait."""

from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from math import ceil

from crm_loyalty.errors import CouponNotFound, TooManyWrongCodes

MOST = 20
"""So many wrong codes a caller may send in the window."""
WINDOW = timedelta(minutes=10)
_CALLERS = 10_000


class Guard:
    """Counts wrong codes by caller, in the memory of one process: like rate limits, each replica for itself.

    The codes are long enough to withstand guessing by themselves; the guard makes it be noticed.
    """

    def __init__(self) -> None:
        self._misses: OrderedDict[str, deque[datetime]] = OrderedDict()

    @contextmanager
    def watching(self, caller: str, *, at: datetime) -> Iterator[None]:
        """Count what within is a wrong code; raises TooManyWrongCodes at once where there were too many."""
        misses = self._misses.get(caller, deque())
        while misses and misses[0] <= at - WINDOW:
            misses.popleft()
        if len(misses) >= MOST:
            wait = ceil((misses[0] + WINDOW - at).total_seconds())
            raise TooManyWrongCodes(
                f"{MOST} codes in {WINDOW} were wrong.", headers={"Retry-After": str(wait)}
            )
        try:
            yield
        except CouponNotFound:
            misses.append(at)
            self._misses[caller] = misses
            self._misses.move_to_end(caller)
            if len(self._misses) > _CALLERS:
                self._misses.popitem(last=False)
            raise
