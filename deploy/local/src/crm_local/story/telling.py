"""The chapters in their order."""

from dataclasses import dataclass

from rich.console import Console

from crm_local.client import Client
from crm_local.club import Club
from crm_local.story import (
    birthdays,
    complaints,
    consents,
    glance,
    households,
    member_day,
    merging,
    points,
    programme,
    recovery,
    refunds,
    reports,
    searching,
)


@dataclass(frozen=True)
class Cast:
    """Who is in the story: two who have points to spend, five more, and the club's members by number."""

    vip: str
    ordinary: str
    born_today: list[str]
    members: dict[str, str]


async def tell(client: Client, second: Client, console: Console, cast: Cast, club: Club) -> None:
    """Tell it all; the second client is another person's. Raises StoryFailed."""

    def chapter(title: str) -> None:
        console.rule(title, align="left")

    members = cast.members
    chapter("Complaints: the VIP's comes first")
    await complaints.tell(client, console, vip_id=cast.vip, ordinary_id=cast.ordinary)
    chapter("Service recovery: an upheld complaint, and points that somebody else grants")
    await recovery.tell(client, second, console, members["M-1008"])
    chapter("Points: held, spent once, never overspent")
    await points.tell(client, console, cast.vip)
    chapter("Search: by a part, with a slip, by the last digits")
    await searching.search(client, console)
    chapter("History: what changed, and how it was before")
    await searching.history(client, console, members["M-1032"])
    chapter("Consents: may we write?")
    await consents.tell(client, console, club, members, members["M-1001"])
    chapter("Member day: the same basket, a day too early and on the day")
    await member_day.tell(client, console, club, members["M-1012"])
    chapter("A household: what one has earned another spends")
    await households.tell(client, console, members["M-1012"], members["M-1026"])
    chapter("A refund: one line goes back, and its points were spent")
    await refunds.tell(client, console, club, members["M-1001"])
    chapter("Birthdays: in their language, on their clock, and not to who does not want it")
    await birthdays.tell(client, console, cast.born_today)
    chapter("The programme: another rule over the whole history, and what is owed")
    await programme.tell(client, console)
    chapter("Two records of one person: merged, and undone")
    await merging.tell(client, console, members["M-1003"], members["M-1034"])
    chapter("Reports")
    await reports.tell(client, console, members["M-1005"])
    chapter("A customer at a glance")
    await glance.tell(client, console, cast.vip)
