"""Which points belong to which line of a purchase, and how many of them stay when lines are given back."""

from collections.abc import Sequence
from dataclasses import dataclass

from crm_loyalty.rules.apportioning import apportion
from crm_loyalty.rules.earning import Line


@dataclass(frozen=True, slots=True)
class BoughtLine:
    """A line of a purchase: its position, its money in minor units, its pieces."""

    line: int
    amount: int
    quantity: int


@dataclass(frozen=True, slots=True)
class EarnedLine:
    """What a line of a purchase earned, by all rules together."""

    line: int
    amount: int
    quantity: int
    points: int


def earned_by_line(bought: Sequence[BoughtLine], explanation: Sequence[Line]) -> tuple[EarnedLine, ...]:
    """What each line of the purchase earned; what a rule gave for the whole is split over all by amount."""
    points = dict.fromkeys((line.line for line in bought), 0)
    for given in explanation:
        if given.line in points:
            points[given.line] += given.points
        else:
            parts = apportion(given.points, [max(line.amount, 0) for line in bought])
            for line, part in zip(bought, parts, strict=True):
                points[line.line] += part
    return tuple(EarnedLine(line.line, line.amount, line.quantity, points[line.line]) for line in bought)


def kept(earned: EarnedLine, amount: int, quantity: int) -> int:
    """The points that stay once so much of the line was given back in all: rounded down, as they are given.

    By money; of what cost nothing by pieces. So giving back twice takes as much as giving back at once, and
    all of it takes everything.
    """
    whole, back = (earned.amount, amount) if earned.amount > 0 else (earned.quantity, quantity)
    if whole <= 0:
        return 0
    return earned.points * (whole - min(max(back, 0), whole)) // whole


def restored(points: int, refunded: int, total: int, *, all_: bool) -> int:
    """Of points that were paid with on an order, how many come back once so much of its money went back.

    In proportion, rounded down, and the rest with the last of it; of an order without money all at the end.
    """
    if all_:
        return points
    return points * min(max(refunded, 0), total) // total if total > 0 else 0
