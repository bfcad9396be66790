"""Questions: what fits as an answer to each, and what the answers tell; plain values in, plain values out."""

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    JsonValue,
    StrictBool,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic_core import PydanticCustomError

from crm_profiles.customers import contact_points
from crm_profiles.customers.contact_points import Point
from crm_profiles.errors import InvalidAnswers, InvalidContactPoint
from crm_profiles.fields import Label, Language, Name, Region
from crm_profiles.models.customers import Channel, ContactKind, Gender
from crm_profiles.rules import instants
from crm_profiles.schemas.attributes import MAX_NUMBER
from crm_profiles.schemas.base import Body
from crm_profiles.schemas.customers import MAX_CONTACT_POINT, CustomerPatch
from crm_profiles.schemas.forms import (
    AnswerTarget,
    AttributeTarget,
    ContactPointTarget,
    FieldType,
    FormField,
    FormIn,
    Member,
    MemberTarget,
    PreferenceTarget,
)
from crm_profiles.schemas.members import Place, PostalCode
from crm_shared.database import Json
from crm_shared.fields import Day, TimeZone
from crm_shared.problems import Fault

_LENGTHS = {FieldType.TEXT: 200, FieldType.LONG_TEXT: 2000}
_MEMBERS: Mapping[Member, Any] = {
    Member.NAME: Name,
    Member.LANGUAGE: Language,
    Member.TIME_ZONE: TimeZone,
    Member.REGION: Region,
    Member.GENDER: Gender,
    Member.OCCUPATION: Label,
    Member.BIRTH_DATE: Day,
    Member.DISTRICT: Place,
    Member.CITY: Place,
    Member.PROVINCE: Place,
    Member.POSTAL_CODE: PostalCode,
    Member.COUNTRY: Region,
}
_Number = Annotated[int | float, Field(strict=True, ge=-MAX_NUMBER, le=MAX_NUMBER, allow_inf_nan=False)]


def checked(form: FormIn, given: Mapping[str, JsonValue], *, now: datetime) -> Json:
    """The answers as they are kept, by field and without what is null; raises InvalidAnswers."""
    try:
        answers = _model(form.model_dump_json()).model_validate(dict(given))
    except ValidationError as error:
        raise InvalidAnswers(
            "Some answers do not fit their questions; errors says which.",
            errors=[_fault(fault["loc"], fault["type"], fault["msg"]) for fault in error.errors()[:100]],
        ) from error
    kept: Json = answers.model_dump(mode="json", by_alias=True, exclude_none=True)
    born = MemberTarget(kind="member", member=Member.BIRTH_DATE)
    faults = [
        _fault((each.key,), "in_future", "Nobody was born in the future")
        for each in answered(form, kept)
        if each.target == born and instants.is_future(date.fromisoformat(kept[each.key]), now=now)
    ]
    if faults:
        raise InvalidAnswers("Some answers do not fit their questions; errors says which.", errors=faults)
    return kept


def misfits(form: FormIn) -> list[Fault]:
    """Choices that are no value of the member that their field tells of."""
    faults: list[Fault] = []
    for index, field in enumerate(form.fields):
        if not isinstance(field.target, MemberTarget):
            continue
        member: TypeAdapter[Any] = TypeAdapter(_MEMBERS[field.target.member])
        for number, choice in enumerate(field.choices):
            try:
                member.validate_python(choice.value)
            except ValidationError as error:
                pointer = f"/fields/{index}/choices/{number}/value"
                message = error.errors()[0]["msg"]
                faults.append({"pointer": pointer, "code": "choice_misfit", "message": message})
    return faults


def max_length(field: FormField) -> int | None:
    """How long the answer may be; None: its type says."""
    return field.max_length or _LENGTHS.get(field.type)


def points(form: FormIn, answers: Json) -> dict[str, Point]:
    """The contact points among the answers, by field and in the order of the form."""
    return {
        field.key: Point(field.target.contact, answers[field.key])
        for field in answered(form, answers)
        if isinstance(field.target, ContactPointTarget)
    }


def reached(form: FormIn, answers: Json) -> list[Point]:
    """All contact points among the answers, also those that are no way to reach who answers."""
    kinds = {field.key: kind for field in answered(form, answers) if (kind := _reaches(field))}
    return sorted({Point(kind, answers[key]) for key, kind in kinds.items()})


