"""What a book changed, written as one statement whatever its size."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import repeat
from operator import attrgetter
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ARRAY, BigInteger, DateTime, Text, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import TypeEngine

from crm_loyalty.ledger.journal import Changes
from crm_loyalty.models.ledger import HoldState, ProgrammeAccount
from crm_loyalty.postings import Adjust, Earn, PlaceHold, Reverse, Spend, Transfer
from crm_shared import outbox
from crm_shared.ids import row_id
from crm_shared.outbox import News
from crm_shared.prepared import Prepared

_WRITE = """
WITH new_transactions AS (
    INSERT INTO transactions (id, kind, source, reference, account_id, version, points, balance, held,
        hold_id, reverses, explanation, effective_at, recorded_at)
    SELECT id, kind, source, reference, account_id, version, points, balance, held, hold_id, reverses,
        CAST(explanation AS jsonb), effective_at, :at
    FROM {transactions}
), new_entries AS (
    INSERT INTO entries (id, transaction_id, account_id, programme_account, amount, recorded_at)
    SELECT given.*, :at FROM {entries}
), new_lots AS (
    INSERT INTO lots (id, account_id, transaction_id, amount, remaining, earned_at, expires_at, idle_days,
        policy_version, parted_from)
    SELECT given.* FROM {lots}
), new_allocations AS (
    INSERT INTO allocations (transaction_id, lot_id, points)
    SELECT given.* FROM {allocations}
), new_holds AS (
    INSERT INTO holds (id, customer_id, origin_customer_id, transaction_id, points, state, reference,
        placed_at, expires_at, resolved_at)
    SELECT given.* FROM {holds}
), new_hold_parts AS (
    INSERT INTO hold_parts (hold_id, account_id, points)
    SELECT given.* FROM {hold_parts}
), new_reasons AS (
    INSERT INTO reasons (transaction_id, customer_id, origin_customer_id, text)
    SELECT transaction_id, customer_id, origin_customer_id, text
    FROM {reasons} JOIN accounts ON accounts.id = account_id
), new_order_payments AS (
    INSERT INTO order_payments (transaction_id, customer_id, origin_customer_id, source, external_id)
    SELECT transaction_id, customer_id, origin_customer_id, source, external_id
    FROM {order_payments} JOIN accounts ON accounts.id = account_id
), new_earned_lines AS (
    INSERT INTO earned_lines (transaction_id, line, amount, quantity, points)
    SELECT given.* FROM {earned_lines}
), new_events AS (
    INSERT INTO outbox (id, type, key, subject, version, data, time, traceparent, causation_id, actor)
    SELECT given.* FROM {event}
), changed_lots AS (
    UPDATE lots SET remaining = given.remaining FROM {changed_lots} WHERE lots.id = given.id
), changed_holds AS (
    UPDATE holds SET state = given.state, resolved_at = given.resolved_at
    FROM {changed_holds} WHERE holds.id = given.id
)
UPDATE accounts SET version = given.version, balance = given.balance, held = given.held, owed = given.owed,
    active_at = given.active_at, changed_at = :at
