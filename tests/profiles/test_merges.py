"""Two customers become one: nothing is lost, doubled or left with the wrong one."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx2
from tests.profiles.merging import Make, buy, merge, merged, purchases, read, undone

from crm_shared.callers import Role
from crm_shared.contracts.profiles import CustomerMerged, CustomerUnmerged
from crm_shared.database import Sessions
from crm_shared.testing import fresh_key, published

Client = Callable[..., httpx2.AsyncClient]


async def test_a_preview_says_what_would_come_from_whom_and_changes_nothing(
    profiles: httpx2.AsyncClient, make: Make, databases: dict[str, Sessions]
) -> None:
    ann = await make("Ann Lee", "ann@example.com", tags=["a"], language="en")
    anna = await make("Anna Lee", "+8613812345678", tags=["b"], birth_date="1988-04-12")
    await buy(profiles, anna)
    before = len(await published(databases["profiles"]))

    body = {"survivor_id": ann["id"], "absorbed_id": anna["id"], "prefer": {"name": "absorbed"}}
    answer = await profiles.post("/v1/merges/preview", json=body)

    assert answer.status_code == 200, answer.text
    shown = answer.json()
    members = {each["member"]: each for each in shown["members"]}
    assert (members["name"]["result"], members["name"]["taken"]) == ("Anna Lee", "absorbed")
    assert (members["language"]["result"], members["language"]["taken"]) == ("en", "survivor")
    assert (members["birth_date"]["result"], members["birth_date"]["taken"]) == ("1988-04-12", "absorbed")
    assert (members["tags"]["result"], members["tags"]["taken"]) == (["a", "b"], "both")
    assert members["region"]["taken"] == "neither"
    assert shown["conflicts"] == ["name"]
    assert [point["value"] for point in shown["contact_points"]] == ["ann@example.com", "+8613812345678"]
    assert shown["moves"] == {"contact_points": 1, "purchases": 1, "timeline_entries": 1}
    assert (await read(profiles, anna))["name"] == "Anna Lee"
    assert len(await published(databases["profiles"])) == before


async def test_a_merge_joins_what_both_have_and_the_old_id_means_the_survivor(
    profiles: httpx2.AsyncClient, make: Make
) -> None:
    ann = await make("Ann", "ann@example.com", tags=["a"])
    bea = await make("Bea", "bea@example.com", tags=["b"], language="fr")
    await profiles.put("/v1/customers/by-external-id/shop/bea-1", json={"name": "Bea"})
    await buy(profiles, bea)

    await merged(profiles, ann, bea, reason="one person")

    answer = await profiles.get(f"/v1/customers/{bea['id']}")
    found = answer.json()
    assert (found["id"], found["merged_from"]) == (ann["id"], bea["id"])
    assert answer.headers["Content-Location"] == f"/v1/customers/{ann['id']}"
    assert (found["name"], found["language"], found["tags"]) == ("Ann", "fr", ["a", "b"])
    assert {point["value"] for point in found["contact_points"]} == {"ann@example.com", "bea@example.com"}
    assert await purchases(profiles, ann) == await purchases(profiles, bea) == 1
    history = (await profiles.get(f"/v1/customers/{bea['id']}/history")).json()["items"]
    assert [version["change"] for version in history] == ["absorbed", "created"]


async def test_what_cannot_be_merged_says_why(
    profiles: httpx2.AsyncClient, make: Make, client: Client
) -> None:
    ann, bea, cat = await make("Ann"), await make("Bea"), await make("Cat")
    admin = client("profiles", Role.ADMIN)
    await admin.post("/v1/privacy/erasures", json={"customer_id": cat["id"]})
    await merged(profiles, ann, bea)
    unknown = {"id": str(uuid4())}

    for survivor, absorbed, status, code in (
        (ann, ann, 409, "same_customer"),
        (ann, bea, 409, "same_customer"),
        (bea, unknown, 404, "customer_not_found"),
        (cat, ann, 410, "customer_was_erased"),
    ):
        refused = await merge(profiles, survivor, absorbed)
        assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert (await merge(profiles, ann, unknown)).json()["errors"][0]["pointer"] == "/absorbed_id"
    stale = await merge(profiles, ann, await make("Dot"), survivor_version=1)
    assert (stale.status_code, stale.json()["errors"][0]["pointer"]) == (412, "/survivor_version")
    wrong = await merge(profiles, ann, unknown, prefer={"shoe": "survivor"})
    assert wrong.status_code == 422
    agent = client("profiles", Role.AGENT)
    assert (await merge(agent, ann, unknown)).status_code == 403


async def test_an_erased_customer_takes_the_images_along_and_cannot_come_back(
    profiles: httpx2.AsyncClient, make: Make, client: Client, databases: dict[str, Sessions]
) -> None:
    ann, bea = await make("Ann Canary"), await make("Bea Canary")
    merge_id = await merged(profiles, ann, bea, reason="Canary")
    admin = client("profiles", Role.ADMIN)
    erasure = await admin.post("/v1/privacy/erasures", json={"customer_id": bea["id"]})
    assert erasure.json()["customer_id"] == ann["id"]
    again = await admin.post("/v1/privacy/erasures", json={"customer_id": bea["id"]})
    assert again.json()["id"] == erasure.json()["id"]

    shown = await profiles.get(f"/v1/merges/{merge_id}")
    assert (shown.status_code, shown.json()["reason"]) == (200, None)
    refused = await profiles.post(f"/v1/merges/{merge_id}/undo", json={})
    assert (refused.status_code, refused.json()["code"]) == (410, "customer_was_erased")


async def test_events_tell_of_both_and_are_numbered(
    profiles: httpx2.AsyncClient, make: Make, databases: dict[str, Sessions]
) -> None:
    ann, bea = await make("Ann"), await make("Bea")
    for _ in range(2):
        await undone(profiles, await merged(profiles, ann, bea))
    told = [row for row in await published(databases["profiles"]) if "created" not in row.type]
    assert [(row.type.split(".")[2], row.key) for row in told] == [
        ("merged", bea["id"]),
        ("changed", ann["id"]),
        ("unmerged", bea["id"]),
        ("changed", ann["id"]),
        ("changed", bea["id"]),
    ] * 2
    merges = [CustomerMerged.model_validate_json(row.data) for row in (told[0], told[5])]
    undoings = [CustomerUnmerged.model_validate_json(row.data) for row in (told[2], told[7])]
    assert merges[0].sequence == undoings[0].sequence < merges[1].sequence == undoings[1].sequence
    assert [row.version for row in told if row.key == bea["id"]] == [2, 3, 3, 4, 5, 5]


async def test_a_merge_is_answered_once_for_each_key(profiles: httpx2.AsyncClient, make: Make) -> None:
    ann, bea = await make("Ann"), await make("Bea")
    body, headers = {"survivor_id": ann["id"], "absorbed_id": bea["id"]}, fresh_key()
    first = await profiles.post("/v1/merges", json=body, headers=headers)
    again = await profiles.post("/v1/merges", json=body, headers=headers)
    assert first.json() == again.json()
    assert (await profiles.get("/v1/merges", params={"customer_id": bea["id"]})).json()["items"] == [
        first.json()
    ]
    assert (await profiles.post("/v1/merges", json=body)).status_code == 400


async def test_a_customer_whose_id_was_absorbed_keeps_access(
    profiles: httpx2.AsyncClient, make: Make, client: Client
) -> None:
    ann, bea, cat = await make("Ann"), await make("Bea"), await make("Cat")
    await merged(profiles, ann, bea)
    own = client("profiles", Role.CUSTOMER, customer_id=bea["id"])
    for asked in (ann, bea):
        assert (await own.get(f"/v1/customers/{asked['id']}")).json()["id"] == ann["id"]
    assert (await own.get(f"/v1/customers/{cat['id']}")).status_code == 404


async def test_an_id_keeps_its_meaning_however_many_merges_follow(
    profiles: httpx2.AsyncClient, make: Make
) -> None:
    first = last = await make("First")
    for number in range(70):
        absorbed, last = last, await make(f"Number {number}")
        await merged(profiles, last, absorbed)
    assert (await profiles.get(f"/v1/customers/{first['id']}")).json()["id"] == last["id"]
    answer = await profiles.patch(f"/v1/customers/{first['id']}", json={"region": "GB"}, headers=fresh_key())
    assert answer.json()["id"] == last["id"]


async def test_as_of_an_instant_between_them_a_merge_is_seen(
    profiles: httpx2.AsyncClient, make: Make, clock: Any
) -> None:
    ann, bea = await make("Ann"), await make("Bea")
    clock.at = datetime(2026, 3, 3, tzinfo=UTC)
    merge_id = await merged(profiles, ann, bea)
    clock.at = datetime(2026, 3, 5, tzinfo=UTC)
    await undone(profiles, merge_id)
    then = await profiles.get(f"/v1/customers/{bea['id']}", params={"as_of": "2026-03-04T00:00:00Z"})
    now = await profiles.get(f"/v1/customers/{bea['id']}")
    assert (then.json()["id"], now.json()["id"]) == (ann["id"], bea["id"])


async def test_of_two_merges_of_one_pair_at_once_one_is_made(
    committed: dict[str, Sessions], profiles: httpx2.AsyncClient, make: Make
) -> None:
    ann, bea = await make("Ann"), await make("Bea")
    answers = await asyncio.gather(*(merge(profiles, *pair) for pair in [(ann, bea), (bea, ann)] * 3))
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 5]


async def test_whatever_happens_at_the_time_of_a_merge_is_lost_nowhere(
    committed: dict[str, Sessions], profiles: httpx2.AsyncClient, make: Make
) -> None:
    ann, bea = await make("Ann"), await make("Bea", language="fr")
    tags = [f"tag-{number}" for number in range(4)]

    async def patch(tag: str) -> None:
        answer = await profiles.patch(f"/v1/customers/{bea['id']}", json={"tags": [tag]})
        assert answer.status_code == 200, answer.text

    results = await asyncio.gather(
        *(buy(profiles, bea) for _ in range(6)),
        merged(profiles, ann, bea),
        *(patch(tag) for tag in tags),
        *(buy(profiles, one) for one in (ann, bea) * 3),
    )
    assert await purchases(profiles, ann) == 12
    await asyncio.gather(
        undone(profiles, next(each for each in results if each)), *(buy(profiles, bea) for _ in range(4))
    )
    assert (await purchases(profiles, ann), await purchases(profiles, bea)) == (3, 13)


async def test_a_merge_at_the_time_of_an_erasure_leaves_either_nobody_or_both(
    committed: dict[str, Sessions], profiles: httpx2.AsyncClient, make: Make, client: Client
) -> None:
    admin = client("profiles", Role.ADMIN)
    for _ in range(4):
        ann, bea = await make("Ann"), await make("Bea")
        joined, gone = await asyncio.gather(
            merge(profiles, ann, bea), admin.post("/v1/privacy/erasures", json={"customer_id": bea["id"]})
        )
        assert (joined.status_code, gone.status_code) in ((201, 202), (410, 202))
        assert (await profiles.get(f"/v1/customers/{bea['id']}")).status_code == 404
        left = (await profiles.get(f"/v1/customers/{ann['id']}")).status_code
        assert left == (404 if joined.status_code == 201 else 200)
