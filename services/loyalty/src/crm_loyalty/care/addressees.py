"""Whom care can reach: a small copy of what profiles tells of customers."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.models.care import Addressee
from crm_loyalty.rules import care
from crm_shared import permission_copies
from crm_shared.calendars.birthdays import LunarBirthday, SolarBirthday
from crm_shared.contracts.profiles import CustomerState
from crm_shared.customers import resolve
from crm_shared.database import rows_of

# The plain table: the ORM would take an INSERT … SELECT for a bulk insert of its own.
_TABLE = Addressee.metadata.tables[Addressee.__tablename__]
_COLUMNS = [
    Addressee.origin_customer_id,
    Addressee.customer_id,
    Addressee.version,
    Addressee.name,
    Addressee.language,
    Addressee.time_zone,
    Addressee.region,
    Addressee.tags,
    Addressee.email,
    Addressee.phone,
    Addressee.birthday,
    Addressee.joined_on,
    Addressee.joined_day,
]


async def keep(session: AsyncSession, events: Sequence[CustomerState]) -> None:
    """Keep each customer's newest state, each id for itself; told again, it fills columns added since."""
    newest = {event.customer_id: event for event in sorted(events, key=lambda event: event.version)}
    owners = await resolve(session, newest.keys(), lock=True)
    policy = await permission_copies.current_policy(session)
    states = [_row(newest[origin], owners[origin], policy.time_zone) for origin in sorted(newest)]
    rows = rows_of({column: [state[column.key] for state in states] for column in _COLUMNS})
    names = [column.key for column in _COLUMNS]
    statement = insert(_TABLE).from_select(names, select(rows))
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=[Addressee.origin_customer_id],
            set_={name: statement.excluded[name] for name in names if name != "customer_id"},
            where=Addressee.version <= statement.excluded.version,
        )
    )


async def find(session: AsyncSession, owners: Collection[UUID]) -> Mapping[UUID, Addressee]:
    """What is known of each who is nobody else today."""
    rows = await session.scalars(
        select(Addressee).where(
            Addressee.origin_customer_id.in_(owners), Addressee.customer_id == Addressee.origin_customer_id
        )
    )
    return {row.customer_id: row for row in rows}


def _row(event: CustomerState, owner: UUID, default_zone: str) -> dict[str, object]:
    joined_on = None
    if event.created_at is not None:
        joined_on = event.created_at.astimezone(ZoneInfo(event.time_zone or default_zone)).date()
    contacts: dict[str, str] = {}
    for point in event.contact_points:
        contacts.setdefault(point.kind, point.value)
    return {
        "origin_customer_id": event.customer_id,
        "customer_id": owner,
        "version": event.version,
        "name": event.name,
        "language": event.language,
        "time_zone": event.time_zone,
        "region": event.region,
        "tags": event.tags,
        "email": contacts.get("email"),
        "phone": contacts.get("phone"),
        "birthday": _birthday(event),
        "joined_on": joined_on,
        "joined_day": joined_on and care.key_of(SolarBirthday(joined_on.month, joined_on.day)),
    }


def _birthday(event: CustomerState) -> str | None:
    if lunar := event.lunar_birth_date:
        return care.key_of(LunarBirthday(lunar.month, lunar.day, lunar.leap_month))
    if born := event.birth_date:
        return care.key_of(SolarBirthday(born.month, born.day))
    return None
