"""Whether a plan's action may happen now: consent, quiet hours, caps, complaints, budget."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.loyalty.care.conftest import Care, complaint, person, said

from crm_shared.contracts.permissions import ConsentState
from crm_shared.contracts.tickets import TicketClosed, TicketOpened
from crm_shared.ids import uuid7


async def test_who_has_said_no_is_skipped_and_gets_no_gift_either(care: Care) -> None:
    who = uuid7()
    await care.receive(person(who), said(who, ConsentState.DENIED))
    await care.write()
    await care.at("2026-03-03T01:00:00Z")
    assert await care.occasions() == [("skipped", "consent_denied")]
    assert await care.balance(who) == 0


async def test_quiet_hours_put_a_greeting_off_to_the_first_allowed_instant(care: Care) -> None:
    await care.receive(person(uuid7()))
    await care.write(window_start="00:00", window_end="24:00")
    await care.at("2026-03-02T16:00:00Z")  # midnight in Shanghai
    assert await care.occasions() == [("planned", "quiet_hours")]
    await care.at("2026-03-02T23:59:59Z")
    assert await care.mailbox() == []
    care.clock.advance(timedelta(seconds=1))
    await care.turn()
    assert len(await care.mailbox()) == 1


@pytest.mark.parametrize(
    ("after", "outcome"), [("release", ("done", None)), ("drop", ("skipped", "severe_complaint"))]
)
async def test_an_open_severe_complaint_holds_a_greeting_back(
    care: Care, after: str, outcome: tuple[str, str | None]
) -> None:
    who, ticket = uuid7(), uuid7()
    await care.receive(person(who), complaint(TicketOpened, who, ticket, 1))
    await care.write(after_complaint=after)
    await care.at("2026-03-03T01:00:00Z")
    assert await care.occasions() == [("held", "severe_complaint")]
    care.clock.advance(timedelta(hours=2))
    await care.turn()
    assert await care.occasions() == [("held", "severe_complaint")]
    care.clock.advance(timedelta(minutes=1))
    await care.receive(complaint(TicketClosed, who, ticket, 2))
    await care.turn()
    assert await care.occasions() == [outcome]


async def test_a_plan_that_comes_too_late_says_so(care: Care) -> None:
    await care.receive(person(uuid7()))
    await care.write(patience_days=0)
    await care.at("2026-03-02T17:00:00Z")
    await care.at("2026-03-03T12:00:00Z")  # 20:00 there: the window has closed
    assert await care.occasions() == [("skipped", "send_window")]


async def test_the_budget_ends_a_plan(care: Care) -> None:
    await care.receive(*(person(uuid7()) for _ in range(5)))
    await care.write(budget=3)
    await care.at("2026-03-03T01:00:00Z")
    assert await care.occasions() == [("done", None)] * 3 + [("skipped", "budget")] * 2


async def test_two_plans_on_one_day_share_the_customers_caps(care: Care) -> None:
    await care.receive(person(uuid7()))
    for number in range(6):
        await care.write(f"birthday-{number}", patience_days=1)
    care.clock.at = datetime(2026, 3, 3, 1, tzinfo=UTC)
    for _ in range(7):
        await care.turn()
        care.clock.advance(timedelta(seconds=1))
    assert len(await care.mailbox()) == 5, "five in a week, says the policy"
