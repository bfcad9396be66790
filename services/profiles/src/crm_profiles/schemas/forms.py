"""Forms as managers define them and as the public sees them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from crm_profiles.fields import Region
from crm_profiles.models.customers import Channel, ContactKind
from crm_profiles.schemas.attributes import AttributeKey
from crm_profiles.schemas.base import Body
from crm_profiles.schemas.preferences import Topic
from crm_shared.contracts.permissions import Purpose
from crm_shared.fields import VISIBLE, Whole, legible, legible_lines
from crm_shared.permissions import ContactChannel

MAX_ANSWER = 10_000
MAX_FIELDS = 50
MAX_DIFFICULTY = 22

FormKey = Annotated[str, StringConstraints(max_length=50, pattern="^[a-z0-9][a-z0-9-]*$")]
FieldKey = Annotated[str, StringConstraints(max_length=64, pattern="^[a-z][a-z0-9_]*$")]
Words = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=1000, pattern=VISIBLE), legible_lines
]
ChoiceValue = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=100, pattern=VISIBLE), legible
]

FormChannel: TypeAlias = Literal[
    Channel.FORM, Channel.REGISTRATION, Channel.QUESTIONNAIRE, Channel.INTERVIEW, Channel.SOCIAL
]

_SIGN_UP: dict[str, JsonValue] = {
    "title": {"en": "Join us", "es": "Únase", "zh": "加入我们"},
    "channel": "registration",
    "fields": [
        {
            "key": "name",
            "type": "text",
            "label": {"en": "Your name", "es": "Su nombre", "zh": "您的姓名"},
            "required": True,
            "target": {"kind": "member", "member": "name"},
        },
        {
            "key": "email",
            "type": "email",
            "label": {"en": "E-mail", "es": "Correo electrónico", "zh": "电子邮箱"},
            "required": True,
            "target": {"kind": "contact_point", "contact": "email"},
        },
        {
            "key": "visits",
            "type": "choice",
            "label": {"en": "How often do you visit?"},
            "choices": [
                {"value": "weekly", "label": {"en": "Every week"}},
                {"value": "rarely", "label": {"en": "Less often"}},
            ],
        },
        {
            "key": "news",
            "type": "boolean",
            "label": {"en": "Send me news by e-mail"},
            "target": {"kind": "consent", "purpose": "marketing", "channel": "email"},
        },
    ],
    "thanks": {"en": "Thank you. We will be in touch.", "es": "Gracias.", "zh": "谢谢！"},
}


class FieldType(StrEnum):
    """How a question is answered."""

    TEXT = "text"
    LONG_TEXT = "long_text"
    EMAIL = "email"
    PHONE = "phone"
    NUMBER = "number"
    DATE = "date"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    CHOICES = "choices"


class Member(StrEnum):
    """The members of a customer that a field can tell."""

    NAME = "name"
    LANGUAGE = "language"
    TIME_ZONE = "time_zone"
    REGION = "region"
    GENDER = "gender"
    OCCUPATION = "occupation"
    BIRTH_DATE = "birth_date"
    DISTRICT = "address.district"
    CITY = "address.city"
    PROVINCE = "address.province"
    POSTAL_CODE = "address.postal_code"
    COUNTRY = "address.country"


class AnswerTarget(Body):
    """It is kept with the submission only."""

    kind: Literal["answer"] = "answer"


class MemberTarget(Body):
    """It is a member of the customer, and takes the values that this member has."""

    kind: Literal["member"]
    member: Member


class ContactPointTarget(Body):
    """By it the customer is reached, and known again."""

    kind: Literal["contact_point"]
    contact: ContactKind


class AttributeTarget(Body):
    """It is a custom attribute of the customer, and of its type."""

    kind: Literal["attribute"]
    attribute: AttributeKey


class PreferenceTarget(Body):
    """The customer states a preference."""

    kind: Literal["preference"]
    topic: Topic


class ConsentTarget(Body):
    """Who ticks it agrees to be written to; who does not has said nothing."""

    kind: Literal["consent"]
    purpose: Purpose
    channel: ContactChannel


Target = Annotated[
    AnswerTarget | MemberTarget | ContactPointTarget | AttributeTarget | PreferenceTarget | ConsentTarget,
    Field(discriminator="kind"),
]


class Texts(Body):
    """The same in each language; who reads another one gets the first that is there, as listed here."""

    en: Words | None = None
    es: Words | None = None
    zh: Words | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Texts":
        if not self.languages:
            raise PydanticCustomError("texts_empty", "Say it in one language at least")
        return self

    @property
    def languages(self) -> list[str]:
        """In which it is said, in the order in which they stand in for each other."""
        return [language for language in type(self).model_fields if getattr(self, language) is not None]

    def in_(self, language: str) -> str:
        """What is said in the language, or in the one that stands in for it."""
        spoken = language if language in self.languages else self.languages[0]
        said: str = getattr(self, spoken)
        return said

    @property
    def text(self) -> str:
        """In the first language that there is."""
        return self.in_(self.languages[0])


class FormChoice(Body):
    """One of the answers that can be chosen."""

    value: ChoiceValue
    label: Texts


class FormField(Body):
    """One question."""

    key: FieldKey
    type: FieldType
    label: Texts
    help: Texts | None = None
    required: StrictBool = Field(default=False, description="a boolean that is required must be true")
    max_length: Whole | None = Field(
        default=None, ge=1, le=MAX_ANSWER, description="of a text; 200 if absent, 2000 of a long one"
    )
    choices: list[FormChoice] = Field(default_factory=list, max_length=100, validate_default=True)
    target: Target = Field(default_factory=AnswerTarget, description="what becomes of the answer")

    @model_validator(mode="after")
    def _fits_together(self) -> "FormField":
        chosen_from = self.type in (FieldType.CHOICE, FieldType.CHOICES)
        values = {choice.value for choice in self.choices}
        if chosen_from != bool(values) or len(values) < len(self.choices):
            raise PydanticCustomError(
                "choices_misplaced", "Types choice and choices need choices, each once; the others have none"
            )
        if self.max_length is not None and self.type not in (FieldType.TEXT, FieldType.LONG_TEXT):
            raise PydanticCustomError("max_length_misplaced", "Only texts have a max_length")
        if self.type not in types_of(self.target):
            fitting = ", ".join(sorted(types_of(self.target)))
            raise PydanticCustomError(
                "type_misplaced", "With this target the type is one of: {fitting}", {"fitting": fitting}
            )
        return self


_TEXT = {FieldType.TEXT, FieldType.CHOICE}
_MEMBER_TYPES: dict[Member, set[FieldType]] = {
    Member.NAME: {FieldType.TEXT},
    Member.GENDER: {FieldType.CHOICE},
    Member.BIRTH_DATE: {FieldType.DATE},
}
_POINT_TYPES = {
    ContactKind.PHONE: {FieldType.PHONE},
    ContactKind.EMAIL: {FieldType.EMAIL},
    ContactKind.SOCIAL: {FieldType.TEXT},
}


def types_of(target: Target) -> set[FieldType]:
    """Of which type a field with this target can be; an attribute's declaration says more."""
    match target:
        case MemberTarget(member=member):
            return _MEMBER_TYPES.get(member, _TEXT)
        case ContactPointTarget(contact=contact):
            return _POINT_TYPES[contact]
        case PreferenceTarget():
            return _TEXT
        case ConsentTarget():
            return {FieldType.BOOLEAN}
        case _:
            return set(FieldType)


