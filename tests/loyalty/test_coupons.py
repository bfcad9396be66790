"""Coupons: issued, looked at, reserved, redeemed, given back; each step once, each refusal with its code."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from tests.conftest import ClientFactory
from tests.loyalty.conftest import Give, MakeEvent, Receive
from tests.loyalty.coupons import TENTH, ask, end, issue, issue_of, make_series

from crm_loyalty.coupons.guard import Guard
from crm_loyalty.handlers import due_work, jobs_of
from crm_loyalty.rules import codes
from crm_shared import due, jobs
from crm_shared.callers import Role
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, fresh_key, published


async def test_a_coupon_is_reserved_and_redeemed_for_an_order(
    loyalty: httpx2.AsyncClient, sessions: Sessions
) -> None:
    customer = uuid7()
    code = await issue(loyalty, customer, max_discount=300, currency="USD")

    verdict = (await ask(loyalty, "check", code.lower(), customer)).json()
    assert (verdict["usable"], verdict["discount"]) == (True, {"amount": 300, "currency": "USD"})
    reserved = await ask(loyalty, "reserve", code, customer)
    assert reserved.status_code == 201, reserved.text
    assert (await ask(loyalty, "check", code, customer)).json()["refusal"]["code"] == "coupon_in_use"
    redeemed = await end(loyalty, reserved.json()["id"], "redeem")
    assert redeemed.json()["state"] == "redeemed"
    again = await end(loyalty, reserved.json()["id"], "release")
    assert (again.status_code, again.json()["code"], again.json()["state"]) == (
        409,
        "coupon_use_ended",
        "redeemed",
    )
    assert (await ask(loyalty, "redeem", code, customer)).json()["code"] == "coupon_already_redeemed"
    told = [row.type for row in await published(sessions) if ".coupon." in row.type]
    assert told == ["loyalty.coupon.issued.v1", "loyalty.coupon.redeemed.v1"]


async def test_who_reads_the_database_cannot_use_what_is_there(
    loyalty: httpx2.AsyncClient, sessions: Sessions
) -> None:
    code = await issue(loyalty, uuid7())
    plain = codes.normal(code)
    async with sessions() as session:
        rows = (await session.scalars(text("SELECT to_jsonb(c)::text FROM coupons c"))).all()
        replies = (await session.scalars(text("SELECT body FROM idempotency_keys"))).all()
        events = (await session.scalars(text("SELECT data FROM outbox"))).all()
    assert plain is not None
    for text_ in [*rows, *(bytes(reply).decode() for reply in replies), *events]:
        assert code not in text_
        assert plain not in text_


NAMED = {
    "coupon_not_yet_valid": ["valid_from"],
    "coupon_expired": ["valid_until"],
    "basket_too_small": ["minimum"],
}
"""By code what the detail speaks of."""


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"valid_from": "2027-01-01T00:00:00Z"}, "coupon_not_yet_valid"),
        ({"valid_until": "2025-01-01T00:00:00Z"}, "coupon_expired"),
        ({"minimum": 4001, "currency": "USD"}, "basket_too_small"),
        ({"categories": ["clothes"]}, "coupon_not_for_these_products"),
        ({"currency": "EUR"}, "coupon_other_currency"),
        ({"value": "amount", "amount": 1, "currency": "EUR"}, "coupon_other_currency"),
        ({"basis_points": 10, "categories": ["records"], "max_discount": 1, "currency": "USD"}, None),
    ],
)
async def test_the_look_gives_the_verdict_of_the_real_thing(
    loyalty: httpx2.AsyncClient, terms: dict[str, Any], code: str | None
) -> None:
    customer = uuid7()
    coupon = await issue(loyalty, customer, **terms)

    look = (await ask(loyalty, "check", coupon, customer)).json()
    real = await ask(loyalty, "redeem", coupon, customer)

    assert look["usable"] == (real.status_code == 201) == (code is None)
    if code is None:
        assert look["discount"] == real.json()["discount"]
    else:
        assert (real.status_code, real.json()["code"], look["refusal"]["code"]) == (409, code, code)
        said = real.json()
        assert said["detail"] == look["refusal"]["detail"]
        assert look["refusal"]["values"] == {name: said[name] for name in NAMED.get(code, ())}


async def test_a_personal_coupon_is_for_its_owner_only(loyalty: httpx2.AsyncClient) -> None:
    code = await issue(loyalty, uuid7())
    assert (await ask(loyalty, "redeem", code, uuid7())).json()["code"] == "coupon_not_yours"


async def test_a_series_out_of_use_stops_all_its_coupons(loyalty: httpx2.AsyncClient) -> None:
    customer, series = uuid7(), await make_series(loyalty)
    code = await issue_of(loyalty, customer, series)
    await loyalty.put(
        f"/v1/coupon-series/{series}", json=TENTH | {"active": False}, headers={"If-Match": '"1"'}
    )
    assert (await ask(loyalty, "redeem", code, customer)).json()["code"] == "coupon_suspended"
    more = await loyalty.post(
        f"/v1/coupon-series/{series}/coupons", json={"customer_ids": [str(customer)]}, headers=fresh_key()
    )
    assert more.json()["code"] == "coupon_suspended"


async def test_coupons_keep_the_terms_under_which_they_were_issued(loyalty: httpx2.AsyncClient) -> None:
    customer, series = uuid7(), await make_series(loyalty)
    code = await issue_of(loyalty, customer, series)
    await loyalty.put(
        f"/v1/coupon-series/{series}", json=TENTH | {"basis_points": 1}, headers={"If-Match": '"1"'}
    )
    assert (await ask(loyalty, "redeem", code, customer)).json()["discount"]["amount"] == 400


async def test_limits_per_customer_and_in_total_hold(loyalty: httpx2.AsyncClient) -> None:
    one, other = uuid7(), uuid7()
    mine = await make_series(loyalty, max_uses_per_customer=1)
    first, second = await issue_of(loyalty, one, mine), await issue_of(loyalty, one, mine)
    assert (await ask(loyalty, "redeem", first, one, "1")).status_code == 201
    refused = (await ask(loyalty, "redeem", second, one, "2")).json()
    assert (refused["code"], refused["scope"]) == ("limit_reached", "customer")

    everybodys = await make_series(loyalty, max_uses=1, max_issued=2)
    first, second = await issue_of(loyalty, one, everybodys), await issue_of(loyalty, other, everybodys)
    assert (await ask(loyalty, "redeem", first, one, "3")).status_code == 201
    refused = (await ask(loyalty, "redeem", second, other, "4")).json()
    assert (refused["code"], refused["scope"]) == ("limit_reached", "total")
    body = {"customer_ids": [str(one)]}
    third = await loyalty.post(f"/v1/coupon-series/{everybodys}/coupons", json=body, headers=fresh_key())
    assert third.json()["code"] == "issue_limit_reached"


async def test_coupons_for_one_order_must_go_together(loyalty: httpx2.AsyncClient) -> None:
    customer = uuid7()
    alone = await issue(loyalty, customer)
    beside = await issue(loyalty, customer, stacking="stackable", stacking_class="x", stacks_with=["y"])
    fitting = await issue(loyalty, customer, stacking="stackable", stacking_class="y")

    assert (await ask(loyalty, "reserve", beside, customer)).status_code == 201
    assert (await ask(loyalty, "reserve", alone, customer)).json()["code"] == "coupon_not_combinable"
    assert (await ask(loyalty, "reserve", fitting, customer)).status_code == 201
    assert (await ask(loyalty, "reserve", alone, customer, "other order")).status_code == 201


async def test_a_reservation_runs_out_at_its_instant(
    loyalty: httpx2.AsyncClient, sessions: Sessions, clock: FrozenClock
) -> None:
    customer = uuid7()
    series = await make_series(loyalty, max_uses=1)
    code = await issue_of(loyalty, customer, series)
    use = (await ask(loyalty, "reserve", code, customer, expires_in=60)).json()

    clock.advance(timedelta(seconds=60))
    late = await end(loyalty, use["id"], "redeem")
    assert (late.json()["code"], late.json()["state"]) == ("coupon_use_ended", "released")
    second = await ask(loyalty, "reserve", code, customer, "another", expires_in=60)
    assert second.status_code == 201, second.text
    assert await due.run(sessions, due_work, clock) == 1
    assert (await loyalty.get(f"/v1/coupon-uses/{use['id']}")).json()["state"] == "released"

    clock.advance(timedelta(seconds=60))
    assert await due.run(sessions, due_work, clock) == 1
    assert (await ask(loyalty, "redeem", code, customer)).status_code == 201


async def test_a_voided_coupon_is_withdrawn_with_its_reservation(
    loyalty: httpx2.AsyncClient, sessions: Sessions
) -> None:
    customer = uuid7()
    code = await issue(loyalty, customer)
    use = (await ask(loyalty, "reserve", code, customer)).json()

    voided = await loyalty.post(f"/v1/coupons/{use['coupon_id']}/void", headers=fresh_key())

    assert voided.json()["state"] == "void"
    assert (await end(loyalty, use["id"], "redeem")).json()["code"] == "coupon_use_ended"
    assert (await ask(loyalty, "redeem", code, customer)).json()["code"] == "coupon_void"
    assert (await published(sessions))[-1].type == "loyalty.coupon.voided.v1"


@pytest.fixture
def forgetting(apps: Callable[[str], FastAPI]) -> Iterator[None]:
    """All tests share the app: what one of them sends wrong is not held against the others."""
    yield
    apps("loyalty").state.coupon_guard = Guard()


@pytest.mark.usefixtures("forgetting")
async def test_guessing_is_stopped(loyalty: httpx2.AsyncClient, clock: FrozenClock) -> None:
    customer = uuid7()
    real = await issue(loyalty, customer)
    typo = real[:-1] + ("2" if real[-1] != "2" else "3")
    wrong = await ask(loyalty, "check", typo, customer)
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/code")

    guesses = [codes.shown(codes.code_of(b"a guess", uuid7())) for _ in range(25)]
    answers = [await ask(loyalty, "check", guess, customer) for guess in guesses]

    assert [answer.status_code for answer in answers] == [404] * 20 + [429] * 5
    assert int(answers[-1].headers["Retry-After"]) <= 600
    assert (await ask(loyalty, "redeem", real, customer)).json()["code"] == "too_many_wrong_codes"
    clock.advance(timedelta(minutes=10))
    assert (await ask(loyalty, "redeem", real, customer)).status_code == 201


async def test_a_batch_is_issued_in_the_background_for_whoever_has_the_codes(
    committed: dict[str, Sessions],
    client: ClientFactory,
    clock: FrozenClock,
    apps: Callable[[str], FastAPI],
) -> None:
    manager = client("loyalty", Role.MANAGER)
    series = await make_series(manager)
    started = await manager.post(
        f"/v1/coupon-series/{series}/batches", json={"count": 7}, headers=fresh_key()
    )
    assert started.status_code == 202, started.text

    assert await jobs.run(committed["loyalty"], jobs_of(apps("loyalty").state.settings), clock)

    done = (await manager.get(started.headers["Location"])).json()
    assert (done["state"], done["counts"]) == ("succeeded", {"issued": 7})
    made = (await manager.get(f"{started.headers['Location']}/coupons")).json()["items"]
    assert len({coupon["code"] for coupon in made}) == 7
    used = await ask(manager, "redeem", made[0]["code"], uuid7())
    assert used.status_code == 201, used.text
    agent = client("loyalty", Role.AGENT)
    assert (await agent.get(f"{started.headers['Location']}/coupons")).status_code == 403


async def test_a_reward_may_be_a_coupon(loyalty: httpx2.AsyncClient, give: Give) -> None:
    customer = uuid7()
    await give(customer, 100)
    series = await make_series(loyalty)
    reward = {
        "kind": "coupon",
        "names": {"en": "A tenth off"},
        "points": 40,
        "limited": False,
        "coupon_series": series,
    }
    put = await loyalty.put("/v1/rewards/tenth", json=reward, headers={"If-None-Match": "*"})
    assert put.status_code == 200, put.text
    nowhere = reward | {"coupon_series": "nowhere"}
    wrong = await loyalty.put("/v1/rewards/other", json=nowhere, headers={"If-None-Match": "*"})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/coupon_series")

    placed = await loyalty.post(
        f"/v1/accounts/{customer}/reward-orders", json={"reward": "tenth", "quantity": 2}, headers=fresh_key()
    )

    assert placed.json()["state"] == "delivered", placed.text
    coupons = (await loyalty.get(f"/v1/accounts/{customer}/coupons")).json()["items"]
    assert len(coupons) == 2
    assert (await ask(loyalty, "redeem", coupons[0]["code"], customer)).status_code == 201


async def test_merged_customers_share_coupons_and_limits_and_get_them_back(
    loyalty: httpx2.AsyncClient, receive: Receive, merged: MakeEvent, unmerged: MakeEvent
) -> None:
    old, new, merge = uuid7(), uuid7(), uuid7()
    series = await make_series(loyalty, max_uses_per_customer=1)
    one, other = await issue_of(loyalty, old, series), await issue_of(loyalty, new, series)
    await ask(loyalty, "redeem", one, old, "1")
    await receive(merged(old, new, merge))

    assert (await ask(loyalty, "check", other, new)).json()["refusal"]["code"] == "limit_reached"
    assert len((await loyalty.get(f"/v1/accounts/{new}/coupons")).json()["items"]) == 2

    await receive(unmerged(old, new, merge))
    assert (await ask(loyalty, "redeem", other, new)).status_code == 201


async def test_coupons_of_who_was_erased_cannot_be_used(
    loyalty: httpx2.AsyncClient, receive: Receive, erased: MakeEvent
) -> None:
    customer = uuid7()
    series = await make_series(loyalty)
    code = await issue_of(loyalty, customer, series)

    await receive(erased(customer))

    for what in ("check", "reserve", "redeem"):
        assert (await ask(loyalty, what, code, customer)).json()["code"] == "customer_was_erased"
    assert (await ask(loyalty, "redeem", code, uuid7())).json()["code"] == "coupon_not_yours"
    body = {"customer_ids": [str(customer)]}
    more = await loyalty.post(f"/v1/coupon-series/{series}/coupons", json=body, headers=fresh_key())
    assert more.status_code == 410