def answered(form: FormIn, answers: Json) -> list[FormField]:
    return [field for field in form.fields if field.key in answers]


def free(form: FormIn, answers: Json) -> Json:
    """The answers that tell nothing else, by field; how to reach somebody is not among them."""
    return {
        field.key: answers[field.key]
        for field in answered(form, answers)
        if isinstance(field.target, AnswerTarget | PreferenceTarget) and field.type not in _REACHING
    }


def patch(fields: Iterable[FormField], answers: Json, *, source: str, channel: Channel) -> CustomerPatch:
    """What these fields tell of the customer's members and attributes."""
    told: Json = {"source": source, "channel": channel}
    for field in fields:
        value = answers[field.key]
        match field.target:
            case MemberTarget(member=member):
                part, _, inner = member.partition(".")
                if inner:
                    told.setdefault(part, {})[inner] = value
                else:
                    told[part] = value
            case AttributeTarget(attribute=attribute):
                told.setdefault("attributes", {})[attribute] = value
    return CustomerPatch.model_validate(told)


def on_file(field: FormField, members: Json) -> JsonValue:
    """What a customer with these members has in the place of the answer; None: nothing."""
    match field.target:
        case MemberTarget(member=member):
            part, _, inner = member.partition(".")
            value = members.get(part)
            found: JsonValue = (value or {}).get(inner) if inner else value
            return found
        case AttributeTarget(attribute=attribute):
            kept: JsonValue = (members.get("attributes") or {}).get(attribute)
            return kept
    return None


def masked(form: FormIn, answers: Json) -> Json:
    """For who may not see how to reach somebody."""
    kinds = {field.key: kind for field in form.fields if (kind := _reaches(field))}
    return {
        key: contact_points.mask(kinds[key], value) if key in kinds else value
        for key, value in answers.items()
    }


_REACHING = {FieldType.EMAIL: ContactKind.EMAIL, FieldType.PHONE: ContactKind.PHONE}


def _reaches(field: FormField) -> ContactKind | None:
    if isinstance(field.target, ContactPointTarget):
        return field.target.contact
    return _REACHING.get(field.type)


@lru_cache(maxsize=128)
def _model(form: str) -> type[BaseModel]:
    """The body that fits the form; made of its text, for what is the same makes the same."""
    definition = FormIn.model_validate_json(form)
    members: dict[str, Any] = {}
    for index, field in enumerate(definition.fields):
        type_ = _type(field, definition.region)
        name = f"answer_{index}"  # a key may be called as something that models have already
        if field.required:
            members[name] = (type_, Field(alias=field.key))
        else:
            members[name] = (type_ | None, Field(default=None, alias=field.key))
    return create_model("Answers", __base__=Body, **members)


def _type(field: FormField, region: str | None) -> Any:
    if (kind := _reaches(field)) is not None:
        text = Annotated[str, Field(max_length=MAX_CONTACT_POINT)]
        return Annotated[text, AfterValidator(lambda value: _normal(kind, value, region))]
    chosen: Any = Literal[tuple(choice.value for choice in field.choices)] if field.choices else None
    if chosen is not None:
        return (
            chosen if field.type is FieldType.CHOICE else Annotated[list[chosen], AfterValidator(_distinct)]
        )
    if isinstance(field.target, MemberTarget):
        return _MEMBERS[field.target.member]
    match field.type:
        case FieldType.NUMBER:
            return _Number
        case FieldType.DATE:
            return Day
        case FieldType.BOOLEAN:
            return Literal[True] if field.required else StrictBool
        case _:
            limit = max_length(field)
            return Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=limit)]


def _normal(kind: ContactKind, value: str, region: str | None) -> str:
    try:
        return contact_points.normalise(kind, value, region).value
    except InvalidContactPoint as invalid:
        code = invalid.errors[0]["code"]
        raise PydanticCustomError(code, "{why}", {"why": invalid.detail}) from invalid


def _distinct(chosen: list[str]) -> list[str]:
    if not chosen or len(set(chosen)) < len(chosen):
        raise PydanticCustomError("choices_repeated", "Choose one at least, and each once")
    return chosen


def _fault(location: Collection[int | str], code: str, message: str) -> Fault:
    path = "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in location)
    return {"pointer": f"/answers{path}"[:500], "code": code, "message": message[:500]}
