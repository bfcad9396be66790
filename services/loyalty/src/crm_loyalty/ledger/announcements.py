"""Which event tells the world of which movement."""

from collections.abc import Iterator, Mapping
from uuid import UUID

from crm_loyalty.ledger.book import Changes, LotState
from crm_loyalty.models.ledger import Kind
from crm_loyalty.postings import Movement, Posting
from crm_shared.contracts.loyalty import (
    PointsAdjusted,
    PointsEarned,
    PointsHeld,
    PointsMoved,
    PointsReleased,
    PointsSpent,
)


def announce(changes: Changes, origins: Mapping[UUID, UUID]) -> Iterator[tuple[Posting, PointsMoved]]:
    """One event per movement, in order; `origins` says for whom each account was opened."""
    lots = {lot.transaction_id: lot for lot in changes.lots.values() if lot.transaction_id is not None}
    for posting, movement in changes.movements:
        yield posting, _event(movement, origins[movement.account_id], lots.get(movement.id), changes)


def _event(movement: Movement, customer_id: UUID, lot: LotState | None, changes: Changes) -> PointsMoved:
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
    raise LookupError(f"no event tells of {movement.kind} {movement.id}")
