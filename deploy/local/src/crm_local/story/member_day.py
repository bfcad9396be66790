"""Member day: once a month a purchase in the club's shop earns twice as much."""

from rich.console import Console

from crm_local.client import Client
from crm_local.club import MEMBER_DAY, SHOP, Club
from crm_local.story.steps import StoryFailed, facts, settle_on, until
from crm_shared.database import Json

_RULE = "member-day"
_PATH = f"/v1/earning-rules/{_RULE}"
_TERMS: Json = {
    "description": "Double points on member day",
    "rate": {"kind": "multiplier", "percent": 100, "of": "base"},
    "when": {"days_of_month": [MEMBER_DAY], "shops": [SHOP]},
}


async def announce(client: Client) -> None:
    """The rule counts for purchases that arrive from now on: it comes before the club's orders."""
    await settle_on(client, _PATH, _TERMS)


async def tell(client: Client, console: Console, club: Club, member: str) -> None:
    """One basket a day too early and on the day, as a dry run; and an order that was real."""
    (order,) = (each for each in club.purchases if each.get("shop") == SHOP)
    month, instant = order["occurred_at"][:8], order["occurred_at"][10:]
    day_before, day = [
        await _evaluate(client, order, f"{month}{number:02}{instant}")
        for number in (MEMBER_DAY - 1, MEMBER_DAY)
    ]
    entry = await _earned(client, member, day["points"])
    rule = await client.get(_PATH)
    facts(
        console,
        ("the rule", rule["explanation"]),
        (f"on the {MEMBER_DAY - 1}th", f"{_points(day_before)}; {_RULE}: {_why_not(day_before)}"),
        (f"on the {MEMBER_DAY}th", _points(day)),
        (f"order of {order['occurred_at'][:10]}", f"{entry['amount']} points were earned"),
        *((f"for line {line}", _given(entry, line)) for line in range(1, len(order["lines"]) + 1)),
    )


async def _evaluate(client: Client, order: Json, at: str) -> Json:
    """What the order would earn at another instant; nothing is written."""
    kept = ("product", "category", "quantity")
    lines = [
        {name: line[name] for name in kept} | {"amount": line["total"]["amount"]} for line in order["lines"]
    ]
    basket = {name: order[name] for name in ("currency", "channel", "shop")}
    path = "/v1/earning-rules/evaluate"
    return await client.write("POST", path, basket | {"lines": lines, "occurred_at": at})


async def _earned(client: Client, member: str, points: int) -> Json:
    """What the real order has given; raises StoryFailed when it is not what the dry run says."""
    found: list[Json] = []

    async def posted() -> bool:
        entries = (await client.get(f"/v1/accounts/{member}/entries?limit=200"))["items"]
        found[:] = [each for each in entries if each["kind"] == "earn"]
        return bool(found)

    await until(posted, "The order of member day has earned nothing.")
    if found[-1]["amount"] != points:
        raise StoryFailed(f"The dry run says {points} points, the order has earned {found[-1]['amount']}.")
    return found[-1]


def _points(evaluation: Json) -> str:
    given = (f"{rule['points']} by {rule['rule']}" for rule in evaluation["rules"] if rule["points"])
    return f"{evaluation['points']} points: {', '.join(given)}"


def _given(entry: Json, line: int) -> str:
    return ", ".join(
        f"{given['points']} by {given['rule']}" for given in entry["explanation"] if given["line"] == line
    )


def _why_not(evaluation: Json) -> str:
    (rule,) = (each for each in evaluation["rules"] if each["rule"] == _RULE)
    return "; ".join(rule["why_not"])
