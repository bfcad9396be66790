"""Earning rules in words."""

from collections.abc import Iterator

from crm_loyalty.rules.earning import Choice, Fixed, Multiplier, PerAmount, PerItem, Rule
from crm_loyalty.rules.periods import Period


def explain(rule: Rule) -> str:
    """What the rule gives, when, and up to what: one sentence for each."""
    return " ".join(_sentences(rule))


def _sentences(rule: Rule) -> Iterator[str]:
    yield f"{_rate(rule)}."
    about = "event" if rule.event else "purchase"
    if conditions := list(rule.when.in_words()):
        yield f"For {about}s {'; '.join(conditions)}."
    for cap in rule.caps:
        who = "per purchase" if cap.period is Period.PURCHASE else f"per customer, period: {cap.period}"
        yield f"At most {cap.points} points {who}."
    if rule.budget is not None:
        yield f"It stops when it has given {rule.budget} points in all."
    if rule.group is not None and rule.choice is not Choice.ALL:
        yield f"Of the rules of group {rule.group} only the {rule.choice} counts, priority {rule.priority}."
    if rule.pending_days:
        yield f"The points can be spent {rule.pending_days} days after the {about}."
    if rule.valid_from is not None:
        yield f"Valid from {rule.valid_from.isoformat()} on."
    if rule.valid_until is not None:
        yield f"Valid until before {rule.valid_until.isoformat()}."
    if not rule.active:
        yield "Not active."


def _rate(rule: Rule) -> str:
    currency = f" {rule.currency}" if rule.currency else ""
    match rule.rate:
        case PerAmount(points, per_amount):
            return f"{points} points per {per_amount}{currency} (minor units) of a purchase"
        case PerItem(points):
            return f"{points} points for each piece{f' bought in{currency}' if currency else ''}"
        case Fixed(points) if rule.event is not None:
            return f"{points} points for each event {rule.event.in_words()}"
        case Fixed(points):
            return f"{points} points for each purchase{f' in{currency}' if currency else ''}"
        case Multiplier(percent, of):
            about = f" for each event {rule.event.in_words()}" if rule.event else ""
            return f"{percent} % of what the rules of group {of} give{about}, besides that"
