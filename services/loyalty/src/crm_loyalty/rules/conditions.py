"""When an earning rule applies, and to which lines of a purchase: facts in, reasons against it out."""

from calendar import monthrange
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import date, datetime, time
from typing import NamedTuple

from crm_loyalty.rules.happenings import Happening
from crm_loyalty.rules.segments import EVERYBODY, Segments

LAST_DAY = -1
"""As a day of the month: its last one, however long it is."""

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

Names = frozenset[str]
_NONE: Names = frozenset()
_NO_NUMBERS: frozenset[int] = frozenset()


class Days(NamedTuple):
    """Days from the first on, until before the second."""

    since: date
    until: date


def holiday_name(calendar: str, key: str) -> str:
    """What a holiday of a calendar is called among the facts."""
    return f"{calendar}:{key}"


class Around(NamedTuple):
    """So many days before and after a birthday, which counts itself."""

    before: int
    after: int

    def holds(self, offset: int) -> bool:
        return -self.before <= offset <= self.after


class Hours(NamedTuple):
    """Times of day from the first on, until before the second; over midnight when that is earlier."""

    since: time
    until: time

    def hold(self, moment: time) -> bool:
        if self.since < self.until:
            return self.since <= moment < self.until
        return moment >= self.since or moment < self.until


@dataclass(frozen=True, slots=True)
class PurchaseLine:
    """One line of a purchase; the amount is of all pieces, in minor units."""

    line: int | None
    amount: int
    quantity: int = 1
    product: str | None = None
    category: str | None = None
    brand: str | None = None


@dataclass(frozen=True, slots=True)
class Purchase:
    """What the rules look at; the amount is in minor units."""

    occurred_at: datetime
    amount: int
    currency: str
    lines: tuple[PurchaseLine, ...] = ()
    channel: str | None = None
    shop: str | None = None
    holidays: Names = _NONE
    """What is celebrated on its day: `US:christmas` is the holiday of that key in the calendar US."""


Cause = Purchase | Happening
"""What points are given for."""


@dataclass(frozen=True, slots=True)
class CustomerFacts:
    """What is known of the customer at the purchase; `number` counts it: the first is 1."""

    level: str | None = None
    tier: str | None = None
    number: int = 1
    birthday_offset: int | None = None
    """Days since the nearest birthday, negative before it; None: nobody knows when it is."""
    segments: Names = _NONE


