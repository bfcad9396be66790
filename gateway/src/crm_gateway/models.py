"""The gateway's own tables."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import LargeBinary
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import Text

from crm_shared.database import TYPES, new_metadata
from crm_shared.ids import uuid7


class Base(DeclarativeBase):
    metadata = new_metadata()
    type_annotation_map = TYPES


class ApiKey(Base):
    """A key with which a partner's system signs in; of its secret only a digest is kept."""

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    owner: Mapped[str] = mapped_column(index=True)
    """Whose key it is: all keys of an owner are one caller, so that a rotation changes nothing else."""
    name: Mapped[str]
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
