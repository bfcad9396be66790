"""Account managers: who looks after whom, and whom nobody looks after."""

from collections.abc import Awaitable, Callable

import httpx2
import pytest
from tests.conftest import ClientFactory

from crm_profiles.handlers import subscriptions
from crm_shared.callers import Role
from crm_shared.contracts.segmentation import Level, LevelChanged
from crm_shared.database import Sessions
from crm_shared.testing import FrozenClock, arrived, handle

Levelled = Callable[[str, Level, int], Awaitable[None]]


@pytest.fixture
def levelled(databases: dict[str, Sessions], clock: FrozenClock) -> Levelled:
    """Tells profiles of a level, as segmentation does."""

    async def tell(customer_id: str, level: Level, version: int) -> None:
        event = LevelChanged.model_validate(
            {
                "customer_id": customer_id,
                "version": version,
                "level": level,
                "reason": "because",
                "thresholds_version": 1,
                "business_day": "2026-03-02",
            }
        )
        async with databases["profiles"].begin() as session:
            await handle(session, subscriptions, [arrived(event, time=clock.now())], at=clock.now())

    return tell


async def customer(profiles: httpx2.AsyncClient, name: str = "Ann") -> str:
    return str((await profiles.post("/v1/customers", json={"name": name})).json()["id"])


async def alerts(profiles: httpx2.AsyncClient, level: Level = Level.VIP) -> list[str]:
    answer = await profiles.get("/v1/managers/alerts", params={"level": level})
    assert answer.status_code == 200, answer.text
    return [item["customer_id"] for item in answer.json()["items"]]


async def test_a_vip_without_a_manager_is_on_the_list_until_somebody_looks_after_them(
    profiles: httpx2.AsyncClient, levelled: Levelled
) -> None:
    ann, ben = await customer(profiles), await customer(profiles, "Ben")
    await levelled(ann, Level.VIP, 1)
    await levelled(ben, Level.IMPORTANT, 1)
    assert await alerts(profiles) == [ann]
    assert await alerts(profiles, Level.IMPORTANT) == [ben]
    assigned = await profiles.put(f"/v1/customers/{ann}/manager", json={"manager": "li.na", "reason": "VIP"})
    assert assigned.json()["manager"] == "li.na"
    assert await alerts(profiles) == []
    await profiles.delete(f"/v1/customers/{ann}/manager")
    assert await alerts(profiles) == [ann]
    await levelled(ann, Level.ORDINARY, 2)
    assert await alerts(profiles) == []


async def test_an_older_level_that_comes_late_changes_nothing(
    profiles: httpx2.AsyncClient, levelled: Levelled
) -> None:
    ann = await customer(profiles)
    await levelled(ann, Level.VIP, 2)
    await levelled(ann, Level.ORDINARY, 1)
    assert await alerts(profiles) == [ann]


async def test_who_looked_after_a_customer_is_remembered_and_told(profiles: httpx2.AsyncClient) -> None:
    ann = await customer(profiles)
    await profiles.put(f"/v1/customers/{ann}/manager", json={"manager": "li.na"})
    again = await profiles.put(f"/v1/customers/{ann}/manager", json={"manager": "li.na"})
    assert again.json()["version"] == 2
    await profiles.put(f"/v1/customers/{ann}/manager", json={"manager": "omar", "reason": "Li Na left"})
    listed = (await profiles.get(f"/v1/customers/{ann}/managers")).json()["items"]
    assert [(row["manager"], row["reason"]) for row in listed] == [("omar", "Li Na left"), ("li.na", None)]
    assert [item["id"] for item in (await profiles.get("/v1/customers?manager=omar")).json()["items"]] == [
        ann
    ]
    titles = [item["title"] for item in (await profiles.get(f"/v1/customers/{ann}/timeline")).json()["items"]]
    assert titles == ["omar looks after them now", "li.na looks after them now"]
    history = (await profiles.get(f"/v1/customers/{ann}/history")).json()["items"]
    assert [change for change in history[0]["changes"] if change["member"] == "manager"] == [
        {"member": "manager", "before": "li.na", "after": "omar"}
    ]


async def test_a_stale_version_assigns_nobody(profiles: httpx2.AsyncClient) -> None:
    ann = await customer(profiles)
    answer = await profiles.put(
        f"/v1/customers/{ann}/manager", json={"manager": "li.na"}, headers={"If-Match": '"7"'}
    )
    assert answer.status_code == 412
    assert (await profiles.get(f"/v1/customers/{ann}")).json()["manager"] is None


async def test_agents_assign_nobody(client: ClientFactory, profiles: httpx2.AsyncClient) -> None:
    ann = await customer(profiles)
    agent = client("profiles", Role.AGENT)
    answer = await agent.put(f"/v1/customers/{ann}/manager", json={"manager": "me"})
    assert answer.status_code == 403
