"""The rule of the life cycle: what a customer did and when, in; the stages they went through and why, out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID


class Stage(StrEnum):
    """How far the company and a customer have come with each other."""

    AWARENESS = "awareness"
    INTERACTION = "interaction"
    TRANSACTION = "transaction"
    MAINTENANCE = "maintenance"
    EXIT = "exit"
    REACTIVATION = "reactivation"


PATH = (Stage.AWARENESS, Stage.INTERACTION, Stage.TRANSACTION, Stage.MAINTENANCE)
"""The way of a customer who stays; who is further has been everywhere before, even if only for an instant."""

SILENCE = "silence"
"""The reason of an exit that nobody stated."""


class Act(StrEnum):
    """What can move a customer to another stage."""

    BECAME_KNOWN = "became_known"
    INTERACTED = "interacted"
    PURCHASED = "purchased"
    LEFT = "left"


@dataclass(frozen=True)
class Fact:
    """One act of a customer; `ref` is the entry of the timeline that tells of it."""

    act: Act
    at: datetime
    ref: UUID | None = None
    reason: str | None = None
    """Why somebody left."""


@dataclass(frozen=True)
class Policy:
    """After how long a silence somebody in a stage counts as gone."""

    version: int
    silence: Mapping[Stage, timedelta]


@dataclass(frozen=True)
class Spell:
    """A stay in one stage, which lasts until the next begins."""

    stage: Stage
    since: datetime
    reason: str
    """A code: the act, `silence`, or the reason stated for leaving."""
    explanation: str
    ref: UUID | None = None


@dataclass
class _Course:
    """A customer's way so far."""

    policy: Policy
    spells: list[Spell]
    purchases: int = 0
    heard_of_at: datetime | None = None

    @property
    def stage(self) -> Stage | None:
        return self.spells[-1].stage if self.spells else None

    @property
    def silent_at(self) -> datetime | None:
        """When they will have been silent for too long; None: they are gone, or not there yet."""
        if self.stage is None or self.stage is Stage.EXIT or self.heard_of_at is None:
            return None
        return self.heard_of_at + self.policy.silence[self.stage]

    def wait_until(self, instant: datetime) -> None:
        """Let time pass: who says nothing for too long is gone."""
        end = self.silent_at
        if end is not None and end <= instant and self.stage is not None:
            days = self.policy.silence[self.stage].days
            words = f"Nothing was heard for {days} days, the limit for {self.stage}."
            self._enter(Stage.EXIT, end, SILENCE, words)

    def take(self, fact: Fact) -> None:
        if fact.act is Act.BECAME_KNOWN and self.spells:
            return  # being put on file is no sign of life from somebody who was heard of before
        self.wait_until(fact.at)
        if not self.spells:
            self._enter(Stage.AWARENESS, fact.at, fact.act, "The first that is known of them.", fact.ref)
        if fact.act is Act.LEFT:
            if self.stage is not Stage.EXIT:
                words = f"They said that they leave: {fact.reason}."
                self._enter(Stage.EXIT, fact.at, fact.reason or fact.act, words, fact.ref)
            return
        self.heard_of_at = fact.at
        self.purchases += fact.act is Act.PURCHASED
        following, words = self._following(fact.act)
        if following is not self.stage:
            self._enter(following, fact.at, fact.act, words, fact.ref)

    def _following(self, act: Act) -> tuple[Stage, str]:
        stage = self.spells[-1].stage
        if act is Act.BECAME_KNOWN:
            return stage, ""
        if stage is Stage.EXIT:
            return Stage.REACTIVATION, f"They {act} again after they had left."
        if act is Act.PURCHASED and self.purchases > 1:
            return Stage.MAINTENANCE, f"Purchase number {self.purchases}."
        if act is Act.PURCHASED:
            return Stage.TRANSACTION, "The first purchase."
        if stage is Stage.AWARENESS:
            return Stage.INTERACTION, "The first time that they turned to us."
        return stage, ""

    def _enter(
        self, stage: Stage, since: datetime, reason: str, explanation: str, ref: UUID | None = None
    ) -> None:
        self.spells.append(Spell(stage, since, reason, explanation, ref))


@dataclass(frozen=True)
class Standing:
    """All stages that somebody was in, and when time alone changes the last; None: it does not."""

    spells: tuple[Spell, ...]
    silent_at: datetime | None


def replay(facts: Iterable[Fact], policy: Policy, *, until: datetime) -> Standing:
    """The stages to which these facts, oldest first, lead by the policy, as seen at an instant.

    Business time counts: an old purchase that is told of late stands where it belongs. What was told of
    beforehand (a fact after `until`) does not count yet, and `silent_at` is then the instant to look again.
    """
    course = _Course(policy, [])
    for fact in facts:
        if fact.at > until:
            course.wait_until(until)
            ahead = [instant for instant in (fact.at, course.silent_at) if instant is not None]
            return Standing(tuple(course.spells), min(ahead))
        course.take(fact)
    course.wait_until(until)
    return Standing(tuple(course.spells), course.silent_at)
