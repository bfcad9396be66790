"""One way of writing for each contact point: the normal form of a normal form is itself."""

import sys

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_profiles.customers.contact_points import Point, normalise
from crm_profiles.errors import InvalidContactPoint
from crm_profiles.models.customers import ContactKind

REGIONS = st.sampled_from([None, *sorted(phonenumbers.SUPPORTED_REGIONS)])
DIGITS = st.text("0123456789+-() ", min_size=5, max_size=20)


def _national(region: str) -> tuple[str, str]:
    number = phonenumbers.example_number(region)
    assert number is not None
    return region, phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)


VALID = st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)).map(_national)
EMAILS = st.one_of(
    st.emails(),
    st.builds(lambda name: f"{name}@Straße.Example", st.text(min_size=1, max_size=20)),
)


def normal(kind: ContactKind, value: str, region: str | None) -> Point | None:
    try:
        return normalise(kind, value, region)
    except InvalidContactPoint:
        return None


def assert_stays(point: Point | None, region: str | None) -> None:
    if point is not None:
        assert normalise(point.kind, point.value, region) == point


@given(DIGITS, REGIONS, REGIONS)
def test_a_normal_phone_number_stays_whatever_the_region_becomes(
    value: str, region: str | None, later: str | None
) -> None:
    assert_stays(normal(ContactKind.PHONE, value, region), later)


@given(VALID, REGIONS)
def test_a_national_number_has_one_normal_form(found: tuple[str, str], later: str | None) -> None:
    region, national = found
    point = normalise(ContactKind.PHONE, national, region)

    assert point.value.startswith(f"+{phonenumbers.country_code_for_region(region)}")
    assert_stays(point, later)


@given(EMAILS)
def test_a_normal_address_stays_and_case_makes_no_difference(value: str) -> None:
    point = normal(ContactKind.EMAIL, value, None)
    assert_stays(point, None)
    if point is not None and value.isascii():
        assert normal(ContactKind.EMAIL, value.swapcase(), None) == point


@given(st.text(max_size=30))
def test_a_normal_account_name_stays(value: str) -> None:
    assert_stays(normal(ContactKind.SOCIAL, value, None), None)


def test_each_character_has_one_normal_form() -> None:
    characters = (chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000)
    for character in characters:
        assert_stays(normal(ContactKind.SOCIAL, character, None), None)


def test_the_sharp_s_of_a_domain_is_not_two() -> None:
    there = normalise(ContactKind.EMAIL, "a@straße.example", None)
    assert there != normalise(ContactKind.EMAIL, "a@strasse.example", None)


@pytest.mark.parametrize("value", ["ADA@EXAMPLE.COM", "ada@Example.com"])
def test_addresses_are_told_apart_by_no_case(value: str) -> None:
    assert normalise(ContactKind.EMAIL, value, None).value == "ada@example.com"


@pytest.mark.parametrize(
    ("value", "region", "code"),
    [
        ("call me", "US", "invalid_phone"),
        ("138 1234 5678", None, "phone_without_country"),
        ("+999 123456", None, "phone_without_country"),
        ("+86 1", None, "phone_too_short"),
        ("+1 202 555 01", None, "phone_too_short"),
        ("+1 202 555 0123 4567", None, "phone_too_long"),
        ("+1234567890123456789", None, "phone_too_long"),
    ],
)
def test_what_is_no_number_says_why_in_words_of_our_own(value: str, region: str | None, code: str) -> None:
    with pytest.raises(InvalidContactPoint) as refused:
        normalise(ContactKind.PHONE, value, region)
    [fault] = refused.value.errors
    assert (fault["pointer"], fault["code"]) == ("/value", code)
    assert fault["message"] == refused.value.detail
    assert not fault["message"].startswith("(")


def test_an_account_name_of_which_nothing_can_be_seen_is_none() -> None:
    assert normalise(ContactKind.SOCIAL, "@an\u200bn", None).value == "@ann"
    with pytest.raises(InvalidContactPoint):
        normalise(ContactKind.SOCIAL, "\u200b\u202e", None)
