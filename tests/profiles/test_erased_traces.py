"""Who was once taken for somebody else and is erased leaves nothing in what is kept of the other."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx2
from tests.profiles.merging import Make, merged, undone
from tests.profiles.test_erasure_races import tables_with

from crm_shared.database import Sessions
from crm_shared.testing import FrozenClock

Work = Callable[[], Awaitable[None]]

CANARY = {
    "occupation": "Canary keeper",
    "address": {"city": "Canary City"},
    "birth_date": "1988-04-12",
    "tags": ["canary", "shared"],
}


async def erased(profiles: httpx2.AsyncClient, customer: dict[str, Any], work: Work) -> dict[str, int]:
    """What profiles removed."""
    answer = await profiles.post("/v1/privacy/erasures", json={"customer_id": customer["id"]})
    assert answer.status_code == 202, answer.text
    await work()
    receipt = (await profiles.get(f"/v1/privacy/erasures/{answer.json()['id']}")).json()
    [ours] = [each for each in receipt["services"] if each["service"] == "profiles"]
    removed: dict[str, int] = ours["removed"]
    return removed


async def test_an_undone_merge_leaves_nothing_of_who_is_erased_with_the_other(
    profiles: httpx2.AsyncClient, make: Make, databases: dict[str, Sessions], work: Work, clock: FrozenClock
) -> None:
    ann = await make("Ann", "ann@example.com", tags=["own", "shared"], occupation=None)
    bea = await make("Bea", "canary@example.com", "+8613812345678", **CANARY)
    clock.advance(timedelta(days=1))
    merge_id = await merged(profiles, ann, bea)
    path = f"/v1/customers/{ann['id']}"
    changed = await profiles.patch(path, json={"region": "GB"}, headers={"Idempotency-Key": "while merged"})
    assert changed.json()["occupation"] == "Canary keeper"
    clock.advance(timedelta(days=1))
    meanwhile = clock.now().isoformat()
    await work()
    await undone(profiles, merge_id)

    assert (await erased(profiles, bea, work))["states_of_others"] >= 2
    assert await tables_with(databases["profiles"], "canary") == set()
    assert await tables_with(databases["profiles"], "13812345678") == set()
    history = (await profiles.get(f"{path}/history")).json()["items"]
    assert [[change["member"] for change in each["changes"]] for each in history][1] == ["region"]
    now = (await profiles.get(path)).json()
    assert (now["region"], now["tags"], now["occupation"]) == ("GB", ["own", "shared"], None)
    then = (await profiles.get(path, params={"as_of": meanwhile})).json()
    assert [point["value"] for point in then["contact_points"]] == ["ann@example.com"]


async def test_nor_with_those_who_absorbed_the_other_meanwhile(
    profiles: httpx2.AsyncClient, make: Make, databases: dict[str, Sessions], work: Work, clock: FrozenClock
) -> None:
    ann, cid = await make("Ann"), await make("Cid", "cid@example.com")
    bea = await make("Bea", "canary@example.com", **CANARY)
    first = await merged(profiles, ann, bea)
    second = await merged(profiles, cid, ann)
    clock.advance(timedelta(days=1))
    await undone(profiles, second)
    clock.advance(timedelta(days=1))
    await undone(profiles, first)

    await erased(profiles, bea, work)
    assert await tables_with(databases["profiles"], "canary") == set()
    kept = (await profiles.get(f"/v1/customers/{cid['id']}")).json()
    assert [point["value"] for point in kept["contact_points"]] == ["cid@example.com"]
