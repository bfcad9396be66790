"""A line of an order is given back: the customer is worth less, and points that were spent are owed."""

from rich.console import Console

from crm_local.client import Client
from crm_local.club import Club
from crm_local.story.steps import do, dollars, facts, until
from crm_shared.database import Json

_SPENT, _GIVEN = 100, 30


async def tell(client: Client, console: Console, club: Club, customer: str) -> None:
    """Value, level and points before and after, as the services tell them."""
    rfm, profile = f"/v1/rfm/{customer}", f"/v1/customers/{customer}/summary/profiles"
    before = await client.get(rfm)
    account = f"/v1/accounts/{customer}"
    spent = await do(client, f"{account}/spend", {"points": _SPENT, "reason": "a ticket"}, "demo-ticket")
    (order,) = (each for each in club.refunds)
    path = f"/v1/purchases/by-external-id/club/{order['order']}/refunds"
    answer = await client.send("POST", path, json=order["refund"])
    refund, now = answer.json(), dict(before)

    async def counted() -> bool:
        now.update(await client.get(rfm))
        net = (await client.get(profile))["purchases"]["net"]
        return bool([now["monetary"]] == net)

    await until(counted, "The refund has not changed what the customer is worth.")
    reversal = await _reversal(client, account)
    owing = await client.get(f"{account}?as_of={_instant(reversal)}")
    gift = {"points": _GIVEN, "reason": "for coming back"}
    given = await do(client, f"{account}/adjust", gift, "demo-coming-back")
    paid = await client.get(f"{account}?as_of={_instant(given.json())}")
    facts(
        console,
        ("given back", f"{dollars(refund['total'])}: {refund['reason']}{_known(answer.status_code)}"),
        ("before", _worth(before)),
        ("after", _worth(now)),
        ("points", f"{_SPENT} were spent before: {spent.json()['balance']} were left"),
        ("taken back", f"{-reversal['amount']}, what the line had earned: {_standing(owing)}"),
        ("the next points", f"{_GIVEN} {gift['reason']} pay the debt first: {_standing(paid)}"),
    )


async def _reversal(client: Client, account: str) -> Json:
    """The entry by which loyalty took the line's points back."""
    found: list[Json] = []

    async def reversed_() -> bool:
        entries = (await client.get(f"{account}/entries?limit=200"))["items"]
        found[:] = [each for each in entries if each["kind"] == "reverse"]
        return bool(found)

    await until(reversed_, "The refund has not taken the line's points back.")
    return found[-1]


def _instant(movement: Json) -> str:
    return str(movement["recorded_at"]).replace("+", "%2B")


def _standing(account: Json) -> str:
    return f"balance {account['balance']}, {account['owed']} owed, {account['available']} to spend"


def _known(status: int) -> str:
    return " (told before)" if status == 200 else ""


def _worth(rfm: Json) -> str:
    return f"{rfm['frequency']} purchase, {dollars(rfm['monetary'])}: {rfm['level']}"
