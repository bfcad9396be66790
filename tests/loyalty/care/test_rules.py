"""When care is due: birthdays as keys, and the customer's clock as instants, at their edges."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from crm_loyalty.rules import care, texts
from crm_shared.contracts.calendars import BirthdayPolicy, LeapDay, LeapMonth

MADRID = ZoneInfo("Europe/Madrid")


@pytest.mark.parametrize(
    ("day", "policy", "found"),
    [
        (date(2026, 2, 28), LeapDay.FEBRUARY_28, True),
        (date(2026, 3, 1), LeapDay.FEBRUARY_28, False),
        (date(2026, 3, 1), LeapDay.MARCH_1, True),
        (date(2028, 2, 28), LeapDay.FEBRUARY_28, False),
        (date(2028, 2, 29), LeapDay.MARCH_1, True),
    ],
)
def test_who_was_born_on_29_february_has_a_birthday_every_year(
    day: date, policy: LeapDay, found: bool
) -> None:
    assert ("02-29" in care.keys_on(day, BirthdayPolicy(leap_day=policy))) is found


def test_a_birthday_in_a_leap_month_moves_to_the_regular_one_in_other_years() -> None:
    # 2025 had a leap sixth month from 25 July; 2026 has none.
    assert "l06-01+" in care.keys_on(date(2025, 7, 25), BirthdayPolicy())
    assert "l06-01+" in care.keys_on(date(2025, 6, 25), BirthdayPolicy(leap_month=LeapMonth.REGULAR))
    assert "l06-01+" in care.keys_on(date(2026, 7, 14), BirthdayPolicy())


def test_a_lunar_birthday_in_the_last_month_belongs_to_the_lunar_year() -> None:
    assert care.birthday_cycle("l12-15", date(2026, 2, 2)) == "2025"
    assert care.birthday_cycle("02-02", date(2026, 2, 2)) == "2026"


def test_a_day_begins_first_in_the_far_east_and_last_in_the_far_west() -> None:
    assert care.days_begun(datetime(2026, 3, 1, 9, 59, 59, tzinfo=UTC)) == [
        date(2026, 2, 28),
        date(2026, 3, 1),
    ]
    assert care.days_begun(datetime(2026, 3, 1, 10, tzinfo=UTC)) == [
        date(2026, 2, 28),
        date(2026, 3, 1),
        date(2026, 3, 2),
    ]


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        ("2026-03-02T07:59:59+00:00", "2026-03-02T08:00:00+00:00"),
        ("2026-03-02T08:00:00+00:00", "2026-03-02T08:00:00+00:00"),
        ("2026-03-02T18:59:59+00:00", "2026-03-02T18:59:59+00:00"),
        ("2026-03-02T19:00:00+00:00", "2026-03-03T08:00:00+00:00"),
        # The night in which the clock goes forward is an hour shorter.
        ("2026-03-28T19:00:00+00:00", "2026-03-29T07:00:00+00:00"),
    ],
)
def test_what_falls_outside_the_window_waits_for_the_next_one(at: str, opens: str) -> None:
    assert care.next_open(datetime.fromisoformat(at), "09:00", "20:00", MADRID) == datetime.fromisoformat(
        opens
    )


def test_a_window_that_opens_in_the_skipped_hour_opens_after_it() -> None:
    assert care.opens_at(date(2026, 3, 29), "02:30", MADRID) == datetime(2026, 3, 29, 1, tzinfo=UTC)


def test_care_gives_up_when_the_last_patient_day_is_over_for_the_customer() -> None:
    assert care.gives_up_at(date(2026, 3, 28), 1, MADRID) == datetime(2026, 3, 29, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    "source",
    [
        "{{ nmae }}",
        "{{ name.__class__ }}{% for x in (1..1000000) %}x{% endfor %}",
        "{% include 'secrets' %}",
        "{{ name | replace: 'a', name }}",
        "{% if name %}",
        "{{ name",
    ],
)
def test_a_text_that_cannot_be_written_is_refused(source: str) -> None:
    with pytest.raises(texts.TextInvalid):
        texts.check(source)


def test_values_are_escaped_in_html_only() -> None:
    values = {**texts.SAMPLE, "name": "<b>Al & Bo</b>"}
    assert texts.render("Hi {{ name }}", values) == "Hi <b>Al & Bo</b>"
    assert texts.render("Hi {{ name }}", values, html=True) == "Hi &lt;b&gt;Al &amp; Bo&lt;/b&gt;"
