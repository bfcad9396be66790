"""The table of declared custom attributes."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from crm_profiles.models.base import Base
from crm_shared.database import enum_column


class AttributeType(StrEnum):
    """What values of a custom attribute look like."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    CHOICE = "choice"
    """One of the choices."""
    CHOICES = "choices"
    """A list of some of the choices."""


class CustomerAttribute(Base):
    """A member that the company gives its customers besides those that all have."""

    __tablename__ = "customer_attributes"

    key: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[AttributeType] = mapped_column(enum_column(AttributeType))
    label: Mapped[str]
    description: Mapped[str | None]
    choices: Mapped[list[str]] = mapped_column(ARRAY(Text))
    version: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
