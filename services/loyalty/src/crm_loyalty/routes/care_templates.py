"""Texts of messages over HTTP."""

from typing import Annotated

from fastapi import Path, Response

from crm_loyalty.care import templates
from crm_loyalty.errors import CareTemplateNotFound, TextNotFound
from crm_loyalty.models.care import CareTemplate
from crm_loyalty.routes.earning_rules import IfNoneMatch
from crm_loyalty.schemas.base import Key
from crm_loyalty.schemas.care_templates import PreviewIn, PreviewOut, TemplateIn, TemplateOut
from crm_shared.callers import MANAGERS, STAFF
from crm_shared.etags import IfMatchMissing, StaleVersion, etag
from crm_shared.pages import InvalidCursor, Listing, Page
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

router = Router(tags=["care"])

CareTemplateKey = Annotated[Key, Path(description="lower-case words with hyphens", examples=["birthday"])]


@router.get(
    "/v1/care/templates",
    response_model=Page[TemplateOut],
    dependencies=[allow(*STAFF)],
    responses=documented(InvalidCursor),
)
async def list_care_templates(session: Session, page: Paging) -> Listing[CareTemplate]:
    """List the texts of messages, by key."""
    return await templates.list_(session, page=page)


@router.get(
    "/v1/care/templates/{care_template_key}",
    response_model=TemplateOut,
    dependencies=[allow(*STAFF)],
    responses=documented(CareTemplateNotFound),
)
async def get_care_template(
    session: Session, response: Response, care_template_key: CareTemplateKey
) -> CareTemplate:
    """Read the newest version of a message's texts."""
    found = await templates.get(session, care_template_key)
    response.headers["ETag"] = etag(found.version)
    return found


@router.put(
    "/v1/care/templates/{care_template_key}",
    response_model=TemplateOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(IfMatchMissing, StaleVersion),
)
async def put_care_template(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    care_template_key: CareTemplateKey,
    body: TemplateIn,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> CareTemplate:
    """Write the next version of a message's texts; messages that are queued keep the one they were made of.

    Send If-Match with the version you replace, or `If-None-Match: *` for a new template. A text that is no
    Liquid, or names a variable that there is not, is refused.
    """
    written = await templates.put(
        session,
        care_template_key,
        body,
        if_match=if_match,
        if_none_match=if_none_match,
        at=clock.now(),
        by=caller.subject,
    )
    response.headers["ETag"] = etag(written.version)
    return written


@router.post(
    "/v1/care/templates/{care_template_key}/preview",
    response_model=PreviewOut,
    dependencies=[allow(*STAFF)],
    responses=documented(CareTemplateNotFound, TextNotFound),
)
async def preview_care_template(
    session: Session, care_template_key: CareTemplateKey, body: PreviewIn
) -> PreviewOut:
    """See a message as a customer with this language would get it; nothing is sent."""
    return templates.preview(await templates.get(session, care_template_key), body)
