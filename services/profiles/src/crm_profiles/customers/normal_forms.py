"""Contact points that are in their normal form already, or almost: known without the libraries' long way.

None says nothing: then the libraries decide. What is answered here is exactly what they would answer.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from email_validator import EmailNotValidError, validate_email
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

_E164 = re.compile(r"\+([1-9][0-9]{6,14})", re.ASCII)
_ADDRESS = re.compile(r"([A-Za-z0-9_]+(?:[.+-][A-Za-z0-9_]+)*)@([A-Za-z0-9.-]+)", re.ASCII)
_LONGEST_LOCAL = 64
_LONGEST_ADDRESS = 254


class _Plan(NamedTuple):
    """What of a country's numbering plan decides whether a number stands for itself."""

    trunk: re.Pattern[str] | None
    lengths: frozenset[int]


def phone(value: str) -> str | None:
    """The number, when it is E.164 with nothing in it that reading would take away."""
    match = _E164.fullmatch(value)
    if match is None:
        return None
    digits = match[1]
    for length in (1, 2, 3):
        code = int(digits[:length])
        if code in COUNTRY_CODE_TO_REGION_CODE:
            number, plan = digits[length:], _plan(code)
            stands = number[:1] != "0" and len(number) in plan.lengths
            return value if stands and not (plan.trunk and plan.trunk.match(number)) else None
    return None


@lru_cache(maxsize=300)
def _plan(code: int) -> _Plan:
    region = COUNTRY_CODE_TO_REGION_CODE[code][0]
    if region == "001":
        metadata = PhoneMetadata.metadata_for_nongeo_region(code)
    else:
        metadata = PhoneMetadata.metadata_for_region(region)
    if metadata is None or metadata.general_desc is None:
        return _Plan(None, frozenset())
    trunk = metadata.national_prefix_for_parsing
    return _Plan(re.compile(trunk) if trunk else None, frozenset(metadata.general_desc.possible_length))


def email(value: str) -> str | None:
    """The address, case-folded, when its local part is of plain letters and its domain is a good one."""
    match = _ADDRESS.fullmatch(value)
    if match is None or len(match[1]) > _LONGEST_LOCAL:
        return None
    domain = _domain(match[2])
    if domain is None or len(match[1]) + 1 + len(domain) > _LONGEST_ADDRESS:
        return None
    return f"{match[1]}@{domain}".casefold()


@lru_cache(maxsize=10_000)
def _domain(domain: str) -> str | None:
    """Its normal form; few domains have most addresses."""
    try:
        return validate_email(f"a@{domain}", check_deliverability=False).domain
    except EmailNotValidError:
        return None
