"""Which tier a customer has, until when and why: values in, values out, and never a look at the balance."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

from crm_shared.calendars.clocks import start_of


class TierBasis(StrEnum):
    """What is counted in a period; spending points is no part of any."""

    SPEND = "spend"
    """What purchases cost, given back or not."""
    NET_SPEND = "net_spend"
    """What purchases cost, less what was given back."""
    ORDERS = "orders"
    """Purchases of which something is left."""
    POINTS_EARNED = "points_earned"
    """What rules gave for purchases, less the share of what was given back."""


class TierPeriodKind(StrEnum):
    """Over which time the basis is counted, and for how long a tier is held."""

    ROLLING = "rolling"
    """The last so many months."""
    CALENDAR_YEAR = "calendar_year"
    ANNIVERSARY = "anniversary"
    """Years since the day of joining."""


class TierReason(StrEnum):
    """Why somebody has the tier that they have."""

    NONE = "none"
    """They have none."""
    REACHED = "reached"
    """What they did in this period is enough."""
    HELD = "held"
    """It was reached before and is held until the end of its period."""
    GRACE = "grace"
    """Its period is over, and the time of grace is not."""
    GRANTED = "granted"
    """Somebody gave it to them."""


@dataclass(frozen=True, slots=True)
class Tier:
    """A rung of the ladder; without a threshold it is given by hand only."""

    key: str
    threshold: int | None


@dataclass(frozen=True, slots=True)
class Ladder:
    """The tiers, the lowest first, and how they are reached and lost."""

    version: int
    tiers: Sequence[Tier]
    basis: TierBasis
    currency: str | None
    period: TierPeriodKind
    months: int
    grace: timedelta
    notice: timedelta
    zone: ZoneInfo

    def rank(self, key: str | None) -> int:
        """Its place on the ladder from 1; 0: none, or one that the ladder has not any more."""
        return next((place for place, tier in enumerate(self.tiers, 1) if tier.key == key), 0)

    def reached(self, total: int) -> str | None:
        """The highest tier that so much is enough for."""
        enough = [tier.key for tier in self.tiers if tier.threshold is not None and tier.threshold <= total]
        return enough[-1] if enough else None

    def best(self, *keys: str | None) -> str | None:
        """The highest of these."""
        best = max(keys, key=self.rank, default=None)
        return best if self.rank(best) else None

    def window(self, now: datetime, joined_at: datetime) -> tuple[datetime, datetime]:
        """The period that the instant lies in: from when the basis counts, and until when a tier is held."""
        today = now.astimezone(self.zone).date()
        if self.period is TierPeriodKind.ROLLING:
            months = relativedelta(months=self.months)
            return start_of(today - months, self.zone), start_of(today + months, self.zone)
        if self.period is TierPeriodKind.CALENDAR_YEAR:
            first, after = date(today.year, 1, 1), date(today.year + 1, 1, 1)
        else:
            joined = joined_at.astimezone(self.zone).date()
            years = max(relativedelta(today, joined).years, 0)
            first, after = _anniversary(joined, years), _anniversary(joined, years + 1)
        return start_of(first, self.zone), start_of(after, self.zone)

    def closing(self, until: datetime, joined_at: datetime) -> datetime:
        """From when the basis counts of the period that ended then."""
        end = until.astimezone(self.zone).date()
        if self.period is TierPeriodKind.ANNIVERSARY:
            joined = joined_at.astimezone(self.zone).date()
            years = relativedelta(end, joined).years
            if _anniversary(joined, years) == end:
                return start_of(_anniversary(joined, years - 1), self.zone)
        months = self.months if self.period is TierPeriodKind.ROLLING else 12
        return start_of(end - relativedelta(months=months), self.zone)


@dataclass(frozen=True, slots=True)
class Standing:
    """What was decided last; the grant is apart from what was reached."""

    tier: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    announced: bool = False
    granted: str | None = None
    granted_until: datetime | None = None

    def grant(self, now: datetime) -> str | None:
        """The tier that somebody gave, while that lasts."""
        return self.granted if self.granted_until is not None and now < self.granted_until else None


@dataclass(frozen=True, slots=True)
class Facts:
    """What was counted: in the period of now, and in the one at whose end the standing is looked at again."""

    joined_at: datetime
    current: int
    closing: int


@dataclass(frozen=True, slots=True)
class Decision:
    """Where somebody stands now; `tier` is what counts, `reached` what they have without a grant."""

    tier: str | None
    why: TierReason
    reached: str | None
    since: datetime | None
    until: datetime | None
    lost_at: datetime | None
    """When it goes unless the basis reaches it again: after the grace."""
    at_risk: bool
    """What is counted so far is not enough to keep it."""
    falls_to: str | None
    """Which one is left then, by what is counted so far."""
    announce: bool
    """The loss is near enough to be told."""
    total: int
    next: Tier | None
    """The lowest tier above that the basis can reach."""
    missing: int | None
    look_at: datetime | None
    """When time alone may change something."""


def decide(ladder: Ladder, standing: Standing, facts: Facts, now: datetime) -> Decision:
    """Up at once; down only when a period and its grace are over and what was counted is not enough."""
    reached, why, since, until = _reached(ladder, standing, facts, now)
    granted = standing.grant(now)
    tier = ladder.best(reached, granted)
    if ladder.rank(tier) > ladder.rank(reached):
        why = TierReason.GRANTED
    lost_at = until + ladder.grace if until is not None else None
    told_at = lost_at - ladder.notice if lost_at is not None and ladder.notice else None
    falls_to, at_risk = None, False
    if until is not None and until == standing.until:  # else the period has just begun
        falls_to = ladder.reached(facts.closing)
        if why is TierReason.GRACE:
            falls_to = ladder.best(falls_to, ladder.reached(facts.current))
        at_risk = ladder.rank(falls_to) < ladder.rank(reached)
    following = _next(ladder, tier)
    moments = (told_at, until, lost_at, standing.granted_until)
    return Decision(
        tier=tier,
        why=why,
        reached=reached,
        since=since,
        until=until,
        lost_at=lost_at,
        at_risk=at_risk,
        falls_to=falls_to if at_risk else None,
        announce=at_risk and told_at is not None and told_at <= now,
        total=facts.current,
        next=following,
        missing=following.threshold - facts.current if following and following.threshold else None,
        look_at=min((each for each in moments if each is not None and each > now), default=None),
    )


def _anniversary(joined: date, years: int) -> date:
    """Reckoned from the first day, never from another anniversary: 29 February is 28 in common years."""
    day: date = joined + relativedelta(years=years)
    return day


def _reached(
    ladder: Ladder, standing: Standing, facts: Facts, now: datetime
) -> tuple[str | None, TierReason, datetime | None, datetime | None]:
    """The tier without any grant, why, since when, and the end of the period that it is held for."""
    had, end = standing.tier, ladder.window(now, facts.joined_at)[1]
    enough = ladder.reached(facts.current)
    if ladder.rank(enough) > ladder.rank(had):
        return enough, TierReason.REACHED, now, end
    if not ladder.rank(had) or standing.until is None:
        return None, TierReason.NONE, None, None
    if now < standing.until:
        return had, TierReason.REACHED if enough == had else TierReason.HELD, standing.since, standing.until
    in_time = ladder.best(enough, ladder.reached(facts.closing))
    if ladder.rank(in_time) >= ladder.rank(had):
        return had, TierReason.REACHED, standing.since, end
    if now < standing.until + ladder.grace:
        return had, TierReason.GRACE, standing.since, standing.until
    if in_time is None:
        return None, TierReason.NONE, None, None
    return in_time, TierReason.REACHED, now, end


def _next(ladder: Ladder, tier: str | None) -> Tier | None:
    above = ladder.tiers[ladder.rank(tier) :]
    return next((each for each in above if each.threshold is not None), None)
