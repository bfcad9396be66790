"""Texts of messages as data: a change is a new version, and the newest one of each key is in force."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import format_decimal
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.errors import CareTemplateNotFound, TextNotFound
from crm_loyalty.models.care import CareTemplate
from crm_loyalty.rules import texts
from crm_loyalty.schemas.care_templates import PreviewIn, PreviewOut, TemplateIn, TextIn
from crm_shared import versions
from crm_shared.pages import Key, Listing, PageRequest, paginate
from crm_shared.permissions import ContactChannel

_NEWEST = versions.newest(CareTemplate.key, CareTemplate.version)
_UNSUBSCRIBE = {"en": "Unsubscribe", "es": "Darse de baja", "zh": "退订"}


async def find(session: AsyncSession, key: str) -> CareTemplate | None:
    return await session.scalar(select(CareTemplate).where(CareTemplate.key == key, _NEWEST))


async def get(session: AsyncSession, key: str) -> CareTemplate:
    """The newest version; raises CareTemplateNotFound."""
    template = await find(session, key)
    if template is None:
        raise CareTemplateNotFound(key=key)
    return template


async def list_(session: AsyncSession, *, page: PageRequest) -> Listing[CareTemplate]:
    """The newest version of each template, by key."""
    statement = select(CareTemplate).where(_NEWEST)
    keys = [Key(CareTemplate.key)]
    return await paginate(session, statement, keys, page=page)


async def put(
    session: AsyncSession,
    key: str,
    body: TemplateIn,
    *,
    if_match: str | None,
    if_none_match: str | None,
    at: datetime,
    by: str,
) -> CareTemplate:
    """Write the next version; raises IfMatchMissing, StaleVersion."""
    current = await find(session, key)
    return await versions.write(
        session,
        CareTemplate,
        {"key": key, **body.model_dump(mode="json")},
        over=current.version if current else None,
        if_match=if_match,
        if_none_match=if_none_match,
        at=at,
        by=by,
    )


async def speaks(session: AsyncSession, key: str, channel: ContactChannel) -> bool:
    """Whether there is such a template with texts for this channel."""
    template = await find(session, key)
    return template is not None and choose(template, channel, None) is not None


def choose(template: CareTemplate, channel: ContactChannel, language: str | None) -> TextIn | None:
    """The text in the customer's language, else in the same without its region, else in the default one."""
    known = {each.language: each for each in _texts(template) if each.channel is channel}
    wanted = language or template.default_language
    for tag in (wanted, wanted.partition("-")[0], template.default_language):
        if tag in known:
            return known[tag]
    return next(iter(known.values()), None)


def write(text: TextIn, values: Mapping[str, str]) -> PreviewOut:
    """The text with these values; an e-mail that can be unsubscribed from says how, if the text does not."""
    subject = text.subject and " ".join(texts.render(text.subject, values).split())
    body = texts.render(text.text, values)
    html = text.html and texts.render(text.html, values, html=True)
    link = values.get("unsubscribe_url", "")
    if link and text.channel is ContactChannel.EMAIL:
        label = _UNSUBSCRIBE.get(text.language.partition("-")[0], _UNSUBSCRIBE["en"])
        if link not in body:
            body = f"{body}\n\n{label}: {link}\n"
        if html and link not in html:
            html = f'{html}\n<p><a href="{link}">{label}</a></p>'
    return PreviewOut(language=text.language, channel=text.channel, subject=subject, text=body, html=html)


def preview(template: CareTemplate, body: PreviewIn) -> PreviewOut:
    """The text with the given values, and with examples for the others; raises TextNotFound."""
    text = choose(template, body.channel, body.language)
    if text is None:
        raise TextNotFound(channel=body.channel.value)
    return write(text, {**texts.SAMPLE, **body.values})


@lru_cache(maxsize=1024)
def written_date(day: date, language: str) -> str:
    """The day in words, as the language writes it."""
    return format_date(day, "long", locale=_locale(language))


@lru_cache(maxsize=1024)
def written_number(number: int, language: str) -> str:
    return format_decimal(number, locale=_locale(language))


def _locale(language: str) -> Locale:
    for tag in (language, language.partition("-")[0]):
        try:
            return Locale.parse(tag, sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    return Locale("en")


def _texts(template: CareTemplate) -> Sequence[TextIn]:
    # They were checked when they were written.
    return [
        TextIn.model_construct(**(each | {"channel": ContactChannel(each["channel"])}))
        for each in template.texts
    ]
