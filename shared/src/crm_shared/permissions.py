"""May we write to this customer now: consent, quiet hours and frequency caps as one pure rule."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

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

INITIAL_VERSION = 1
INITIAL_POLICY = ContactPolicy(
    time_zone="UTC",
    purposes={
        # What they ordered or asked for: the receipt, the answer to a ticket, points about to expire.
        "service": PurposeRule(
            consent=ConsentNeeded.NOTHING, quiet_hours=False, capped=False, attributed=False
        ),
        "marketing": PurposeRule(
            consent=ConsentNeeded.OPT_IN, quiet_hours=True, capped=True, attributed=True
        ),
        "greeting": PurposeRule(
            consent=ConsentNeeded.OPT_OUT, quiet_hours=True, capped=True, attributed=True
        ),
        "survey": PurposeRule(consent=ConsentNeeded.OPT_OUT, quiet_hours=True, capped=True, attributed=False),
        "follow_up": PurposeRule(
            consent=ConsentNeeded.OPT_OUT, quiet_hours=True, capped=True, attributed=True
        ),
    },
    quiet_hours=[QuietWindow(days=[1, 2, 3, 4, 5, 6, 7], start="21:00", end="08:00")],
    quiet_channels=["email", "phone", "push", "sms", "social"],
    caps=[FrequencyCap(purpose="marketing", limit=3, hours=168), FrequencyCap(limit=5, hours=168)],
    attribution_days=7,
)
"""The rules until the company writes its own: every service has the same without being told."""

_FOREVER = timedelta(days=15)
"""Windows repeat every week: what is quiet for longer never ends."""


class ContactChannel(StrEnum):
    """By which way a message goes to a customer."""

    EMAIL = "email"
    SMS = "sms"
    PHONE = "phone"
    SOCIAL = "social"
    LETTER = "letter"
    PUSH = "push"


class Reason(StrEnum):
    """Why nobody may write."""

    PURPOSE_UNKNOWN = "purpose_unknown"
    CONSENT_MISSING = "consent_missing"
    CONSENT_DENIED = "consent_denied"
    QUIET_HOURS = "quiet_hours"
    FREQUENCY_CAP = "frequency_cap"


@dataclass(frozen=True)
class Permission:
    """What one person has said; `time_zone` None: not known."""

    consents: Mapping[tuple[str, str], Consent] = field(default_factory=dict)
    quiet_hours: Sequence[QuietWindow] | None = None
    caps: Sequence[FrequencyCap] = ()
    time_zone: str | None = None


@dataclass(frozen=True)
class Sent:
    """A message that has gone to them, whoever sent it."""

    purpose: str
    channel: str
    sent_at: datetime


@dataclass(frozen=True)
class Refusal:
    """One reason against it; `until` is when this one ends, None: never by itself."""

    reason: Reason
    until: datetime | None
    cap: FrequencyCap | None = None
    counted: int | None = None
    """How many messages the cap has counted."""


@dataclass(frozen=True)
class Decision:
    """Whether one may write at `at`, every reason why not, and the first instant when one may."""

    at: datetime
    refusals: Sequence[Refusal]
    next_at: datetime | None
    """None: never, unless the customer says something new."""

    @property
    def allowed(self) -> bool:
        return not self.refusals


@dataclass(frozen=True)
class Question:
    """May this be written to this customer?"""

    policy: ContactPolicy
    permission: Permission
    sent: Sequence[Sent]
    purpose: str
    channel: str

    @property
    def rule(self) -> PurposeRule | None:
        return self.policy.purposes.get(self.purpose)


def combined(states: Iterable[PermissionState], time_zone: str | None) -> Permission:
    """What was said under all ids of one person: the newest counts, and of equally old ones the stricter."""
    consents: dict[tuple[str, str], Consent] = {}
    quiet_hours: tuple[datetime, Sequence[QuietWindow] | None] | None = None
    caps: tuple[datetime, Sequence[FrequencyCap]] | None = None
    for state in states:
        for consent in state.consents:
            key = consent.purpose, consent.channel
            known = consents.get(key)
            if known is None or weight(consent) > weight(known):
                consents[key] = consent
        if state.quiet_hours_at and (quiet_hours is None or state.quiet_hours_at > quiet_hours[0]):
            quiet_hours = state.quiet_hours_at, state.quiet_hours
        if state.caps_at and (caps is None or state.caps_at > caps[0]):
            caps = state.caps_at, state.caps
    return Permission(
        consents,
        quiet_hours=quiet_hours[1] if quiet_hours else None,
        caps=caps[1] if caps else (),
        time_zone=time_zone,
    )


def decide(question: Question, at: datetime) -> Decision:
    """The decision at an instant; nothing else than what is given plays a part."""
    return Decision(at, list(_refusals(question, at)), _next_at(question, at))


def _next_at(question: Question, at: datetime) -> datetime | None:
    """Each reason's end is a lower bound, so the first instant at which none is left is the earliest."""
    instant = at
    while refusals := list(_refusals(question, instant)):
        ends = [refusal.until for refusal in refusals if refusal.until is not None]
        if len(ends) < len(refusals):
            return None
        instant = max(ends)
    return instant


