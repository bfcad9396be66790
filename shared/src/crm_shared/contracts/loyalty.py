"""What loyalty tells the world: movements of points."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from pydantic import Field

from crm_shared.contracts.base import Event, Money
from crm_shared.contracts.messages import MessageState


class PointsMoved(Event):
    """The account after the movement; `version` is the account's."""

    subject_field: ClassVar[str] = "account_id"

    account_id: UUID
    points: int = Field(ge=0, description="how many points this movement was about")
    balance: int = Field(description="points that the customer owns in all accounts, held ones included")
    held: int = Field(ge=0, description="of these, points reserved by holds")
    transaction_id: UUID | None = None
    reference: str = Field(description="what it was for, unique within its source")
    effective_at: datetime


class PointsEarned(PointsMoved):
    """The customer was given points."""

    type: ClassVar[str] = "loyalty.points.earned.v1"

    lot_id: UUID
    expires_at: datetime | None = None
    rule: str | None = Field(default=None, description="key of the earning rule, when one rule gave them all")
    rule_version: int | None = None


class PointsSpent(PointsMoved):
    """The customer paid with points; a captured hold is spent too."""

    type: ClassVar[str] = "loyalty.points.spent.v1"

    hold_id: UUID | None = None


class PointsAdjusted(PointsMoved):
    """Somebody put the customer's points right by hand."""

    type: ClassVar[str] = "loyalty.points.adjusted.v1"

    change: int = Field(description="what was added; negative: taken away")


class PointsHeld(PointsMoved):
    """Points were reserved until they are captured, released, or the hold runs out."""

    type: ClassVar[str] = "loyalty.points.held.v1"

    hold_id: UUID
    expires_at: datetime


class PointsReleased(PointsMoved):
    """Reserved points are free again."""

    type: ClassVar[str] = "loyalty.points.released.v1"

    hold_id: UUID
    ran_out: bool = Field(description="nobody released it: its time was over")


class RewardOrderMoved(Event):
    """The order of a reward after a step; `version` is the order's."""

    subject_field: ClassVar[str] = "order_id"

    order_id: UUID
    reward: str = Field(description="key of the reward")
    kind: str = Field(description="gift, coupon or discount; may become more")
    quantity: int = Field(ge=1)
    points: int = Field(ge=1, description="paid for all of it")
    state: str = Field(description="where the order stands now")
    ordered_at: datetime


class RewardOrdered(RewardOrderMoved):
    """The customer has exchanged points for a reward."""

    type: ClassVar[str] = "loyalty.reward.ordered.v1"


class RewardShipped(RewardOrderMoved):
    """The reward is on its way."""

    type: ClassVar[str] = "loyalty.reward.shipped.v1"


class RewardDelivered(RewardOrderMoved):
    """The customer has the reward."""

    type: ClassVar[str] = "loyalty.reward.delivered.v1"


class RewardCancelled(RewardOrderMoved):
    """The order was cancelled; the points are back."""

    type: ClassVar[str] = "loyalty.reward.cancelled.v1"


class CouponIssued(Event):
    """The customer was given a coupon; `version` is the coupon's."""

    type: ClassVar[str] = "loyalty.coupon.issued.v1"
    subject_field: ClassVar[str] = "coupon_id"

    coupon_id: UUID
    series: str = Field(description="key of the series")
    series_version: int
    valid_from: datetime | None = None
    valid_until: datetime | None = None


class CouponRedeemed(Event):
    """The customer has used a coupon for an order."""

    type: ClassVar[str] = "loyalty.coupon.redeemed.v1"
    subject_field: ClassVar[str] = "coupon_id"

    coupon_id: UUID
    series: str
    use_id: UUID
    order_source: str = Field(description="the shop")
    order_id: str = Field(description="what it calls the order")
    discount: Money


class CouponVoided(Event):
    """A coupon that the customer had was withdrawn."""

    type: ClassVar[str] = "loyalty.coupon.voided.v1"
    subject_field: ClassVar[str] = "coupon_id"

    coupon_id: UUID
    series: str


class PointsExpired(PointsMoved):
    """Points of a lot had their time."""

    type: ClassVar[str] = "loyalty.points.expired.v1"

    lot_id: UUID
    expired_at: datetime = Field(description="the first instant at which they could not be spent")


class PointsReversed(PointsMoved):
    """A movement was undone, or a part of it: mostly because a purchase was given back."""

    type: ClassVar[str] = "loyalty.points.reversed.v1"

    change: int = Field(
        description="positive: spent points that came back; negative: given points that were taken back"
    )
    reverses: UUID = Field(description="the transaction that was undone")


