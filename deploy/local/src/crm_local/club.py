"""A shop's club: members in a file of many scripts, some rows of it bad, and orders of three of them."""

import csv
import json
from collections import Counter
from dataclasses import dataclass, replace
from datetime import date
from importlib import resources

from crm_local import cdnow
from crm_local.cdnow import Figures, Line
from crm_shared.database import Json

SOURCE = "club"
FILE = "club_members.csv"
SHOP = "club"
MEMBER_DAY = 8
"""Of each month: what is bought in the club's shop then earns twice as much."""


@dataclass(frozen=True)
class Club:
    """The two files, as they are."""

    rows: list[dict[str, str]]
    purchases: list[Json]
    refunds: list[Json]
    messages: list[Json]


def read() -> Club:
    rows = list(csv.DictReader(_text(FILE).splitlines()))
    return Club(rows, **json.loads(_text("club_orders.json")))


def upload() -> bytes:
    """The file of members as a Chinese spreadsheet saves it."""
    return _text(FILE).encode("gb18030")


def _text(name: str) -> str:
    return (resources.files("crm_local") / "data" / name).read_text(encoding="utf-8")


def members(club: Club) -> set[str]:
    """The numbers of those who can become customers, judged by plain looks, not by the services' rules."""
    emails: set[str] = set()
    found: set[str] = set()
    for row in club.rows:
        email = row["邮箱"]
        if row["姓名"] and "@" in email and email not in emails and _reads(row["手机"], row["生日"]):
            emails.add(email)
            found.add(row["会员号"])
    return found


def _reads(phone: str, birthday: str) -> bool:
    try:
        date.fromisoformat(birthday)
    except ValueError:
        return False
    return phone.strip("+").replace(" ", "").replace("-", "").isdecimal()


def expected(club: Club, thresholds: Json, *, refunded: bool) -> Figures:
    """The figures that follow from the files, before or after the refunds.

    Points and the sum are of all that was bought, on member days twice the points; levels go by what
    was kept.
    """
    bought = [_line(order) for order in club.purchases]
    kept = [_less(line, club.refunds) for line in bought] if refunded else bought
    figures = cdnow.expected(bought, thresholds)
    levels = Counter(cdnow.levels(kept, thresholds).values())
    silent = len(members(club)) - figures.customers
    doubled = [_line(order) for order in club.purchases if _is_on_member_day(order)]
    return replace(
        figures,
        customers=len(members(club)),
        points=figures.points + sum(line.cents // 100 for line in doubled),
        returned=figures.cents - sum(line.cents for line in kept),
        levels=dict(levels + Counter(potential=silent)),
    )


def _is_on_member_day(order: Json) -> bool:
    return bool(order.get("shop") == SHOP and _line(order).on.day == MEMBER_DAY)


def _line(order: Json) -> Line:
    return Line(
        number=int(order["external_id"].removeprefix("order-")),
        customer=int(order["customer"]["external_id"].removeprefix("M-")),
        on=date.fromisoformat(order["occurred_at"][:10]),
        quantity=sum(line["quantity"] for line in order["lines"]),
        cents=sum(line["total"]["amount"] for line in order["lines"]),
    )


def _less(line: Line, refunds: list[Json]) -> Line:
    own = [each for each in refunds if each["order"] == f"order-{line.number}"]
    back = sum(part["amount"]["amount"] for each in own for part in each["refund"]["lines"])
    return replace(line, cents=line.cents - back)
