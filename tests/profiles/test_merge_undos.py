"""Two customers who were made one become two again, each with what is theirs."""

from collections.abc import Callable
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import httpx2
from tests.profiles.merging import Make, buy, merge, merged, purchases, read, undone

from crm_shared.callers import Role

Client = Callable[..., httpx2.AsyncClient]


async def test_merge_and_undo_leave_both_as_they_were(profiles: httpx2.AsyncClient, make: Make) -> None:
    ann = await make("Ann", "ann@example.com", tags=["a", "c"], region="US")
    bea = await make("Bea", "bea@example.com", tags=["b", "c"], language="fr", birth_date="1970-01-01")
    await buy(profiles, ann)
    await buy(profiles, bea)
    before = await read(profiles, ann), await read(profiles, bea)

    merge_id = await merged(profiles, ann, bea, prefer={"name": "absorbed", "tags": "absorbed"})
    outcome = await undone(profiles, merge_id)

    assert (outcome["kept"], outcome["missing"]) == ([], [])
    assert (await read(profiles, ann), await read(profiles, bea)) == before
    assert await purchases(profiles, ann) == await purchases(profiles, bea) == 1


async def test_a_birthday_is_taken_and_given_back_with_its_calendar(
    profiles: httpx2.AsyncClient, make: Make
) -> None:
    ann = await make("Ann", birth_date="1990-05-05", address={"city": "Oslo"})
    bea = await make(
        "Bea",
        lunar_birth_date={"year": 1988, "month": 2, "day": 26},
        address={"city": "Wuhan", "district": "Hankou"},
    )
    before = [await read(profiles, one) for one in (ann, bea)]
    merge_id = await merged(profiles, ann, bea, prefer={"birth_date": "absorbed"})
    one = await read(profiles, ann)
    birthday = ("birth_date", "birth_calendar", "lunar_birth_date")
    assert [one[name] for name in birthday] == [before[1][name] for name in birthday]
    assert one["address"] == before[0]["address"]
    await undone(profiles, merge_id)
    assert [await read(profiles, one) for one in (ann, bea)] == before


async def test_what_was_written_through_the_old_id_goes_back_and_changed_members_stay(
    profiles: httpx2.AsyncClient, make: Make
) -> None:
    ann, bea = await make("Ann", "ann@example.com"), await make("Bea", "bea@example.com", language="fr")
    merge_id = await merged(profiles, ann, bea)
    await buy(profiles, bea)
    added = [{"kind": "email", "value": value} for value in ("ann@example.com", "new@example.com")]
    patched = await profiles.patch(
        f"/v1/customers/{bea['id']}", json={"language": "de", "contact_points": added}
    )
    assert patched.status_code == 200, patched.text

    outcome = await undone(profiles, merge_id)

    assert outcome["kept"] == ["language"]
    assert outcome["missing"] == [{"kind": "email", "value": "bea@example.com", "taken_by": None}]
    assert (await read(profiles, ann))["language"] == "de"
    assert (await read(profiles, bea))["language"] == "fr"
    points = (await read(profiles, bea))["contact_points"]
    assert [point["value"] for point in points] == ["new@example.com"]
    assert (await purchases(profiles, ann), await purchases(profiles, bea)) == (0, 1)


async def test_a_contact_point_that_somebody_else_took_stays_with_them(
    profiles: httpx2.AsyncClient, make: Make
) -> None:
    ann, bea = await make("Ann"), await make("Bea", "bea@example.com")
    merge_id = await merged(profiles, ann, bea)
    await profiles.patch(f"/v1/customers/{ann['id']}", json={"contact_points": []})
    cat = await make("Cat", "bea@example.com")

    outcome = await undone(profiles, merge_id)

    assert outcome["missing"] == [{"kind": "email", "value": "bea@example.com", "taken_by": cat["id"]}]
    assert (await read(profiles, bea))["contact_points"] == []
    shown = (await profiles.get(f"/v1/merges/{merge_id}")).json()
    assert shown["undone"] == outcome


async def test_merges_into_one_customer_are_undone_in_any_order(
    profiles: httpx2.AsyncClient, make: Make
) -> None:
    ann = await make("Ann", tags=["a"])
    bea = await make("Bea", tags=["b"], language="fr")
    cat = await make("Cat", tags=["b", "c"], language="de")
    before = [await read(profiles, one) for one in (ann, bea, cat)]
    for first in (0, 1):
        ids = [
            await merged(profiles, ann, bea),
            await merged(profiles, ann, cat, prefer={"language": "absorbed"}),
        ]
        await undone(profiles, ids[first])
        await undone(profiles, ids[1 - first])
        assert [await read(profiles, one) for one in (ann, bea, cat)] == before


