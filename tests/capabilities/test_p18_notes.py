"""P18: needs and notes on the file, linked to when somebody comes back to them, and the last contact."""

import httpx2
import pytest

from crm_shared.callers import Role
from crm_shared.ids import uuid7

from .conftest import Sign

pytestmark = pytest.mark.capability("P18")


async def test_needs_notes_and_the_last_contact_stand_on_the_file(agent: httpx2.AsyncClient) -> None:
    who = (await agent.post("/v1/customers", json={"name": "Ada"})).json()["id"]
    path, follow_up = f"/v1/customers/{who}/notes", str(uuid7())
    need = {"kind": "need", "text": "A turntable", "follow_up_id": follow_up, "due_on": "2026-04-01"}
    written = await agent.post(path, json=need)
    assert written.status_code == 201, written.text
    await agent.post(path, json={"kind": "relationship", "text": "Her son plays too", "pinned": True})
    visit = {"channel": "visit", "direction": "outbound", "agent": "maria"}
    at = "2026-02-20T12:00:00Z"
    await agent.post("/v1/interactions", json=visit | {"customer_id": who, "occurred_at": at})

    file = (await agent.get(f"/v1/customers/{who}/file")).json()
    assert [note["text"] for note in file["notes"]["first"]] == ["Her son plays too"]
    assert file["needs"]["first"][0]["follow_up_id"] == follow_up
    last = file["last_contacted"]
    assert (last["at"], last["channel"], last["direction"], last["by"]) == (at, "visit", "outbound", "maria")

    stale = {"If-Match": '"7"'}
    address = written.headers["Location"]
    assert (await agent.patch(address, json={"pinned": True}, headers=stale)).status_code == 412
    assert (await agent.patch(address, json={"due_on": None})).json()["due_on"] is None


async def test_customers_do_not_read_what_the_staff_writes_of_them(
    agent: httpx2.AsyncClient, sign_in: Sign
) -> None:
    who = (await agent.post("/v1/customers", json={"name": "Ada"})).json()["id"]
    self = sign_in(Role.CUSTOMER, who)
    for path in ("notes", "file", "interactions"):
        assert (await self.get(f"/v1/customers/{who}/{path}")).status_code == 403
