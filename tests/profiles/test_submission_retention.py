"""What somebody submits and reaches nobody on file does not stay for ever."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
from tests.profiles.conftest import Work

from crm_profiles.forms import submissions
from crm_shared import due
from crm_shared.database import Sessions
from crm_shared.testing import FrozenClock

FORM: dict[str, Any] = {
    "title": {"en": "Ask us"},
    "thanks": {"en": "Thank you"},
    "channel": "form",
    "difficulty": 0,
    "fields": [
        {"key": "why", "type": "text", "label": {"en": "Why?"}},
        {
            "key": "name",
            "type": "text",
            "label": {"en": "Your name"},
            "target": {"kind": "member", "member": "name"},
        },
        {
            "key": "email",
            "type": "email",
            "label": {"en": "Your e-mail"},
            "target": {"kind": "contact_point", "contact": "email"},
        },
    ],
}


async def test_what_reached_nobody_is_deleted_when_its_time_is_up(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], clock: FrozenClock, work: Work
) -> None:
    assert (await profiles.put("/v1/forms/ask", json=FORM)).status_code == 201

    async def submit(answers: dict[str, str], **members: str) -> None:
        body = {"answers": answers} | members
        answer = await profiles.post("/v1/forms/ask/submissions", json=body)
        assert answer.status_code == 202, answer.text

    async def left() -> list[str]:
        found = (await profiles.get("/v1/forms/ask/submissions")).json()["items"]
        return sorted(each["state"] for each in found)

    await submit({"why": "just so"})
    await submit({"why": "a program"}, homepage="http://example.com")
    await submit({"name": "Ada", "email": "ada@example.com"})
    await work()
    clock.advance(timedelta(days=60))
    await submit({"why": "later"})
    async with databases["profiles"].begin() as session:
        await due.schedule(session, submissions.FORGET, {UUID(int=0): clock.now()})
    await work()
    assert await left() == ["applied", "trapped", "unmatched", "unmatched"]

    clock.advance(timedelta(days=31))
    await work()
    assert await left() == ["applied", "unmatched"]
    clock.advance(timedelta(days=60))
    await work()
    assert await left() == ["applied"]


async def test_what_names_an_erased_person_by_any_answer_goes_with_them(
    profiles: httpx2.AsyncClient, work: Work
) -> None:
    """Somebody who is not on file has told of a friend who is."""
    friend = {"key": "friend", "type": "email", "label": {"en": "Whom else should we ask?"}}
    form = FORM | {"fields": [*FORM["fields"], friend]}
    assert (await profiles.put("/v1/forms/ask", json=form)).status_code == 201
    for answers in ({"friend": "Ada@Example.com"}, {"friend": "eve@example.com"}):
        answer = await profiles.post("/v1/forms/ask/submissions", json={"answers": answers})
        assert answer.status_code == 202, answer.text
    await work()
    ada = {"name": "Ada", "contact_points": [{"kind": "email", "value": "ada@example.com"}]}
    customer_id = (await profiles.post("/v1/customers", json=ada)).json()["id"]
    erased = await profiles.post("/v1/privacy/erasures", json={"customer_id": customer_id})
    assert erased.status_code == 202, erased.text

    [left] = (await profiles.get("/v1/forms/ask/submissions")).json()["items"]
    assert left["answers"] == {"friend": "eve@example.com"}