class PointsTransferred(PointsMoved):
    """The customer gave points to another one."""

    type: ClassVar[str] = "loyalty.points.transferred.v1"


class PointsReceived(PointsMoved):
    """The customer got points of another one, with the age and the expiry that they had."""

    type: ClassVar[str] = "loyalty.points.received.v1"

    transfer_id: UUID = Field(description="the giver's transaction")


class PointsShared(PointsMoved):
    """A movement of another customer's changed this one's points, mostly as both are in one pool."""

    type: ClassVar[str] = "loyalty.points.shared.v1"

    movement: str = Field(description="spend, hold, capture, release, run_out or reverse; may become more")
    change: int = Field(description="of the balance; 0 where points were only reserved or are free again")
    moved_by: UUID = Field(description="the customer to whom the movement was addressed")


class PointsExpiring(Event):
    """Points will expire unless they are spent before."""

    type: ClassVar[str] = "loyalty.points.expiring.v1"
    subject_field: ClassVar[str] = "account_id"

    account_id: UUID
    points: int = Field(ge=1, description="points of this account that expire at that instant")
    expires_at: datetime = Field(description="the first instant at which they cannot be spent")


class MessageSent(MessageState):
    """The customer was written to."""

    type: ClassVar[str] = "loyalty.message.sent.v1"


class MessageDelivered(MessageState):
    """The message reached the customer."""

    type: ClassVar[str] = "loyalty.message.delivered.v1"


class MessageFailed(MessageState):
    """The message did not reach the customer."""

    type: ClassVar[str] = "loyalty.message.failed.v1"


class MessageAnswered(MessageState):
    """The customer has answered the message."""

    type: ClassVar[str] = "loyalty.message.answered.v1"


class ActivityAttended(Event):
    """The customer was at an activity; `version` is the invitation's."""

    type: ClassVar[str] = "loyalty.activity.attended.v1"
    subject_field: ClassVar[str] = "invitation_id"

    invitation_id: UUID
    activity_id: UUID
    attended_at: datetime
    points: int = Field(ge=0, description="given for being there")


class ReferralQualified(Event):
    """A friend whom a customer brought has ordered; both were given points. `version` is the referral's."""

    type: ClassVar[str] = "loyalty.referral.qualified.v1"
    subject_field: ClassVar[str] = "referral_id"

    referral_id: UUID
    referrer_id: UUID = Field(description="the customer whose code it was; the event's own is the friend")
    purchase_id: UUID | None = Field(default=None, description="the order that counts")
    points_referrer: int = Field(ge=0)
    points_friend: int = Field(ge=0)


class PoolMembership(Event):
    """A customer's time in a pool, where customers share their points; `version` is the membership's."""

    subject_field: ClassVar[str] = "member_id"

    member_id: UUID
    pool_id: UUID
    head: bool = Field(description="whether the pool is theirs to manage")


class PoolJoined(PoolMembership):
    """The customer's points are shared in a pool from now on."""

    type: ClassVar[str] = "loyalty.pool.joined.v1"

    joined_at: datetime


class PoolLeft(PoolMembership):
    """The customer goes with what their own lots have left."""

    type: ClassVar[str] = "loyalty.pool.left.v1"

    left_at: datetime
    reason: str = Field(description="left, removed, dissolved or merged; may become more")


class TierState(Event):
    """Where the customer stands on the ladder of tiers; `version` is that of what was told of it."""

    subject_field: ClassVar[str] = "customer_id"

    tier: str | None = Field(default=None, description="key of the tier that the customer has")
    why: str = Field(description="none, reached, held, grace or granted; may become more")
    total: int = Field(description="of the basis in this period; money in minor units")
    basis: str = Field(description="spend, net_spend, orders or points_earned; may become more")
    currency: str | None = None
    until: datetime | None = Field(default=None, description="the end of the period that it is held for")
    ladder_version: int


class TierChanged(TierState):
    """The customer rose or fell on the ladder."""

    type: ClassVar[str] = "loyalty.tier.changed.v1"

    previous: str | None = None


class TierDowngradeAnnounced(TierState):
    """The customer will lose the tier, unless the basis reaches it again before."""

    type: ClassVar[str] = "loyalty.tier.downgrade_announced.v1"

    falls_to: str | None = None
    falls_at: datetime
