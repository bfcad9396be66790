"""The chapters in their order."""

from dataclasses import dataclass

from rich.console import Console

from crm_local.client import Client
from crm_local.club import Club
from crm_local.story import (
    complaints,
    consents,
    glance,
    merging,
    points,
    programme,
    refunds,
    reports,
    searching,
)


@dataclass(frozen=True)
class Cast:
    """Who is in the story: two customers who have points to spend, and the club's members by number."""

    vip: str
    ordinary: str
    members: dict[str, str]


async def tell(client: Client, console: Console, cast: Cast, club: Club) -> None:
    """Tell it all; raises StoryFailed."""

    def chapter(title: str) -> None:
        console.rule(title, align="left")

    members = cast.members
    chapter("Complaints: the VIP's comes first")
    await complaints.tell(client, console, vip_id=cast.vip, ordinary_id=cast.ordinary)
    chapter("Points: held, spent once, never overspent")
    await points.tell(client, console, cast.vip)
    chapter("Search: by a part, with a slip, by the last digits")
    await searching.search(client, console)
    chapter("History: what changed, and how it was before")
    await searching.history(client, console, members["M-1032"])
    chapter("Consents: may we write?")
    await consents.tell(client, console, club, members, members["M-1001"])
    chapter("A refund: one line goes back")
    await refunds.tell(client, console, club, members["M-1001"])
    chapter("The programme: another rule over the whole history, and what is owed")
    await programme.tell(client, console)
    chapter("Two records of one person: merged, and undone")
    await merging.tell(client, console, members["M-1003"], members["M-1034"])
    chapter("Reports")
    await reports.tell(client, console, members["M-1005"])
    chapter("A customer at a glance")
    await glance.tell(client, console, cast.vip)
