"""The flow of a ticket as a table: which step leads where, and why the others are refused."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from pydantic import JsonValue

from crm_shared.problems import Conflict
from crm_tickets.errors import (
    ComplaintAlreadyJudged,
    TicketAlreadyResolved,
    TicketClosed,
    TicketIsNoComplaint,
    TicketNotResolved,
    TicketNotResponded,
)


class Status(StrEnum):
    """How far a ticket is."""

    OPEN = "open"
    RESPONDED = "responded"
    RESOLVED = "resolved"
    CLOSED = "closed"


class Step(StrEnum):
    """What somebody does with a ticket."""

    OPEN = "open"
    JUDGE = "judge"
    RESPOND = "respond"
    RESOLVE = "resolve"
    CLOSE = "close"


class Verdict(StrEnum):
    """What an investigation finds of a complaint: that it is right, or that it is not."""

    UPHELD = "upheld"
    REJECTED = "rejected"


NEXT: Mapping[Status | None, Mapping[Step, Status]] = {
    None: {Step.OPEN: Status.OPEN},
    Status.OPEN: {Step.JUDGE: Status.OPEN, Step.RESPOND: Status.RESPONDED},
    Status.RESPONDED: {
        Step.JUDGE: Status.RESPONDED,
        Step.RESPOND: Status.RESPONDED,
        Step.RESOLVE: Status.RESOLVED,
    },
    Status.RESOLVED: {Step.JUDGE: Status.RESOLVED, Step.CLOSE: Status.CLOSED},
    Status.CLOSED: {},
}
"""Judging leads nowhere else: the customer is answered, and the matter settled, whatever is found."""

_REFUSALS: Mapping[tuple[Status, Step], type[Conflict]] = {
    (Status.OPEN, Step.RESOLVE): TicketNotResponded,
    (Status.OPEN, Step.CLOSE): TicketNotResolved,
    (Status.RESPONDED, Step.CLOSE): TicketNotResolved,
    (Status.RESOLVED, Step.RESPOND): TicketAlreadyResolved,
    (Status.RESOLVED, Step.RESOLVE): TicketAlreadyResolved,
}

_DONE = {
    Step.OPEN: "opened",
    Step.JUDGE: "judged",
    Step.RESPOND: "responded to",
    Step.RESOLVE: "resolved",
    Step.CLOSE: "closed",
}


def possible(status: Status, *, complaint: bool, verdict: Verdict | None) -> Mapping[Step, Status]:
    """The steps that can be taken now, and where they lead: only complaints are judged, and once.

    A verdict stands: others have acted on it, and may have compensated the customer.
    """
    judgeable = complaint and verdict is None
    return {step: then for step, then in NEXT[status].items() if judgeable or step is not Step.JUDGE}


def after(status: Status, step: Step, *, complaint: bool, verdict: Verdict | None) -> Status:
    """The status to which the step leads; raises the conflict that says why it cannot be taken now."""
    following = possible(status, complaint=complaint, verdict=verdict)
    if step in following:
        return following[step]
    refusal, what = _refusal(status, step, complaint, verdict)
    allowed: list[JsonValue] = [each.value for each in following]
    now = " or ".join(following) or "nothing"
    raise refusal(
        f"A ticket that is {what} cannot be {_DONE[step]}; possible now: {now}.",
        ticket_status=status.value,
        allowed=allowed,
    )


def _refusal(
    status: Status, step: Step, complaint: bool, verdict: Verdict | None
) -> tuple[type[Conflict], str]:
    """The conflict, and what the ticket is that stands in the way."""
    if step is Step.JUDGE and not complaint:
        return TicketIsNoComplaint, "no complaint"
    if step is Step.JUDGE and verdict is not None:
        return ComplaintAlreadyJudged, f"{verdict} already"
    return _REFUSALS.get((status, step), TicketClosed), status.value


def replay(steps: Iterable[Step]) -> Status:
    """The status to which these steps have led, from the opening on: what is stored must equal it."""
    status: Status | None = None
    for step in steps:
        status = NEXT[status][step]
    if status is None:
        raise ValueError("a ticket begins with its opening")
    return status
