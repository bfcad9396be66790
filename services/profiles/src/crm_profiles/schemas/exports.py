"""Exports as they are asked for and answered."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from crm_profiles.fields import Region, Source
from crm_profiles.models.customers import Channel, Gender
from crm_profiles.models.files import Format
from crm_profiles.schemas.base import Body
from crm_shared.jobs import JobOut

MAX_COLUMNS = 256


class ExportColumn(StrEnum):
    """What a column of an export holds."""

    ID = "id"
    EXTERNAL_ID = "external_id"
    NAME = "name"
    PHONE = "phone"
    EMAIL = "email"
    SOCIAL = "social"
    LANGUAGE = "language"
    TIME_ZONE = "time_zone"
    REGION = "region"
    BIRTH_DATE = "birth_date"
    GENDER = "gender"
    OCCUPATION = "occupation"
    ADDRESS_LINES = "address.lines"
    ADDRESS_DISTRICT = "address.district"
    ADDRESS_CITY = "address.city"
    ADDRESS_PROVINCE = "address.province"
    ADDRESS_POSTAL_CODE = "address.postal_code"
    ADDRESS_COUNTRY = "address.country"
    TAGS = "tags"
    SOURCE = "source"
    CHANNEL = "channel"
    CREATED_AT = "created_at"
    UPDATED_AT = "updated_at"


AttributeColumn = Annotated[
    str,
    StringConstraints(pattern=r"^attributes\.[a-z][a-z0-9_]*$", max_length=75),
    Field(examples=["attributes.shirt_size"]),
]
"""The column of a custom attribute."""

Text = Annotated[str, Field(min_length=1, max_length=254)]


class ExportFilters(Body):
    """All that are given must hold, as for the list of customers."""

    tag: Text | None = None
    phone: Text | None = Field(default=None, description="with country code")
    email: Text | None = None
    social: Text | None = None
    gender: Gender | None = None
    region: Region | None = None
    source: Source | None = Field(default=None, description="that first told of them")
    channel: Channel | None = Field(default=None, description="by which they first came to be known")
    attribute: list[Text] = Field(default=[], max_length=10, description="<key>:<value> each")


class ExportIn(Body):
    """Which customers, and what of them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"format": "csv", "filters": {"tag": "newsletter"}, "source": "web-shop"}]
        }
    )

    format: Format = Format.CSV
    filters: ExportFilters = Field(default_factory=ExportFilters)
    columns: list[ExportColumn | AttributeColumn] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_COLUMNS,
        description="absent: all, and a column for every custom attribute that is declared",
    )
    source: Source | None = Field(
        default=None, description="whose external ids stand in the column; absent: those of the first source"
    )


class ExportOut(BaseModel):
    """A file of customers that was asked for."""

    id: UUID
    format: Format
    masked: bool = Field(description="contact points are masked: who asked has no scope pii:read")
    size: int | None = Field(description="bytes; null until it is made, and once it has been deleted")
    file_expires_at: datetime | None
    job: JobOut
    created_at: datetime
    created_by: str | None = Field(max_length=200)
