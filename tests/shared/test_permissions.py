"""May we write: the next instant really is allowed and nothing earlier is, wherever clocks are changed."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.chance import examples

from crm_shared.contracts.permissions import (
    Consent,
    ConsentNeeded,
    ConsentState,
    ContactPolicy,
    FrequencyCap,
    PermissionState,
    PurposeRule,
    QuietWindow,
)
from crm_shared.permissions import (
    INITIAL_POLICY,
    Permission,
    Question,
    Reason,
    Sent,
    combined,
    decide,
)

ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia")
QUARTER = timedelta(minutes=15)
DAY = timedelta(days=1)
NIGHT = QuietWindow(days=[1, 2, 3, 4, 5, 6, 7], start="21:00", end="08:00")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)

quarters = st.builds(time, st.integers(0, 23), st.sampled_from((0, 15, 30, 45))).map("{:%H:%M}".format)
windows = st.builds(
    QuietWindow,
    days=st.lists(st.integers(1, 7), min_size=1, max_size=7, unique=True),
    start=quarters,
    end=quarters,
)
instants = st.builds(
    lambda start, steps: start + steps * QUARTER,
    # Around changes of the clock: Berlin, New York and Lord Howe in spring and autumn, Apia's lost day.
    st.sampled_from(
        [
            datetime(2026, 3, 28, tzinfo=UTC),
            datetime(2026, 10, 24, tzinfo=UTC),
            datetime(2026, 3, 7, tzinfo=UTC),
            datetime(2026, 11, 1, tzinfo=UTC),
            datetime(2026, 4, 4, tzinfo=UTC),
            datetime(2011, 12, 29, tzinfo=UTC),
        ]
    ),
    st.integers(0, 300),
)


def policy(
    rule: ConsentNeeded = ConsentNeeded.NOTHING,
    *,
    quiet: list[QuietWindow] | None = None,
    caps: list[FrequencyCap] | None = None,
) -> ContactPolicy:
    asks = PurposeRule(consent=rule, quiet_hours=True, capped=True, attributed=True)
    free = PurposeRule(consent=ConsentNeeded.NOTHING, quiet_hours=False, capped=False, attributed=False)
    return ContactPolicy(
        time_zone="UTC",
        purposes={"marketing": asks, "survey": asks, "service": free},
        quiet_hours=quiet or [],
        quiet_channels=["email", "sms"],
        caps=caps or [],
        attribution_days=7,
    )


def consent(state: str, since: datetime, until: datetime | None = None, channel: str = "email") -> Consent:
    return Consent(
        purpose="marketing",
        channel=channel,
        state=ConsentState(state),
        basis="consent",
        since=since,
        until=until,
    )


def said(*consents: Consent, zone: str | None = None) -> Permission:
    return combined([PermissionState(consents=list(consents))], zone)


def ask(
    rules: ContactPolicy, permission: Permission | None = None, sent: list[Sent] | None = None
) -> Question:
    return Question(rules, permission or Permission(), sent or [], "marketing", "email")


def on_the_wall(window: QuietWindow, local: datetime) -> bool:
    """Whether the customer's clock shows a time of the window: the plain reading, day by day."""
    clock = f"{local:%H:%M}"
    if window.start < window.end:
        return local.isoweekday() in window.days and window.start <= clock < window.end
    late = local.isoweekday() in window.days and clock >= window.start
    return late or ((local - DAY).isoweekday() in window.days and clock < window.end)


@given(st.lists(windows, min_size=1, max_size=3), st.sampled_from(ZONES), instants)
def test_nobody_is_written_to_while_their_clock_shows_a_quiet_time(
    quiet: list[QuietWindow], zone: str, at: datetime
) -> None:
    decision = decide(ask(policy(quiet=quiet), said(zone=zone)), at)
    local = at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    if any(on_the_wall(window, local) for window in quiet):
        assert [refusal.reason for refusal in decision.refusals] == [Reason.QUIET_HOURS]


