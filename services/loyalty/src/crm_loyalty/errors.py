"""What can be wrong with a request to loyalty."""

from crm_shared.problems import Conflict, Forbidden, NotFound, TooManyRequests, Unprocessable


class AccountNotFound(NotFound):
    """Nobody with this id has been heard of; of who was made known just now it is heard within seconds."""


class HoldNotFound(NotFound):
    """This customer has no such hold."""


class EarningRuleNotFound(NotFound): ...


class ChoiceDiffers(Conflict):
    """Rules of one group choose in one way; `rule` names one that chooses in another."""


class TransactionNotFound(NotFound):
    """This customer has no such transaction."""


class RewardWasOrdered(Conflict):
    """A reward was ordered with these points: cancel the order, and they come back with its stock."""


class CompensationWasGranted(Conflict):
    """These points compensate for a complaint: reverse the recovery, and its budget gets them back, too."""


class NothingToReverse(Conflict):
    """Nothing is left of it to undo, or it is of a `kind` that is not undone, as an expiry or a reversal."""


class AdjustmentNotFound(NotFound): ...


class AdjustmentDecided(Conflict):
    """Somebody approved or rejected it before; `state` says which."""


class ApprovalRequired(Conflict):
    """A second person has to agree: ask for it at /v1/adjustments."""


class OwnRequest(Forbidden):
    """Nobody decides on what they asked for themselves."""


class NothingToExpire(Conflict):
    """Nothing is left of the lot, its time is not over, or holds have reserved what it has."""


class InsufficientPoints(Conflict):
    """More was asked for than is there; `available` says how much is."""


class TransferToSelf(Conflict):
    """Both accounts are of the same customer."""


class TransferLimitReached(Conflict):
    """No more may be transferred today: `limit` is the policy's, `transferred` is what was already."""


class PoolNotFound(NotFound): ...


class PoolMemberNotFound(NotFound): ...


class PoolDissolved(Conflict):
    """Nobody shares points in it any more."""


class AlreadyInPool(Conflict):
    """Who is in a pool leaves it before joining another one; `pool_id` says which."""


class PoolIsFull(Conflict):
    """It has as many members and invitations as the points policy lets it: `limit`."""


class MembershipEnded(Conflict):
    """Who is asked again can accept again; `ending` says how it ended."""


class NotAMember(Conflict):
    """Only members can be the head; `state` says what they are."""


class HeadOnly(Forbidden):
    """The head of the pool does this, or staff."""


class OrderNotYours(Forbidden):
    """Which order points pay is said by staff: they come back when it is refunded."""


class HolidayUnknown(Unprocessable):
    """A rule names a holiday that its calendar has not."""


class EventTypeUnknown(Unprocessable):
    """A rule names a published event that earns no points; `published` says which do."""


class EventNotFound(NotFound): ...


class EventDiffers(Conflict):
    """This external id already stands for an event with another content."""


class EventNotYet(Unprocessable):
    """It has not happened yet."""


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
    """It is for other tiers, levels or segments than the customer's."""


class OrderStateConflict(Conflict):
    """An order in this `state` cannot take that step."""


class CouponSeriesNotFound(NotFound): ...


class CouponNotFound(NotFound):
    """Nobody has ever been given this code."""


class CouponUseNotFound(NotFound): ...


class InvalidCouponCode(Unprocessable):
    """No code looks like this: a sign is missing, wrong, or has changed places with another one."""


class TooManyWrongCodes(TooManyRequests):
    """Too many codes that nobody was given: try again later."""


class CouponSuspended(Conflict):
    """The series is out of use for the time being."""


class CouponNotYetValid(Conflict):
    """It can be used from `valid_from` on."""


class CouponExpired(Conflict):
    """It could be used until `valid_until`."""


class CouponInUse(Conflict):
    """It is reserved for another order, until `expires_at` at most."""


class CouponAlreadyRedeemed(Conflict): ...


class CouponVoid(Conflict):
    """Somebody has withdrawn it."""


class CouponNotYours(Conflict):
    """It was issued to another customer."""


class CouponOtherCurrency(Conflict):
    """It is worth money of another currency than the basket's."""