@dataclass(frozen=True, slots=True)
class Conditions:
    """All that are given must hold; of what is listed, one.

    Products, categories and brands say which lines count; the minimum amount is of these. What is about
    purchases asks nothing of anything else.
    """

    min_amount: int | None = None
    products: Names = _NONE
    categories: Names = _NONE
    brands: Names = _NONE
    channels: Names = _NONE
    shops: Names = _NONE
    levels: Names = _NONE
    tiers: Names = _NONE
    weekdays: frozenset[int] = _NO_NUMBERS
    """From 1, Monday."""
    days_of_month: frozenset[int] = _NO_NUMBERS
    dates: tuple[Days, ...] = ()
    hours: tuple[Hours, ...] = ()
    purchase_numbers: frozenset[int] = _NO_NUMBERS
    every_nth_purchase: int | None = None
    birthday: Around | None = None
    holidays: Names = _NONE
    segments: Segments = EVERYBODY

    @property
    def choose_lines(self) -> bool:
        return bool(self.products or self.categories or self.brands)

    def counts(self, line: PurchaseLine) -> bool:
        return (
            (not self.products or line.product in self.products)
            and (not self.categories or line.category in self.categories)
            and (not self.brands or line.brand in self.brands)
        )

    def lines_of(self, cause: Cause) -> tuple[PurchaseLine, ...]:
        """The lines that count; of what has none, one that stands for it as a whole."""
        if isinstance(cause, Happening):
            return (PurchaseLine(None, 0),)
        if not self.choose_lines:
            return cause.lines or (PurchaseLine(None, cause.amount),)
        return tuple(line for line in cause.lines if self.counts(line))

    def amount_of(self, cause: Cause) -> int:
        """What counts of it, never negative; what is no purchase has no amount."""
        if isinstance(cause, Purchase) and not self.choose_lines:
            return max(cause.amount, 0)
        return max(sum(line.amount for line in self.lines_of(cause)), 0)

    def against(self, cause: Cause, customer: CustomerFacts, local: datetime) -> Iterator[str]:
        """Each reason against the rule, in words; `local`: when it happened, in the programme's time zone."""
        if isinstance(cause, Purchase):
            yield from self._against_purchase(cause, customer.number)
        if self.holidays and not self.holidays & cause.holidays:
            yield f"it is not the holiday {_listed(self.holidays)}"
        yield from self._against_moment(local)
        yield from self._against_customer(customer)

    def _against_purchase(self, purchase: Purchase, number: int) -> Iterator[str]:
        if self.choose_lines and not self.lines_of(purchase):
            yield "no line is of the products, categories and brands that count"
        elif self.min_amount is not None and self.amount_of(purchase) < self.min_amount:
            yield f"{self.amount_of(purchase)} is less than the minimum amount of {self.min_amount}"
        yield from _not_among("channel", purchase.channel, self.channels)
        yield from _not_among("shop", purchase.shop, self.shops)
        if self.purchase_numbers and number not in self.purchase_numbers:
            yield f"it is purchase {number} of the customer, not {_listed(self.purchase_numbers)}"
        if self.every_nth_purchase and number % self.every_nth_purchase:
            yield f"purchase {number} is not every {self.every_nth_purchase}th"

    def _against_moment(self, local: datetime) -> Iterator[str]:
        if self.weekdays and local.isoweekday() not in self.weekdays:
            days = ", ".join(WEEKDAYS[day - 1] for day in sorted(self.weekdays))
            yield f"it is a {WEEKDAYS[local.weekday()]}, not {days}"
        if self.days_of_month and local.day not in self.days_of_month:
            last = local.day == monthrange(local.year, local.month)[1]
            if not (last and LAST_DAY in self.days_of_month):
                yield f"day {local.day} of the month is not {_listed(self.days_of_month)}"
        if self.dates and not any(days.since <= local.date() < days.until for days in self.dates):
            yield f"{local.date()} is on none of its dates"
        if self.hours and not any(hours.hold(local.time()) for hours in self.hours):
            yield f"{local.time().isoformat('seconds')} is in none of its hours"

    def _against_customer(self, customer: CustomerFacts) -> Iterator[str]:
        yield from _not_among("level", customer.level, self.levels)
        yield from _not_among("tier", customer.tier, self.tiers)
        yield from self.segments.against(customer.segments)
        if self.birthday is not None:
            yield from _not_around(customer.birthday_offset, self.birthday)

    def in_words(self) -> Iterator[str]:
        """Each condition that is given, in words."""
        if self.min_amount is not None:
            yield f"of at least {self.min_amount} (minor units)"
        for name in ("products", "categories", "brands"):
            if chosen := getattr(self, name):
                yield f"counting only {name} {_listed(chosen)}"
        for field in fields(self):
            if field.name in _PLAIN and (chosen := getattr(self, field.name)):
                yield f"{_PLAIN[field.name]} {_listed(chosen)}"
        yield from self.segments.in_words()
        if self.weekdays:
            yield "on " + ", ".join(WEEKDAYS[day - 1] for day in sorted(self.weekdays))
        yield from (f"from {days.since} until before {days.until}" for days in self.dates)
        yield from (f"between {hours.since} and before {hours.until}" for hours in self.hours)
        if self.every_nth_purchase:
            yield f"every {self.every_nth_purchase}th purchase of the customer"
        if self.birthday is not None:
            before, after = self.birthday
            yield f"from {before} days before the customer's birthday to {after} days after"


ALWAYS = Conditions()


_PLAIN = {
    "channels": "by channel",
    "shops": "in shop",
    "levels": "for customers of level",
    "tiers": "for customers of tier",
    "holidays": "on the holiday",
    "days_of_month": "on days of the month",
    "purchase_numbers": "for the customer's purchase number",
}


def _not_among(what: str, found: str | None, wanted: Names) -> Iterator[str]:
    if wanted and found not in wanted:
        yield f"{what} {found} is not {_listed(wanted)}" if found else f"there is no {what}"


def _not_around(offset: int | None, birthday: Around) -> Iterator[str]:
    if offset is None:
        yield "the customer's birthday is not known"
    elif not birthday.holds(offset):
        yield f"the birthday was {offset} days ago" if offset > 0 else f"the birthday is in {-offset} days"


def _listed(values: Iterable[str | int]) -> str:
    texts = ["the last" if value == LAST_DAY else str(value) for value in sorted(values, key=_rank)]
    return " or ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


def _rank(value: str | int) -> tuple[int, str]:
    """Numbers by size, the last day after all, words by letter."""
    if isinstance(value, int):
        return (1_000_000_000 if value == LAST_DAY else value), ""
    return 0, value