@given(st.lists(windows, min_size=1, max_size=3), st.sampled_from(("UTC", "Asia/Kathmandu")), instants)
def test_where_no_clock_is_changed_quiet_hours_are_what_the_clock_shows(
    quiet: list[QuietWindow], zone: str, at: datetime
) -> None:
    decision = decide(ask(policy(quiet=quiet), said(zone=zone)), at)
    local = at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    assert decision.allowed == (not any(on_the_wall(window, local) for window in quiet))


@st.composite
def questions(draw: st.DrawFn) -> tuple[Question, datetime]:
    at = draw(instants)
    near = st.integers(-400, 400).map(lambda steps: at + steps * QUARTER)
    caps = st.builds(
        FrequencyCap,
        purpose=st.sampled_from((None, "marketing", "survey")),
        channel=st.sampled_from((None, "email", "sms")),
        limit=st.integers(1, 3),
        hours=st.integers(1, 72),
    )
    state, since = draw(st.sampled_from(("granted", "denied"))), draw(near)
    until = draw(st.none() | st.integers(1, 400).map(lambda steps: since + steps * QUARTER))
    states = [
        PermissionState(
            consents=draw(st.sampled_from([[], [consent(state, since, until)]])),
            quiet_hours=draw(st.none() | st.lists(windows, max_size=2)),
            quiet_hours_at=at - DAY,
            caps=draw(st.lists(caps, max_size=2)),
            caps_at=at - DAY,
        )
    ]
    past = st.integers(0, 300).map(lambda steps: at - steps * QUARTER)
    purposes = st.sampled_from(("marketing", "survey", "service"))
    sent = st.builds(Sent, purposes, st.sampled_from(("email", "sms")), past)
    rules = policy(
        draw(st.sampled_from(ConsentNeeded)),
        quiet=draw(st.lists(windows, max_size=2)),
        caps=draw(st.lists(caps, max_size=2)),
    )
    permission = combined(states, draw(st.sampled_from(ZONES)))
    return Question(rules, permission, draw(st.lists(sent, max_size=6)), "marketing", "email"), at


