"""Cases: a submission beside the customer about whom it is, and which of its answers may go on file."""

from collections.abc import Collection
from dataclasses import dataclass, field

from pydantic import JsonValue

from crm_profiles.activity.timeline import Entry
from crm_profiles.customers import attributes
from crm_profiles.customers.attributes import Declared
from crm_profiles.customers.contact_points import Owner, Point
from crm_profiles.customers.drafts import Draft
from crm_profiles.errors import NoLunarDate
from crm_profiles.forms import questions, submissions
from crm_profiles.models.forms import FormSubmission
from crm_profiles.models.timeline import EntryType
from crm_profiles.schemas.forms import (
    AnswerTarget,
    AttributeTarget,
    ConsentTarget,
    ContactPointTarget,
    FormField,
    FormIn,
    Member,
    MemberTarget,
    PreferenceTarget,
)
from crm_shared.database import Json

SAID = (PreferenceTarget, ConsentTarget)
"""What customers say, each with a history of its own; everything else that is told is written at once."""


@dataclass
class Case:
    """A submission with its form; what differs from what is on file comes to be `suggested`."""

    submission: FormSubmission
    form: FormIn
    suggested: list[FormField] = field(default_factory=list)

    @property
    def fields(self) -> list[FormField]:
        return questions.answered(self.form, self.submission.answers)

    @property
    def written(self) -> list[FormField]:
        """Those that tell of members, attributes and contact points."""
        return [each for each in self.fields if not isinstance(each.target, (*SAID, AnswerTarget))]

    @property
    def said(self) -> list[FormField]:
        """Preferences and consents; who has not ticked a box has said nothing."""
        said = [each for each in self.fields if isinstance(each.target, SAID)]
        return [each for each in said if self.answer(each) is not False]

    @property
    def points(self) -> dict[str, Point]:
        return questions.points(self.form, self.submission.answers)

    @property
    def attribute_keys(self) -> list[str]:
        return [each.target.attribute for each in self.fields if isinstance(each.target, AttributeTarget)]

    @property
    def source(self) -> str:
        """As the histories of customers have it."""
        return submissions.source_of(self.submission.form_key)

    @property
    def suggestions(self) -> Json:
        return {each.key: self.answer(each) for each in self.suggested}

    @property
    def introduces(self) -> bool:
        """Whether it says enough to make somebody known."""
        members = [each.target.member for each in self.fields if isinstance(each.target, MemberTarget)]
        return Member.NAME in members and bool(self.points)

    def answer(self, asked: FormField) -> JsonValue:
        found: JsonValue = self.submission.answers[asked.key]
        return found

    def write(self, draft: Draft, fields: Collection[FormField], declared: Declared) -> None:
        """Let the customer have what these fields tell; raises InvalidAttributes, NoLunarDate."""
        body = questions.patch(
            fields, self.submission.answers, source=self.source, channel=self.submission.channel
        )
        draft.apply(body, source=body.source, declared=declared)
        told = {self.points[each.key] for each in fields if isinstance(each.target, ContactPointTarget)}
        draft.points |= told

    def fill_in(self, draft: Draft, declared: Declared) -> None:
        """Let the customer have what they lack; somebody new has nothing yet."""
        filling = []
        for each in self.written:
            there = self._on_file(each, draft)
            if there is None and self._fits(each, declared):
                filling.append(each)
            elif there != self.answer(each) and str(there) != str(self.answer(each)):
                self.suggested.append(each)
        try:
            self.write(draft, filling, declared)
        except NoLunarDate:  # they keep a lunar birthday, and that calendar does not know the year
            born = [each for each in filling if _tells(each, Member.BIRTH_DATE)]
            self.suggested += born
            self.write(draft, [each for each in filling if each not in born], declared)

    def _on_file(self, asked: FormField, draft: Draft) -> JsonValue:
        """How they are reached is never filled in by who only says that they are that person."""
        if not isinstance(asked.target, ContactPointTarget):
            return questions.on_file(asked, draft.before)
        if self.points[asked.key] in draft.held.points:
            return self.answer(asked)
        return None if draft.version == 0 else ""

    def _fits(self, asked: FormField, declared: Declared) -> bool:
        """Attributes may have been declared otherwise since the form was defined."""
        if not isinstance(asked.target, AttributeTarget):
            return True
        return attributes.fits(declared, asked.target.attribute, self.answer(asked))

    def entry(self, owner: Owner) -> Entry:
        """What the timeline tells: the form, and the answers that do not say how to reach them."""
        submission = self.submission
        title = f"{submission.channel.capitalize()}: {self.form.title.text}"
        data: Json = {
            "form_key": submission.form_key,
            "form_version": submission.form_version,
            "channel": submission.channel,
            "answers": questions.free(self.form, submission.answers),
        }
        return Entry(submission.id, owner, EntryType.FORM_SUBMITTED, submission.received_at, title, data)


def _tells(asked: FormField, member: Member) -> bool:
    return isinstance(asked.target, MemberTarget) and asked.target.member is member
