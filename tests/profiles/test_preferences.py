"""Preferences: what customers say and what is concluded about them stand apart."""

from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import ClientFactory

from crm_profiles.rules.inference import favourite, wilson_lower_bound
from crm_shared.callers import Role
from crm_shared.ids import uuid7


async def customer(profiles: httpx2.AsyncClient) -> str:
    return str((await profiles.post("/v1/customers", json={"name": "Ann"})).json()["id"])


async def buys(profiles: httpx2.AsyncClient, customer_id: str, *categories: str) -> None:
    line = {"quantity": 1, "total": {"amount": 100, "currency": "USD"}}
    order = {
        "source": "shop",
        "external_id": str(uuid7()),
        "customer_id": customer_id,
        "occurred_at": "2026-02-01T12:00:00Z",
        "currency": "USD",
        "lines": [{**line, "category": category} for category in categories],
    }
    answer = await profiles.post("/v1/purchases", json=order)
    assert answer.status_code == 201, answer.text


async def preferences(profiles: httpx2.AsyncClient, customer_id: str) -> list[dict[str, Any]]:
    answer = await profiles.get(f"/v1/customers/{customer_id}/preferences")
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_stated_and_inferred_stand_side_by_side(profiles: httpx2.AsyncClient) -> None:
    ann = await customer(profiles)
    path = f"/v1/customers/{ann}/preferences/music"
    stated = {"value": "jazz", "source": "phone-call", "known_at": "2026-01-05T10:00:00Z"}
    inferred = {"kind": "inferred", "value": "rock", "source": "model", "confidence": 0.7}
    assert (await profiles.put(path, json=stated)).status_code == 200
    assert (await profiles.put(path, json=inferred)).status_code == 200
    found = await preferences(profiles, ann)
    assert [(each["kind"], each["value"], each["confidence"]) for each in found] == [
        ("stated", "jazz", None),
        ("inferred", "rock", 0.7),
    ]
    assert found[0]["known_at"] == "2026-01-05T10:00:00Z"
    for _ in range(2):
        withdrawn = await profiles.delete(path)
        assert [each["kind"] for each in withdrawn.json()["items"]] == ["inferred"]
    assert [each["kind"] for each in await preferences(profiles, ann)] == ["inferred"]


@pytest.mark.parametrize(
    "body",
    [
        {"value": "jazz", "source": "model", "kind": "inferred"},
        {"value": "jazz", "source": "phone", "confidence": 0.5},
        {"value": "jazz", "source": "model", "kind": "inferred", "confidence": 1.5},
        {"value": "", "source": "phone"},
    ],
)
async def test_only_what_is_inferred_has_a_confidence(
    profiles: httpx2.AsyncClient, body: dict[str, Any]
) -> None:
    ann = await customer(profiles)
    answer = await profiles.put(f"/v1/customers/{ann}/preferences/music", json=body)
    assert answer.status_code == 422


async def test_purchases_tell_what_somebody_likes_without_what_was_given_back(
    profiles: httpx2.AsyncClient,
) -> None:
    ann = await customer(profiles)
    await buys(profiles, ann, "jazz", "rock")
    assert await preferences(profiles, ann) == []
    await buys(profiles, ann, "jazz", "jazz")
    [found] = await preferences(profiles, ann)
    assert (found["topic"], found["value"], found["source"]) == ("favourite_category", "jazz", "purchases")
    assert found["evidence"] == {"pieces": 3, "of": 4}
    assert found["confidence"] == round(wilson_lower_bound(3, 4), 4)


async def test_customers_say_what_they_like_themselves_and_nobody_else_does(
    profiles: httpx2.AsyncClient, client: ClientFactory
) -> None:
    ann, ben = await customer(profiles), await customer(profiles)
    herself = client("profiles", Role.CUSTOMER, customer_id=ann)
    body = {"value": "evenings", "source": "app"}
    assert (await herself.put(f"/v1/customers/{ann}/preferences/time", json=body)).status_code == 200
    assert (await herself.put(f"/v1/customers/{ben}/preferences/time", json=body)).status_code == 404


async def test_a_customer_has_two_hundred_preferences_at_most(profiles: httpx2.AsyncClient) -> None:
    ann = await customer(profiles)
    body = {"value": "yes", "source": "app"}
    for number in range(200):
        answer = await profiles.put(f"/v1/customers/{ann}/preferences/topic-{number}", json=body)
        assert answer.status_code == 200
    refused = await profiles.put(f"/v1/customers/{ann}/preferences/one-more", json=body)
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_preferences")
    assert (await profiles.put(f"/v1/customers/{ann}/preferences/topic-7", json=body)).status_code == 200


@pytest.mark.parametrize(
    ("successes", "trials", "bound"), [(3, 4, 0.3006), (50, 100, 0.4038), (10, 10, 0.7225)]
)
def test_the_lower_bound_is_wilsons(successes: int, trials: int, bound: float) -> None:
    assert wilson_lower_bound(successes, trials) == pytest.approx(bound, abs=5e-5)


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, 50), min_size=1, max_size=6))
def test_more_pieces_of_the_favourite_make_it_surer(pieces: dict[str, int]) -> None:
    found = favourite(pieces)
    if found is not None:
        more = favourite(pieces | {found.value: pieces[found.value] + 1})
        assert more is not None
        assert more.value == found.value
        assert found.confidence < more.confidence < 1