@settings(max_examples=examples(50))
@given(questions())
def test_the_next_instant_is_allowed_and_nothing_before_it_is(asked: tuple[Question, datetime]) -> None:
    question, at = asked
    decision = decide(question, at)
    assert decision.allowed == (decision.next_at == at)
    assert decision.next_at is None or decide(question, decision.next_at).allowed
    span = 14 * DAY if decision.next_at is None else decision.next_at - at
    # Everything that changes the answer lies on a quarter of an hour.
    steps = range(span // QUARTER)
    for step in {*steps[:: 1 + len(steps) // 10], *steps[-2:]}:
        assert not decide(question, at + step * QUARTER).allowed


@pytest.mark.parametrize(
    ("zone", "at", "free_at"),
    [
        # Over midnight, in the customer's zone.
        ("Asia/Shanghai", "2026-03-02T14:30:00+00:00", "2026-03-03T00:00:00+00:00"),
        # The night in which the clock is put forward is an hour shorter, the one in autumn an hour longer.
        ("Europe/Berlin", "2026-03-28T20:00:00+00:00", "2026-03-29T06:00:00+00:00"),
        ("Europe/Berlin", "2026-10-24T19:00:00+00:00", "2026-10-25T07:00:00+00:00"),
    ],
)
def test_a_night_ends_when_the_customers_clock_says_so(zone: str, at: str, free_at: str) -> None:
    decision = decide(ask(policy(quiet=[NIGHT]), said(zone=zone)), datetime.fromisoformat(at))
    assert [refusal.reason for refusal in decision.refusals] == [Reason.QUIET_HOURS]
    assert decision.next_at == datetime.fromisoformat(free_at)


def test_an_end_that_the_clock_shows_twice_is_the_second_one() -> None:
    window = QuietWindow(days=[7], start="01:00", end="02:30")
    asked = ask(policy(quiet=[window]), said(zone="Europe/Berlin"))
    decision = decide(asked, datetime(2026, 10, 25, 0, 45, tzinfo=UTC))
    assert decision.next_at == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


def test_who_is_never_left_alone_is_never_written_to() -> None:
    always = QuietWindow(days=[1, 2, 3, 4, 5, 6, 7], start="00:00", end="00:00")
    decision = decide(ask(policy(quiet=[always])), NOON)
    assert (decision.allowed, decision.next_at) == (False, None)


def test_marketing_needs_a_yes_and_a_greeting_only_no_no() -> None:
    def reasons(purpose: str, *consents: Consent) -> list[Reason]:
        told = [each.model_copy(update={"purpose": purpose}) for each in consents]
        question = Question(INITIAL_POLICY, said(*told), [], purpose, "email")
        return [refusal.reason for refusal in decide(question, NOON).refusals]

    yes, no = consent("granted", NOON - DAY), consent("denied", NOON - DAY)
    assert reasons("marketing") == [Reason.CONSENT_MISSING]
    assert reasons("marketing", yes) == []
    assert reasons("marketing", no) == [Reason.CONSENT_DENIED]
    assert reasons("greeting") == []
    assert reasons("greeting", no) == [Reason.CONSENT_DENIED]
    assert reasons("service", no) == []
    assert reasons("horoscope", yes) == [Reason.PURPOSE_UNKNOWN]


def test_every_reason_is_given_not_only_the_first() -> None:
    cap = FrequencyCap(limit=1, hours=48)
    sent = [Sent("survey", "sms", NOON - timedelta(hours=40))]
    quiet = QuietWindow(days=[1], start="11:00", end="13:00")
    rules = policy(ConsentNeeded.OPT_OUT, quiet=[quiet], caps=[cap])
    decision = decide(ask(rules, said(consent("denied", NOON - DAY, NOON + DAY)), sent), NOON)
    assert [(refusal.reason, refusal.until) for refusal in decision.refusals] == [
        (Reason.CONSENT_DENIED, NOON + DAY),
        (Reason.QUIET_HOURS, NOON + timedelta(hours=1)),
        (Reason.FREQUENCY_CAP, NOON + timedelta(hours=8)),
    ]
    assert decision.refusals[2].counted == 1
    assert decision.next_at == NOON + DAY


def test_what_belongs_to_an_order_neither_counts_nor_is_counted() -> None:
    cap = FrequencyCap(limit=1, hours=48)
    rules = policy(caps=[cap])
    assert decide(ask(rules, sent=[Sent("service", "email", NOON - QUARTER)]), NOON).allowed
    receipt = Question(rules, Permission(), [Sent("survey", "email", NOON - QUARTER)], "service", "email")
    assert decide(receipt, NOON).allowed


@given(st.permutations([0, 1, 2]), st.sampled_from((0, 1)))
def test_of_what_several_ids_brought_the_newest_counts_and_of_equals_the_stricter(
    order: list[int], tie: int
) -> None:
    states = [
        PermissionState(consents=[consent("granted", NOON - 2 * DAY)], caps_at=NOON - DAY),
        PermissionState(
            consents=[consent("denied", NOON - DAY)],
            quiet_hours=[NIGHT],
            quiet_hours_at=NOON - 2 * DAY,
            caps=[FrequencyCap(limit=1, hours=1)],
            caps_at=NOON - 2 * DAY,
        ),
        PermissionState(consents=[consent("granted", NOON - (1 + tie) * DAY)]),
    ]
    permission = combined([states[index] for index in order], None)
    assert permission.consents["marketing", "email"].state is ConsentState.DENIED
    assert permission.quiet_hours == [NIGHT]
    assert permission.caps == [], "to have none is newer"
