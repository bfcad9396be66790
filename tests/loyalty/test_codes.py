"""Coupon codes: nobody guesses one, and no slip of the hand makes another one of it."""

import math
from uuid import UUID

from hypothesis import assume, given
from hypothesis import strategies as st

from crm_loyalty.rules.codes import ALPHABET, LENGTH, code_of, digest, normal, shown
from crm_shared.ids import uuid7

KEY = b"a key that nobody else has"

codes = st.uuids().map(lambda id: code_of(KEY, id))
places = st.integers(0, LENGTH - 1)


def test_a_code_holds_eighty_bits_and_no_signs_that_look_alike() -> None:
    assert math.log2(len(ALPHABET)) * (LENGTH - 1) >= 80
    assert not set("01ILO") & set(ALPHABET)
    assert len({code_of(KEY, uuid7()) for _ in range(10_000)}) == 10_000


@given(codes)
def test_a_code_is_read_however_it_is_written(code: str) -> None:
    assert normal(code) == normal(shown(code)) == normal(f" {shown(code).lower()} ") == code
    assert len(digest(code)) == 32


@given(codes, places, st.sampled_from(ALPHABET))
def test_one_wrong_sign_is_always_noticed(code: str, place: int, sign: str) -> None:
    assume(code[place] != sign)
    assert normal(code[:place] + sign + code[place + 1 :]) is None


@given(codes, st.integers(0, LENGTH - 3), st.sampled_from([1, 2]))
def test_two_signs_that_changed_places_are_always_noticed(code: str, place: int, apart: int) -> None:
    signs = list(code)
    signs[place], signs[place + apart] = signs[place + apart], signs[place]
    assume("".join(signs) != code)
    assert normal("".join(signs)) is None


@given(codes, places)
def test_a_missing_sign_is_always_noticed(code: str, place: int) -> None:
    assert normal(code[:place] + code[place + 1 :]) is None


@given(st.text(max_size=40))
def test_whatever_else_is_typed_is_no_code(text: str) -> None:
    assume(not set(text.upper()) <= {*ALPHABET, "-", " "})
    assert normal(text) is None


def test_another_key_makes_other_codes() -> None:
    id = UUID(int=7)
    assert code_of(KEY, id) == code_of(KEY, id) != code_of(b"another key", id)
