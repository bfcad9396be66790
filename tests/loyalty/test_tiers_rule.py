"""Tiers as a rule: up at once, down only when a period and its grace are over."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_loyalty.rules.tiers import (
    Facts,
    Ladder,
    Standing,
    Tier,
    TierBasis,
    TierPeriodKind,
    TierReason,
    decide,
)

JOINED = datetime(2024, 2, 29, 12, tzinfo=UTC)
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
END = datetime(2027, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def ladder(
    period: TierPeriodKind = TierPeriodKind.CALENDAR_YEAR,
    *,
    grace: int = 30,
    notice: int = 45,
    zone: str = "UTC",
) -> Ladder:
    return Ladder(
        version=1,
        tiers=(Tier("silver", 100), Tier("gold", 500), Tier("black", None)),
        basis=TierBasis.ORDERS,
        currency=None,
        period=period,
        months=6,
        grace=grace * DAY,
        notice=notice * DAY,
        zone=ZoneInfo(zone),
    )


GOLD = Standing(tier="gold", since=NOW, until=END)


def facts(current: int, closing: int = 0) -> Facts:
    return Facts(JOINED, current, closing)


@pytest.mark.parametrize(
    ("total", "tier"), [(0, None), (99, None), (100, "silver"), (499, "silver"), (500, "gold")]
)
def test_a_tier_is_reached_with_the_last_unit_of_its_threshold(total: int, tier: str | None) -> None:
    decision = decide(ladder(), Standing(), facts(total), NOW)
    assert decision.tier == tier
    assert decision.until == (END if tier else None)


def test_what_is_missing_for_the_next_tier_is_said() -> None:
    decision = decide(ladder(), Standing(), facts(160), NOW)
    assert (decision.next, decision.missing) == (Tier("gold", 500), 340)
    assert decide(ladder(), Standing(), facts(500), NOW).next is None, "black is by invitation only"


@pytest.mark.parametrize(
    ("now", "tier", "why"),
    [
        (END - SECOND, "gold", TierReason.HELD),
        (END, "gold", TierReason.GRACE),
        (END + 30 * DAY - SECOND, "gold", TierReason.GRACE),
        (END + 30 * DAY, "silver", TierReason.REACHED),
    ],
)
def test_a_tier_is_lost_when_its_period_and_the_grace_are_over(
    now: datetime, tier: str, why: TierReason
) -> None:
    decision = decide(ladder(), GOLD, facts(0, closing=150), now)
    assert (decision.tier, decision.why) == (tier, why)


def test_what_is_bought_in_the_time_of_grace_saves_the_tier() -> None:
    decision = decide(ladder(), GOLD, facts(10, closing=500), END + 5 * DAY)
    assert (decision.tier, decision.until) == ("gold", datetime(2028, 1, 1, tzinfo=UTC))


def test_a_loss_is_announced_before_it_comes_and_not_earlier() -> None:
    told = END + (30 - 45) * DAY
    assert not decide(ladder(), GOLD, facts(150, closing=150), told - SECOND).announce
    decision = decide(ladder(), GOLD, facts(150, closing=150), told)
    assert (decision.announce, decision.falls_to, decision.lost_at) == (True, "silver", END + 30 * DAY)
    assert not decide(ladder(), GOLD, facts(500, closing=500), told).announce
    assert not decide(ladder(notice=0), GOLD, facts(0), END).announce


def test_a_gift_counts_where_it_is_higher_and_as_long_as_it_lasts() -> None:
    given_ = Standing(tier="silver", since=NOW, until=END, granted="black", granted_until=NOW + DAY)
    assert (
        decide(ladder(), given_, facts(100), NOW).tier,
        decide(ladder(), given_, facts(100), NOW).why,
    ) == (
        "black",
        TierReason.GRANTED,
    )
    assert decide(ladder(), given_, facts(100), NOW + DAY).tier == "silver"
    assert decide(ladder(), given_, facts(100), NOW).look_at == NOW + DAY


def test_periods_begin_where_the_programme_is() -> None:
    shanghai = ladder(zone="Asia/Shanghai")
    new_year = datetime(2026, 12, 31, 16, tzinfo=UTC)
    assert shanghai.window(new_year - SECOND, JOINED)[1] == new_year
    assert shanghai.window(new_year, JOINED)[0] == new_year
    anniversary = ladder(TierPeriodKind.ANNIVERSARY)
    assert anniversary.window(NOW, JOINED) == (
        datetime(2026, 2, 28, tzinfo=UTC),
        datetime(2027, 2, 28, tzinfo=UTC),
    )
    for now, begins, ends in (
        ("2027-02-27", "2026-02-28", "2027-02-28"),
        ("2027-02-28", "2027-02-28", "2028-02-29"),
        ("2028-02-28", "2027-02-28", "2028-02-29"),
        ("2028-02-29", "2028-02-29", "2029-02-28"),
    ):
        first, after = (datetime.fromisoformat(f"{day}T00:00:00+00:00") for day in (begins, ends))
        assert anniversary.window(datetime.fromisoformat(f"{now}T12:00:00+00:00"), JOINED) == (first, after)
        assert anniversary.closing(after, JOINED) == first
    rolling = ladder(TierPeriodKind.ROLLING)
    assert rolling.window(NOW, JOINED) == (datetime(2025, 9, 2, tzinfo=UTC), datetime(2026, 9, 2, tzinfo=UTC))


@given(
    st.sampled_from(TierPeriodKind),
    st.integers(0, 60),
    st.lists(st.tuples(st.integers(0, 400), st.integers(-600, 600)), min_size=1, max_size=30),
)
def test_nobody_ever_falls_before_the_end_of_what_was_promised(
    period: TierPeriodKind, grace: int, steps: list[tuple[int, int]]
) -> None:
    rungs, standing, now, total = ladder(period, grace=grace), Standing(), NOW, 0
    for days, change in steps:
        now, total = now + days * DAY, max(total + change, 0)
        decision = decide(rungs, standing, facts(total, closing=total), now)
        if rungs.rank(decision.tier) < rungs.rank(standing.tier):
            assert standing.until is not None
            assert now >= standing.until + grace * DAY
            assert rungs.rank(decision.tier) >= rungs.rank(rungs.reached(total))
        assert rungs.rank(decision.tier) >= rungs.rank(rungs.reached(total))
        assert decision.look_at is None or decision.look_at > now
        again = Standing(tier=decision.reached, since=decision.since, until=decision.until)
        assert decide(rungs, again, facts(total, closing=total), now).tier == decision.tier
        standing = again
