"""What can be wrong with a request to loyalty."""

from crm_shared.problems import Conflict, NotFound, Unprocessable


class AccountNotFound(NotFound):
    """Nobody with this id has ever been heard of."""


class HoldNotFound(NotFound):
    """This customer has no such hold."""


class EarningRuleNotFound(NotFound): ...


class ChoiceDiffers(Conflict):
    """Rules of one group choose in one way; `rule` names one that chooses in another."""


class InsufficientPoints(Conflict):
    """More was asked for than is there; `available` says how much is."""


class HoldRanOut(Conflict):
    """Its time is over: the points are free again."""


class HoldResolved(Conflict):
    """It was captured or released before; `state` says which."""


class ReferenceReused(Unprocessable):
    """The ledger knows this reference from a posting that was about something else."""


class RewardNotFound(NotFound): ...


class RewardOrderNotFound(NotFound): ...


class RewardNotOffered(Conflict):
    """It was taken out of the catalogue."""


class OutOfStock(Conflict):
    """Fewer are left than were asked for; `remaining` says how many."""


class LimitReached(Conflict):
    """It was had as often as it may be; `scope` says whose limit it is, `limit` which."""


class NotYetValid(Conflict):
    """It begins at `valid_from`."""


class NoLongerValid(Conflict):
    """It ended at `valid_until`."""


class NotForThisTier(Conflict):
    """It is for other tiers or levels than the customer's."""


class OrderStateConflict(Conflict):
    """An order in this `state` cannot take that step."""