def _refusals(question: Question, at: datetime) -> Iterator[Refusal]:
    rule = question.rule
    if rule is None:
        yield Refusal(Reason.PURPOSE_UNKNOWN, None)
        return
    consent = question.permission.consents.get((question.purpose, question.channel))
    if refusal := consent_refusal(rule, consent, at):
        yield refusal
    if rule.quiet_hours and question.channel in question.policy.quiet_channels:
        yield from _quiet(question, at)
    if rule.capped:
        for cap in (*question.policy.caps, *question.permission.caps):
            yield from _capped(question, cap, at)


def consent_refusal(rule: PurposeRule | None, consent: Consent | None, at: datetime) -> Refusal | None:
    """What consent alone says; a purpose that the policy does not know needs a yes."""
    needed = rule.consent if rule else ConsentNeeded.OPT_IN
    if needed is ConsentNeeded.NOTHING:
        return None
    said = consent.state if consent and holds(consent, at) else None
    if needed is ConsentNeeded.OPT_OUT:
        if consent is None or said is not ConsentState.DENIED:
            return None
        return Refusal(Reason.CONSENT_DENIED, consent.until)
    if said is ConsentState.GRANTED:
        return None
    if said is ConsentState.DENIED:
        return Refusal(Reason.CONSENT_DENIED, None)
    to_come = consent and consent.state is ConsentState.GRANTED and at < consent.since
    return Refusal(Reason.CONSENT_MISSING, consent.since if consent and to_come else None)


def weight(consent: Consent) -> tuple[datetime, bool]:
    """Of statements under several ids of one person the heaviest counts."""
    return consent.since, consent.state is ConsentState.DENIED


def holds(consent: Consent, at: datetime) -> bool:
    return consent.since <= at and (consent.until is None or at < consent.until)


def _capped(question: Question, cap: FrequencyCap, at: datetime) -> Iterator[Refusal]:
    if cap.purpose not in (None, question.purpose) or cap.channel not in (None, question.channel):
        return
    period = timedelta(hours=cap.hours)
    counted = sorted(
        (
            message.sent_at
            for message in question.sent
            if message.sent_at + period > at
            and cap.purpose in (None, message.purpose)
            and cap.channel in (None, message.channel)
            and _counts(question.policy, message.purpose)
        ),
        reverse=True,
    )
    if len(counted) >= cap.limit:
        yield Refusal(Reason.FREQUENCY_CAP, counted[cap.limit - 1] + period, cap, len(counted))


def _counts(policy: ContactPolicy, purpose: str) -> bool:
    rule = policy.purposes.get(purpose)
    return rule is None or rule.capped


def _quiet(question: Question, at: datetime) -> Iterator[Refusal]:
    own = question.permission.quiet_hours
    windows = question.policy.quiet_hours if own is None else own
    zone = ZoneInfo(question.permission.time_zone or question.policy.time_zone)
    end = at
    while later := _end_of_window(windows, zone, end):
        end = later
        if end - at > _FOREVER:
            yield Refusal(Reason.QUIET_HOURS, None)
            return
    if end > at:
        yield Refusal(Reason.QUIET_HOURS, end)


def _end_of_window(windows: Sequence[QuietWindow], zone: ZoneInfo, at: datetime) -> datetime | None:
    """When the last of the windows ends in which the instant lies; None: it lies in none."""
    today = at.astimezone(zone).date()
    # A day more on either side than windows need: clocks were put forward and back by up to a whole day.
    days = [today + timedelta(days=number) for number in range(-2, 3)]
    spans = [
        _span(window, day, zone) for window in windows for day in days if day.isoweekday() in window.days
    ]
    return max((end for start, end in spans if start <= at < end), default=None)


def _span(window: QuietWindow, day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The window that begins on this day, in UTC.

    Where the clock is changed at one of its ends it is rather longer: from the earliest to the latest
    instant that the time on the clock could mean.
    """
    start, end = time.fromisoformat(window.start), time.fromisoformat(window.end)
    last = day if end > start else day + timedelta(days=1)
    return min(_instants(day, start, zone)), max(_instants(last, end, zone))


def _instants(day: date, clock: time, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """What a time on the clock can mean: two instants where the clock is changed, else twice the same."""
    local = datetime.combine(day, clock, zone)
    return local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)
