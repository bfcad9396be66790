"""What can be wrong with a request to loyalty."""

from crm_shared.problems import Conflict, NotFound, Unprocessable


class AccountNotFound(NotFound):
    """Nobody with this id has ever been heard of."""


class HoldNotFound(NotFound):
    """This customer has no such hold."""


class EarningRuleNotFound(NotFound): ...


class InsufficientPoints(Conflict):
    """More was asked for than is there; `available` says how much is."""


class HoldRanOut(Conflict):
    """Its time is over: the points are free again."""


class HoldResolved(Conflict):
    """It was captured or released before; `state` says which."""


class ReferenceReused(Unprocessable):
    """The ledger knows this reference from a posting that was about something else."""
