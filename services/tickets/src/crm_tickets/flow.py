"""The flow of a ticket as a table: which step leads where, and why the others are refused."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from pydantic import JsonValue

from crm_shared.problems import Conflict
from crm_tickets.errors import TicketAlreadyResolved, TicketClosed, TicketNotResolved, TicketNotResponded


class Status(StrEnum):
    """How far a ticket is."""

    OPEN = "open"
    RESPONDED = "responded"
    RESOLVED = "resolved"
    CLOSED = "closed"


class Step(StrEnum):
    """What somebody does with a ticket."""

    OPEN = "open"
    RESPOND = "respond"
    RESOLVE = "resolve"
    CLOSE = "close"


NEXT: Mapping[Status | None, Mapping[Step, Status]] = {
    None: {Step.OPEN: Status.OPEN},
    Status.OPEN: {Step.RESPOND: Status.RESPONDED},
    Status.RESPONDED: {Step.RESPOND: Status.RESPONDED, Step.RESOLVE: Status.RESOLVED},
    Status.RESOLVED: {Step.CLOSE: Status.CLOSED},
    Status.CLOSED: {},
}

_REFUSALS: Mapping[tuple[Status, Step], type[Conflict]] = {
    (Status.OPEN, Step.RESOLVE): TicketNotResponded,
    (Status.OPEN, Step.CLOSE): TicketNotResolved,
    (Status.RESPONDED, Step.CLOSE): TicketNotResolved,
    (Status.RESOLVED, Step.RESPOND): TicketAlreadyResolved,
    (Status.RESOLVED, Step.RESOLVE): TicketAlreadyResolved,
}


def after(status: Status, step: Step) -> Status:
    """The status to which the step leads; raises the conflict that says why it cannot be taken now."""
    following = NEXT[status]
    if step in following:
        return following[step]
    refusal = _REFUSALS.get((status, step), TicketClosed)
    allowed: list[JsonValue] = [each.value for each in following]
    possible = " or ".join(following) or "nothing"
    raise refusal(
        f"A ticket that is {status} cannot be {_DONE[step]}; possible now: {possible}.",
        ticket_status=status.value,
        allowed=allowed,
    )


_DONE = {
    Step.OPEN: "opened",
    Step.RESPOND: "responded to",
    Step.RESOLVE: "resolved",
    Step.CLOSE: "closed",
}


def replay(steps: Iterable[Step]) -> Status:
    """The status to which these steps have led, from the opening on: what is stored must equal it."""
    status: Status | None = None
    for step in steps:
        status = NEXT[status][step]
    if status is None:
        raise ValueError("a ticket begins with its opening")
    return status
