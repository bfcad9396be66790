"""One line of an order is given back, and what the customer is worth changes."""

from rich.console import Console

from crm_local.client import Client
from crm_local.club import Club
from crm_local.story.steps import dollars, facts, until
from crm_shared.database import Json


async def tell(client: Client, console: Console, club: Club, customer: str) -> None:
    """Value and level before and after, as the services tell them."""
    rfm, profile = f"/v1/rfm/{customer}", f"/v1/customers/{customer}/summary/profiles"
    before = await client.get(rfm)
    (order,) = (each for each in club.refunds)
    path = f"/v1/purchases/by-external-id/club/{order['order']}/refunds"
    answer = await client.send("POST", path, json=order["refund"])
    refund, now = answer.json(), dict(before)

    async def counted() -> bool:
        now.update(await client.get(rfm))
        net = (await client.get(profile))["purchases"]["net"]
        return bool([now["monetary"]] == net)

    await until(counted, "The refund has not changed what the customer is worth.")
    facts(
        console,
        ("given back", f"{dollars(refund['total'])}: {refund['reason']}{_known(answer.status_code)}"),
        ("before", _worth(before)),
        ("after", _worth(now)),
    )


def _known(status: int) -> str:
    return " (told before)" if status == 200 else ""


def _worth(rfm: Json) -> str:
    return f"{rfm['frequency']} purchase, {dollars(rfm['monetary'])}: {rfm['level']}"
