"""Filters that lists of customers have in common."""

from typing import Annotated

from fastapi import Query
from pydantic import Field, StringConstraints

from crm_profiles.schemas.attributes import MAX_ASKED

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
