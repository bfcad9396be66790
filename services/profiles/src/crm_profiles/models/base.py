"""What all tables of profiles have in common."""

from sqlalchemy.orm import DeclarativeBase

from crm_shared.database import TYPES, new_metadata


class Base(DeclarativeBase):
    """All tables of this service."""

    metadata = new_metadata()
    type_annotation_map = TYPES
