"""The short way to a normal form leads where the libraries' long one does."""

import phonenumbers
import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given, settings
from hypothesis import strategies as st
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, NumberParseException, PhoneNumberFormat
from tests.chance import examples

from crm_profiles.customers import normal_forms

CODES = st.sampled_from(sorted(COUNTRY_CODE_TO_REGION_CODE))
PLAIN = "abcXYZ019._+-"


def read_phone(value: str, region: str | None) -> str | None:
    try:
        number = phonenumbers.parse(value, region)
    except NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def read_email(value: str) -> str | None:
    try:
        name, at, domain = value.rpartition("@")
        return validate_email(f"{name.casefold()}{at}{domain}", check_deliverability=False).normalized
    except EmailNotValidError:
        return None


@settings(max_examples=examples(1000))
@given(CODES, st.text("0123456789", min_size=1, max_size=14), st.sampled_from([None, "CN", "US", "IT"]))
@example(86, "13812345678", "CN")
@example(1, "2125550100", None)
@example(39, "0612345678", None)
@example(52, "15512345678", None)
@example(86, "17951138123", None)
def test_a_number_that_stands_for_itself_is_what_the_library_reads(
    code: int, number: str, region: str | None
) -> None:
    value = f"+{code}{number}"
    short = normal_forms.phone(value)
    assert short is None or short == read_phone(value, region)


@pytest.mark.parametrize("value", ["+8613812345678", "+12125550100", "+34612345678"])
def test_usual_numbers_take_the_short_way(value: str) -> None:
    assert normal_forms.phone(value) == value


@settings(max_examples=examples(500))
@given(
    st.text(PLAIN, min_size=1, max_size=70),
    st.text("abCD01-.", min_size=1, max_size=12),
    st.sampled_from([".com", ".example", ".test", ".local", ".c", ".invalid", ".CN", "", "."]),
)
@example("Ann.Lee", "Example", ".com")
@example("a" * 64, "b" * 63 + "." + "c" * 63 + "." + "d" * 57, ".com")
def test_a_plain_address_is_what_the_library_reads(local: str, domain: str, top: str) -> None:
    value = f"{local}@{domain}{top}"
    short = normal_forms.email(value)
    assert short is None or short == read_email(value)


def test_usual_addresses_take_the_short_way() -> None:
    assert normal_forms.email("Ann.Lee+news@Example.com") == "ann.lee+news@example.com"
