"""The table of exports."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from crm_profiles.models.base import Base
from crm_profiles.models.files import File
from crm_shared.database import Json
from crm_shared.ids import uuid7


class Export(Base):
    """A file of customers that somebody asked for."""

    __tablename__ = "exports"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    asked: Mapped[Json]
    """Format, columns and filters."""
    masked: Mapped[bool]
    """Whoever asked may not see how to reach somebody."""
    file_id: Mapped[UUID | None] = mapped_column(ForeignKey(File.id, ondelete="SET NULL"), index=True)
    created_at: Mapped[datetime]
    created_by: Mapped[str | None]
    job_id: Mapped[UUID] = mapped_column(unique=True)
