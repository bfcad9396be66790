"""Ranges that nothing is in: refused where they end, wherever a body has one."""

import httpx2
import pytest
from pydantic import JsonValue
from sqlalchemy import insert
from tests.loyalty.tiers import NEW, Json

from crm_loyalty.models.earning_rules import EarningRule
from crm_shared.database import Sessions
from crm_shared.testing import FrozenClock

EARLY, LATE = "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"
VALIDITY: Json = {"valid_from": LATE, "valid_until": EARLY}
RULE: Json = {"description": "Good reviews", "rate": {"kind": "fixed", "points": 50}}
PLAN: Json = {"names": {"en": "Birthday"}, "trigger": {"kind": "birthday"}, "action": {"points": 200}}
TENTH: Json = {"names": {"en": "A tenth"}, "value": "percent", "basis_points": 1000}
REWARD: Json = {"names": {"en": "A mug"}, "kind": "gift", "points": 100}


def reviewed(**bounds: JsonValue) -> Json:
    """A rule for reviews with so many stars."""
    return RULE | {"event": {"types": ["reviewed"], "properties": [{"name": "stars", **bounds}]}}


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("earning-rules/x", reviewed(at_least=5, at_most=4), "/event/properties/0/at_most"),
        ("earning-rules/x", RULE | VALIDITY, "/valid_until"),
        (
            "earning-rules/x",
            RULE | {"when": {"dates": [{"since": "2026-02-02", "until": "2026-02-01"}]}},
            "/when/dates/0/until",
        ),
        ("promotions/x", TENTH | VALIDITY, "/valid_until"),
        ("coupon-series/x", TENTH | VALIDITY, "/valid_until"),
        ("rewards/x", REWARD | VALIDITY, "/valid_until"),
        ("care/plans/x", PLAN | {"window_start": "12:00", "window_end": "12:00"}, "/window_end"),
        ("care/plans/x", PLAN | {"window_start": "21:00"}, "/window_end"),
    ],
)
async def test_a_range_that_nothing_is_in_is_refused_at_its_end(
    loyalty: httpx2.AsyncClient, path: str, body: Json, pointer: str
) -> None:
    answer = await loyalty.put(f"/v1/{path}", json=body, headers=NEW)

    assert answer.status_code == 422, answer.text
    assert [(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]] == [
        (pointer, "range_empty")
    ]


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        (
            "activities",
            {"names": {"en": "Tasting"}, "place": "Cellar", "starts_at": LATE, "ends_at": EARLY},
            "/ends_at",
        ),
        ("earning-rules/backtests", {"rules": [], "since": LATE, "until": LATE}, "/until"),
        (
            "earning-rules/evaluate",
            {
                "customer_id": "01890000-0000-7000-8000-000000000001",
                "rules": [reviewed(at_least=5, at_most=4) | {"key": "x"}],
                "event": {"type": "reviewed"},
            },
            "/rules/0/event/properties/0/at_most",
        ),
    ],
)
async def test_so_it_is_where_something_is_started_or_tried(
    loyalty: httpx2.AsyncClient, path: str, body: Json, pointer: str
) -> None:
    answer = await loyalty.post(f"/v1/{path}", json=body, headers={"Idempotency-Key": "range"})

    assert answer.status_code == 422, answer.text
    assert (pointer, "range_empty") in [
        (fault["pointer"], fault["code"]) for fault in answer.json()["errors"]
    ]


async def test_one_value_is_a_range_of_a_property(loyalty: httpx2.AsyncClient) -> None:
    body = reviewed(at_least=5, at_most=5)

    answer = await loyalty.put("/v1/earning-rules/x", json=body, headers=NEW)

    assert answer.status_code == 200


async def test_a_rule_that_was_written_before_is_read_and_stops_no_other(
    loyalty: httpx2.AsyncClient, databases: dict[str, Sessions], clock: FrozenClock
) -> None:
    terms = reviewed(at_least=5, at_most=4)
    async with databases["loyalty"].begin() as session:
        await session.execute(
            insert(EarningRule).values(
                key="old", version=1, terms=terms, created_at=clock.now(), created_by="manager"
            )
        )
    await loyalty.put("/v1/earning-rules/x", json=reviewed(at_least=4), headers=NEW)

    trial = {"event": {"type": "reviewed", "properties": {"stars": 5}}}
    evaluated = await loyalty.post("/v1/earning-rules/evaluate", json=trial)
    read = await loyalty.get("/v1/earning-rules/old")
    corrected = await loyalty.put(
        "/v1/earning-rules/old", json=reviewed(at_least=4, at_most=5), headers={"If-Match": '"1"'}
    )

    assert evaluated.json()["points"] == 50
    assert read.json()["event"]["properties"][0]["at_least"] == 5
    assert corrected.json()["version"] == 2
