"""Parameters that several routes about customers have in common."""

from typing import Annotated

from fastapi import Path, Query
from pydantic import Field, StringConstraints

from crm_profiles.schemas.attributes import MAX_ASKED
from crm_profiles.schemas.customers import MAX_CONTACT_POINT

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
