"""P15: all that is held about a person is shown to them, and forgotten everywhere when they want it."""

import io
import json
from zipfile import ZipFile

import httpx2
import pytest
from tests.canaries import left_over, places, planted

from crm_local.system import System
from crm_shared.callers import Role

from .conftest import Sign, Until

pytestmark = pytest.mark.capability("P15")

PLANTED = {
    *("customers.name", "customers.tags", "customers.occupation", "customers.address", "customers.manager"),
    *("customer_versions.state", "contact_points.value", "external_ids.external_id", "notes.text"),
    *("timeline_entries.data", "consent_statements.evidence", "preferences.value", "outbox.data"),
    *("refunds.reason", "merges.reason", "merges.undo_reason", "merge_images.before", "merge_images.after"),
    *("file_chunks.data", "imports.layout", "exports.asked", "privacy_export_parts.text"),
    *("form_submissions.answers", "idempotency_keys.body"),
}
"""Columns of profiles in which the person must have been, for the search to mean something."""
ELSEWHERE = {"tickets.tickets.title", "tickets.ticket_events.artefact", "loyalty.adjustments.reason"}


async def test_a_person_gets_everything_that_is_held_about_them_in_one_archive(
    agent: httpx2.AsyncClient, admin: httpx2.AsyncClient, sign_in: Sign, until: Until
) -> None:
    canary = await planted(agent, admin)
    herself = sign_in(Role.CUSTOMER, canary.ids["customer_id"])
    asked = await herself.post("/v1/privacy/exports", json={"customer_id": canary.ids["customer_id"]})
    assert asked.status_code == 202, asked.text
    path = asked.headers["Location"]

    async def complete() -> bool:
        return bool((await herself.get(path)).json()["complete"])

    await until(complete)
    fetched = await herself.get(f"{path}/archive")
    with ZipFile(io.BytesIO(fetched.content)) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    assert json.loads(files["manifest.json"])["complete"] is True
    for name in ("profiles.json", "tickets.json", "loyalty.json", "index.html"):
        assert canary.word in files[name], name
    assert "purchases" in json.loads(files["segmentation.json"])["tables"]


async def test_an_erased_person_is_found_in_no_database_and_no_log(
    system: System, agent: httpx2.AsyncClient, admin: httpx2.AsyncClient, until: Until
) -> None:
    canary = await planted(agent, admin)
    before = await places(system, canary)
    full = {place for place, count in before.items() if count}
    assert full >= ELSEWHERE | {f"profiles.{place}" for place in PLANTED}, sorted(full)

    body = {"customer_id": canary.ids["customer_id"]}
    erased = await admin.post("/v1/privacy/erasures", json=body)
    assert erased.status_code == 202, erased.text

    async def complete() -> bool:
        receipt = (await admin.get(erased.headers["Location"])).json()
        return bool(receipt["complete"])

    await until(complete)
    assert await left_over(system, canary) == {}, f"nothing was planted in {sorted(before.keys() - full)}"
