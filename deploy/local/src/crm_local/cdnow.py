"""The CDNOW sample: what the demo sends, and what must come of it, computed straight from the file."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from importlib import resources

from crm_local.people import invent
from crm_shared.database import Json

SOURCE = "cdnow"
CURRENCY = "USD"
LAST_DAY = date(1998, 6, 30)
"""The sample ends here; seen from today everybody would have left long ago."""


@dataclass(frozen=True)
class Line:
    """One line of the file: one purchase."""

    number: int
    customer: int
    on: date
    quantity: int
    cents: int


def read() -> list[Line]:
    """All purchases, in the order of the file."""
    text = (resources.files("crm_local") / "data" / "cdnow_sample.txt").read_text(encoding="ascii")
    return [_line(number, row.split()) for number, row in enumerate(text.splitlines(), start=1)]


def _line(number: int, columns: list[str]) -> Line:
    _, customer, day, quantity, amount = columns
    dollars, cents = amount.split(".")
    return Line(
        number=number,
        customer=int(customer),
        on=date.fromisoformat(day),
        quantity=int(quantity),
        cents=int(dollars) * 100 + int(cents),
    )


def customers(lines: list[Line]) -> list[Json]:
    """Everybody in the file, as items of the customers' batch."""
    return invent(sorted({line.customer for line in lines}), SOURCE)


def purchases(lines: list[Line]) -> Iterator[Json]:
    """Every line, as an item of the purchases' batch."""
    for line in lines:
        yield {
            "source": SOURCE,
            "external_id": f"cdnow-{line.number}",
            "customer": {"source": SOURCE, "external_id": f"{line.customer:04d}"},
            "occurred_at": f"{line.on}T12:00:00Z",
            "currency": CURRENCY,
            "lines": [
                {
                    "product": "CD",
                    "quantity": line.quantity,
                    "total": {"amount": line.cents, "currency": CURRENCY},
                }
            ],
        }


@dataclass(frozen=True)
class Figures:
    """What the reconciliation compares."""

    customers: int
    purchases: int
    cents: int
    points: int
    levels: dict[str, int]
    returned: int = 0
    """Cents that were given back."""

    def __add__(self, other: "Figures") -> "Figures":
        return Figures(
            customers=self.customers + other.customers,
            purchases=self.purchases + other.purchases,
            cents=self.cents + other.cents,
            points=self.points + other.points,
            levels=dict(Counter(self.levels) + Counter(other.levels)),
            returned=self.returned + other.returned,
        )

    def __sub__(self, other: "Figures") -> "Figures":
        return Figures(
            customers=self.customers - other.customers,
            purchases=self.purchases - other.purchases,
            cents=self.cents - other.cents,
            points=self.points - other.points,
            levels=dict(Counter(self.levels) - Counter(other.levels)),
            returned=self.returned - other.returned,
        )


def expected(lines: list[Line], thresholds: Json, day: date = LAST_DAY) -> Figures:
    """The figures that follow from the file: a second, independent computation of the services' rules.

    A point for each whole dollar of each purchase; levels by the thresholds as the service states them.
    """
    by_customer = levels(lines, thresholds, day)
    return Figures(
        customers=len(by_customer),
        purchases=len(lines),
        cents=sum(line.cents for line in lines),
        points=sum(line.cents // 100 for line in lines),
        levels=dict(Counter(by_customer.values())),
    )


def levels(lines: list[Line], thresholds: Json, day: date = LAST_DAY) -> dict[int, str]:
    """Each customer's level on the day."""
    bought: defaultdict[int, list[Line]] = defaultdict(list)
    for line in lines:
        bought[line.customer].append(line)
    return {customer: _level(own, thresholds, day) for customer, own in bought.items()}


def _level(bought: list[Line], thresholds: Json, day: date) -> str:
    counted = [line for line in bought if line.on <= day]
    if not counted:
        return "potential"
    spent = sum(line.cents for line in counted)
    recency = min((day - line.on).days for line in counted)
    vip, important, ordinary = (thresholds[level] for level in ("vip", "important", "ordinary"))
    if spent >= vip["monetary"]["amount"] and recency <= vip["recency_days"]:
        return "vip"
    if spent >= important["monetary"]["amount"]:
        return "important"
    if len(counted) >= ordinary["frequency"] or recency <= ordinary["recency_days"]:
        return "ordinary"
    return "potential"