FROM {changed_accounts} WHERE accounts.id = given.id
"""

_ID, _INT, _TEXT, _AT = Uuid(), BigInteger(), Text(), DateTime(timezone=True)

_ROWS: dict[str, dict[str, TypeEngine[Any]]] = {
    "transactions": {
        "id": _ID,
        "kind": _TEXT,
        "source": _TEXT,
        "reference": _TEXT,
        "account_id": _ID,
        "version": _INT,
        "points": _INT,
        "balance": _INT,
        "held": _INT,
        "hold_id": _ID,
        "reverses": _ID,
        "effective_at": _AT,
        "explanation": _TEXT,
    },
    "entries": {
        "id": _ID,
        "transaction_id": _ID,
        "account_id": _ID,
        "programme_account": _TEXT,
        "amount": _INT,
    },
    "lots": {
        "id": _ID,
        "account_id": _ID,
        "transaction_id": _ID,
        "amount": _INT,
        "remaining": _INT,
        "earned_at": _AT,
        "expires_at": _AT,
        "idle_days": _INT,
        "policy_version": _INT,
        "parted_from": _ID,
    },
    "allocations": {"transaction_id": _ID, "lot_id": _ID, "points": _INT},
    "holds": {
        "id": _ID,
        "customer_id": _ID,
        "origin_customer_id": _ID,
        "transaction_id": _ID,
        "points": _INT,
        "state": _TEXT,
        "reference": _TEXT,
        "placed_at": _AT,
        "expires_at": _AT,
        "resolved_at": _AT,
    },
    "hold_parts": {"hold_id": _ID, "account_id": _ID, "points": _INT},
    "reasons": {"transaction_id": _ID, "account_id": _ID, "text": _TEXT},
    "order_payments": {"transaction_id": _ID, "account_id": _ID, "source": _TEXT, "external_id": _TEXT},
    "earned_lines": {
        "transaction_id": _ID,
        "line": _INT,
        "amount": _INT,
        "quantity": _INT,
        "points": _INT,
    },
    "changed_lots": {"id": _ID, "remaining": _INT},
    "changed_holds": {"id": _ID, "state": _TEXT, "resolved_at": _AT},
    "changed_accounts": {
        "id": _ID,
        "version": _INT,
        "balance": _INT,
        "held": _INT,
        "owed": _INT,
        "active_at": _AT,
    },
}
"""What the statement is given rows of, each column as an array."""

# These columns are called as the fields that they keep.
_MOVEMENT = attrgetter(*(name for name in _ROWS["transactions"] if name != "explanation"))
_LOT, _HOLD, _ACCOUNT = (attrgetter(*_ROWS[name]) for name in ("lots", "holds", "changed_accounts"))

_EVENTS: dict[str, TypeEngine[Any]] = {
    "id": _ID,
    "type": _TEXT,
    "key": _TEXT,
    "subject": _TEXT,
    "version": _INT,
    "data": _TEXT,
    "time": _AT,
    "traceparent": _TEXT,
    "causation_id": _TEXT,
    "actor": _TEXT,
}


def _prepared() -> Prepared:
    sets = {**_ROWS, "event": _EVENTS}
    arrays = {name: [f"{name}_{column}" for column in columns] for name, columns in sets.items()}
    given = {
        name: f"unnest(:{', :'.join(arrays[name])}) AS given ({', '.join(columns)})"
        for name, columns in sets.items()
    }
    types = {
        array: ARRAY(type_)
        for name, columns in sets.items()
        for array, type_ in zip(arrays[name], columns.values(), strict=True)
    }
    statement = text(_WRITE.format_map(given))
    return Prepared(
        statement.bindparams(
            bindparam("at", type_=_AT), *(bindparam(array, type_=type_) for array, type_ in types.items())
        )
    )


_STATEMENT = _prepared()

Row = tuple[Any, ...]


async def write(session: AsyncSession, changes: Changes, told: Sequence[News], *, at: datetime) -> None:
    """Write everything that changed and tell of it; the database's own checks have the last word."""
    await session.flush()  # what was published before goes before
    values: dict[str, Any] = {"at": at} | outbox.parameters(session, told, at=at)
    rows = _new_rows(changes) | _rows_beside(changes) | _changed_rows(changes)
    for name, columns in _ROWS.items():
        arrays: Iterable[Row] = zip(*rows[name], strict=True) if rows[name] else repeat((), len(columns))
        values |= {f"{name}_{column}": array for column, array in zip(columns, arrays, strict=True)}
    await _STATEMENT.fetch(session, values)


def _new_rows(changes: Changes) -> dict[str, list[Row]]:
    placed = [hold for hold in changes.holds.values() if hold.transaction_id is not None]
    made = [lot for lot in changes.lots.values() if lot.transaction_id is not None]
    return {
        "transactions": [
            (*_MOVEMENT(movement), orjson.dumps(movement.explanation).decode())
            for _, movement in changes.movements
        ],
        "entries": [_entry(*entry) for entry in changes.entries],
        "lots": [_LOT(lot) for lot in made],
        "allocations": [(*key, points) for key, points in changes.allocations.items() if points],
        "holds": [_HOLD(hold) for hold in placed],
        "hold_parts": [(hold.id, id, part) for hold in placed for id, part in hold.parts.items()],
    }


def _rows_beside(changes: Changes) -> dict[str, list[Row]]:
    """What is kept of postings apart from the books: reasons, orders, and lines that refunds will ask for."""
    return {
        "reasons": [
            (movement.id, movement.account_id, posting.reason)
            for posting, movement in changes.movements
            if isinstance(posting, Spend | Adjust | Reverse | Transfer) and posting.reason is not None
        ],
        "order_payments": [
            (movement.id, movement.account_id, posting.order.source, posting.order.external_id)
            for posting, movement in changes.movements
            if isinstance(posting, Spend | PlaceHold) and posting.order is not None
        ],
        "earned_lines": [
            (movement.id, line.line, line.amount, line.quantity, line.points)
            for posting, movement in changes.movements
            if isinstance(posting, Earn)
            for line in posting.lines
        ],
    }


def _changed_rows(changes: Changes) -> dict[str, list[Row]]:
    return {
        "changed_lots": [
            (lot.id, lot.remaining) for lot in changes.lots.values() if lot.transaction_id is None
        ],
        "changed_holds": [
            (hold.id, hold.state, hold.resolved_at)
            for hold in changes.holds.values()
            if hold.transaction_id is None and hold.state is not HoldState.OPEN
        ],
        "changed_accounts": [_ACCOUNT(account) for account in changes.accounts.values()],
    }


def _entry(transaction_id: UUID, account: UUID | ProgrammeAccount, amount: int) -> Row:
    if isinstance(account, ProgrammeAccount):
        return (row_id(), transaction_id, None, account.value, amount)
    return (row_id(), transaction_id, account, None, amount)
