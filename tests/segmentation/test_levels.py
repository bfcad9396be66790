"""The rule of levels: one each, never lower for more, and a flip foretold to the day."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_segmentation.levels import Figures, Thresholds, assign, next_flip
from crm_shared.contracts.segmentation import Level

TODAY = date(1998, 6, 30)
DEFAULT = Thresholds(1, "USD", 25_000, 180, 10_000, 2, 365)
RISING = [Level.POTENTIAL, Level.ORDINARY, Level.IMPORTANT, Level.VIP]


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


limits = st.builds(
    Thresholds,
    version=st.just(1),
    currency=st.just("USD"),
    vip_monetary=st.integers(1, 500),
    vip_recency_days=st.integers(0, 60),
    important_monetary=st.integers(1, 500),
    ordinary_frequency=st.integers(1, 6),
    ordinary_recency_days=st.integers(0, 60),
)
figures = st.builds(
    lambda days, frequency, monetary: Figures(ago(days), frequency, monetary),
    st.integers(0, 90),
    st.integers(1, 8),
    st.integers(-100, 600),
)


@pytest.mark.parametrize(
    ("days", "frequency", "monetary", "level"),
    [
        (0, 1, 25_000, Level.VIP),
        (180, 9, 25_000, Level.VIP),
        (181, 9, 25_000, Level.IMPORTANT),
        (0, 9, 24_999, Level.IMPORTANT),
        (900, 1, 10_000, Level.IMPORTANT),
        (0, 1, 9_999, Level.ORDINARY),
        (365, 1, 0, Level.ORDINARY),
        (366, 2, 0, Level.ORDINARY),
        (366, 1, 9_999, Level.POTENTIAL),
    ],
)
def test_a_threshold_belongs_to_the_higher_level(
    days: int, frequency: int, monetary: int, level: Level
) -> None:
    assert assign(Figures(ago(days), frequency, monetary), DEFAULT, TODAY).level is level


def test_who_never_bought_is_potential() -> None:
    standing = assign(Figures(), DEFAULT, TODAY)
    assert standing.level is Level.POTENTIAL
    assert standing.reason == "No purchase yet."


def test_the_reason_names_figures_and_thresholds() -> None:
    assert assign(Figures(ago(45), 7, 31_250), DEFAULT, TODAY).reason == (
        "7 purchases for 312.50 USD, the last on 1998-05-16:"
        " VIP is from 250.00 USD with the last purchase at most 180 days ago."
    )


@given(figures, limits)
def test_more_money_more_purchases_or_a_later_one_never_lower_the_level(
    given_figures: Figures, thresholds: Thresholds
) -> None:
    last_on = given_figures.last_purchase_on
    assert last_on is not None
    before = RISING.index(assign(given_figures, thresholds, TODAY).level)
    frequency, monetary = given_figures.frequency, given_figures.monetary
    for better in (
        Figures(last_on, frequency + 1, monetary),
        Figures(last_on, frequency, monetary + 50),
        Figures(min(TODAY, last_on + timedelta(days=7)), frequency, monetary),
    ):
        assert RISING.index(assign(better, thresholds, TODAY).level) >= before


@given(figures, limits)
def test_the_next_flip_is_the_first_day_with_another_level(
    given_figures: Figures, thresholds: Thresholds
) -> None:
    now = assign(given_figures, thresholds, TODAY).level
    days = (TODAY + timedelta(days=n) for n in range(1, 130))
    first = next((day for day in days if assign(given_figures, thresholds, day).level is not now), None)
    assert next_flip(given_figures, thresholds, TODAY) == first
