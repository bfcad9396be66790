"""One customer at a glance: a page from four services."""

from rich.console import Console
from rich.table import Table

from crm_local.client import Client
from crm_local.story.steps import StoryFailed, until
from crm_shared.database import Json


async def tell(client: Client, console: Console, customer: str) -> None:
    """The 360 of a customer, as a table, and the card to print; a part that is missing is waited for."""
    sections: dict[str, Json] = {}

    async def whole() -> bool:
        sections.update((await client.get(f"/v1/customers/{customer}/360"))["sections"])
        return all(section["status"] == "ok" for section in sections.values())

    await until(whole, "The 360 lacks a section.")
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
    card = f"/v1/customers/{customer}/card"
    page = await client.send("GET", card, headers={"Accept": "text/html"})
    if profile["customer"]["name"] not in page.text:
        raise StoryFailed("The card is not this customer's.")
    table.add_row("card", f"{card} ({page.headers['content-type']})")
    console.print(table)
