"""What plans give and write happens once, however many workers there are and whenever they die."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.loyalty.care.conftest import BIRTHDAY, Care, person
from tests.loyalty.figures import given

from crm_loyalty.care import messages
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import published


async def test_two_workers_at_once_greet_everybody_once(care: Care, committed: dict[str, Sessions]) -> None:
    people = [uuid7() for _ in range(40)]
    await care.receive(*(person(who) for who in people))
    await care.write()
    care.clock.at = datetime(2026, 3, 3, 1, tzinfo=UTC)
    await asyncio.gather(care.turn(), care.turn(), care.turn())
    assert sorted(item["customer_id"] for item in await care.mailbox()) == sorted(map(str, people))
    for who in people[:3]:
        assert await care.balance(who) == 1200


async def series(care: Care, **terms: Any) -> str:
    body = {"names": {"en": "A tenth off"}, "value": "percent", "basis_points": 1000} | terms
    put = await care.loyalty.put("/v1/coupon-series/gift", json=body, headers={"If-None-Match": "*"})
    assert put.status_code == 200, put.text
    return "gift"


async def test_a_coupon_is_issued_and_its_code_is_in_the_message(care: Care) -> None:
    who = uuid7()
    await care.receive(person(who, language="en"))
    message = {"template": "birthday", "channel": "email"}
    await care.write(action={"message": message, "coupon": await series(care)})
    await care.at("2026-03-03T01:00:00Z")
    [coupon] = (await care.loyalty.get(f"/v1/accounts/{who}/coupons")).json()["items"]
    [mail] = await care.mailbox()
    assert coupon["code"] in mail["text"]
    report = (await care.loyalty.get("/v1/care/plans/birthday/report")).json()
    assert (report["coupons"]["value"], report["points"]["value"]) == (1, 0)
    await care.at("2026-03-04T01:00:00Z")
    assert len((await care.loyalty.get(f"/v1/accounts/{who}/coupons")).json()["items"]) == 1


async def test_the_last_coupons_find_their_owners_and_the_others_get_nothing(care: Care) -> None:
    people = [uuid7() for _ in range(5)]
    await care.receive(*(person(who) for who in people))
    await care.write(action=BIRTHDAY["action"] | {"coupon": await series(care, max_issued=3)})
    await care.at("2026-03-03T01:00:00Z")
    assert await care.occasions() == [("done", None)] * 3 + [("skipped", "coupon_limit")] * 2
    assert len(await care.mailbox()) == 3
    assert sum([await care.balance(who) for who in people]) == 3 * 1200
    assert await given(care.loyalty) == {"care": 3 * 1200}


async def test_a_suspended_series_gives_nothing(care: Care) -> None:
    await care.receive(person(uuid7()))
    await care.write(action={"coupon": await series(care, active=False)})
    await care.at("2026-03-03T01:00:00Z")
    assert await care.occasions() == [("skipped", "coupon_suspended")]


async def test_whenever_the_worker_is_killed_it_happens_once(
    care: Care, committed: dict[str, Sessions], engines: dict[str, AsyncEngine]
) -> None:
    """Before each statement in turn, from planning to the mark that the message was sent."""
    who = uuid7()
    await care.receive(person(who))
    await care.write(action=BIRTHDAY["action"] | {"coupon": await series(care)})
    care.clock.at = datetime(2026, 3, 3, 1, tzinfo=UTC)
    survived, deaths = 0, 0
    while True:
        worker = asyncio.ensure_future(care.turn())
        statements = count()

        def kill(*_: object, worker: asyncio.Task[None] = worker, at: int = survived) -> None:
            if next(statements) == at:  # noqa: B023
                worker.cancel()

        event.listen(engines["loyalty"].sync_engine, "before_cursor_execute", kill)
        try:
            await worker
            break
        except asyncio.CancelledError:
            survived, deaths = survived + 1, deaths + 1
        finally:
            event.remove(engines["loyalty"].sync_engine, "before_cursor_execute", kill)
    assert deaths > 20
    care.clock.advance(messages.LEASE)  # of a message whose sender died
    await care.turn()
    assert await care.occasions() == [("done", None)]
    assert len(await care.mailbox()) == 1
    assert await care.balance(who) == 1200
    assert len((await care.loyalty.get(f"/v1/accounts/{who}/coupons")).json()["items"]) == 1
    told = [row.type for row in await published(care.sessions)]
    assert told.count("loyalty.message.sent.v1") == told.count("loyalty.coupon.issued.v1") == 1


async def test_plans_that_give_and_plans_that_write_do_not_wait_for_each_other_in_a_circle(
    care: Care, committed: dict[str, Sessions]
) -> None:
    people = [uuid7() for _ in range(30)]
    await care.receive(*(person(who) for who in people))
    message = {"message": {"template": "birthday", "channel": "email"}}
    await care.write("a-letter", action=message)
    await care.write("gift", action={"points": 7})
    await care.write("letter-and-gift", action=message | {"points": 7})
    care.clock.at = datetime(2026, 3, 3, 1, tzinfo=UTC)
    for _ in range(4):
        await asyncio.gather(care.turn(), care.turn(), care.turn())
        care.clock.advance(timedelta(seconds=1))
    for plan in ("a-letter", "gift", "letter-and-gift"):
        assert await care.occasions(plan) == [("done", None)] * 30
    assert [await care.balance(who) for who in people] == [14] * 30