async def test_in_a_chain_the_later_merge_is_undone_first(profiles: httpx2.AsyncClient, make: Make) -> None:
    ann, bea, cat, dot = [await make(name) for name in ("Ann", "Bea", "Cat", "Dot")]
    before = [await read(profiles, one) for one in (ann, bea, cat, dot)]
    first = await merged(profiles, bea, ann)
    second = await merged(profiles, cat, bea)
    third = await merged(profiles, dot, cat)
    assert (await read(profiles, ann))["id"] == dot["id"]

    refused = await profiles.post(f"/v1/merges/{first}/undo", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "later_merge_first")
    assert refused.json()["merge_id"] == third
    for merge_id in (third, second, first):
        await undone(profiles, merge_id)
    assert [await read(profiles, one) for one in (ann, bea, cat, dot)] == before


async def test_undoing_twice_is_a_conflict(profiles: httpx2.AsyncClient, make: Make) -> None:
    ann, bea = await make("Ann"), await make("Bea")
    merge_id = await merged(profiles, ann, bea)
    await undone(profiles, merge_id)
    again = await profiles.post(f"/v1/merges/{merge_id}/undo", json={})
    assert (again.status_code, again.json()["code"]) == (409, "merge_already_undone")
    assert (await merge(profiles, ann, bea)).status_code == 201


async def test_a_mistaken_merge_shows_neither_to_the_other_once_it_is_undone(
    profiles: httpx2.AsyncClient, make: Make, client: Client, clock: Any
) -> None:
    of_ann, of_bea = ("Ann", "ann@example.com", "of ann"), ("Bea", "bea@example.com", "of bea", "Keeper")
    ann = await make("Ann", "ann@example.com", tags=["of ann"])
    bea = await make("Bea", "bea@example.com", tags=["of bea"], occupation="Keeper")
    merge_id = await merged(profiles, ann, bea)
    during = clock.at.isoformat()
    export = (await profiles.post("/v1/privacy/exports", json={"customer_id": bea["id"]})).json()
    await undone(profiles, merge_id)
    for customer in (ann, bea):
        own = client("profiles", Role.CUSTOMER, customer_id=customer["id"])
        then = await own.get(f"/v1/customers/{customer['id']}", params={"as_of": during})
        assert (then.status_code, then.json()["code"]) == (403, "role_missing")
        before = await own.get(f"/v1/privacy/exports/{export['id']}/archive")
        assert before.status_code in (404, 410)
        again = await own.post("/v1/privacy/exports", json={"customer_id": customer["id"]})
        assert again.json()["id"] != export["id"]
        assert not again.json()["expired"]
        fetched = await own.get(f"/v1/privacy/exports/{again.json()['id']}/archive")
        with ZipFile(BytesIO(fetched.content)) as archive:
            held = b"".join(archive.read(name) for name in archive.namelist()).decode()
        found = [word for word in (*of_ann, *of_bea) if word in held]
        assert found == list(of_ann if customer is ann else of_bea)


async def test_an_attribute_that_is_not_declared_any_more_does_not_come_back(
    profiles: httpx2.AsyncClient, make: Make, client: Callable[..., httpx2.AsyncClient]
) -> None:
    """Nobody could change or clear it, and declared anew it might be of another type."""
    admin = client("profiles", Role.ADMIN)
    for key_ in ("shoe", "shirt"):
        declared = await admin.put(f"/v1/customer-attributes/{key_}", json={"type": "number", "label": key_})
        assert declared.status_code == 201, declared.text
    ann, bea = await make("Ann"), await make("Bea", attributes={"shoe": 42, "shirt": 40})
    merge_id = await merged(profiles, ann, bea)
    await profiles.patch(f"/v1/customers/{ann['id']}", json={"attributes": {"shoe": None}})
    assert (await admin.delete("/v1/customer-attributes/shoe")).status_code == 200

    await undone(profiles, merge_id)
    assert (await read(profiles, ann))["attributes"] == {}
    assert (await read(profiles, bea))["attributes"] == {"shirt": 40}
