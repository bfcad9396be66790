"""Earning rules over HTTP."""

from typing import Annotated

from fastapi import Header, Path, Response

from crm_loyalty.earning import rules, trials
from crm_loyalty.errors import (
    AccountNotFound,
    ChoiceDiffers,
    EarningRuleNotFound,
    EventTypeUnknown,
    HolidayUnknown,
)
from crm_loyalty.schemas.base import Key
from crm_loyalty.schemas.earning_rules import EarningRuleIn, EarningRuleOut
from crm_loyalty.schemas.evaluations import EvaluationIn, EvaluationOut
from crm_shared.callers import MANAGERS, READERS
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

router = Router(tags=["earning rules"])

RuleKey = Annotated[Key, Path(description="lower-case words with hyphens", examples=["base"])]
IfNoneMatch = Annotated[str | None, Header(max_length=1000, description="`*`: only if there is none yet")]


@router.get(
    "/v1/earning-rules",
    response_model=Page[EarningRuleOut],
    dependencies=[allow(*READERS)],
    responses=documented(InvalidCursor),
)
async def list_earning_rules(session: Session, page: Paging) -> Listing[EarningRuleOut]:
    """List the rules in force, by key; what several give for one purchase or event is added up.

    Unless they are of one group, and its `choice` says that only the best or the first of them counts.
    """
    return await rules.list_(session, page=page)


@router.get(
    "/v1/earning-rules/{key}",
    response_model=EarningRuleOut,
    dependencies=[allow(*READERS)],
    responses=documented(EarningRuleNotFound),
)
async def get_earning_rule(session: Session, response: Response, key: RuleKey) -> EarningRuleOut:
    """Read the newest version of a rule."""
    rule = await rules.get(session, key)
    response.headers["ETag"] = etag(rule.version)
    return rules.out(rule)


@router.put(
    "/v1/earning-rules/{key}",
    response_model=EarningRuleOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(IfMatchMissing, StaleVersion, ChoiceDiffers, HolidayUnknown, EventTypeUnknown),
)
async def put_earning_rule(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    key: RuleKey,
    body: EarningRuleIn,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> EarningRuleOut:
    """Write a rule's next version; it counts for purchases or events that arrive from now on.

    Send If-Match with the version you replace, or `If-None-Match: *` for a new rule. Old versions are kept.
    """
    rule = await rules.put(
        session,
        key,
        body,
        if_match=if_match,
        if_none_match=if_none_match,
        at=clock.now(),
        by=caller.subject,
    )
    response.headers["ETag"] = etag(rule.version)
    return rules.out(rule)


@router.post(
    "/v1/earning-rules/evaluate",
    response_model=EvaluationOut,
    dependencies=[allow(*READERS)],
    responses=documented(AccountNotFound),
)
async def evaluate_earning_rules(session: Session, clock: CurrentClock, body: EvaluationIn) -> EvaluationOut:
    """Try what a basket or an event would earn, and why each rule does or does not apply; nothing is written.

    With `rules` and `without` rules are tried that are not in force. Caps and budgets are as they stand now.
    """
    return await trials.run(session, body, at=clock.now())
