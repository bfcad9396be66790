"""The rule by which order lines tell a preference: counts in, a favourite and how sure it is out."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

MIN_PIECES = 3
"""Fewer tell nothing."""
_Z = 1.959963984540054
"""The 97.5th percentile of the normal distribution: an interval of 95 %."""

DEFINITION = (
    "From order lines, without what was given back: the category and the brand of which most pieces were"
    f" bought, from {MIN_PIECES} pieces on. The confidence is the lower bound of Wilson's 95 % interval"
    " for the share of those pieces: few pieces and a small lead make it low."
)


@dataclass(frozen=True)
class Favourite:
    """What somebody takes most often."""

    value: str
    pieces: int
    of: int
    confidence: float


def favourite(pieces: Mapping[str, int]) -> Favourite | None:
    """The value with most pieces, the first by name among equals; None: too few pieces to say."""
    total = sum(pieces.values())
    if total < MIN_PIECES:
        return None
    value = min(pieces, key=lambda name: (-pieces[name], name))
    return Favourite(value, pieces[value], total, wilson_lower_bound(pieces[value], total))


def wilson_lower_bound(successes: int, trials: int) -> float:
    """The lower end of the 95 % score interval of a proportion (E. B. Wilson, JASA 22, 1927)."""
    share = successes / trials
    spread = _Z * sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2))
    return max(0.0, (share + _Z**2 / (2 * trials) - spread) / (1 + _Z**2 / trials))
