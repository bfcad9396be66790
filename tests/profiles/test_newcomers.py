"""Customers who are made known in one transaction are refused or taken as if one after the other."""

import asyncio
from collections.abc import Mapping

import httpx2
from sqlalchemy import select

from crm_profiles.customers import customers
from crm_profiles.customers.customers import Newcomer
from crm_profiles.customers.documents import Document
from crm_profiles.errors import ContactPointTaken, InvalidAttributes, InvalidContactPoint
from crm_profiles.models.customers import ContactPoint
from crm_profiles.models.history import CustomerVersion
from crm_profiles.schemas.customers import CustomerIn
from crm_shared.database import Sessions
from crm_shared.outbox import Author, Outbox
from crm_shared.testing import FrozenClock


def newcomer(*names: str, author: str | None = None, **more: object) -> Newcomer:
    points = [{"kind": "email", "value": f"{name}@example.com"} for name in names]
    body = CustomerIn.model_validate({"name": "Ada", "contact_points": points, **more})
    return Newcomer(body, author=Author(author, None))


async def test_who_wants_what_an_earlier_one_did_not_get_gets_it(
    stored: Mapping[str, Sessions], clock: FrozenClock
) -> None:
    async with stored["profiles"].begin() as session:
        [holder] = await customers.create_many(session, [newcomer("x")], clock=clock)
        refused, taker, late, other = await customers.create_many(
            session, [newcomer("x", "y"), newcomer("y", "z"), newcomer("z"), newcomer("w")], clock=clock
        )
        assert isinstance(holder, Document)
        assert isinstance(taker, Document)
        assert isinstance(other, Document)
        for problem, by in ((refused, holder), (late, taker)):
            assert isinstance(problem, ContactPointTaken)
            assert problem.extensions["customer_id"] == str(by.customer_id)
        held = (await session.execute(select(ContactPoint.value, ContactPoint.customer_id))).all()
        owners = {"x": holder, "y": taker, "z": taker, "w": other}
        assert {value.partition("@")[0]: id for value, id in held} == {
            name: owner.customer_id for name, owner in owners.items()
        }


async def test_who_cannot_be_read_is_refused_alone(
    stored: Mapping[str, Sessions], clock: FrozenClock
) -> None:
    unknown = newcomer("a", attributes={"nothing_of_the_kind": 1})
    unreadable = newcomer("not an address")
    async with stored["profiles"].begin() as session:
        told = await customers.create_many(session, [unknown, newcomer("a"), unreadable], clock=clock)
    assert [type(each) for each in told] == [InvalidAttributes, Document, InvalidContactPoint]


async def test_each_newcomer_has_the_own_author_in_history_and_events(
    stored: Mapping[str, Sessions], clock: FrozenClock
) -> None:
    async with stored["profiles"].begin() as session:
        made = await customers.create_many(
            session, [newcomer(name, author=name) for name in ("alice", "bob")], clock=clock
        )
        ids = [str(each.customer_id) for each in made if isinstance(each, Document)]
        expected = dict(zip(ids, ("alice", "bob"), strict=True))
        history = await session.execute(select(CustomerVersion.customer_id, CustomerVersion.actor))
        events = await session.execute(select(Outbox.key, Outbox.actor))
        assert {str(id): actor for id, actor in history} == expected
        assert {key: actor for key, actor in events} == expected


async def test_of_many_who_want_one_address_at_once_one_gets_it_and_all_others_hear_whose_it_is(
    profiles: httpx2.AsyncClient, committed: Mapping[str, Sessions]
) -> None:
    body = {"name": "Ada", "contact_points": [{"kind": "email", "value": "ada@example.com"}]}
    own = [
        {"name": f"Eve {n}", "contact_points": [{"kind": "email", "value": f"eve{n}@example.com"}]}
        for n in range(20)
    ]
    answers = await asyncio.gather(
        *(
            profiles.post("/v1/customers", json=each, headers={"idempotency-key": f"{n}"})
            for n, each in enumerate([*[body] * 20, *own])
        )
    )
    same, others = answers[:20], answers[20:]
    assert sorted(answer.status_code for answer in same) == [201] + [409] * 19
    [winner] = [answer.json()["id"] for answer in same if answer.status_code == 201]
    assert {answer.json()["customer_id"] for answer in same if answer.status_code == 409} == {winner}
    assert {answer.status_code for answer in others} == {201}
    assert [answer.json()["name"] for answer in others] == [each["name"] for each in own]
