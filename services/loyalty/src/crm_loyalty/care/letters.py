"""What a plan writes to a customer: the text in their language, with everything filled in."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from crm_loyalty.care import candidates, judging, templates
from crm_loyalty.models.care import Addressee, CareTemplate
from crm_loyalty.models.messages import Message
from crm_loyalty.schemas.base import Translations
from crm_loyalty.schemas.care_plans import MessageAction, PlanOut
from crm_shared import unsubscribing
from crm_shared.ids import uuid7
from crm_shared.unsubscribing import Subscription


@dataclass(frozen=True, slots=True)
class Links:
    """With what links in messages are made."""

    public_url: str
    unsubscribe_key: bytes

    def unsubscribe(self, customer_id: UUID, action: MessageAction) -> str:
        subscription = Subscription(customer_id, action.purpose, action.by)
        return self.public_url.rstrip("/") + unsubscribing.path(subscription, self.unsubscribe_key)


@dataclass(frozen=True, slots=True)
class Gifts:
    """What the customer is given."""

    points: int | None = None
    coupon: str | None = None
    """Its code."""
    tier: str | None = None
    """Theirs, which a text may name too."""


def write(
    plan: PlanOut,
    case: judging.Case,
    person: Addressee,
    template: CareTemplate,
    gifts: Gifts,
    unsubscribe_url: str | None,
    *,
    at: datetime,
) -> Message | None:
    """The message, ready to be queued; None: the template lacks the channel, or the address is gone."""
    action = plan.action.message
    if action is None:
        return None
    text = templates.choose(template, action.by, person.language)
    address = judging.address_of(person, action.by)
    if text is None or address is None:
        return None
    values = _values(plan, case, person, gifts, text.language)
    written = templates.write(text, values | {"unsubscribe_url": unsubscribe_url or ""})
    return Message(
        id=uuid7(),
        customer_id=person.customer_id,
        origin_customer_id=person.customer_id,
        channel=action.channel,
        purpose=action.purpose,
        address=address,
        subject=written.subject,
        body=written.text,
        html=written.html,
        unsubscribe_url=unsubscribe_url,
        template=template.key,
        template_version=template.version,
        language=text.language,
        plan_key=plan.key,
        try_at=at,
        give_up_at=case.give_up_at,
        queued_at=at,
    )


def _values(
    plan: PlanOut, case: judging.Case, person: Addressee, gifts: Gifts, language: str
) -> dict[str, str]:
    """What a text may name, written as in the language."""
    return {
        "name": person.name,
        "occasion": _name(plan.names, language),
        "date": templates.written_date(candidates.celebrated(plan, case.day), language),
        "points": templates.written_number(gifts.points, language) if gifts.points else "",
        "coupon": gifts.coupon or "",
        "tier": gifts.tier or "",
    }


def _name(names: Translations, language: str) -> str:
    """In the language, or else in one that there is."""
    told = {"en": names.en, "es": names.es, "zh": names.zh}
    found = told.get(language.partition("-")[0]) or names.en or names.es or names.zh
    return found or ""
