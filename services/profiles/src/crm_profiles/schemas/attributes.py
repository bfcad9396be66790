"""Declarations of custom attributes as they are sent and answered."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

from crm_profiles.fields import Label
from crm_profiles.models.attributes import AttributeType
from crm_profiles.schemas.base import Body
from crm_shared.fields import VISIBLE, legible

MAX_TEXT = 1000
MAX_NUMBER = 10**15
MAX_CHOICES = 100
MAX_ASKED = 10
"""By so many attributes customers can be filtered at once."""

AttributeKey = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]*$", max_length=64)]
Choice = Annotated[str, StringConstraints(strip_whitespace=True, max_length=100, pattern=VISIBLE), legible]


def _distinct(choices: list[str]) -> list[str]:
    if len(set(choices)) < len(choices):
        raise PydanticCustomError("choices_repeated", "Each choice can be named once")
    return choices


class CustomerAttributeIn(Body):
    """What a custom attribute is called and which values it takes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"type": "choice", "label": "Shirt size", "choices": ["S", "M", "L", "XL"]}]
        }
    )

    type: AttributeType = Field(description="`choice` is one of the choices, `choices` a list of them")
    label: Label = Field(description="for people to read")
    description: str | None = Field(default=None, max_length=1000)
    choices: Annotated[list[Choice], AfterValidator(_distinct)] = Field(
        default_factory=list,
        max_length=MAX_CHOICES,
        validate_default=True,
        json_schema_extra={"uniqueItems": True},
    )

    @field_validator("choices")
    @classmethod
    def fit_the_type(cls, choices: list[str], info: ValidationInfo) -> list[str]:
        """Choices are given where there is something to choose from."""
        chosen_from = info.data.get("type") in (AttributeType.CHOICE, AttributeType.CHOICES)
        if "type" in info.data and chosen_from != bool(choices):
            raise PydanticCustomError(
                "choices_misplaced", "Types choice and choices need choices, and the others have none"
            )
        return choices


class CustomerAttributeOut(BaseModel):
    """A custom attribute that customers may have."""

    model_config = ConfigDict(from_attributes=True)

    key: str = Field(max_length=64)
    type: AttributeType
    label: str = Field(max_length=200)
    description: str | None = Field(max_length=1000)
    choices: list[str]
    version: int
    created_at: datetime
    updated_at: datetime


def _bounded(value: JsonValue) -> JsonValue:
    """What can be a value of some attribute; whether of this one, its declaration says."""
    items = value if isinstance(value, list) else [value]
    scalars = all(item is None or isinstance(item, str | bool | int | float) for item in items)
    if not scalars or len(items) > MAX_CHOICES:
        raise PydanticCustomError(
            "attribute_value", "Input should be a text, number, boolean or list of choices"
        )
    return value


Attributes = Annotated[
    Mapping[str, Annotated[JsonValue, AfterValidator(_bounded)]],
    Field(max_length=100),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": 100,
            "propertyNames": {"pattern": "^[a-z][a-z0-9_]*$", "maxLength": 64},
            "additionalProperties": {
                "anyOf": [
                    {"type": "string", "maxLength": MAX_TEXT},
                    {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER},
                    {"type": "boolean"},
                    {
                        "type": "array",
                        "items": {"type": "string", "maxLength": 100},
                        "maxItems": MAX_CHOICES,
                    },
                    {"type": "null"},
                ]
            },
        }
    ),
]
"""Custom attributes by key; in a patch null removes one."""
