"""Forms: the questions that are put to everybody, each change of them a new version."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from crm_profiles.consents import contact_policy
from crm_profiles.customers import attributes
from crm_profiles.customers.attributes import Declared
from crm_profiles.errors import FormNotFound, InvalidForm
from crm_profiles.forms import questions
from crm_profiles.models.attributes import AttributeType, CustomerAttribute
from crm_profiles.models.forms import FormVersion
from crm_profiles.schemas.attributes import MAX_TEXT
from crm_profiles.schemas.forms import AttributeTarget, ConsentTarget, FieldType, FormField, FormIn
from crm_shared import versions
from crm_shared.pages import Key, Listing, PageRequest, paginate
from crm_shared.problems import Fault

_TYPES: dict[AttributeType, set[FieldType]] = {
    AttributeType.STRING: {FieldType.TEXT, FieldType.LONG_TEXT, FieldType.CHOICE},
    AttributeType.NUMBER: {FieldType.NUMBER},
    AttributeType.BOOLEAN: {FieldType.BOOLEAN},
    AttributeType.DATE: {FieldType.DATE},
    AttributeType.CHOICE: {FieldType.CHOICE},
    AttributeType.CHOICES: {FieldType.CHOICES},
}


async def get(session: AsyncSession, key: str) -> FormVersion:
    """The form as it is now; raises FormNotFound."""
    newest = select(FormVersion).where(FormVersion.key == key).order_by(FormVersion.version.desc()).limit(1)
    found = await session.scalar(newest)
    if found is None:
        raise FormNotFound(form_key=key)
    return found


def defined(row: FormVersion) -> FormIn:
    return FormIn.model_validate(row.definition)


async def definitions(
    session: AsyncSession, versions: Collection[tuple[str, int]]
) -> dict[tuple[str, int], FormIn]:
    """The forms as they were in these versions of theirs."""
    of_these = tuple_(FormVersion.key, FormVersion.version).in_(sorted(set(versions)))
    return {
        (row.key, row.version): defined(row)
        for row in await session.scalars(select(FormVersion).where(of_these))
    }


async def list_(session: AsyncSession, *, page: PageRequest) -> Listing[FormVersion]:
    """All forms as they are now, by key."""
    other = aliased(FormVersion)
    newest = select(func.max(other.version)).where(other.key == FormVersion.key).scalar_subquery()
    statement = select(FormVersion).where(FormVersion.version == newest)
    return await paginate(session, statement, [Key(FormVersion.key)], page=page)


async def put(
    session: AsyncSession, key: str, body: FormIn, *, if_match: str | None, at: datetime, by: str
) -> tuple[FormVersion, bool]:
    """Write the next version over the one that the caller has seen, and whether the form is new.

    Raises InvalidForm, IfMatchMissing, StaleVersion.
    """
    await _refuse_misfits(session, body)
    newest = select(FormVersion).where(FormVersion.key == key).order_by(FormVersion.version.desc()).limit(1)
    known = await session.scalar(newest)
    definition = body.model_dump(mode="json")
    if known is not None and known.definition == definition:
        return known, False
    written = await versions.write(
        session,
        FormVersion,
        {"key": key, "definition": definition},
        over=known.version if known else None,
        if_match=if_match,
        if_none_match=None if known else "*",
        at=at,
        by=by,
    )
    return written, known is None


async def _refuse_misfits(session: AsyncSession, form: FormIn) -> None:
    """Raises InvalidForm when a field tells of something that there is not."""
    keys = [field.target.attribute for field in form.fields if isinstance(field.target, AttributeTarget)]
    declared = await attributes.declared(session, keys)
    purposes = (await contact_policy.current(session)).policy.purposes
    faults = questions.misfits(form)
    for index, field in enumerate(form.fields):
        pointer = f"/fields/{index}/target"
        if isinstance(field.target, ConsentTarget) and field.target.purpose not in purposes:
            message = "The contact policy knows no such purpose."
            faults.append({"pointer": f"{pointer}/purpose", "code": "unknown_purpose", "message": message})
        elif isinstance(field.target, AttributeTarget):
            fault = _attribute_fault(field, field.target.attribute, declared, pointer)
            faults += [fault] if fault else []
    if faults:
        raise InvalidForm("Some fields do not fit what they tell of; errors says which.", errors=faults)


def _attribute_fault(field: FormField, key: str, declared: Declared, pointer: str) -> Fault | None:
    attribute = declared.get(key)
    if attribute is None:
        message = "No such attribute is declared."
        return {"pointer": f"{pointer}/attribute", "code": "unknown_attribute", "message": message}
    if field.type not in _TYPES[attribute.type] or not _offers(field, attribute):
        message = f"Its type, choices and length have to fit the attribute, which is a {attribute.type}."
        return {"pointer": f"{pointer}/attribute", "code": "attribute_misfit", "message": message}
    return None


def _offers(field: FormField, attribute: CustomerAttribute) -> bool:
    """Whether every answer is a value of the attribute."""
    if attribute.choices:
        return {choice.value for choice in field.choices} <= set(attribute.choices)
    length = questions.max_length(field)
    return length is None or length <= MAX_TEXT
