"""Texts of messages: a small part of Liquid, without loops, files or filters that make texts grow."""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from liquid import BoundTemplate, Environment, StrictUndefined
from liquid.exceptions import LiquidError

VARIABLES: Mapping[str, str] = {
    "name": "the customer's name",
    "occasion": "what the message is about, by the plan's name in the customer's language",
    "date": "the day of the occasion, written as in the customer's language",
    "points": "how many points are given, written as in the customer's language; empty: none",
    "coupon": "the code of the coupon that is given; empty: none",
    "tier": "key of the customer's tier; empty: none",
    "unsubscribe_url": "by which the customer withdraws; empty where no consent is needed",
}
"""All that a text may name."""

SAMPLE: Mapping[str, str] = {
    "name": "Lucía Gómez",
    "occasion": "Birthday",
    "date": "8 August 2026",
    "points": "200",
    "coupon": "7KQ2MX-9RTW4B-HC5ZND",
    "tier": "gold",
    "unsubscribe_url": "https://crm.example/v1/unsubscribe/example",
}
_TAGS = {"assign", "case", "comment", "if", "unless", "content", "illegal", "output"}
"""The last three are no tags that anybody writes: the library's parser needs them."""
_FILTERS = {"capitalize", "default", "downcase", "escape", "strip", "truncate", "upcase"}


class TextInvalid(Exception):
    """Why a text cannot be taken, in words."""


class _Sandbox(Environment):
    output_stream_limit = 100_000
    local_namespace_limit = 10_000
    context_depth_limit = 10


def _sandbox(*, html: bool) -> _Sandbox:
    made = _Sandbox(autoescape=html, undefined=StrictUndefined)
    for name in set(made.tags) - _TAGS:
        del made.tags[name]
    for name in set(made.filters) - _FILTERS:
        del made.filters[name]
    return made


_PLAIN, _HTML = _sandbox(html=False), _sandbox(html=True)


def check(source: str, *, html: bool = False) -> None:
    """Raises TextInvalid when it is no Liquid, or names what a text does not get."""
    try:
        template = (_HTML if html else _PLAIN).from_string(source)
        unknown: Iterable[str] = sorted(set(template.global_variables()) - VARIABLES.keys())
    except LiquidError as error:
        raise TextInvalid(str(error).splitlines()[0][:200]) from error
    if unknown:
        raise TextInvalid(f"There is no variable {', '.join(unknown)}; there are {', '.join(VARIABLES)}")
    render(source, SAMPLE, html=html)


def render(source: str, values: Mapping[str, str], *, html: bool = False) -> str:
    """The text with these values, in HTML escaped; raises TextInvalid."""
    try:
        return _parsed(source, html).render(**values)
    except LiquidError as error:
        raise TextInvalid(str(error).splitlines()[0][:200]) from error


@lru_cache(maxsize=256)
def _parsed(source: str, html: bool) -> BoundTemplate:
    # Parsing costs more than filling in, and a plan writes the same text to thousands.
    return (_HTML if html else _PLAIN).from_string(source)
