"""T6, L11: calendars with several windows a day, holidays and make-up days, that managers edit."""

import httpx2
import pytest

pytestmark = pytest.mark.capability("T6")


async def test_a_manager_decides_when_a_shop_works_and_everybody_sees_the_year(
    manager: httpx2.AsyncClient, agent: httpx2.AsyncClient
) -> None:
    spain = (await agent.get("/v1/calendars/ES")).json()
    body = {name: spain[name] for name in ("time_zone", "working_hours", "holidays", "birthdays")}
    body |= {"name": "Store in Seville", "make_up_days": [{"on": "2026-12-20", "like": 5}]}
    made = await manager.put("/v1/calendars/ES-SEVILLE", json=body, headers={"If-None-Match": "*"})
    assert made.status_code == 200, made.text

    year = (await agent.get("/v1/calendars/ES-SEVILLE/days", params={"year": 2026})).json()
    days = {day["on"]: day for day in year["days"]}
    assert len(days["2026-03-02"]["hours"]) == 2, "mornings and afternoons"
    assert days["2026-04-03"]["holidays"][0]["key"] == "good-friday"
    assert (days["2026-04-03"]["hours"], days["2026-12-20"]["make_up"]) == ([], True)
    assert days["2026-12-24"]["hours"] == [{"start": "09:00", "end": "14:00"}]

    blind = await manager.put("/v1/calendars/ES-SEVILLE", json=body)
    assert blind.status_code == 428
