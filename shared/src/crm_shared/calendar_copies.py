"""What a service that is not the owner keeps of calendars: the newest version of each.

Such a service declares the table (`class Calendar(CalendarCopy, Base)`), starts it with `initial_rows`, and
hands the events of tickets to `keep`.
"""

from collections.abc import Sequence

from sqlalchemy import ARRAY, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from crm_shared.calendars.days import Days
from crm_shared.contracts.calendars import Calendar
from crm_shared.contracts.tickets import CalendarChanged
from crm_shared.database import Json


class CalendarCopy:
    """A calendar as its owner told it last."""

    __tablename__ = "calendars"
    # Rows that migrations put in stay when tests empty the database.
    __table_args__ = {"comment": "seed"}

    code: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    calendar: Mapped[Json]


_KEEP = text(
    """
    INSERT INTO calendars AS c (code, version, calendar)
    SELECT * FROM unnest(CAST(:codes AS text[]), CAST(:versions AS bigint[]), :calendars)
        AS n (code, version, calendar)
    ORDER BY code
    ON CONFLICT (code) DO UPDATE SET version = excluded.version, calendar = excluded.calendar
    WHERE c.version < excluded.version
    """
).bindparams(bindparam("calendars", type_=ARRAY(JSONB)))
_FIND = text("SELECT calendar FROM calendars WHERE code = :code")


async def keep(session: AsyncSession, events: Sequence[CalendarChanged]) -> None:
    """The newest version of each calendar; an older one that arrives late changes nothing."""
    newest = {event.code: event for event in sorted(events, key=lambda event: event.version)}
    await session.execute(
        _KEEP,
        {
            "codes": list(newest),
            "versions": [event.version for event in newest.values()],
            "calendars": [event.calendar.model_dump(mode="json") for event in newest.values()],
        },
    )


async def find(session: AsyncSession, code: str) -> Days | None:
    """The calendar, ready for questions; None when nobody has told of it."""
    found = await session.scalar(_FIND, {"code": code})
    return None if found is None else Days(Calendar.model_validate(found))
