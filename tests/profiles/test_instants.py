"""What has not happened yet is not told of: purchases, refunds, interactions, exits, messages, births."""

from datetime import date, timedelta
from typing import Any

import httpx2
import pytest

from crm_profiles.rules import instants
from crm_shared.calendars import lunar
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock

Json = dict[str, Any]

FORM: Json = {
    "title": {"en": "Birthday club"},
    "thanks": {"en": "Thank you"},
    "channel": "form",
    "difficulty": 0,
    "fields": [
        {
            "key": "born",
            "type": "date",
            "label": {"en": "Your birthday"},
            "target": {"kind": "member", "member": "birth_date"},
        }
    ],
}


@pytest.fixture
async def ada(profiles: httpx2.AsyncClient) -> str:
    identity: str = (await profiles.post("/v1/customers", json={"name": "Ada"})).json()["id"]
    return identity


def purchase(**members: object) -> Json:
    lines = [{"quantity": 1, "total": {"amount": 100, "currency": "USD"}}]
    return {"source": "shop", "external_id": str(uuid7()), "currency": "USD", "lines": lines} | members


def faults(answer: httpx2.Response) -> list[tuple[str, str]]:
    assert answer.status_code == 422, answer.text
    return [(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]]


async def test_what_has_not_happened_yet_is_refused_but_clocks_may_differ_by_minutes(
    profiles: httpx2.AsyncClient, clock: FrozenClock, ada: str
) -> None:
    soon, later = (clock.now() + timedelta(minutes=minutes) for minutes in (4, 6))
    call = {"customer_id": ada, "channel": "call", "direction": "inbound"}
    message = {"source": "mailer", "customer_id": ada, "purpose": "greeting", "channel": "email"}
    told: list[tuple[str, str, Json]] = [
        ("/v1/purchases", "occurred_at", purchase(customer_id=ada)),
        ("/v1/interactions", "occurred_at", call),
        (f"/v1/customers/{ada}/exit", "occurred_at", {"reason": "price"}),
        ("/v1/messages", "sent_at", message | {"external_id": "m-1"}),
    ]
    for path, member, body in told:
        refused = await profiles.post(path, json=body | {member: later.isoformat()})
        assert faults(refused) == [(f"/{member}", "in_future")], path
        taken = await profiles.post(path, json=body | {member: soon.isoformat()})
        assert taken.status_code == 201, taken.text


async def test_in_a_batch_only_what_has_not_happened_yet_is_refused_and_makes_nobody_known(
    profiles: httpx2.AsyncClient, clock: FrozenClock
) -> None:
    past, later = clock.now().isoformat(), (clock.now() + timedelta(days=1)).isoformat()
    people = [{"source": "shop", "external_id": name, "name": name} for name in ("eve", "ada")]
    items = [
        purchase(customer=person, occurred_at=at) for person, at in zip(people, (later, past), strict=True)
    ]
    answer = (await profiles.post("/v1/purchases/batch", json={"items": items})).json()
    assert [verdict["status"] for verdict in answer["items"]] == ["failed", "created"]
    assert answer["items"][0]["problem"]["errors"][0]["pointer"] == "/items/0/occurred_at"
    names = [each["name"] for each in (await profiles.get("/v1/customers")).json()["items"]]
    assert names == ["ada"]


async def test_nothing_is_given_back_before_it_was_bought(
    profiles: httpx2.AsyncClient, clock: FrozenClock, ada: str
) -> None:
    bought_at = clock.now() - timedelta(days=3)
    body = purchase(customer_id=ada, occurred_at=bought_at.isoformat())
    path = f"/v1/purchases/{(await profiles.post('/v1/purchases', json=body)).json()['id']}/refunds"
    refund = {"source": "shop", "external_id": "r-1"}
    for at, code in (
        (bought_at - timedelta(seconds=1), "before_purchase"),
        (clock.now() + timedelta(hours=1), "in_future"),
    ):
        answer = await profiles.post(path, json=refund | {"occurred_at": at.isoformat()})
        assert faults(answer) == [("/occurred_at", code)]
    taken = await profiles.post(path, json=refund | {"occurred_at": bought_at.isoformat()})
    assert taken.status_code == 201, taken.text


async def test_nobody_is_born_in_the_future(
    profiles: httpx2.AsyncClient, clock: FrozenClock, ada: str
) -> None:
    today = clock.now().date()
    day, lunar_day = (today + timedelta(days=ahead) for ahead in (2, 40))
    moon = lunar.from_gregorian(lunar_day)._asdict()
    for members, pointer in (
        ({"birth_date": day.isoformat()}, "/birth_date"),
        ({"lunar_birth_date": moon}, "/lunar_birth_date"),
    ):
        assert faults(await profiles.post("/v1/customers", json={"name": "Eve"} | members)) == [
            (pointer, "in_future")
        ]
        assert faults(await profiles.patch(f"/v1/customers/{ada}", json=members)) == [(pointer, "in_future")]
        item = {"source": "shop", "external_id": "eve", "name": "Eve"} | members
        batch = (await profiles.post("/v1/customers/batch", json={"items": [item]})).json()
        assert batch["items"][0]["problem"]["errors"][0]["pointer"] == f"/items/0{pointer}"
    born = await profiles.patch(f"/v1/customers/{ada}", json={"birth_date": today.isoformat()})
    assert born.status_code == 200, born.text


async def test_a_form_takes_no_birthday_of_the_future(
    profiles: httpx2.AsyncClient, clock: FrozenClock
) -> None:
    assert (await profiles.put("/v1/forms/birthdays", json=FORM)).status_code == 201
    day = clock.now().date() + timedelta(days=2)
    answer = await profiles.post("/v1/forms/birthdays/submissions", json={"answers": {"born": str(day)}})
    assert faults(answer) == [("/answers/born", "in_future")]


def test_a_day_counts_once_it_has_begun_anywhere_on_earth(clock: FrozenClock) -> None:
    tomorrow = date(2026, 3, 3)
    assert instants.is_future(tomorrow, now=clock.now())
    assert not instants.is_future(tomorrow, now=clock.now() + timedelta(hours=1))
