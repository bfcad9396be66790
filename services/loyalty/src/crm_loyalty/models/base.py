"""What all tables of loyalty share."""

from sqlalchemy.orm import DeclarativeBase

from crm_shared.database import TYPES, new_metadata

BOOKKEEPING = "points are a liability: the books stay, under an id that no longer leads to anybody"


class Base(DeclarativeBase):
    metadata = new_metadata()
    type_annotation_map = TYPES
