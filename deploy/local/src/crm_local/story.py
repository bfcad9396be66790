"""The demo's story: two complaints and the queue, points held and spent, and one customer at a glance.

Every step has an Idempotency-Key of its own, so told again it changes nothing and says so.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx2
from rich.console import Console
from rich.table import Table

from crm_local.client import Client, Refused
from crm_shared.database import Json

_PATIENCE = 30.0
_HOLD_SECONDS = 2
_REPLAYED = "Idempotency-Replayed"


class StoryFailed(Exception):
    """Something did not happen as the story has it."""


@dataclass(frozen=True)
class Cast:
    """Who is in the story: ids of two customers who have points to spend."""

    vip: str
    ordinary: str


async def tell(client: Client, console: Console, cast: Cast) -> None:
    """Tell it all; raises StoryFailed."""
    console.rule("Complaints: the VIP's comes first", align="left")
    await complaints(client, console, cast)
    console.rule("Points: held, spent once, never overspent", align="left")
    await points(client, console, cast.vip)
    console.rule("A customer at a glance", align="left")
    await glance(client, console, cast.vip)


async def complaints(client: Client, console: Console, cast: Cast) -> None:
    """An ordinary customer complains, then a VIP; the VIP's ticket goes through all its steps."""
    ordinary = await _open(client, console, "ordinary", cast.ordinary, "The second disc skips")
    vip = await _open(client, console, "vip", cast.vip, "The parcel came without the booklet")
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
        response = await _do(client, f"/v1/tickets/{vip}/{step}", body, f"demo-vip-{step}")
        console.print(f"  {step}: the ticket is {response.json()['status']}{_again(response)}")

    async def on_the_timeline() -> bool:
        entries = (await client.get(f"/v1/customers/{cast.vip}/timeline?limit=100"))["items"]
        steps = {entry["type"] for entry in entries if entry["data"].get("ticket_id") == vip}
        return len(steps) >= 4

    await _until(on_the_timeline, "The complaint's steps are not on the timeline.")
    console.print("Opening, response, resolution and closing are on the customer's timeline.")


async def points(client: Client, console: Console, customer: str) -> None:
    """A hold that nobody captures, a spend that is sent twice, one that is too much."""
    account = f"/v1/accounts/{customer}"
    hold = await _do(client, f"{account}/holds", {"points": 10, "expires_in": _HOLD_SECONDS}, "demo-hold")
    hold_id = hold.json()["id"]
    console.print(f"10 points are held for {_HOLD_SECONDS} seconds{_again(hold)} …")

    async def ran_out() -> bool:
        holds = (await client.get(f"{account}/holds?limit=100"))["items"]
        return any(one["id"] == hold_id and one["state"] == "ran_out" for one in holds)

    await _until(ran_out, "The hold has not run out by itself.")
    console.print("… nobody captured them: the hold ran out by itself.")
    spend: Json = {"points": 25, "reason": "a mug"}
    first = await _do(client, f"{account}/spend", spend, "demo-spend")
    second = await _do(client, f"{account}/spend", spend, "demo-spend")
    if second.json() != first.json() or second.headers.get(_REPLAYED) != "true":
        raise StoryFailed("Spending twice with one Idempotency-Key was not one effect with a marked replay.")
    console.print("25 points were spent; sent again with the same Idempotency-Key: one effect, a replay.")
    try:
        await _do(client, f"{account}/spend", {"points": 1_000_000}, "demo-too-much")
    except Refused as refused:
        if refused.status != 409 or "available" not in refused.problem:
            raise StoryFailed(f"Overspending was refused otherwise: {refused.problem}") from refused
        console.print(f"Spending a million: {refused.status} {refused.problem['detail']}")
    else:
        raise StoryFailed("A million points could be spent.")


async def glance(client: Client, console: Console, customer: str) -> None:
    """The 360 of a customer, as a table; a part that is missing for a moment is waited for."""
    sections: dict[str, Json] = {}

    async def whole() -> bool:
        sections.update((await client.get(f"/v1/customers/{customer}/360"))["sections"])
        return all(section["status"] == "ok" for section in sections.values())

    await _until(whole, "The 360 lacks a section.")
    profile, segments, tickets, loyalty = (
        sections[name]["data"] for name in ("profile", "segments", "tickets", "loyalty")
    )
    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_row("name", profile["customer"]["name"])
    table.add_row("level", f"{segments['level']}: {segments['reason']}")
    table.add_row("points", f"{loyalty['available']} available, {loyalty['held']} held")
    table.add_row("tickets", ", ".join(f"{count} {state}" for state, count in tickets["counts"].items()))
    for entry in profile["timeline"][:5]:
        table.add_row(entry["occurred_at"][:10], entry["title"])
    console.print(table)


async def _open(client: Client, console: Console, who: str, customer: str, title: str) -> str:
    ticket = {"customer_id": customer, "kind": "complaint", "severity": "normal", "title": title}
    response = await _do(client, "/v1/tickets", ticket, f"demo-complaint-{who}")
    opened = response.json()
    console.print(f"Ticket {opened['number']} of a customer whose level is {who}: {title}{_again(response)}")
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


async def _do(client: Client, path: str, body: Json, key: str) -> httpx2.Response:
    return await client.send("POST", path, json=body, headers={"Idempotency-Key": key})


def _again(response: httpx2.Response) -> str:
    return " (told before)" if _REPLAYED in response.headers else ""


async def _until(condition: Callable[[], Awaitable[bool]], otherwise: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not await condition():
        if time.monotonic() > deadline:
            raise StoryFailed(otherwise)
        await asyncio.sleep(0.1)
