"""Service recovery: a complaint is upheld, points are proposed for it, and a second person grants them."""

from rich.console import Console

from crm_local.client import Client, Refused
from crm_local.story.steps import StoryFailed, again, do, facts, settle_on, until
from crm_shared.database import Json

_POLICY: Json = {
    "active": True,
    "points": {"low": 0, "normal": 0, "high": 150, "critical": 500},
    "monthly_budget": 10_000,
    "supervisor_limit": 200,
}
_COMPLAINT: Json = {
    "kind": "complaint",
    "severity": "high",
    "channel": "phone",
    "title": "The box set is scratched",
}
_VERDICT: Json = {
    "verdict": "upheld",
    "cause": "The warehouse packed it without padding",
    "compensation": "A new box set, and points for the trouble",
}


async def tell(client: Client, second: Client, console: Console, customer: str) -> None:
    """Who judges the complaint may not grant the points: the second client belongs to somebody else."""
    await settle_on(client, "/v1/programme/recovery-policy", _POLICY)
    opened = await do(client, "/v1/tickets", _COMPLAINT | {"customer_id": customer}, "demo-recovery")
    ticket = opened.json()
    path = f"/v1/tickets/{ticket['id']}"
    judged = (await do(client, f"{path}/judge", _VERDICT, "demo-recovery-judge")).json()
    proposed = await _proposal(client, customer, ticket["id"])
    recovery = f"/v1/recoveries/{proposed['id']}"
    if proposed["state"] == "proposed":
        await _refuse_own(client, recovery)
    granted = await do(second, f"{recovery}/approve", {"note": "a loyal customer"}, "demo-recovery-approve")
    for step, body in (
        ("respond", {"message": "You were right: a new one is on its way, and so are points."}),
        ("resolve", {"resolution": "The new box set has arrived."}),
        ("close", {}),
    ):
        await do(client, f"{path}/{step}", body, f"demo-recovery-{step}")
    given = granted.json()
    account = await client.get(f"/v1/accounts/{customer}")
    facts(
        console,
        (f"complaint {ticket['number']}", f"{ticket['title']} ({ticket['severity']}){again(opened)}"),
        ("verdict", f"{judged['verdict']} by {judged['judged_by']}: {judged['cause']}"),
        ("in words", judged["compensation"]),
        ("proposed", f"{given['points']} points, as the policy says of {given['severity']} complaints"),
        (given["proposed_by"], "may not grant what comes of an own verdict"),
        (given["decided_by"], f"has granted them: “{given['note']}”; the customer has {account['balance']}"),
    )


async def _proposal(client: Client, customer: str, ticket: str) -> Json:
    """What loyalty proposes for the complaint."""
    found: list[Json] = []

    async def proposed() -> bool:
        items = (await client.get(f"/v1/recoveries?customer_id={customer}&limit=200"))["items"]
        found[:] = [each for each in items if each["complaint_id"] == ticket]
        return bool(found)

    await until(proposed, "Nothing is proposed for a complaint that was upheld.")
    return found[0]


async def _refuse_own(client: Client, recovery: str) -> None:
    try:
        await do(client, f"{recovery}/approve", {}, "demo-recovery-own")
    except Refused as refused:
        if refused.problem.get("code") != "own_request":
            raise StoryFailed(f"Granting one's own was refused otherwise: {refused.problem}") from refused
    else:
        raise StoryFailed("Who upheld the complaint could grant the points.")
