"""How likely two customers are one person, and by which keys such pairs are found: plain values.

Record linkage after Fellegi and Sunter: each thing in which two records agree or differ has a weight in
bits, the binary logarithm of how much likelier it is for one person than for two. Weights add up with the
prior; the sum as a probability is the score.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from hashlib import sha256
from unicodedata import combining, normalize

from crm_profiles.models.customers import ContactKind
from crm_profiles.models.duplicates import KeyKind

PRIOR = -9
"""Of two customers who share a key, about one pair in five hundred is one person."""
THRESHOLD = 0.5
"""Pairs below are not worth anybody's look."""
NEAR = 0.5
"""Names of this trigram similarity are near."""

_SHORTEST_EXTERNAL_ID = 6
_SHORTEST_EMAIL_NAME = 5
_SHARED_MAILBOXES = {"contact", "hello", "support", "service", "office", "mailbox", "webmaster", "noreply"}
_NOT_IN_NAMES = re.compile(r"[\W_]+")
_NOT_IN_EMAILS = re.compile(r"[._-]+")


class ReasonKind(StrEnum):
    """In what two customers agree, or differ."""

    SAME_CONTACT_POINT = "same_contact_point"
    SAME_EMAIL_NAME = "same_email_name"
    SAME_EXTERNAL_ID = "same_external_id"
    SAME_NAME = "same_name"
    NEAR_NAME = "near_name"
    SAME_BIRTH_DATE = "same_birth_date"
    OTHER_BIRTH_DATE = "other_birth_date"


WEIGHTS: Mapping[ReasonKind, int] = {
    ReasonKind.SAME_CONTACT_POINT: 9,
    ReasonKind.SAME_EMAIL_NAME: 5,
    ReasonKind.SAME_EXTERNAL_ID: 7,
    ReasonKind.SAME_NAME: 5,
    ReasonKind.NEAR_NAME: 3,
    ReasonKind.SAME_BIRTH_DATE: 7,
    ReasonKind.OTHER_BIRTH_DATE: -6,
}
_OF_KEYS = {
    KeyKind.CONTACT_POINT: ReasonKind.SAME_CONTACT_POINT,
    KeyKind.EMAIL_NAME: ReasonKind.SAME_EMAIL_NAME,
    KeyKind.EXTERNAL_ID: ReasonKind.SAME_EXTERNAL_ID,
}


@dataclass(frozen=True, order=True)
class MatchKey:
    """One of the things that lead from a customer to those who may be the same person."""

    kind: KeyKind
    value: str
    former: bool = False


@dataclass(frozen=True)
class Reason:
    """Why two customers may be one person, or why not; `weight` is in bits."""

    reason: ReasonKind
    weight: int
    evidence: str


@dataclass(frozen=True)
class Person:
    """What is compared of a customer."""

    name: str
    birth_date: date | None


def fold(name: str) -> str:
    """The words of a name without case, width, accents and order."""
    bare = "".join(letter for letter in normalize("NFKD", name.casefold()) if not combining(letter))
    return " ".join(sorted(_NOT_IN_NAMES.sub(" ", bare).split()))


def keys_of(
    person: Person,
    *,
    points: Iterable[tuple[str, str]],
    former: Iterable[tuple[str, str]],
    external_ids: Iterable[str],
) -> set[MatchKey]:
    """All keys of a customer; contact points are told by kind and normalised value."""
    keys: dict[tuple[KeyKind, str], bool] = {}
    for was, (kind, value) in [(True, point) for point in former] + [(False, point) for point in points]:
        keys[KeyKind.CONTACT_POINT, f"{kind}:{value}"] = was
        if kind == ContactKind.EMAIL and (name := _email_name(value)):
            keys[KeyKind.EMAIL_NAME, name] = was
    for external_id in external_ids:
        if len(external_id) >= _SHORTEST_EXTERNAL_ID:
            keys[KeyKind.EXTERNAL_ID, external_id] = False
    folded = fold(person.name)
    if person.birth_date is not None and folded:
        keys[KeyKind.NAME_AND_BIRTH, f"{person.birth_date} {folded}"] = False
        keys[KeyKind.BIRTH, f"{person.birth_date} {folded[0]}"] = False
    return {MatchKey(kind, value, was) for (kind, value), was in keys.items()}


def _email_name(value: str) -> str | None:
    """What comes before the @, without dots and without what some append to it."""
    name = _NOT_IN_EMAILS.sub("", value.rpartition("@")[0].partition("+")[0])
    return name if len(name) >= _SHORTEST_EMAIL_NAME and name not in _SHARED_MAILBOXES else None


def reasons(one: Person, other: Person, shared: Iterable[MatchKey], similarity: float) -> list[Reason]:
    """All that speaks for and against two customers being one person, the weightiest first.

    Two e-mail addresses that are equal agree in their names, too: that counts once.
    """
    found: dict[ReasonKind, str] = {}
    for key in sorted(shared):
        if key.kind in _OF_KEYS:
            found.setdefault(_OF_KEYS[key.kind], key.value)
    if found.get(ReasonKind.SAME_CONTACT_POINT, "").startswith(f"{ContactKind.EMAIL}:"):
        found.pop(ReasonKind.SAME_EMAIL_NAME, None)
    if fold(one.name) == fold(other.name):
        found[ReasonKind.SAME_NAME] = one.name
    elif similarity >= NEAR:
        found[ReasonKind.NEAR_NAME] = f"{one.name} ~ {other.name}"
    if one.birth_date is not None and other.birth_date is not None:
        same = one.birth_date == other.birth_date
        kind = ReasonKind.SAME_BIRTH_DATE if same else ReasonKind.OTHER_BIRTH_DATE
        found[kind] = str(one.birth_date) if same else f"{one.birth_date} / {other.birth_date}"
    weighed = [Reason(kind, WEIGHTS[kind], evidence) for kind, evidence in found.items()]
    return sorted(weighed, key=lambda reason: (-reason.weight, reason.reason))


def score(found: Iterable[Reason]) -> float:
    """The probability, from 0 to 1, that they are one person."""
    bits = PRIOR + sum(reason.weight for reason in found)
    return round(1 / (1 + 2.0**-bits), 4)


def digest(found: Iterable[Reason]) -> bytes:
    """Of the facts on which the reasons rest."""
    return sha256(repr([(reason.reason.value, reason.evidence) for reason in found]).encode()).digest()
