"""Submissions of forms as they are sent and answered."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema
from pydantic_core import PydanticCustomError

from crm_profiles.models.customers import Channel
from crm_profiles.models.forms import SubmissionState
from crm_profiles.schemas.attributes import MAX_NUMBER
from crm_profiles.schemas.base import Body
from crm_profiles.schemas.forms import MAX_ANSWER, MAX_FIELDS, FieldKey

_MAX_CHOSEN = 100


def _bounded(value: JsonValue) -> JsonValue:
    """What can be an answer to some question; whether to this one, the form says."""
    match value:
        case list():
            fits = len(value) <= _MAX_CHOSEN and all(
                isinstance(one, str) and len(one) <= 100 for one in value
            )
        case str():
            fits = len(value) <= MAX_ANSWER
        case int() | float():
            fits = abs(value) <= MAX_NUMBER
        case _:
            fits = value is None
    if not fits:
        raise PydanticCustomError("answer_value", "Input should be a text, number, boolean or list of texts")
    return value


Answers = Annotated[
    Mapping[FieldKey, Annotated[JsonValue, AfterValidator(_bounded)]],
    Field(max_length=MAX_FIELDS),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": MAX_FIELDS,
            "propertyNames": {"pattern": "^[a-z][a-z0-9_]*$", "maxLength": 64},
            "additionalProperties": {
                "anyOf": [
                    {"type": "string", "maxLength": MAX_ANSWER},
                    {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER},
                    {"type": "boolean"},
                    {
                        "type": "array",
                        "items": {"type": "string", "maxLength": 100},
                        "maxItems": _MAX_CHOSEN,
                    },
                    {"type": "null"},
                ]
            },
        }
    ),
]
"""By the key of the field; null is no answer."""

_ANSWERS: dict[str, JsonValue] = {
    "name": "Zoë Quinn",
    "email": "zoe@example.com",
    "visits": "weekly",
    "news": True,
}


class SubmissionIn(Body):
    """Somebody's answers."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "submission_id": "01890a5d-ac96-774b-bcce-b302099a8057",
                    "answers": _ANSWERS,
                    "challenge": "eyJhbGciOiJIUzI1NiJ9.e30.signature",
                    "proof": "4711",
                }
            ]
        }
    )

    submission_id: UUID | None = Field(
        default=None, description="chosen by the sender, so that sending it again has no second effect"
    )
    answers: Answers
    challenge: str | None = Field(
        default=None, max_length=1000, description="the token of the form's challenge"
    )
    proof: str | None = Field(default=None, max_length=100, description="of the work that it asks for")
    homepage: str = Field(
        default="", max_length=500, description="a trap for programs: people leave it empty"
    )


class SubmissionReceivedOut(BaseModel):
    """That it was received, which is all that everybody hears."""

    submission_id: UUID
    thanks: str = Field(max_length=1000)


class InterviewIn(Body):
    """What a customer answered when a member of staff asked; it counts as said by the customer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "customer_id": "01890a5d-ac96-774b-bcce-b302099a8057",
                    "answers": {"visits": "weekly", "news": True},
                }
            ]
        }
    )

    submission_id: UUID | None = Field(
        default=None, description="chosen by the sender, so that sending it again has no second effect"
    )
    customer_id: UUID
    answers: Answers


class SubmissionOut(BaseModel):
    """A submission as staff see it; contact points are masked for callers without the scope pii:read."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    form_key: str = Field(max_length=50)
    form_version: int
    channel: Channel
    state: SubmissionState
    customer_id: UUID | None
    answers: dict[str, JsonValue]
    suggestions: dict[str, JsonValue] = Field(description="what differs from what is on file, by field")
    accepted: list[str] = Field(description="the suggestions that were taken over, by field")
    received_at: datetime
    received_by: str | None = Field(max_length=255, description="null: they wrote themselves")
    decided_at: datetime | None
    decided_by: str | None = Field(max_length=255)
    version: int


class DecisionIn(Body):
    """Which suggestions go on file; what is not named is turned down."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"accept": ["name"]}]})

    accept: list[FieldKey] = Field(max_length=MAX_FIELDS, description="keys of fields; none: turn all down")


class ChannelCountOut(BaseModel):
    """What became known by one channel from one source."""

    channel: Channel
    source: str | None = Field(max_length=64)
    created: int = Field(description="customers who became known")
    changed: int = Field(description="changes of customers who were known")


class FormCountOut(BaseModel):
    """The submissions of one form."""

    form_key: str = Field(max_length=50)
    channel: Channel
    submissions: int = Field(description="all but those of programs")
    states: dict[str, int] = Field(description="submissions by what became of them, programs' included")


class ChannelsOut(BaseModel):
    """By which ways customers became known."""

    definition: str = Field(max_length=1000)
    begin: date
    end: date
    channels: list[ChannelCountOut]
    forms: list[FormCountOut]
