"""Pages for people: templates filled in in the reader's language, with nothing fetched from elsewhere."""

import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache, partial
from hashlib import sha256
from importlib import resources
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime
from babel.numbers import format_currency, get_currency_precision
from jinja2 import Environment, PackageLoader, StrictUndefined

from crm_shared.contracts.base import Money

LANGUAGES = ("en", "es", "zh")
_LOCALES = {"en": "en", "es": "es", "zh": "zh_Hans"}
_UNKNOWN_ZONE = "UTC"


def render(template: str, language: str, *, time_zone: str | None, **values: object) -> str:
    """The page in one of LANGUAGES, with instants on the clock of the zone."""
    locale = _LOCALES[language]
    zone = ZoneInfo(time_zone or _UNKNOWN_ZONE)
    return (
        _templates()
        .get_template(f"{template}.html")
        .render(
            **values,
            language=language,
            zone=zone.key,
            word=partial(_word, words(language)),
            instant=lambda at: _instant(at, zone, locale),
            day=lambda on: _day(on, zone, locale),
            money=lambda money: _money(money, locale),
            style=_style(),
        )
    )


def content_security_policy() -> str:
    """A page may show itself and do nothing else: no script, no request, only its own style."""
    digest = b64encode(sha256(_style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; frame-ancestors 'none'"


@cache
def words(language: str) -> Mapping[str, str]:
    """What the pages say, by what is meant."""
    found: dict[str, dict[str, str]] = json.loads(_read("words.json"))
    return {meaning: said[language] for meaning, said in found.items()}


@cache
def _templates() -> Environment:
    loader = PackageLoader("crm_profiles")
    return Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


@cache
def _style() -> str:
    return _read("page.css")


def _read(name: str) -> str:
    return (resources.files("crm_profiles") / "templates" / name).read_text(encoding="utf-8")


def _word(known: Mapping[str, str], meaning: str, kind: str | None = None) -> str:
    """What we say for it; a value that has no word of its own, such as a purpose, stands for itself."""
    if kind is None:
        return known[meaning]
    return known.get(f"{kind}.{meaning}", meaning)


def _instant(at: datetime, zone: ZoneInfo, locale: str) -> str:
    return format_datetime(at, "medium", tzinfo=zone, locale=locale)


def _day(on: date | datetime, zone: ZoneInfo, locale: str) -> str:
    return format_date(on.astimezone(zone) if isinstance(on, datetime) else on, "medium", locale=locale)


def _money(money: Money, locale: str) -> str:
    major = money.amount / 10 ** get_currency_precision(money.currency)
    return format_currency(major, money.currency, locale=locale)
