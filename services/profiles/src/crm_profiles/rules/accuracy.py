"""Accuracy: how complete, valid and fresh the data of a customer are; plain values in, plain values out."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

COMPLETENESS = "completeness"
VALIDITY = "validity"
FRESHNESS = "freshness"

DEFINITION = (
    "Completeness: the weights of the members that are on file / the weights of all. Validity: contact points"
    " that reach somebody, as far as one can tell (a phone number in use by its country's plan, a well-formed"
    " e-mail address, not found invalid, no message bounced since it was verified) / all contact points."
    " Freshness: contact points and address told or confirmed within their days / all of them. Score: 100"
    " times the weighted mean of the parts; a part without a denominator does not count."
)


class NextStep(StrEnum):
    """What would better the data most."""

    VERIFY_INVALID = "verify_invalid"
    ASK_FOR_MISSING = "ask_for_missing"
    VERIFY_STALE = "verify_stale"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Rules:
    """What counts how much, and after how many days something is stale."""

    version: int
    members: Mapping[str, int]
    parts: Mapping[str, int]
    stale_days: Mapping[str, int]


@dataclass(frozen=True)
class Held:
    """Something that can be verified: a contact point, or the address, whose value is empty."""

    subject: str
    value: str
    reaches: bool
    """As far as one can tell."""
    known_at: datetime
    """When it was told or last confirmed."""

    def stale_at(self, rules: Rules) -> datetime:
        return self.known_at + timedelta(days=rules.stale_days[self.subject])


@dataclass(frozen=True)
class Part:
    """One part of the score; a denominator of 0: there is nothing to judge by."""

    name: str
    weight: int
    numerator: int
    denominator: int

    @property
    def share(self) -> float | None:
        return self.numerator / self.denominator if self.denominator else None


@dataclass(frozen=True)
class Assessment:
    """The score from 0 to 100 and all that explains it."""

    score: int
    parts: Sequence[Part]
    missing: Sequence[str]
    """Members, the weightiest first."""
    invalid: Sequence[Held]
    stale: Sequence[Held]
    """The stalest first."""
    look_at: datetime | None
    """When something else becomes stale."""
    next_step: NextStep


def assess(rules: Rules, members: Collection[str], held: Sequence[Held], *, at: datetime) -> Assessment:
    """Judge a customer who has these members on file, and these things that can be verified."""
    counting = {name: weight for name, weight in rules.members.items() if weight}
    missing = sorted(counting.keys() - set(members), key=lambda name: (-counting[name], name))
    points = [each for each in held if each.subject != "address"]
    invalid = [each for each in points if not each.reaches]
    stale = sorted(
        (each for each in held if each.stale_at(rules) <= at), key=lambda each: each.stale_at(rules)
    )
    whole = sum(counting.values())
    there = whole - sum(counting[name] for name in missing)
    parts = [
        Part(COMPLETENESS, rules.parts[COMPLETENESS], there, whole),
        Part(VALIDITY, rules.parts[VALIDITY], len(points) - len(invalid), len(points)),
        Part(FRESHNESS, rules.parts[FRESHNESS], len(held) - len(stale), len(held)),
    ]
    ahead = [instant for each in held if (instant := each.stale_at(rules)) > at]
    return Assessment(
        score=_score(parts),
        parts=parts,
        missing=missing,
        invalid=invalid,
        stale=stale,
        look_at=min(ahead, default=None),
        next_step=_next_step(invalid, missing, stale),
    )


def _score(parts: Sequence[Part]) -> int:
    judged = [(part.weight, part.share) for part in parts if part.share is not None]
    weight = sum(weight for weight, _ in judged)
    return round(100 * sum(weight * share for weight, share in judged) / weight) if weight else 0


def _next_step(invalid: Sequence[Held], missing: Sequence[str], stale: Sequence[Held]) -> NextStep:
    if invalid:
        return NextStep.VERIFY_INVALID
    if stale:
        return NextStep.VERIFY_STALE
    return NextStep.ASK_FOR_MISSING if missing else NextStep.NOTHING
