"""Preferences over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query

from crm_profiles import preferences
from crm_profiles.customers import documents
from crm_profiles.errors import TooManyPreferences
from crm_profiles.models.preferences import PreferenceKind
from crm_profiles.rules.inference import DEFINITION
from crm_profiles.schemas.preferences import PreferenceIn, PreferenceOut, PreferencesOut, Topic
from crm_shared.callers import READERS, STAFF, Role
from crm_shared.customers import CustomerNotFound
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentClock, Session, allow

router = Router(tags=["preferences"])


@router.get(
    "/v1/customers/{customer_id}/preferences",
    response_model=PreferencesOut,
    dependencies=[allow(*READERS, Role.CUSTOMER, own="customer_id")],
    responses=documented(CustomerNotFound),
)
async def list_preferences(session: Session, customer_id: UUID) -> PreferencesOut:
    """Read what a customer prefers: what they said, and what is concluded, each with its source and date."""
    return await _shown(session, customer_id)


@router.put(
    "/v1/customers/{customer_id}/preferences/{topic}",
    response_model=PreferenceOut,
    dependencies=[allow(*STAFF, Role.CUSTOMER, own="customer_id")],
    responses=documented(CustomerNotFound, TooManyPreferences),
)
async def put_preference(
    session: Session,
    clock: CurrentClock,
    customer_id: UUID,
    topic: Annotated[Topic, Path()],
    body: PreferenceIn,
) -> PreferenceOut:
    """Keep a preference in place of the one of its topic and kind; stated and inferred stand side by side."""
    return await preferences.put(session, customer_id, topic, body, at=clock.now())


@router.delete(
    "/v1/customers/{customer_id}/preferences/{topic}",
    response_model=PreferencesOut,
    dependencies=[allow(*STAFF, Role.CUSTOMER, own="customer_id")],
    responses=documented(CustomerNotFound),
)
async def withdraw_preference(
    session: Session,
    clock: CurrentClock,
    customer_id: UUID,
    topic: Annotated[Topic, Path()],
    kind: Annotated[PreferenceKind, Query()] = PreferenceKind.STATED,
) -> PreferencesOut:
    """Let a preference hold no more, and see which do; what is concluded from purchases always does."""
    await preferences.withdraw(session, customer_id, topic, kind, at=clock.now())
    return await _shown(session, customer_id)


async def _shown(session: Session, customer_id: UUID) -> PreferencesOut:
    current = await documents.current_id(session, customer_id)
    items = await preferences.list_(session, current)
    return PreferencesOut(customer_id=current, definition=DEFINITION, items=items)
