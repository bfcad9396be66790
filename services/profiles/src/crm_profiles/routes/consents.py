"""Consents, quiet hours and frequency caps of a customer over HTTP."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import Depends, Path, Query, Response

from crm_profiles.consents import consents, contact_limits, permissions
from crm_profiles.consents.permissions import Standing
from crm_profiles.errors import PurposeNotFound, StatementOutOfTime
from crm_profiles.models.consents import ConsentStatement
from crm_profiles.schemas.consents import (
    ConsentIn,
    ConsentOut,
    ContactDecisionOut,
    FrequencyCapsIn,
    PermissionOut,
    QuietHoursIn,
    RefusalOut,
)
from crm_shared.callers import READERS, STAFF, Caller, Role
from crm_shared.contracts.permissions import Purpose
from crm_shared.customers import CustomerNotFound
from crm_shared.etags import StaleVersion, etag
from crm_shared.fields import Instant
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.permissions import ContactChannel
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import (
    CurrentCaller,
    CurrentClock,
    IfMatch,
    Paging,
    Session,
    allow,
)

router = Router(tags=["consents"])

READ = allow(*READERS, Role.CUSTOMER, own="customer_id")
WRITE = allow(*STAFF, Role.PARTNER, Role.CUSTOMER, own="customer_id")


async def _show(caller: CurrentCaller, response: Response) -> Callable[[Standing], PermissionOut]:
    def show(standing: Standing) -> PermissionOut:
        response.headers["ETag"] = etag(standing.version)
        permission = standing.permission
        return PermissionOut(
            customer_id=standing.customer_id,
            version=standing.version,
            items=[_consent(statement, caller) for statement in standing.statements],
            quiet_hours=None if permission.quiet_hours is None else list(permission.quiet_hours),
            caps=list(permission.caps),
            time_zone=permission.time_zone,
        )

    return show


Show = Annotated[Callable[[Standing], PermissionOut], Depends(_show)]
"""How what counts for a customer is answered to this caller."""


@router.get(
    "/v1/customers/{customer_id}/consents",
    response_model=PermissionOut,
    dependencies=[READ],
    responses=documented(CustomerNotFound),
)
async def get_consents(session: Session, show: Show, customer_id: UUID) -> PermissionOut:
    """Read what counts for a customer: the newest statements, their quiet hours and caps."""
    return show(await permissions.standing(session, customer_id))


@router.get(
    "/v1/customers/{customer_id}/consents/history",
    response_model=Page[ConsentOut],
    dependencies=[READ],
    responses=documented(CustomerNotFound, InvalidCursor),
)
async def list_consent_history(
    session: Session,
    caller: CurrentCaller,
    page: Paging,
    customer_id: UUID,
) -> Listing[ConsentOut]:
    """List all that was ever said, the last recorded first: by whom, when, and how it can be shown."""
    found = await consents.history(session, customer_id, page=page)
    return found.map(partial(_consent, caller=caller))


@router.put(
    "/v1/customers/{customer_id}/consents/{purpose}/{channel}",
    response_model=PermissionOut,
    dependencies=[WRITE],
    responses=documented(CustomerNotFound, PurposeNotFound, StatementOutOfTime, StaleVersion),
)
async def set_consent(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    show: Show,
    customer_id: UUID,
    purpose: Annotated[Purpose, Path(description="one of the contact policy", examples=["marketing"])],
    channel: ContactChannel,
    body: ConsentIn,
    if_match: IfMatch = None,
) -> PermissionOut:
    """Record what a customer said about being written to, or have them say or withdraw it themselves.

    The statement made last counts, in whatever order statements arrive. Sending one again changes nothing:
    with `at` it is known by that, without `at` when it says what counts already.
    """
    stated = await consents.state(
        session, customer_id, purpose, channel, body, clock=clock, by=caller.subject, if_match=if_match
    )
    return show(stated)


@router.put(
    "/v1/customers/{customer_id}/quiet-hours",
    response_model=PermissionOut,
    dependencies=[WRITE],
    responses=documented(CustomerNotFound, StaleVersion),
)
async def set_quiet_hours(
    session: Session,
    clock: CurrentClock,
    show: Show,
    customer_id: UUID,
    body: QuietHoursIn,
    if_match: IfMatch = None,
) -> PermissionOut:
    """Replace a customer's own quiet hours; where clocks are changed a window is rather too long."""
    standing = await contact_limits.set_quiet_hours(
        session, customer_id, body.windows, clock=clock, if_match=if_match
    )
    return show(standing)


@router.put(
    "/v1/customers/{customer_id}/frequency-caps",
    response_model=PermissionOut,
    dependencies=[WRITE],
    responses=documented(CustomerNotFound, StaleVersion),
)
async def set_frequency_caps(
    session: Session,
    clock: CurrentClock,
    show: Show,
    customer_id: UUID,
    body: FrequencyCapsIn,
    if_match: IfMatch = None,
) -> PermissionOut:
    """Replace a customer's own frequency caps; those of the contact policy hold beside them."""
    standing = await contact_limits.set_caps(session, customer_id, body.caps, clock=clock, if_match=if_match)
    return show(standing)


@router.get(
    "/v1/customers/{customer_id}/contact-decision",
    response_model=ContactDecisionOut,
    dependencies=[READ],
    responses=documented(CustomerNotFound, PurposeNotFound),
)
async def get_contact_decision(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    customer_id: UUID,
    purpose: Annotated[Purpose, Query(description="one of the contact policy", examples=["marketing"])],
    channel: ContactChannel,
    at: Annotated[Instant | None, Query(description="now, if absent")] = None,
) -> ContactDecisionOut:
    """Say whether one may write to a customer, and if not, every reason and when it would be allowed.

    It rests on what had been said and sent until `at`, and on the contact policy as it is now.
    """
    instant: datetime = at or clock.now()
    explained = await permissions.explain(session, customer_id, purpose=purpose, channel=channel, at=instant)
    decision, statement = explained.decision, explained.statement
    return ContactDecisionOut(
        customer_id=explained.standing.customer_id,
        purpose=purpose,
        channel=channel,
        at=instant,
        allowed=decision.allowed,
        reasons=[RefusalOut.model_validate(refusal) for refusal in decision.refusals],
        next_at=decision.next_at,
        time_zone=explained.time_zone,
        local_time=instant.astimezone(ZoneInfo(explained.time_zone)),
        consent=None if statement is None else _consent(statement, caller),
        permission_version=explained.standing.version,
        policy_version=explained.policy_version,
    )


def _consent(statement: ConsentStatement, caller: Caller) -> ConsentOut:
    """Evidence may quote addresses: it is for those who may see them."""
    shown = ConsentOut.model_validate(statement)
    return shown if caller.sees_personal_data else shown.model_copy(update={"evidence": None})
