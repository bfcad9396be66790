"""What a person has of the loyalty programme."""

from typing import Any

from tests.api.population.teller import Person, Teller

LADDER = {
    "basis": "orders",
    "period": {"kind": "calendar_year"},
    "tiers": [{"key": "silver", "names": {"en": "Silver"}, "threshold": 10}],
}
REFERRALS = {"active": True, "points_referrer": 10, "points_friend": 10, "currency": "USD"}
RECOVERIES = {"active": True, "points": {"high": 10}}

TENTH = {"names": {"en": "A tenth"}, "value": "percent", "basis_points": 1000}
BASKET = {"currency": "USD", "lines": [{"price": 1000}]}


async def have_rules(teller: Teller, person: Person) -> None:
    """Without them nobody has a tier, is referred or compensated."""
    await teller.put_for_all("/v1/tiers", LADDER)
    await teller.put_for_all("/v1/programme/referral-policy", REFERRALS)
    await teller.put_for_all("/v1/programme/recovery-policy", RECOVERIES)
    day = {"since": "2026-02-01T00:00:00Z", "until": "2026-02-02T00:00:00Z"}
    backtest = await teller.post("/v1/earning-rules/backtests", day)
    person.ids |= {"key": "base", "backtest_id": backtest["id"]}


async def have_points(teller: Teller, person: Person) -> None:
    welcome = {"points": 1, "reason": "Welcome"}
    given = await teller.post(f"/v1/accounts/{person.id}/adjust", welcome)
    adjustment = await teller.post("/v1/adjustments", welcome | {"customer_id": str(person.id)})
    hold = await teller.post(f"/v1/accounts/{person.id}/holds", {"points": 10, "expires_in": 900})
    person.ids |= {
        "transaction_id": given["transaction_id"],
        "adjustment_id": adjustment["id"],
        "hold_id": hold["id"],
    }


async def order_a_reward(teller: Teller, person: Person) -> None:
    reward = f"bag-{person.number}"
    gift = {"kind": "gift", "names": {"en": "A bag"}, "points": 5, "limited": False}
    await teller.put_first(f"/v1/rewards/{reward}", gift)
    order = await teller.post(f"/v1/accounts/{person.id}/reward-orders", {"reward": reward})
    person.ids |= {"reward_key": reward, "order_id": order["id"]}


async def use_a_coupon(teller: Teller, person: Person) -> None:
    key = f"tenth-{person.number}"
    series = f"/v1/coupon-series/{key}"
    await teller.put_first(series, TENTH)
    [coupon] = (await teller.post(f"{series}/coupons", {"customer_ids": [str(person.id)]}))["items"]
    batch = await teller.post(f"{series}/batches", {"count": 1})
    [listed] = (await teller.get(f"/v1/accounts/{person.id}/coupons"))["items"]
    use: dict[str, Any] = {
        "customer_id": str(person.id),
        "code": listed["code"],
        "basket": BASKET,
        "order": {"source": "shop", "external_id": str(person.id)},
    }
    reserved = await teller.post("/v1/coupons/reserve", use)
    person.ids |= {
        "series_key": key,
        "coupon_id": coupon["id"],
        "batch_id": batch["id"],
        "use_id": reserved["id"],
    }


async def ask_the_price(teller: Teller, person: Person) -> None:
    promotion = f"day-{person.number}"
    await teller.put_first(f"/v1/promotions/{promotion}", TENTH)
    quote = await teller.post("/v1/quotes", {"customer_id": str(person.id), "basket": BASKET})
    person.ids |= {"promotion_key": promotion, "quote_id": quote["id"]}


async def do_something(teller: Teller, person: Person) -> None:
    review = {
        "type": "review_written",
        "customer_id": str(person.id),
        "source": "shop",
        "external_id": str(person.id),
        "occurred_at": "2026-02-27T12:00:00Z",
    }
    event = await teller.post("/v1/earning-events", review)
    person.ids |= {"event_id": event["id"]}


async def bring_a_friend(teller: Teller, person: Person, friend: str) -> None:
    code = await teller.put(f"/v1/accounts/{person.id}/referral-code")
    referral = await teller.post("/v1/referrals", {"code": code["code"], "customer_id": friend})
    person.ids |= {"referral_id": referral["id"]}


async def share_points(teller: Teller, person: Person, friend: str) -> None:
    pool = await teller.post("/v1/pools", {"head": str(person.id), "name": "The two of us"})
    member = await teller.post(f"/v1/pools/{pool['id']}/members", {"customer_id": friend})
    person.ids |= {"pool_id": pool["id"], "member_id": member["id"]}


async def be_compensated(teller: Teller, person: Person) -> None:
    """Once loyalty has heard of the complaint that was upheld."""
    [recovery] = (await teller.get(f"/v1/recoveries?customer_id={person.id}"))["items"]
    person.ids |= {"recovery_id": recovery["id"]}


async def be_invited(teller: Teller, person: Person) -> None:
    evening = {"starts_at": "2026-05-01T17:00:00Z", "ends_at": "2026-05-01T20:00:00Z"}
    activity = await teller.post(
        "/v1/activities", evening | {"names": {"en": "An evening"}, "place": "5 Rue du Jazz"}
    )
    to = {"customer_ids": [str(person.id)]}
    await teller.post(f"/v1/activities/{activity['id']}/invitations", to)
    person.ids |= {"activity_id": activity["id"]}


async def be_cared_for(teller: Teller, person: Person) -> None:
    template, plan = f"hello-{person.number}", f"birthday-{person.number}"
    greeting = {"language": "en", "channel": "sms", "text": "Hello, {{ name }}!"}
    await teller.put_first(f"/v1/care/templates/{template}", {"default_language": "en", "texts": [greeting]})
    says = {"message": {"template": template, "channel": "sms"}}
    birthday = {"names": {"en": "Birthday"}, "trigger": {"kind": "birthday"}, "action": says}
    await teller.put_first(f"/v1/care/plans/{plan}", birthday)
    person.ids |= {"care_template_key": template, "care_plan_key": plan}
