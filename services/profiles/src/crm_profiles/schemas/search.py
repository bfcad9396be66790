"""Who was found, and why."""

from enum import StrEnum

from pydantic import BaseModel, Field

from crm_profiles.schemas.customers import ProfileOut

MAX_FOUND = 25
DEFAULT_FOUND = 10


class Member(StrEnum):
    """What of a customer matched."""

    NAME = "name"
    PHONE = "phone"
    EMAIL = "email"
    SOCIAL = "social"
    EXTERNAL_ID = "external_id"


class How(StrEnum):
    """How it matched."""

    EXACT = "exact"
    PREFIX = "prefix"
    SUFFIX = "suffix"
    WORD_PREFIX = "word_prefix"
    SUBSTRING = "substring"
    TYPO = "typo"


class MatchOut(BaseModel):
    """Why a customer was found: the best of the reasons."""

    member: Member
    how: How = Field(
        description="`exact`: all of it; `prefix`, `suffix`: its beginning or end; `word_prefix`: from one "
        "of its later words on, or Chinese, Japanese or Korean characters; `substring`: each word asked "
        "for is somewhere in it, in any order; `typo`: one letter of one word is missing, too many, another, "
        "or swapped with the next"
    )


class HitOut(BaseModel):
    """A customer who was found."""

    customer: ProfileOut
    matched: MatchOut


class FoundOut(BaseModel):
    """The likeliest first; `has_more` when others match too: ask for more of the name then."""

    items: list[HitOut]
    has_more: bool
