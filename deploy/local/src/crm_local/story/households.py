"""A household that shares its points: one has earned them, another spends them."""

from rich.console import Console

from crm_local.client import Client, Refused
from crm_local.story.steps import StoryFailed, again, do, facts
from crm_shared.database import Json

_POOL: Json = {"name": "The Lefèvres", "spending": "any", "daily_limit": 45}
_SPENT, _TOO_MUCH = 40, 50


async def tell(client: Client, console: Console, head: str, other: str) -> None:
    """The other one has no points of their own; a day's limit stands in their way, not what there is."""
    made = await do(client, "/v1/pools", _POOL | {"head": head}, "demo-pool")
    members = f"/v1/pools/{made.json()['id']}/members"
    invited = await do(client, members, {"customer_id": other}, "demo-pool-invite")
    await do(client, f"{members}/{invited.json()['id']}/accept", {}, "demo-pool-accept")
    spend: Json = {"points": _SPENT, "reason": "a concert poster"}
    await do(client, f"/v1/accounts/{other}/spend", spend, "demo-pool-spend")
    refusal = await _refused(client, f"/v1/accounts/{other}/spend")
    names = {id: (await client.get(f"/v1/customers/{id}"))["name"] for id in (head, other)}
    pool = (await client.get(f"/v1/accounts/{other}"))["pool"]
    shares = {share["customer_id"]: share["available"] for share in pool["shares"]}
    facts(
        console,
        (pool["name"], f"{' and '.join(names.values())}{again(made)}"),
        ("by their terms", f"each may spend {pool['daily_limit']} points of the other's a day"),
        (names[other], f"has earned nothing and has spent {_SPENT} on {spend['reason']}"),
        (names[head], f"has {shares[head]} points left: they were hers"),
        (f"{_TOO_MUCH} more", refusal),
    )


async def _refused(client: Client, path: str) -> str:
    try:
        await do(client, path, {"points": _TOO_MUCH}, "demo-pool-too-much")
    except Refused as refused:
        return f"{refused.status} {refused.problem['detail']}"
    raise StoryFailed("More than a day's limit of the others' points could be spent.")