class CouponNotForTheseProducts(Conflict):
    """Nothing in the basket is what it is for."""


class BasketTooSmall(Conflict):
    """What it is for does not come to its `minimum`."""


class CouponNotCombinable(Conflict):
    """Another coupon is used for the order, and they do not go together."""


class CouponHasNoEffect(Conflict):
    """It would be used up and take nothing off."""


class CouponUseEnded(Conflict):
    """The reservation was redeemed, released or ran out before; `state` says which."""


class IssueLimitReached(Conflict):
    """No more of the series may be issued."""


class PromotionNotFound(NotFound): ...


class PromotionBudgetSpent(Conflict):
    """Nothing is left of what the promotion takes off in all, or less than this."""


class QuoteNotFound(NotFound): ...


class QuoteExpired(Conflict):
    """The price held until `expires_at`: ask for a new one."""


class QuoteIsStale(Conflict):
    """Something has changed since: `changes` says what was and what would be now; ask for a new one."""


class QuoteCommitted(Conflict):
    """The price was taken for another order."""


class QuoteNotCommitted(Conflict):
    """The price was taken for no order: nothing is to be given back."""


class QuoteReleased(Conflict):
    """What was taken with the price was given back before: ask for a new one."""


class OrderWasPurchased(Conflict):
    """The purchase of the order is recorded: what was taken for it comes back by a refund."""


class OrderHasPrice(Conflict):
    """The order has the price of another quote, which `quote_id` names."""


class PointsNotPayable(Conflict):
    """Points do not pay baskets of this currency."""


class TierLadderNotFound(NotFound):
    """Nobody has said yet which tiers there are: `PUT /v1/tiers` says it."""


class TierNotFound(NotFound):
    """The ladder has no such tier."""


class GrantInThePast(Unprocessable):
    """A tier is given for some time to come."""


class ReferralNotFound(NotFound): ...


class ReferralCodeNotFound(NotFound):
    """Nobody has this code, or this customer has none yet."""


class InvalidReferralCode(Unprocessable):
    """No code looks like this: a sign is missing, wrong, or has changed places with another one."""


class ReferralsClosed(Conflict):
    """The programme takes no referrals at present."""


class SelfReferral(Conflict):
    """The code is the customer's own."""


class NotANewCustomer(Conflict):
    """The customer has ordered before."""


class AlreadyReferred(Conflict):
    """The customer came by a code before."""


class ReferralCircle(Conflict):
    """The owner of the code came, maybe through others, by a code of this customer."""


class PeriodEndsBeforeItBegins(Unprocessable):
    """`to` is before `from`."""


class PeriodTooLong(Unprocessable):
    """A report is of `days` at most."""


class RecoveryNotFound(NotFound): ...


class RecoveryStateConflict(Conflict):
    """A compensation in this `state` cannot take that step."""


class RecoveryBudgetSpent(Conflict):
    """Not so much is left of the `month`'s `budget`."""


class AboveYourLimit(Forbidden):
    """More points than `limit` are granted by a manager."""


class ActivityNotFound(NotFound): ...


class ActivityCancelled(Conflict):
    """It was called off."""


class ActivityNotYet(Conflict):
    """Nobody is there more than a day before `starts_at`."""


class ActivityHasBegun(Conflict):
    """Answers were taken until `starts_at`."""


class InvalidInvitationCode(Unprocessable):
    """No code looks like this: a sign is missing, wrong, or has changed places with another one."""


class InvitationNotFound(NotFound):
    """Nobody was invited to this activity with this code."""


class NotOnTheGuestList(Conflict):
    """Only who has said yes and found room comes in; `state` says what the invitation is."""


class AlreadyAttended(Conflict):
    """The customer is there already."""


class CareTemplateNotFound(NotFound): ...


class TextNotFound(NotFound):
    """The template has no text for this channel."""


class CarePlanNotFound(NotFound): ...


class CareReferenceUnknown(Unprocessable):
    """The plan names a template, coupon series or purpose that there is not."""


class MessageNotFound(NotFound): ...


class MessageNotSent(Conflict):
    """Nothing is known of a message's way before it was sent; `state` says how far it has come."""
