"""The demo's books agree beside what somebody else has in the services, and only then."""

from dataclasses import replace
from pathlib import Path

from crm_local.cdnow import Figures
from crm_local.home import Home
from crm_local.others import Others, beside


def figures(*, customers: int, purchases: int, returned: int = 0, **levels: int) -> Figures:
    return Figures(customers, purchases, purchases * 1000, purchases * 10, levels, returned)


FILES = figures(customers=10, purchases=20, vip=4, potential=6)
REFUNDED = figures(customers=10, purchases=20, returned=500, vip=3, potential=7)
SOMEBODY = figures(customers=1, purchases=1, potential=1)


def test_what_was_there_before_the_first_run_is_somebody_elses(tmp_path: Path) -> None:
    others = Others(Home(tmp_path)).of(SOMEBODY, FILES, REFUNDED)
    services = REFUNDED + SOMEBODY

    assert beside(REFUNDED, others, services) == services
    assert beside(FILES, others, services) != services


def test_a_run_that_did_not_end_adds_nothing_to_the_others(tmp_path: Path) -> None:
    Others(Home(tmp_path)).of(SOMEBODY, FILES, REFUNDED)

    assert Others(Home(tmp_path)).of(FILES + SOMEBODY, FILES, REFUNDED) == SOMEBODY


def test_what_was_written_since_the_last_run_is_somebody_elses(tmp_path: Path) -> None:
    before = Others(Home(tmp_path))
    before.ended(before.of(SOMEBODY, FILES, REFUNDED), refunded=True)
    services = REFUNDED + SOMEBODY + figures(customers=2, purchases=3, vip=1, ordinary=1)
    others = Others(Home(tmp_path)).of(services, FILES, REFUNDED)

    assert (others.customers, others.purchases) == (3, 4)
    assert beside(REFUNDED, others, services) == services


def test_others_excuse_no_figure_of_the_demo(tmp_path: Path) -> None:
    others = Others(Home(tmp_path)).of(SOMEBODY, FILES, REFUNDED)
    services = REFUNDED + SOMEBODY

    for wrong in (
        replace(services, customers=services.customers - 1),
        replace(services, points=services.points + 1),
        replace(services, levels={"vip": 4, "potential": 6}),
        replace(services, levels={"vip": 2, "ordinary": 1, "potential": 8}),
    ):
        assert beside(REFUNDED, others, wrong) != wrong
