"""What is held about a person: shown whole, forgotten whole, and not brought back."""

import io
import json
from datetime import timedelta
from typing import Any
from uuid import uuid4
from zipfile import ZipFile

import httpx2
import pytest
from sqlalchemy import text
from tests.conftest import ClientFactory
from tests.flows.canaries import EMAIL, NAME, PHONE, WORDS, Person, Purchase, erase, planted, traces
from tests.flows.conftest import LISTENERS, Settle

from crm_profiles.handlers import due_work
from crm_shared import due
from crm_shared.callers import Role
from crm_shared.database import Sessions
from crm_shared.testing import FrozenClock, deliver, fresh_key


@pytest.fixture
async def ada(
    profiles: httpx2.AsyncClient,
    tickets: httpx2.AsyncClient,
    loyalty: httpx2.AsyncClient,
    purchase: Purchase,
    settle: Settle,
    clock: FrozenClock,
) -> Person:
    return await planted(profiles, tickets, loyalty, purchase, settle, clock)


async def test_everything_about_a_person_comes_in_one_archive(
    ada: Person, profiles: httpx2.AsyncClient, settle: Settle
) -> None:
    asked = await profiles.post("/v1/privacy/exports", json={"customer_id": str(ada.id)})
    assert asked.status_code == 202, asked.text
    path = asked.headers["Location"]
    states = {part["service"]: part["state"] for part in asked.json()["services"]}
    assert states == {
        "profiles": "answered",
        "segmentation": "waiting",
        "tickets": "waiting",
        "loyalty": "waiting",
    }
    await settle()

    assert (await profiles.get(path)).json()["complete"] is True
    fetched = await profiles.get(f"{path}/archive")
    assert fetched.headers["Content-Type"] == "application/zip"
    with ZipFile(io.BytesIO(fetched.content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files["manifest.json"])
    assert manifest["complete"] is True
    assert set(manifest["files"]) == set(files) - {"manifest.json"}
    parts = {name: json.loads(body)["tables"] for name, body in files.items() if name.endswith("s.json")}
    parts["loyalty"] = json.loads(files["loyalty.json"])["tables"]
    parts["segmentation"] = json.loads(files["segmentation.json"])["tables"]
    assert parts["profiles.json"]["customers"][0]["name"] == NAME
    assert {point["value"] for point in parts["profiles.json"]["contact_points"]} == {EMAIL, PHONE}
    assert parts["profiles.json"]["purchase_lines"][0]["product"] == "CD"
    assert parts["tickets.json"]["tickets"][0]["title"] == WORDS
    assert any(WORDS in json.dumps(step) for step in parts["tickets.json"]["ticket_events"])
    assert parts["loyalty"]["reasons"][0]["text"] == WORDS
    assert {"transactions", "entries", "lots"} <= parts["loyalty"].keys()
    assert parts["segmentation"]["purchases"][0]["amount"] == 10_000
    assert NAME in files["index.html"].decode()
    rows = {part["service"]: part["rows"] for part in manifest["services"]}
    assert rows["profiles"]["contact_points"] == 2


async def test_a_service_that_has_not_answered_in_time_is_named_and_the_archive_says_so(
    ada: Person, profiles: httpx2.AsyncClient, databases: dict[str, Sessions], clock: FrozenClock
) -> None:
    path = (await profiles.post("/v1/privacy/exports", json={"customer_id": str(ada.id)})).headers["Location"]
    for target in ("tickets", "loyalty"):
        await deliver(
            databases["profiles"], databases[target], LISTENERS[target], consumer=target, at=clock.now()
        )
        await deliver(
            databases[target],
            databases["profiles"],
            LISTENERS["profiles"],
            consumer="profiles",
            at=clock.now(),
        )
    clock.advance(timedelta(minutes=16))

    state = (await profiles.get(path)).json()
    assert {part["service"] for part in state["services"] if part["state"] == "overdue"} == {"segmentation"}
    fetched = await profiles.get(f"{path}/archive")
    assert "-incomplete.zip" in fetched.headers["Content-Disposition"]
    with ZipFile(io.BytesIO(fetched.content)) as archive:
        assert json.loads(archive.read("manifest.json"))["complete"] is False
        assert "segmentation.json" not in archive.namelist()
        assert "Still missing: segmentation" in archive.read("index.html").decode()


async def test_an_archive_expires_and_leaves_nothing_behind(
    ada: Person,
    profiles: httpx2.AsyncClient,
    settle: Settle,
    databases: dict[str, Sessions],
    clock: FrozenClock,
) -> None:
    path = (await profiles.post("/v1/privacy/exports", json={"customer_id": str(ada.id)})).headers["Location"]
    await settle()
    clock.advance(timedelta(days=7))
    while await due.run(databases["profiles"], due_work, clock):
        pass  # other work is due by then, too

    gone = await profiles.get(f"{path}/archive")
    assert (gone.status_code, gone.json()["code"]) == (410, "archive_expired")
    assert (await profiles.get(path)).json()["expired"] is True
    async with databases["profiles"]() as session:
        assert await session.scalar(text("SELECT count(*) FROM privacy_export_parts")) == 0


async def test_a_customer_gets_the_own_archive_and_nobody_elses(
    ada: Person, profiles: httpx2.AsyncClient, client: ClientFactory
) -> None:
    herself = client("profiles", Role.CUSTOMER, customer_id=ada.id)
    stranger = client("profiles", Role.CUSTOMER, customer_id=uuid4())

    mine = await herself.post("/v1/privacy/exports", json={"customer_id": str(ada.id)})
    assert mine.status_code == 202
    path = mine.headers["Location"]
    assert (await herself.get(f"{path}/archive")).status_code == 200
    foreign = await stranger.post("/v1/privacy/exports", json={"customer_id": str(ada.id)})
    assert (foreign.status_code, foreign.json()["code"]) == (404, "customer_not_found")
    for place in (path, f"{path}/archive"):
        assert (await stranger.get(place)).json()["code"] == "export_not_found"


async def test_an_erased_person_is_found_in_no_table_of_any_service_and_comes_back_by_no_replay(
    ada: Person,
    profiles: httpx2.AsyncClient,
    settle: Settle,
    databases: dict[str, Sessions],
    clock: FrozenClock,
) -> None:
    await profiles.post("/v1/privacy/exports", json={"customer_id": str(ada.id)})
    await settle()
    planted_in = await traces(databases)
    assert {"profiles.customers", "tickets.tickets", "loyalty.reasons"} <= planted_in.keys()
    kept = {name: await outbox_of(sessions) for name, sessions in databases.items()}

    receipt = await erase(profiles, ada.id)
    await settle()

    assert await traces(databases) == {}
    receipt = (await profiles.get(f"/v1/privacy/erasures/{receipt['id']}")).json()
    assert receipt["complete"] is True
    assert receipt["completed_at"] is not None
    removed = {part["service"]: part["removed"] for part in receipt["services"]}
    assert removed["tickets"]["tickets"] == 1
    assert removed["profiles"]["privacy_exports"] == 1

    await replay(databases, kept, clock)
    assert await traces(databases) == {}


async def outbox_of(sessions: Sessions) -> list[dict[str, Any]]:
    async with sessions() as session:
        rows = await session.execute(text("SELECT * FROM outbox ORDER BY seq"))
        return [dict(row._mapping) for row in rows]


async def replay(
    databases: dict[str, Sessions], kept: dict[str, list[dict[str, Any]]], clock: FrozenClock
) -> None:
    """Everybody hears everything of before once more, and no inbox remembers it."""
    for source, rows in kept.items():
        async with databases[source].begin() as session:
            for row in rows:
                row["id"] = uuid4()
                columns = [name for name in row if name != "seq"]
                values = ", ".join(f":{name}" for name in columns)
                await session.execute(
                    text(f"INSERT INTO outbox ({', '.join(columns)}) VALUES ({values})"), row
                )
        for target, subscriptions in LISTENERS.items():
            if source != target:
                await deliver(
                    databases[source], databases[target], subscriptions, consumer=target, at=clock.now()
                )
        async with databases[source].begin() as session:
            await session.execute(
                text("DELETE FROM outbox WHERE id = ANY(:ids)"), {"ids": [r["id"] for r in rows]}
            )


async def test_who_was_erased_is_not_brought_back_in_bulk_but_may_return(
    ada: Person, profiles: httpx2.AsyncClient, client: ClientFactory
) -> None:
    await erase(profiles, ada.id)
    by_mail = {
        "source": "till",
        "external_id": "1",
        "name": "A",
        "contact_points": [{"kind": "email", "value": EMAIL.upper()}],
    }
    by_name = {"source": "shop", "external_id": WORDS, "name": "A"}
    other = {"source": "shop", "external_id": "other", "name": "Eve"}

    answer = (await profiles.post("/v1/customers/batch", json={"items": [by_mail, other, by_name]})).json()
    verdicts = {item["index"]: item["status"] for item in answer["items"]}
    assert verdicts == {0: "failed", 1: "created", 2: "failed"}
    problem = answer["items"][0]["problem"]
    assert problem["code"] == "person_suppressed"
    assert problem["errors"][0]["pointer"] == "/items/0/contact_points/0/value"

    returned = await profiles.post(
        "/v1/customers", json={"name": "Ada", "contact_points": by_mail["contact_points"]}
    )
    assert returned.status_code == 201
    put = await profiles.put("/v1/customers/by-external-id/till/1", json={"name": "Ada"})
    assert put.status_code == 201
    again = (await profiles.post("/v1/customers/batch", json={"items": [by_name]})).json()
    assert again["items"][0]["status"] == "failed"


async def test_suppression_can_be_asked_about_and_lifted_with_a_reason(
    ada: Person, profiles: httpx2.AsyncClient, client: ClientFactory
) -> None:
    erasure = await erase(profiles, ada.id)
    asked = {
        "contact_points": [{"kind": "email", "value": EMAIL}, {"kind": "email", "value": "eve@example.com"}],
        "external_ids": [{"source": "shop", "external_id": WORDS}],
    }
    check = (await profiles.post("/v1/privacy/suppressions/check", json=asked)).json()["items"]
    assert [item["suppressed"] for item in check] == [True, False, True]
    assert check[0]["erasure_id"] == erasure["id"]
    agent = client("profiles", Role.AGENT)
    assert (await agent.post("/v1/privacy/suppressions/check", json=asked)).status_code == 403

    lifted = await profiles.post("/v1/privacy/suppressions/lift", json=asked | {"reason": "asked to return"})
    assert lifted.json()["items"][0]["lift_reason"] == "asked to return"
    item = {"source": "shop", "external_id": WORDS, "name": "A"}
    taken = await profiles.post("/v1/customers/batch", json={"items": [item]})
    assert taken.json()["items"][0]["status"] == "created"


async def test_nobody_is_suppressed_when_the_erasure_says_so(
    ada: Person, profiles: httpx2.AsyncClient
) -> None:
    await erase(profiles, ada.id, suppress=False)
    item = {"source": "shop", "external_id": WORDS, "name": "A"}
    taken = await profiles.post("/v1/customers/batch", json={"items": [item]})
    assert taken.json()["items"][0]["status"] == "created"


async def test_who_was_merged_into_an_erased_person_is_forgotten_with_them(
    ada: Person, profiles: httpx2.AsyncClient, settle: Settle, databases: dict[str, Sessions]
) -> None:
    other = {"name": NAME, "tags": [WORDS], "contact_points": [{"kind": "social", "value": WORDS}]}
    absorbed = (await profiles.post("/v1/customers", json=other)).json()["id"]
    await settle()
    both = {"survivor_id": str(ada.id), "absorbed_id": absorbed}
    merged = await profiles.post("/v1/merges", json=both | {"reason": WORDS}, headers=fresh_key())
    assert merged.status_code == 201, merged.text
    await settle()

    await erase(profiles, ada.id)
    await settle()

    assert await traces(databases) == {}
    assert (await profiles.get(f"/v1/customers/{absorbed}")).status_code == 404
    asked = {"contact_points": other["contact_points"]}
    check = (await profiles.post("/v1/privacy/suppressions/check", json=asked)).json()["items"]
    assert [item["suppressed"] for item in check] == [True]
