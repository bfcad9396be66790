"""Texts of messages as they are written and shown."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator
from pydantic_core import PydanticCustomError

from crm_loyalty.rules import texts
from crm_shared.contracts.calendars import Language
from crm_shared.permissions import ContactChannel

CHANNELS = {ContactChannel.EMAIL, ContactChannel.SMS}

Source = Annotated[str, StringConstraints(max_length=10_000, pattern=r"^[^\x00]*\S[^\x00]*$")]
Value = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]


def _sendable(channel: ContactChannel) -> ContactChannel:
    if channel not in CHANNELS:
        raise PydanticCustomError("channel_unsupported", "Messages go out by email or sms")
    return channel


class TextIn(BaseModel):
    """What a message says in one language, by one channel."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    language: Language = Field(examples=["es"])
    channel: ContactChannel = Field(description="email or sms", examples=["email"])
    subject: Source | None = Field(default=None, max_length=300, examples=["¡Felicidades, {{ name }}!"])
    text: Source = Field(examples=["Te regalamos {{ points }} puntos."])
    html: Source | None = Field(default=None, description="of an e-mail; values are escaped")

    _channel = field_validator("channel")(_sendable)

    @field_validator("subject", "text")
    @classmethod
    def _is_a_text(cls, source: str | None) -> str | None:
        return _checked(source, html=False)

    @field_validator("html")
    @classmethod
    def _is_html(cls, source: str | None) -> str | None:
        return _checked(source, html=True)

    @model_validator(mode="after")
    def _fits_the_channel(self) -> "TextIn":
        email = self.channel is ContactChannel.EMAIL
        if email != (self.subject is not None) or (self.html is not None and not email):
            raise PydanticCustomError("parts_wrong", "An e-mail has a subject, a text message only its text")
        return self


def _checked(source: str | None, *, html: bool) -> str | None:
    if source is not None:
        try:
            texts.check(source, html=html)
        except texts.TextInvalid as error:
            raise PydanticCustomError("text_invalid", "{why}", {"why": str(error)}) from error
    return source


class TemplateIn(BaseModel):
    """A message in all its languages and channels.

    Texts are Liquid: `{{ name }}`, `{% if points != "" %}…{% endif %}`. They may name `name`, `occasion`,
    `date`, `points`, `coupon`, `tier` and `unsubscribe_url`.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "default_language": "en",
                    "texts": [
                        {
                            "language": "en",
                            "channel": "email",
                            "subject": "Happy birthday, {{ name }}!",
                            "text": "We have put {{ points }} points on your account.",
                            "html": "<p>We have put <b>{{ points }}</b> points on your account.</p>",
                        },
                        {"language": "zh", "channel": "sms", "text": "{{ name }},生日快乐!"},
                        {"language": "en", "channel": "sms", "text": "Happy birthday, {{ name }}!"},
                    ],
                }
            ]
        },
    )

    default_language: Language = Field(description="for who has another language than there are texts")
    texts: list[TextIn] = Field(min_length=1, max_length=40)

    @model_validator(mode="after")
    def _is_whole(self) -> "TemplateIn":
        named = [(each.language, each.channel) for each in self.texts]
        if len(set(named)) < len(named):
            raise PydanticCustomError("text_twice", "Each language has one text per channel")
        for channel in {channel for _, channel in named}:
            if (self.default_language, channel) not in named:
                raise PydanticCustomError(
                    "default_missing", "Each channel has a text in the default language"
                )
        return self


class TemplateOut(BaseModel):
    """The newest version of a template."""

    model_config = ConfigDict(from_attributes=True)

    key: str
    version: int
    default_language: str
    texts: list[TextIn]
    created_at: datetime
    created_by: str


class PreviewIn(BaseModel):
    """For whom a text is looked at; what is not given has an example's value."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"language": "es-MX", "channel": "email", "values": {"name": "Lucía"}}]
        },
    )

    language: Language | None = Field(default=None, description="null: the default one")
    channel: ContactChannel
    values: dict[Value, Value] = Field(default={}, max_length=20)

    _channel = field_validator("channel")(_sendable)

    @field_validator("values")
    @classmethod
    def _are_known(cls, values: dict[str, str]) -> dict[str, str]:
        if unknown := values.keys() - texts.VARIABLES.keys():
            raise PydanticCustomError("variable_unknown", "{why}", {"why": f"no variable {min(unknown)}"})
        return values


class PreviewOut(BaseModel):
    """What would be sent."""

    language: str = Field(description="the text's, which may be another one than asked for")
    channel: ContactChannel
    subject: str | None
    text: str
    html: str | None
