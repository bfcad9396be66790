"""Two complaints and the queue: the VIP's comes first."""

from rich.console import Console

from crm_local.client import Client
from crm_local.story.steps import StoryFailed, again, do, until
from crm_shared.database import Json


async def tell(client: Client, console: Console, *, vip_id: str, ordinary_id: str) -> None:
    """An ordinary customer complains, then a VIP; the VIP's ticket goes through all its steps."""
    ordinary = await _open(client, console, "ordinary", ordinary_id, "The second disc skips")
    vip = await _open(client, console, "vip", vip_id, "The parcel came without the booklet")
    if await _status(client, vip) == "open" and await _status(client, ordinary) == "open":
        order = await _queue_of(client, {vip, ordinary})
        if order != [vip, ordinary]:
            raise StoryFailed(f"The queue has the tickets in the order {order}: the VIP's is {vip}.")
        console.print("In the queue the VIP's ticket stands before the ordinary customer's, opened earlier.")
    steps: list[tuple[str, Json]] = [
        ("respond", {"message": "We are sorry: the booklet is on its way."}),
        ("resolve", {"resolution": "The booklet was delivered."}),
        ("close", {}),
    ]
    for step, body in steps:
        response = await do(client, f"/v1/tickets/{vip}/{step}", body, f"demo-vip-{step}")
        console.print(f"  {step}: the ticket is {response.json()['status']}{again(response)}")

    async def on_the_timeline() -> bool:
        entries = (await client.get(f"/v1/customers/{vip_id}/timeline?limit=100"))["items"]
        steps = {entry["type"] for entry in entries if entry["data"].get("ticket_id") == vip}
        return len(steps) >= 4

    await until(on_the_timeline, "The complaint's steps are not on the timeline.")
    console.print("Opening, response, resolution and closing are on the customer's timeline.")


async def _open(client: Client, console: Console, who: str, customer: str, title: str) -> str:
    ticket = {"customer_id": customer, "kind": "complaint", "severity": "normal", "title": title}
    response = await do(client, "/v1/tickets", ticket, f"demo-complaint-{who}")
    opened = response.json()
    console.print(f"Ticket {opened['number']} of a customer whose level is {who}: {title}{again(response)}")
    return str(opened["id"])


async def _status(client: Client, ticket: str) -> str:
    return str((await client.get(f"/v1/tickets/{ticket}"))["status"])


async def _queue_of(client: Client, tickets: set[str]) -> list[str]:
    """These tickets, in the order in which the queue has them."""
    found: list[str] = []
    cursor = ""
    while len(found) < len(tickets):
        page = await client.get(f"/v1/queue?limit=200{cursor}")
        found += [item["id"] for item in page["items"] if item["id"] in tickets]
        if not page["next_cursor"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    return found
