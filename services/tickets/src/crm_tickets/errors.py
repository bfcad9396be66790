"""What can go wrong with tickets."""

from crm_shared.problems import Conflict, NotFound


class TicketNotFound(NotFound): ...


class CalendarNotFound(NotFound): ...


class TicketNotResponded(Conflict):
    """The customer was not answered yet: that comes before the resolution."""


class TicketNotResolved(Conflict):
    """The matter is not settled yet: that comes before closing."""


class TicketAlreadyResolved(Conflict):
    """The matter is settled: what is left is to close the ticket."""


class TicketClosed(Conflict):
    """The ticket has come to its end: nothing more can be done with it."""


class TicketIsNoComplaint(Conflict):
    """Only a complaint is upheld or rejected."""


class ComplaintAlreadyJudged(Conflict):
    """The complaint has its verdict, and that stands."""
