"""What is told of has happened: the rule by which instants and days of the future are refused."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from crm_shared.problems import Fault, InvalidRequest, Problem

LEEWAY = timedelta(minutes=5)
"""So far the clocks of others may be ahead of ours."""
_EASTERNMOST = timedelta(hours=14)
"""Where a day begins first."""


def not_yet(pointer: str, told: datetime | None, *, now: datetime) -> InvalidRequest | None:
    """The problem with an instant that has not come yet."""
    if told is None or told <= now + LEEWAY:
        return None
    fault: Fault = {"pointer": pointer, "code": "in_future", "message": "It has not happened yet"}
    return InvalidRequest("It has not happened yet.", errors=[fault])


def premature(told: Sequence[datetime], *, now: datetime) -> dict[int, Problem]:
    """What is wrong with those items of a list that have not occurred yet, by their index."""
    found = {index: not_yet("/occurred_at", instant, now=now) for index, instant in enumerate(told)}
    return {index: problem for index, problem in found.items() if problem}


def check(pointer: str, told: datetime | None, *, now: datetime) -> None:
    """Raises InvalidRequest for an instant that has not come yet."""
    if problem := not_yet(pointer, told, now=now):
        raise problem


def is_future(day: date, *, now: datetime) -> bool:
    """Whether the day has begun nowhere on earth."""
    return day > (now + _EASTERNMOST).date()
