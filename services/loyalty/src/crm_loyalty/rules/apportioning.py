"""Splitting a whole number so that the parts add up to it: the largest remainder gets what is left over."""

from collections.abc import Sequence


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """As many parts as weights, none further than one from its exact share.

    Weights are not negative; where all are zero, each counts the same. Of equal remainders the first wins.
    """
    if not weights:
        return []
    if not any(weights):
        weights = [1] * len(weights)
    whole = sum(weights)
    parts = [total * weight // whole for weight in weights]
    remainders = [total * weight % whole for weight in weights]
    for index in sorted(range(len(parts)), key=lambda index: -remainders[index])[: total - sum(parts)]:
        parts[index] += 1
    return parts
