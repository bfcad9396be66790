"""A circuit breaker: a service that keeps failing is left alone for a moment instead of being waited for."""

import time
from collections.abc import Callable


class Breaker:
    """Opens after so many failures in a row; after the cooldown one request at a time tries again.

    One that takes longer than `patience`, as an upload may, keeps others from trying no longer than that.
    """

    def __init__(
        self, failures: int, cooldown: float, patience: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = failures
        self._cooldown = cooldown
        self._patience = patience
        self._clock = clock
        self._failures = 0
        self._closed_again_at = 0.0
        self._tried_until = 0.0

    @property
    def is_open(self) -> bool:
        return self._failures >= self._limit

    def refuses_for(self) -> float:
        """0 when the request may go on, which it must then report; else the seconds to wait."""
        if not self.is_open:
            return 0
        now = self._clock()
        left = self._closed_again_at - now
        if left > 0:
            return left
        if now < self._tried_until:
            return self._cooldown
        self._tried_until = now + self._patience
        return 0

    def succeeded(self) -> None:
        self._failures = 0
        self._tried_until = 0.0

    def failed(self) -> None:
        self._failures += 1
        self._tried_until = 0.0
        if self.is_open:
            self._closed_again_at = self._clock() + self._cooldown

    def abandoned(self) -> None:
        """The request ended without telling anything about the service, as when its client went away."""
        self._tried_until = 0.0
