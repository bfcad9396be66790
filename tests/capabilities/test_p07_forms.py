"""P7: a public form makes customers known without doubling, overwriting or betraying anybody."""

from itertools import count
from typing import Any

import httpx2
import pytest

from crm_local.system import System
from crm_profiles.forms.challenges import zero_bits
from crm_shared.ids import uuid7

from .conftest import Until

pytestmark = pytest.mark.capability("P7")


def form(*fields: dict[str, Any]) -> dict[str, Any]:
    labelled = [field | {"label": {"en": field["key"]}} for field in fields]
    said = {"title": {"en": "Join us"}, "thanks": {"en": "Thank you."}}
    return said | {"channel": "registration", "difficulty": 8, "fields": labelled}


def solved(challenge: dict[str, Any]) -> dict[str, str]:
    token, wanted = challenge["token"], challenge["difficulty"]
    return {
        "challenge": token,
        "proof": next(str(n) for n in count() if zero_bits(f"{token}.{n}") >= wanted),
    }


async def test_a_form_is_filled_in_without_a_token_and_makes_one_customer(
    system: System, agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, until: Until
) -> None:
    path = f"/v1/forms/f-{uuid7()}"
    email = f"{uuid7()}@example.com"
    defined = form(
        {"key": "name", "type": "text", "target": {"kind": "member", "member": "name"}, "required": True},
        {"key": "email", "type": "email", "target": {"kind": "contact_point", "contact": "email"}},
        {"key": "why", "type": "long_text"},
    )
    assert (await manager.put(path, json=defined)).status_code == 201

    async with httpx2.AsyncClient(base_url=system.address) as everybody:
        page = await everybody.get(f"{path}/page")
        assert "Join us" in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]

        async def submit(name: str) -> httpx2.Response:
            shown = (await everybody.get(path)).json()
            answers = {"name": name, "email": email, "why": "the tea"}
            return await everybody.post(
                f"{path}/submissions", json={"answers": answers, **solved(shown["challenge"])}
            )

        async def in_state(state: str) -> Any:
            found = await agent.get(f"{path}/submissions", params={"state": state})
            return found.json()["items"]

        first = await submit("Zoë")
        [applied] = await until(lambda: in_state("applied"))
        second = await submit("Somebody else")
        [suggested] = await until(lambda: in_state("suggested"))
        unproved = await everybody.post(f"{path}/submissions", json={"answers": {"name": "Robot"}})

    assert first.status_code == second.status_code == 202
    assert first.json()["thanks"] == second.json()["thanks"]
    assert unproved.status_code == 422
    assert applied["customer_id"] == suggested["customer_id"]
    customer = (await agent.get(f"/v1/customers/{applied['customer_id']}")).json()
    assert (customer["name"], customer["channel"]) == ("Zoë", "registration")
    assert suggested["suggestions"] == {"name": "Somebody else"}
    report = (await agent.get("/v1/reports/channels?from=2020-01-01&to=2900-01-01")).json()
    [counted] = [each for each in report["forms"] if path.endswith(each["form_key"])]
    assert counted["submissions"] == 2
