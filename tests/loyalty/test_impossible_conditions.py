"""Conditions that nothing and nobody could meet are refused where they are; what is empty asks nothing."""

import httpx2
import pytest
from pydantic import JsonValue
from sqlalchemy import insert
from tests.loyalty.tiers import NEW, Json

from crm_loyalty.models.earning_rules import EarningRule
from crm_shared.database import Sessions
from crm_shared.testing import FrozenClock

NOBODY: Json = {"segments": {"any_of": ["readers"], "none_of": ["writers", "readers"]}}
RULE: Json = {"description": "Good reviews", "rate": {"kind": "fixed", "points": 50}}
PLAN: Json = {"names": {"en": "Birthday"}, "trigger": {"kind": "birthday"}, "action": {"points": 200}}
TENTH: Json = {"names": {"en": "A tenth"}, "value": "percent", "basis_points": 1000}
OUTSIDE: list[Json] = [
    {"one_of": [1, 2], "at_least": 3},
    {"one_of": ["5", True], "at_least": 1},
    {"one_of": [4, 5], "at_most": 3},
]
REWARD: Json = {"names": {"en": "A mug"}, "kind": "gift", "points": 100}


def reviewed(**asked: JsonValue) -> Json:
    """A rule for reviews whose stars are as asked."""
    return RULE | {"event": {"types": ["reviewed"], "properties": [{"name": "stars", **asked}]}}


@pytest.mark.parametrize(
    ("path", "body", "fault"),
    [
        ("earning-rules/x", RULE | {"when": NOBODY}, ("/when/segments/any_of", "nobody_meant")),
        ("promotions/x", TENTH | {"when": NOBODY}, ("/when/segments/any_of", "nobody_meant")),
        ("rewards/x", REWARD | NOBODY, ("/segments/any_of", "nobody_meant")),
        ("care/plans/x", PLAN | {"audience": NOBODY}, ("/audience/segments/any_of", "nobody_meant")),
        *(
            ("earning-rules/x", reviewed(**asked), ("/event/properties/0/one_of", "condition_empty"))
            for asked in OUTSIDE
        ),
    ],
)
async def test_a_condition_that_can_never_hold_is_refused_where_it_is(
    loyalty: httpx2.AsyncClient, path: str, body: Json, fault: tuple[str, str]
) -> None:
    answer = await loyalty.put(f"/v1/{path}", json=body, headers=NEW)

    assert answer.status_code == 422, answer.text
    assert [(each["pointer"], each["code"]) for each in answer.json()["errors"]] == [fault]


@pytest.mark.parametrize(
    "body",
    [
        reviewed(one_of=[]),
        reviewed(one_of=[], at_least=4),
        reviewed(one_of=[1, 5], at_least=4),
        RULE | {"event": {"types": ["reviewed"], "properties": []}, "when": {"segments": {"any_of": []}}},
        RULE
        | {
            "event": {"types": ["reviewed"]},
            "when": {"weekdays": [], "dates": [], "hours": [], "levels": [], "holidays": []},
        },
    ],
)
async def test_a_list_that_is_empty_asks_nothing(loyalty: httpx2.AsyncClient, body: Json) -> None:
    written = await loyalty.put("/v1/earning-rules/x", json=body, headers=NEW)
    trial = {"event": {"type": "reviewed", "properties": {"stars": 5}}}

    evaluated = await loyalty.post("/v1/earning-rules/evaluate", json=trial)

    assert written.status_code == 200, written.text
    assert evaluated.json()["points"] == 50


async def test_some_of_the_segments_may_be_left_out_by_others(loyalty: httpx2.AsyncClient) -> None:
    segments: Json = {"any_of": ["readers", "writers"], "none_of": ["readers"]}

    answer = await loyalty.put("/v1/rewards/x", json=REWARD | {"segments": segments}, headers=NEW)

    assert answer.status_code == 200, answer.text


async def test_what_was_written_before_is_still_read(
    loyalty: httpx2.AsyncClient, databases: dict[str, Sessions], clock: FrozenClock
) -> None:
    terms = reviewed(one_of=[1], at_least=2) | {"when": NOBODY}
    async with databases["loyalty"].begin() as session:
        await session.execute(
            insert(EarningRule).values(
                key="old", version=1, terms=terms, created_at=clock.now(), created_by="manager"
            )
        )

    read = await loyalty.get("/v1/earning-rules/old")

    assert read.json()["event"]["properties"][0]["one_of"] == [1]
    assert read.json()["when"]["segments"]["any_of"] == ["readers"]
