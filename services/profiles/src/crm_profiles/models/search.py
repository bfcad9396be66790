"""The table by which names are found from their second word on."""

from uuid import UUID

from sqlalchemy import Index, SmallInteger, Text
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from crm_profiles.models.base import Base
from crm_shared.erasure import POLICY, Delete


class NameTail(Base):
    """The rest of a name's key from one of its words on; triggers keep it, whoever writes customers."""

    __tablename__ = "name_tails"
    __table_args__ = (
        Index("ix_name_tails_tail", "tail", sql("customer_id DESC")),
        {"info": {POLICY: Delete()}},
    )

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    start: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    """Where the space before that word is; the first word has no row, for the key itself begins there."""
    tail: Mapped[str] = mapped_column(Text(collation="C"))
