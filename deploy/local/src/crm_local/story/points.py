"""Points: held, spent once, never overspent."""

from rich.console import Console

from crm_local.client import Client, Refused
from crm_local.story.steps import REPLAYED, StoryFailed, again, do, until
from crm_shared.database import Json

_HOLD_SECONDS = 2


async def tell(client: Client, console: Console, customer: str) -> None:
    """A hold that nobody captures, a spend that is sent twice, one that is too much."""
    account = f"/v1/accounts/{customer}"
    hold = await do(client, f"{account}/holds", {"points": 10, "expires_in": _HOLD_SECONDS}, "demo-hold")
    hold_id = hold.json()["id"]
    console.print(f"10 points are held for {_HOLD_SECONDS} seconds{again(hold)} …")

    async def ran_out() -> bool:
        holds = (await client.get(f"{account}/holds?limit=100"))["items"]
        return any(one["id"] == hold_id and one["state"] == "ran_out" for one in holds)

    await until(ran_out, "The hold has not run out by itself.")
    console.print("… nobody captured them: the hold ran out by itself.")
    spend: Json = {"points": 25, "reason": "a mug"}
    first = await do(client, f"{account}/spend", spend, "demo-spend")
    second = await do(client, f"{account}/spend", spend, "demo-spend")
    if second.json() != first.json() or second.headers.get(REPLAYED) != "true":
        raise StoryFailed("Spending twice with one Idempotency-Key was not one effect with a marked replay.")
    console.print("25 points were spent; sent again with the same Idempotency-Key: one effect, a replay.")
    try:
        await do(client, f"{account}/spend", {"points": 1_000_000}, "demo-too-much")
    except Refused as refused:
        if refused.status != 409 or "available" not in refused.problem:
            raise StoryFailed(f"Overspending was refused otherwise: {refused.problem}") from refused
        console.print(f"Spending a million: {refused.status} {refused.problem['detail']}")
    else:
        raise StoryFailed("A million points could be spent.")
