"""What imports keep of people: for some days, until the next run, or until somebody is erased."""

from typing import Any

import httpx2
from sqlalchemy import func, select
from tests.profiles.uploads import GOOD, Work, imported, read, rows, upload

from crm_profiles.models.files import File
from crm_profiles.models.history import CustomerVersion
from crm_profiles.models.imports import ImportRow
from crm_shared.database import Sessions


async def test_files_are_deleted_when_their_time_is_up(
    profiles: httpx2.AsyncClient, work: Work, databases: dict[str, Sessions], clock: Any
) -> None:
    done = await imported(profiles, work, GOOD)
    clock.at = clock.at.replace(day=clock.at.day + 8)
    await work()
    found = await read(profiles, done["id"])
    assert found["file_expires_at"] is None
    assert found["layout"]["samples"] == []
    async with databases["profiles"]() as session:
        assert await session.scalar(select(func.count()).select_from(File)) == 0
        assert await session.scalar(select(func.count()).select_from(CustomerVersion)) == 1
    gone = await profiles.get(f"/v1/imports/{done['id']}/rows.csv")
    assert (gone.status_code, gone.json()["code"]) == (410, "file_gone")
    assert await rows(profiles, done["id"]) == []
    assert found["job"]["counts"] == {"created": 1}
    refused = await profiles.post(f"/v1/imports/{done['id']}/revert")
    assert (refused.status_code, refused.json()["code"]) == (409, "nothing_to_revert")


async def test_a_new_run_replaces_what_the_one_before_said(
    profiles: httpx2.AsyncClient, work: Work, databases: dict[str, Sessions]
) -> None:
    made = await upload(profiles, GOOD, start="true", dry_run="true")
    await work()
    for dry_run in (True, False):
        await profiles.post(f"/v1/imports/{made['id']}/start", json={"dry_run": dry_run})
        await work()
    async with databases["profiles"]() as session:
        assert await session.scalar(select(func.count()).select_from(ImportRow)) == 1


async def test_an_erasure_takes_the_files_that_name_the_person_and_they_do_not_come_back(
    profiles: httpx2.AsyncClient, work: Work
) -> None:
    done = await imported(profiles, work, GOOD)
    [row] = await rows(profiles, done["id"])
    erased = await profiles.post("/v1/privacy/erasures", json={"customer_id": row["customer_id"]})
    assert erased.status_code == 202, erased.text
    await work()

    found = await read(profiles, done["id"])
    assert (found["file_expires_at"], found["layout"]["samples"]) == (None, [])
    [row] = await rows(profiles, done["id"])
    assert row["customer_id"] is None
    again = await imported(profiles, work, GOOD)
    assert again["job"]["counts"] == {"suppressed": 1}


async def test_the_failed_rows_of_a_dry_run_go_with_the_next_run(
    profiles: httpx2.AsyncClient, work: Work, databases: dict[str, Sessions]
) -> None:
    """An erasure finds the file of the last run only."""
    made = await upload(profiles, "id,name,email\n1,Ann,ann@example.com\n2,Bob,no address\n")
    await work()
    for dry_run in (True, False):
        started = await profiles.post(f"/v1/imports/{made['id']}/start", json={"dry_run": dry_run})
        assert started.status_code == 202, started.text
        await work()
    async with databases["profiles"]() as session:
        names = sorted(await session.scalars(select(File.name)))
    assert names == ["customers.csv", "customers.csv.failed.csv"]


async def test_a_row_that_names_somebody_by_our_id_brings_no_contact_point_back(
    profiles: httpx2.AsyncClient, work: Work
) -> None:
    bea = {"name": "Bea", "contact_points": [{"kind": "email", "value": "bea@example.com"}]}
    erased = (await profiles.post("/v1/customers", json=bea)).json()["id"]
    ann = (await profiles.post("/v1/customers", json={"name": "Ann"})).json()["id"]
    answer = await profiles.post("/v1/privacy/erasures", json={"customer_id": erased})
    assert answer.status_code == 202, answer.text
    content = f"customer id,name,email\n{ann},Ann,bea@example.com\n{ann},Anna,\n"
    done = await imported(profiles, work, content, region=None)
    assert done["job"]["counts"] == {"suppressed": 1, "updated": 1}
    assert (await profiles.get(f"/v1/customers/{ann}")).json()["contact_points"] == []
