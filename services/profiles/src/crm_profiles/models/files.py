"""The tables of files: what was uploaded and what was made to be fetched, in chunks."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from crm_profiles.models.base import Base
from crm_shared.ids import uuid7


class Format(StrEnum):
    """How a table is kept."""

    CSV = "csv"
    XLSX = "xlsx"


class Encoding(StrEnum):
    """Those that occur in practice; Latin-1 is read as what is written under its name, Windows-1252."""

    UTF_8 = "utf-8"
    UTF_16 = "utf-16"
    GB18030 = "gb18030"
    LATIN_1 = "latin-1"


class File(Base):
    """One file; API and worker share no disk, so it lives here."""

    __tablename__ = "files"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    name: Mapped[str]
    content_type: Mapped[str]
    size: Mapped[int]
    chunks: Mapped[int]
    sha256: Mapped[str | None]
    """None while it is being written."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class FileChunk(Base):
    """The next quarter of a megabyte of a file."""

    __tablename__ = "file_chunks"

    file_id: Mapped[UUID] = mapped_column(ForeignKey(File.id, ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)
