"""Parameters that several routes about customers have in common."""

from datetime import date, datetime
from typing import Annotated

from fastapi import Path, Query
from pydantic import Field, StringConstraints

from crm_profiles.errors import PeriodEmpty, PeriodInvalid
from crm_profiles.schemas.attributes import MAX_ASKED
from crm_profiles.schemas.customers import MAX_CONTACT_POINT
from crm_shared.problems import Fault

AttributeFilter = Annotated[
    str,
    StringConstraints(max_length=1100, pattern="^[a-z][a-z0-9_]{0,63}:"),
    Field(examples=["shirt_size:M"]),
]
AttributeFilters = Annotated[
    list[AttributeFilter],
    Query(
        default_factory=list,
        max_length=MAX_ASKED,
        description="custom attributes as key:value, all of which must hold",
    ),
]

ContactValue = Annotated[
    str,
    Path(
        min_length=1,
        max_length=MAX_CONTACT_POINT,
        description="in any way of writing",
        examples=["+8613812345678"],
    ),
]


def require_days(begin: date, end: date) -> None:
    """There is a day from `from` until before `to`; raises PeriodInvalid."""
    if begin >= end:
        fault: Fault = {"pointer": "to", "code": "range_empty", "message": "It must come after `from`."}
        raise PeriodInvalid(
            "The period ends before it begins: `to` is the day after the last one.", errors=[fault]
        )


def require_period(since: datetime, until: datetime) -> None:
    """There is time from `from` until before `to`; raises PeriodEmpty."""
    if since >= until:
        fault: Fault = {"pointer": "from", "code": "not_before_end", "message": "It is not before the end."}
        raise PeriodEmpty(errors=[fault])
