"""The tables of imports: the file, how it is read, and what became of each of its rows."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ForeignKey, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from crm_profiles.models.base import Base
from crm_profiles.models.files import File
from crm_shared.database import Json, enum_column
from crm_shared.erasure import POLICY, Delete, Redact
from crm_shared.ids import uuid7


class RowStatus(StrEnum):
    """What became of a row."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    SUPPRESSED = "suppressed"


class RowRevert(StrEnum):
    """What became of a row when its import was reverted."""

    REMOVED = "removed"
    RESTORED = "restored"
    CHANGED_SINCE = "changed_since"
    GONE = "gone"


class Import(Base):
    """A file of customers that somebody uploaded."""

    __tablename__ = "imports"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    name: Mapped[str]
    source: Mapped[str]
    """Whose external ids the file holds."""
    file_id: Mapped[UUID | None] = mapped_column(ForeignKey(File.id, ondelete="SET NULL"), index=True)
    failures_id: Mapped[UUID | None] = mapped_column(ForeignKey(File.id, ondelete="SET NULL"), index=True)
    """The file of the rows that failed, with their reasons."""
    size: Mapped[int]
    sha256: Mapped[str]
    asked: Mapped[Json]
    """How to read the file, as far as the uploader said."""
    layout: Mapped[Json | None]
    """What inspection found: format, encoding, delimiter, header, some rows (they go with the file)."""
    mapping: Mapped[Json | None]
    """Which column means what."""
    created_at: Mapped[datetime]
    created_by: Mapped[str | None]
    job_id: Mapped[UUID] = mapped_column(unique=True)
    """What was started last: inspection, dry run, import or revert."""
    run_id: Mapped[UUID | None] = mapped_column(unique=True)
    """The job whose verdicts are shown: the last dry run, or the import itself."""
    dry_run: Mapped[bool | None]
    """Whether that was a dry run."""


class ImportRow(Base):
    """The verdict on one row."""

    __tablename__ = "import_rows"
    __table_args__ = (
        Index("ix_import_rows_run_id_status", "run_id", "status", "line"),
        Index("ix_import_rows_customer_id", "customer_id"),
        {
            "info": {
                POLICY: Redact(("customer_id",), "that a line of a file was imported; whom it named is gone")
            }
        },
    )

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    """Where the row begins: the line of a text file, the row of a sheet."""
    status: Mapped[RowStatus] = mapped_column(enum_column(RowStatus))
    customer_id: Mapped[UUID | None]
    version: Mapped[int | None]
    """The customer's version after the row."""
    faults: Mapped[list[Json] | None] = mapped_column(JSONB)
    revert: Mapped[RowRevert | None] = mapped_column(enum_column(RowRevert))


class ImportTrial(Base):
    """What a dry run would have made of a customer so far; gone when it has ended."""

    __tablename__ = "import_trials"
    __table_args__ = (
        Index("ix_import_trials_customer_id", "customer_id"),
        {"info": {POLICY: Delete()}},
    )

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    state: Mapped[Json]
    """As in CustomerVersion."""


class ImportTrialName(Base):
    """By which a customer of a dry run is named or reached, or was before it."""

    __tablename__ = "import_trial_names"
    __table_args__ = (
        Index("ix_import_trial_names_customer_id", "customer_id"),
        {"info": {POLICY: Delete()}},
    )

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
