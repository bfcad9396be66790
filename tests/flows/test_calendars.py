"""One calendar everywhere: the copies of loyalty and segmentation say what the owner says."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from tests.flows.conftest import Settle

from crm_loyalty.models import Base as LoyaltyBase
from crm_segmentation.models import Base as SegmentationBase
from crm_shared import calendar_copies
from crm_shared.calendars.days import Days
from crm_shared.calendars.initial import initial_calendars
from crm_shared.calendars.working import add_working_time
from crm_shared.contracts.calendars import Calendar
from crm_shared.contracts.tickets import CalendarChanged
from crm_shared.database import Sessions
from crm_shared.operate import republish_state
from crm_shared.testing import arrived, published
from crm_tickets import calendars
from crm_tickets.state import STATES

COPIES = ("loyalty", "segmentation")
START = datetime(2026, 9, 30, 8, tzinfo=UTC)


async def owned(sessions: Sessions, code: str) -> Days:
    async with sessions() as session:
        return calendars.days(await calendars.get(session, code))


async def copied(sessions: Sessions, code: str) -> Days | None:
    async with sessions() as session:
        return await calendar_copies.find(session, code)


def test_copies_are_declared_where_they_are_kept() -> None:
    assert "calendars" in LoyaltyBase.metadata.tables
    assert "calendars" in SegmentationBase.metadata.tables


@pytest.mark.parametrize("code", sorted(initial_calendars()))
async def test_everybody_starts_with_the_same_calendars(databases: dict[str, Sessions], code: str) -> None:
    ours = await owned(databases["tickets"], code)
    for name in COPIES:
        theirs = await copied(databases[name], code)
        assert theirs == ours == Days(initial_calendars()[code])


async def test_a_change_gives_everybody_the_same_answers(
    databases: dict[str, Sessions], tickets: httpx2.AsyncClient, settle: Settle
) -> None:
    found = await tickets.get("/v1/calendars/CN")
    body: dict[str, Any] = {
        name: value for name, value in found.json().items() if name in Calendar.model_fields
    }
    body["make_up_days"].append({"on": "2026-10-02", "like": 5})
    written = await tickets.put("/v1/calendars/CN", json=body, headers={"If-Match": found.headers["ETag"]})
    assert written.status_code == 200, written.text
    await settle()

    ours = await owned(databases["tickets"], "CN")
    assert add_working_time(ours, START, timedelta(hours=9)) == datetime(2026, 10, 2, 8, tzinfo=UTC)
    for name in COPIES:
        theirs = await copied(databases[name], "CN")
        assert theirs is not None
        assert list(theirs.year(2026)) == list(ours.year(2026))
        assert add_working_time(theirs, START, timedelta(hours=9)) == datetime(2026, 10, 2, 8, tzinfo=UTC)


async def test_an_old_version_that_arrives_late_changes_nothing(databases: dict[str, Sessions]) -> None:
    first, second = (
        CalendarChanged(
            code="CN",
            version=version,
            calendar=initial_calendars()["CN"].model_copy(update={"name": f"version {version}"}),
        )
        for version in (2, 3)
    )
    for events in ([arrived(second), arrived(first)], [arrived(first)]):
        async with databases["loyalty"].begin() as session:
            await calendar_copies.keep(session, events)
    found = await copied(databases["loyalty"], "CN")
    assert found is not None
    assert found.calendar.name == "version 3"


async def test_calendars_can_be_told_anew(databases: dict[str, Sessions], settle: Settle) -> None:
    await republish_state(databases["tickets"], STATES["calendars"])
    told = [row.key for row in await published(databases["tickets"])]
    assert {"CN", "ES", "US"} <= set(told)
    await settle()
    assert await copied(databases["loyalty"], "US") == await owned(databases["tickets"], "US")
