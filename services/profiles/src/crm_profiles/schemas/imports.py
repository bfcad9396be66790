"""Imports as they are asked for and answered."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from crm_profiles.fields import Region
from crm_profiles.models.imports import RowRevert, RowStatus
from crm_profiles.schemas.base import Body
from crm_shared.fields import Whole
from crm_shared.jobs import JobOut

MAX_COLUMNS = 256

Target = Annotated[
    str,
    StringConstraints(
        max_length=80,
        pattern=(
            "^(id|external_id|name|given_name|family_name|phone|email|social|language|time_zone|region"
            r"|gender|occupation|birth_date|tags"
            r"|address\.(lines|district|city|province|postal_code|country)|attributes\.[a-z][a-z0-9_]{0,63})$"
        ),
    ),
]
Separator = Annotated[str, StringConstraints(min_length=1, max_length=5)]


class DateOrder(StrEnum):
    """Year, month and day in the order in which they are written."""

    YMD = "ymd"
    DMY = "dmy"
    MDY = "mdy"


class ColumnIn(Body):
    """What one column means; columns that are not named are ignored."""

    column: Annotated[Whole, Field(ge=0, lt=MAX_COLUMNS, description="position in the header, from 0")]
    to: Target = Field(
        description="`id` (ours), `external_id` (theirs), a member of a customer, or `attributes.<key>`",
        examples=["name"],
    )
    dates: DateOrder | None = Field(default=None, description="how dates are written; absent: year first")
    separator: Separator | None = Field(
        default=None, description="between several values in a cell; absent: comma, semicolon or bar"
    )


class MappingIn(Body):
    """What the columns of a file mean."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "columns": [
                        {"column": 0, "to": "external_id"},
                        {"column": 1, "to": "name"},
                        {"column": 2, "to": "phone"},
                        {"column": 4, "to": "birth_date", "dates": "dmy"},
                    ],
                    "region": "CN",
                }
            ]
        }
    )

    columns: list[ColumnIn] = Field(min_length=1, max_length=MAX_COLUMNS)
    region: Region | None = Field(
        default=None, description="of rows that name none: numbers without country code are read as of here"
    )


class StartIn(Body):
    """How to go through the rows."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"dry_run": True}]})

    dry_run: bool = Field(default=False, description="only say what would become of each row")


class ImportState(StrEnum):
    """How far an import is."""

    INSPECTING = "inspecting"
    UNREADABLE = "unreadable"
    MAPPING_NEEDED = "mapping_needed"
    READY = "ready"
    TRYING = "trying"
    IMPORTING = "importing"
    STOPPED = "stopped"
    IMPORTED = "imported"
    REVERTING = "reverting"
    REVERTED = "reverted"


class LayoutOut(BaseModel):
    """How the file is read."""

    format: str = Field(max_length=10, description="csv or xlsx")
    encoding: str | None = Field(max_length=20, description="of a text: utf-8, utf-16, gb18030, latin-1")
    encoding_because: str | None = Field(max_length=200, description="how that was decided")
    delimiter: str | None = Field(max_length=5)
    sheet: str | None = Field(max_length=100)
    header: list[str]
    samples: list[list[str]] = Field(
        description="the first rows; none for callers without the scope pii:read, nor once the file is gone"
    )


class ImportOut(BaseModel):
    """A file of customers, how it is read, and what has become of it."""

    id: UUID
    name: str = Field(max_length=200)
    source: str = Field(max_length=64)
    state: ImportState
    size: int = Field(description="bytes")
    sha256: str = Field(max_length=64)
    file_expires_at: datetime | None = Field(description="null once the file has been deleted")
    layout: LayoutOut | None
    mapping: MappingIn | None
    dry_run: bool | None = Field(description="whether the verdicts shown are those of a dry run")
    job: JobOut = Field(description="what was started last: inspection, dry run, import or revert")
    created_at: datetime
    created_by: str | None = Field(max_length=200)


class RowFault(BaseModel):
    """One thing wrong with a row."""

    column: str | None = Field(max_length=200, description="heading of the column; null: the row as a whole")
    code: str = Field(max_length=100)
    message: str = Field(max_length=2000)


class ImportRowOut(BaseModel):
    """The verdict on one row."""

    line: int = Field(description="where it begins: the line of a text, the row of a sheet")
    status: RowStatus
    customer_id: UUID | None = Field(
        description="whom it is about; of a row that failed, who has its contact point, for callers with the"
        " scope pii:read"
    )
    version: int | None = Field(description="the customer's version after the row")
    faults: list[RowFault]
    revert: RowRevert | None = Field(description="what became of it when the import was reverted")
