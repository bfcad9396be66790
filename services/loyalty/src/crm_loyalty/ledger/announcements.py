"""Which event tells the world of which movement."""

from collections.abc import Iterator, Mapping
from uuid import UUID

from crm_loyalty.ledger.journal import Changes, LotState, Touch
from crm_loyalty.models.ledger import Kind
from crm_loyalty.postings import Expire, Movement, Posting, Receive
from crm_shared.contracts.loyalty import (
    PointsAdjusted,
    PointsEarned,
    PointsExpired,
    PointsHeld,
    PointsMoved,
    PointsReceived,
    PointsReleased,
    PointsReversed,
    PointsShared,
    PointsSpent,
    PointsTransferred,
)


def announce(changes: Changes, origins: Mapping[UUID, UUID]) -> Iterator[tuple[Posting, PointsMoved]]:
    """One event per movement and one per account of others that it changed too, in order; `origins` says for
    whom each account was opened.

    That a debt was paid is told to nobody: the balance tells of it already.
    """
    amounts: dict[tuple[UUID, UUID], int] = {}
    if changes.touched:
        amounts = {(id, of): amount for id, of, amount in changes.entries if isinstance(of, UUID)}
    lots = {lot.transaction_id: lot for lot in changes.lots.values() if lot.transaction_id is not None}
    for posting, movement in changes.movements:
        if movement.kind is not Kind.SETTLE:
            lot = lots.get(movement.id)
            yield posting, _event(posting, movement, origins[movement.account_id], lot, changes)
            for touch in changes.touched.get(movement.id, ()):
                change = amounts.get((movement.id, touch.account_id), 0)
                hold = changes.holds.get(movement.hold_id) if movement.hold_id is not None else None
                points = hold.parts[touch.account_id] if hold is not None else abs(change)
                yield posting, _shared(movement, touch, origins, points=points, change=change)


def _shared(
    movement: Movement, touch: Touch, origins: Mapping[UUID, UUID], *, points: int, change: int
) -> PointsShared:
    return PointsShared(
        customer_id=origins[touch.account_id],
        version=touch.version,
        account_id=touch.account_id,
        points=points,
        balance=touch.balance,
        held=touch.held,
        transaction_id=movement.id,
        reference=movement.reference,
        effective_at=movement.effective_at,
        movement=movement.kind.value,
        change=change,
        moved_by=origins[movement.account_id],
    )


def _event(
    posting: Posting, movement: Movement, customer_id: UUID, lot: LotState | None, changes: Changes
) -> PointsMoved:
    state = {
        "customer_id": customer_id,
        "version": movement.version,
        "account_id": movement.account_id,
        "points": abs(movement.points),
        "balance": movement.balance,
        "held": movement.held,
        "transaction_id": movement.id,
        "reference": movement.reference,
        "effective_at": movement.effective_at,
    }
    match movement.kind:
        case Kind.EARN if lot is not None:
            rules = {(line.rule, line.version) for line in movement.explanation}
            rule, version = rules.pop() if len(rules) == 1 else (None, None)
            return PointsEarned.model_validate(
                state
                | {
                    "lot_id": lot.id,
                    "expires_at": lot.expires_at,
                    "rule": rule,
                    "rule_version": version,
                }
            )
        case Kind.SPEND | Kind.CAPTURE:
            return PointsSpent.model_validate(state | {"hold_id": movement.hold_id})
        case Kind.ADJUST:
            return PointsAdjusted.model_validate(state | {"change": movement.points})
        case Kind.HOLD if movement.hold_id is not None:
            hold = changes.holds[movement.hold_id]
            return PointsHeld.model_validate(state | {"hold_id": hold.id, "expires_at": hold.expires_at})
        case Kind.RELEASE | Kind.RUN_OUT:
            ran_out = movement.kind is Kind.RUN_OUT
            return PointsReleased.model_validate(state | {"hold_id": movement.hold_id, "ran_out": ran_out})
        case Kind.EXPIRE if isinstance(posting, Expire):
            expired_at = movement.effective_at
            return PointsExpired.model_validate(state | {"lot_id": posting.lot_id, "expired_at": expired_at})
        case Kind.TRANSFER:
            return PointsTransferred.model_validate(state)
        case Kind.RECEIVE if isinstance(posting, Receive):
            return PointsReceived.model_validate(state | {"transfer_id": posting.transfer_id})
        case Kind.REVERSE if movement.reverses is not None:
            undone = {"change": movement.points, "reverses": movement.reverses}
            return PointsReversed.model_validate(state | undone)
    raise LookupError(f"no event tells of {movement.kind} {movement.id}")
