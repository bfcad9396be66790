"""Imports taken back: what they did goes, what others did since stays."""

from typing import Any

import httpx2
from sqlalchemy import select
from tests.profiles.uploads import Work, imported, read, rows

from crm_profiles.models.imports import ImportRow
from crm_shared.database import Sessions
from crm_shared.testing import published


async def test_a_revert_removes_whom_the_import_created_and_restores_whom_it_changed(
    profiles: httpx2.AsyncClient, work: Work, databases: dict[str, Sessions]
) -> None:
    before = "id,name,email,tags\n1,Ann,a@example.com,old\n2,Bob,b@example.com,\n"
    await imported(profiles, work, before)
    done = await imported(
        profiles,
        work,
        "id,name,email,tags\n1,Anna,a2@example.com,new\n2,Rob,,x\n3,Cid,c@example.com,\n4,Dan,,\n",
    )
    ids = {row["line"]: row["customer_id"] for row in await rows(profiles, done["id"])}
    await profiles.patch(f"/v1/customers/{ids[3]}", json={"name": "Robert"})
    await profiles.patch(f"/v1/customers/{ids[5]}", json={"language": "en"})

    answer = await profiles.post(f"/v1/imports/{done['id']}/revert")
    assert answer.status_code == 202, answer.text
    await work()

    reverted = await read(profiles, done["id"])
    assert reverted["state"] == "reverted", reverted
    assert reverted["job"]["result"]["counts"] == {"restored": 1, "changed_since": 2, "removed": 1}
    assert [(row["line"], row["revert"]) for row in await rows(profiles, done["id"])] == [
        (2, "restored"),
        (3, "changed_since"),
        (4, "removed"),
        (5, "changed_since"),
    ]
    ann = (await profiles.get(f"/v1/customers/{ids[2]}")).json()
    assert (ann["name"], ann["tags"], ann["version"]) == ("Ann", ["old"], 3)
    assert [point["value"] for point in ann["contact_points"]] == ["a@example.com"]
    bob = (await profiles.get(f"/v1/customers/{ids[3]}")).json()
    assert (bob["name"], bob["tags"]) == ("Robert", [])
    assert (await profiles.get(f"/v1/customers/{ids[4]}")).status_code == 404
    assert [row.type for row in await published(databases["profiles"])].count(
        "profiles.customer.erased.v1"
    ) == 1
    again = await imported(profiles, work, "id,name,email\n3,Cid,c@example.com\n")
    assert again["job"]["counts"] == {"created": 1}
    refused = await profiles.post(f"/v1/imports/{done['id']}/revert")
    assert (refused.status_code, refused.json()["code"]) == (409, "nothing_to_revert")


async def reverted(profiles: httpx2.AsyncClient, work: Work, done: dict[str, Any]) -> dict[str, int]:
    """What became of the customers of the import."""
    answer = await profiles.post(f"/v1/imports/{done['id']}/revert")
    assert answer.status_code == 202, answer.text
    await work()
    counts: dict[str, int] = (await read(profiles, done["id"]))["job"]["result"]["counts"]
    return counts


async def test_a_revert_removes_nobody_of_whom_somebody_has_said_something_since(
    profiles: httpx2.AsyncClient, work: Work
) -> None:
    done = await imported(profiles, work, "id,name,email\n1,Ann,a@example.com\n2,Bob,\n3,Cid,\n")
    ann, bob, cid = [f"/v1/customers/{row['customer_id']}" for row in await rows(profiles, done["id"])]
    noted = await profiles.post(f"{ann}/notes", json={"kind": "need", "text": "Looks for discs"})
    asked = await profiles.put(f"{bob}/preferences/music", json={"value": "jazz", "source": "call"})
    assert (noted.status_code, asked.status_code) == (201, 200), noted.text + asked.text

    assert await reverted(profiles, work, done) == {"changed_since": 2, "removed": 1}
    assert (await profiles.get(f"{ann}/notes")).json()["items"][0]["text"] == "Looks for discs"
    assert (await profiles.get(cid)).status_code == 404


async def test_a_revert_gives_back_what_was_written_between_two_rows_of_the_file(
    profiles: httpx2.AsyncClient, work: Work, databases: dict[str, Sessions]
) -> None:
    """The file has Ann twice, and somebody writes of her after the first row."""
    await imported(profiles, work, "id,name,occupation\n1,Ann,baker\n")
    done = await imported(profiles, work, "id,name,occupation\n1,Ann,cook\n")
    [row] = await rows(profiles, done["id"])
    ann = f"/v1/customers/{row['customer_id']}"
    await profiles.patch(ann, json={"occupation": "singer"})
    again = await imported(profiles, work, "id,name,occupation\n1,Ann,dancer\n")
    async with databases["profiles"].begin() as session:  # as if both rows were of one file
        first = (await session.scalars(select(ImportRow).where(ImportRow.version == 2))).one()
        second = (await session.scalars(select(ImportRow).where(ImportRow.version == 4))).one()
        first.line, first.run_id = 1, second.run_id

    assert await reverted(profiles, work, again) == {"restored": 1}
    assert (await profiles.get(ann)).json()["occupation"] == "singer"
