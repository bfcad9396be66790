"""Whether a plan's action may happen now: consent, quiet hours, caps, complaints, budget."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from tests.loyalty.care.conftest import Care, changed, complaint, person, said

from crm_loyalty.schemas.care_plans import REASONS
from crm_shared.contracts.base import Event
from crm_shared.contracts.permissions import ConsentState
from crm_shared.contracts.profiles import MessageLogged
from crm_shared.contracts.tickets import TicketClosed, TicketOpened
from crm_shared.ids import uuid7
from crm_shared.permissions import Reason
from crm_shared.testing import arrived


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


async def test_a_consent_that_is_withdrawn_after_planning_counts(care: Care) -> None:
    who = uuid7()
    await care.receive(person(who), said(who, ConsentState.GRANTED))
    await care.write()
    await care.at("2026-03-02T17:00:00Z")
    assert await care.occasions() == [("planned", None)]
    await care.receive(said(who, ConsentState.DENIED, version=3))
    await care.at("2026-03-03T01:00:00Z")
    assert await care.occasions() == [("skipped", "consent_denied")]
    assert await care.balance(who) == 0


@pytest.mark.parametrize(
    ("becomes_known", "patience", "outcome"),
    [
        ("2026-03-03T12:59:59Z", 0, ("done", None)),  # the last second before nine in the evening there
        ("2026-03-03T13:00:00Z", 0, ("skipped", "quiet_hours")),
        ("2026-03-03T13:00:00Z", 1, ("planned", "quiet_hours")),
        ("2026-03-03T15:59:59Z", 1, ("planned", "quiet_hours")),
    ],
)
async def test_quiet_hours_go_on_after_midnight(
    care: Care, becomes_known: str, patience: int, outcome: tuple[str, str | None]
) -> None:
    await care.write(window_start="00:00", window_end="24:00", patience_days=patience)
    care.clock.at = datetime.fromisoformat(becomes_known) - timedelta(minutes=10)
    await care.turn()
    await care.receive(person(uuid7()))
    await care.at(becomes_known)
    assert await care.occasions() == [outcome]
    if outcome[0] == "planned":
        await care.at("2026-03-03T23:59:59Z")
        assert await care.mailbox() == []
        await care.at("2026-03-04T00:00:00Z")
        assert await care.occasions() == [("done", None)]


@pytest.mark.parametrize(
    ("sent_at", "outcome"),
    [
        ("2026-02-25T01:00:00Z", ("planned", "frequency_cap")),  # a week later is early enough
        ("2026-03-01T01:00:00Z", ("skipped", "frequency_cap")),
    ],
)
async def test_messages_of_others_count_for_caps(
    care: Care, sent_at: str, outcome: tuple[str, str | None]
) -> None:
    who = uuid7()
    logged = [
        MessageLogged(
            customer_id=who,
            version=1,
            message_id=uuid7(),
            purpose="survey",
            channel="sms",
            sent_at=datetime.fromisoformat(sent_at),
            failed=False,
        )
        for _ in range(5)
    ]
    await care.receive(person(who), *(arrived(each) for each in logged))
    await care.write(patience_days=2)
    await care.at("2026-03-03T01:00:00Z")
    assert await care.occasions() == [outcome]
    await care.at("2026-03-04T01:00:00Z")
    assert len(await care.mailbox()) == (outcome[0] == "planned")


async def test_a_severe_complaint_that_is_opened_and_settled_before_the_day_changes_nothing(
    care: Care,
) -> None:
    who, ticket = uuid7(), uuid7()
    await care.receive(person(who))
    await care.write(after_complaint="drop")
    await care.at("2026-03-02T17:00:00Z")
    await care.receive(complaint(TicketOpened, who, ticket, 1))
    await care.receive(complaint(TicketClosed, who, ticket, 2))
    await care.at("2026-03-03T01:00:00Z")
    assert await care.occasions() == [("done", None)]


async def test_a_severe_complaint_that_lasts_longer_than_the_plan_is_patient_ends_the_occasion(
    care: Care,
) -> None:
    who, ticket = uuid7(), uuid7()
    await care.receive(person(who))
    await care.write(patience_days=1)
    await care.at("2026-03-02T17:00:00Z")
    await care.receive(complaint(TicketOpened, who, ticket, 1))
    await care.at("2026-03-03T01:00:00Z")
    await care.at("2026-03-04T15:59:59Z")
    assert await care.occasions() == [("held", "severe_complaint")]
    await care.at("2026-03-04T16:00:00Z")
    assert await care.occasions() == [("skipped", "too_late")]


async def test_a_birthday_that_is_corrected_in_time_is_greeted_on_the_right_day_only(care: Care) -> None:
    who = uuid7()
    await care.receive(person(who))
    await care.write()
    await care.at("2026-03-02T17:00:00Z")
    assert await care.occasions() == [("planned", None)]
    await care.receive(changed(who, birth_date=date(1990, 3, 5)))
    await care.at("2026-03-03T01:00:00Z")
    assert await care.occasions() == []
    await care.at("2026-03-05T01:00:00Z")
    assert await care.occasions() == [("done", None)]


async def test_who_has_left_the_audience_by_the_time_gets_nothing(care: Care) -> None:
    who = uuid7()
    await care.receive(person(who, tags=["jazz"]))
    await care.write(audience={"tags": ["jazz"]})
    await care.at("2026-03-02T17:00:00Z")
    await care.receive(changed(who, tags=[]))
    await care.at("2026-03-03T01:00:00Z")
    assert (await care.occasions(), await care.mailbox()) == ([], [])


async def test_a_text_that_has_lost_its_channel_is_told_before_anything_is_given(care: Care) -> None:
    who = uuid7()
    await care.receive(person(who))
    await care.write()
    only_sms = {"default_language": "en", "texts": [{"language": "en", "channel": "sms", "text": "Hi"}]}
    etag = (await care.loyalty.get("/v1/care/templates/birthday")).headers["ETag"]
    put = await care.loyalty.put("/v1/care/templates/birthday", json=only_sms, headers={"If-Match": etag})
    assert put.status_code == 200
    assert [each["reason"] for each in (await care.dry_run("2026-03-03")).values()] == ["no_text"]
    await care.at("2026-03-03T01:00:00Z")
    assert await care.occasions() == [("skipped", "no_text")]
    assert await care.balance(who) == 0


async def test_agents_see_what_was_thought_of_for_a_customer_and_why_it_did_not_happen(
    care: Care, merged: Callable[..., Event]
) -> None:
    who, other = uuid7(), uuid7()
    await care.receive(person(who), said(who, ConsentState.DENIED), person(uuid7()), person(other))
    await care.write("a-letter")
    await care.write("a-gift", action={"points": 7})
    await care.at("2026-03-03T01:00:00Z")
    await care.at("2026-03-03T01:00:01Z")

    async def seen(of: UUID) -> list[tuple[str, str, str | None]]:
        answer = await care.loyalty.get(f"/v1/care/occasions?customer_id={of}&limit=10")
        return sorted((each["plan"], each["state"], each["reason"]) for each in answer.json()["items"])

    assert await seen(who) == [("a-gift", "done", None), ("a-letter", "skipped", "consent_denied")]
    await care.receive(merged(other, who, uuid7()))
    assert await seen(other) == await seen(who)
    assert len(await seen(who)) == 4


async def test_every_reason_is_explained() -> None:
    assert {reason.value for reason in Reason} <= REASONS.keys()