class FormIn(Body):
    """A form as a whole."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SIGN_UP]})

    title: Texts
    description: Texts | None = None
    channel: FormChannel = Field(description="how what is told by it came to be known")
    fields: list[FormField] = Field(min_length=1, max_length=MAX_FIELDS)
    thanks: Texts = Field(description="shown to who has answered")
    region: Region | None = Field(
        default=None, description="ISO 3166-1; phone numbers without country code are read as of here"
    )
    open: StrictBool = Field(default=True, description="whether it takes answers from everybody")
    difficulty: Whole = Field(
        default=12,
        ge=0,
        le=MAX_DIFFICULTY,
        description="zero bits that a proof of work must have, each twice the work; 0: no proof is asked for",
    )
    max_per_minute: Whole = Field(
        default=120, ge=1, le=6000, description="submissions of everybody together; more are refused with 429"
    )

    @field_validator("fields")
    @classmethod
    def differ(cls, fields: list[FormField]) -> list[FormField]:
        """No two have one key, and no two tell the same of a customer."""
        keys = [field.key for field in fields]
        targets = [str(field.target) for field in fields if not isinstance(field.target, AnswerTarget)]
        if len(set(keys)) < len(keys) or len(set(targets)) < len(targets):
            raise PydanticCustomError("fields_repeated", "Each key and each target can be used once")
        return fields


class FormOut(FormIn):
    """A form as it is defined."""

    model_config = ConfigDict(extra="ignore")

    key: str = Field(max_length=50)
    version: int
    created_at: datetime = Field(description="of this version")
    created_by: str = Field(max_length=255)


class ShownChoice(BaseModel):
    """One of the answers that can be chosen."""

    value: str = Field(max_length=100)
    label: str = Field(max_length=1000)


class ShownField(BaseModel):
    """One question, in one language."""

    key: str = Field(max_length=64)
    type: FieldType
    label: str = Field(max_length=1000)
    help: str | None = Field(max_length=1000)
    required: bool
    max_length: int | None = Field(description="of a text")
    choices: list[ShownChoice]


class ChallengeOut(BaseModel):
    """Work that is easy to check and that programs would have to do for each submission.

    Find any text `proof` for which SHA-256 of `token`, a dot and `proof`, in UTF-8, begins with `difficulty`
    zero bits, such as by counting up from 0. A challenge is good for one submission.
    """

    token: str = Field(max_length=1000)
    algorithm: Literal["sha-256"] = "sha-256"
    difficulty: int
    expires_at: datetime


class ShownFormOut(BaseModel):
    """A form as everybody sees it, in one language."""

    key: str = Field(max_length=50)
    version: int
    language: str = Field(max_length=10)
    title: str = Field(max_length=1000)
    description: str | None = Field(max_length=1000)
    open: bool
    fields: list[ShownField]
    challenge: ChallengeOut | None = Field(description="null: send no proof")
