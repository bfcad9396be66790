"""What a book changed, written as one statement whatever its size."""

from collections.abc import Sequence
from datetime import datetime
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

_WRITE = """
WITH new_transactions AS (
    INSERT INTO transactions (id, kind, source, reference, account_id, version, points, balance, held,
        hold_id, reverses, explanation, effective_at, recorded_at)
    SELECT t.id, t.kind, t.source, t.reference, t.account_id, t.version, t.points, t.balance, t.held,
        t.hold_id, t.reverses, CAST(t.explanation AS jsonb), t.effective_at, :at
    FROM unnest(:t_id, :t_kind, :t_source, :t_reference, :t_account_id, :t_version, :t_points, :t_balance,
        :t_held, :t_hold_id, :t_reverses, :t_explanation, :t_effective_at)
        AS t (id, kind, source, reference, account_id, version, points, balance, held, hold_id, reverses,
            explanation, effective_at)
), new_entries AS (
    INSERT INTO entries (id, transaction_id, account_id, programme_account, amount, recorded_at)
    SELECT e.id, e.transaction_id, e.account_id, e.programme_account, e.amount, :at
    FROM unnest(:e_id, :e_transaction_id, :e_account_id, :e_programme_account, :e_amount)
        AS e (id, transaction_id, account_id, programme_account, amount)
), new_lots AS (
    INSERT INTO lots (id, account_id, transaction_id, amount, remaining, earned_at, expires_at, idle_days,
        policy_version, parted_from)
    SELECT * FROM unnest(:l_id, :l_account_id, :l_transaction_id, :l_amount, :l_remaining, :l_earned_at,
        :l_expires_at, :l_idle_days, :l_policy_version, :l_parted_from)
), new_allocations AS (
    INSERT INTO allocations (transaction_id, lot_id, points)
    SELECT * FROM unnest(:p_transaction_id, :p_lot_id, :p_points)
), new_holds AS (
    INSERT INTO holds (id, customer_id, origin_customer_id, transaction_id, points, state, reference,
        placed_at, expires_at, resolved_at)
    SELECT h.id, h.customer_id, h.origin_customer_id, h.transaction_id, h.points, h.state, h.reference, :at,
        h.expires_at, CASE WHEN h.state <> 'open' THEN :at END
    FROM unnest(:h_id, :h_customer_id, :h_origin_customer_id, :h_transaction_id, :h_points, :h_state,
        :h_reference, :h_expires_at)
        AS h (id, customer_id, origin_customer_id, transaction_id, points, state, reference, expires_at)
), new_hold_parts AS (
    INSERT INTO hold_parts (hold_id, account_id, points)
    SELECT * FROM unnest(:q_hold_id, :q_account_id, :q_points)
), new_reasons AS (
    INSERT INTO reasons (transaction_id, customer_id, origin_customer_id, text)
    SELECT r.transaction_id, a.customer_id, a.origin_customer_id, r.text
    FROM unnest(:r_transaction_id, :r_account_id, :r_text) AS r (transaction_id, account_id, text)
    JOIN accounts AS a ON a.id = r.account_id
), new_order_payments AS (
    INSERT INTO order_payments (transaction_id, customer_id, origin_customer_id, source, external_id)
    SELECT o.transaction_id, a.customer_id, a.origin_customer_id, o.source, o.external_id
    FROM unnest(:o_transaction_id, :o_account_id, :o_source, :o_external_id)
        AS o (transaction_id, account_id, source, external_id)
    JOIN accounts AS a ON a.id = o.account_id
), new_earned_lines AS (
    INSERT INTO earned_lines (transaction_id, line, amount, quantity, points)
    SELECT * FROM unnest(:b_transaction_id, :b_line, :b_amount, :b_quantity, :b_points)
), new_events AS (
    INSERT INTO outbox (id, type, key, subject, version, data, time, traceparent, causation_id, actor)
    SELECT * FROM unnest(:event_id, :event_type, :event_key, :event_subject, :event_version, :event_data,
        :event_time, :event_traceparent, :event_causation_id, :event_actor)
), changed_lots AS (
    UPDATE lots SET remaining = c.remaining
    FROM unnest(:c_id, :c_remaining) AS c (id, remaining) WHERE lots.id = c.id
), changed_holds AS (
    UPDATE holds SET state = d.state, resolved_at = :at
    FROM unnest(:d_id, :d_state) AS d (id, state) WHERE holds.id = d.id
)
UPDATE accounts SET version = a.version, balance = a.balance, held = a.held, owed = a.owed,
    active_at = a.active_at, changed_at = :at
FROM unnest(:a_id, :a_version, :a_balance, :a_held, :a_owed, :a_active_at)
    AS a (id, version, balance, held, owed, active_at)
WHERE accounts.id = a.id
"""

_ID, _INT, _TEXT, _AT = Uuid(), BigInteger(), Text(), DateTime(timezone=True)

# The columns that are passed as arrays, by the letter of their table in the statement.
_ARRAYS: dict[str, dict[str, TypeEngine[Any]]] = {
    "t": {
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
        "explanation": _TEXT,
        "effective_at": _AT,
    },
    "e": {"id": _ID, "transaction_id": _ID, "account_id": _ID, "programme_account": _TEXT, "amount": _INT},
    "l": {
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
    "p": {"transaction_id": _ID, "lot_id": _ID, "points": _INT},
    "h": {
        "id": _ID,
        "customer_id": _ID,
        "origin_customer_id": _ID,
        "transaction_id": _ID,
        "points": _INT,
        "state": _TEXT,
        "reference": _TEXT,
        "expires_at": _AT,
    },
    "q": {"hold_id": _ID, "account_id": _ID, "points": _INT},
    "r": {"transaction_id": _ID, "account_id": _ID, "text": _TEXT},
    "o": {"transaction_id": _ID, "account_id": _ID, "source": _TEXT, "external_id": _TEXT},
    "b": {"transaction_id": _ID, "line": _INT, "amount": _INT, "quantity": _INT, "points": _INT},
    "c": {"id": _ID, "remaining": _INT},
    "d": {"id": _ID, "state": _TEXT},
    "a": {"id": _ID, "version": _INT, "balance": _INT, "held": _INT, "owed": _INT, "active_at": _AT},
}
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

_STATEMENT = text(_WRITE).bindparams(
    bindparam("at", type_=_AT),
    *(
        bindparam(f"{letter}_{name}", type_=ARRAY(kind))
        for letter, columns in {**_ARRAYS, "event": _EVENTS}.items()
        for name, kind in columns.items()
    ),
)

Row = tuple[Any, ...]


async def write(session: AsyncSession, changes: Changes, told: Sequence[News], *, at: datetime) -> None:
    """Write everything that changed and tell of it; the database's own checks have the last word."""
    await session.flush()  # what was published before goes before
    rows = _new_rows(changes) | _changed_rows(changes)
    parameters: dict[str, Any] = {"at": at} | outbox.parameters(session, told, at=at)
    for letter, columns in _ARRAYS.items():
        values: list[Row] = list(zip(*rows[letter], strict=True)) or [()] * len(columns)
        for name, column in zip(columns, values, strict=True):
            parameters[f"{letter}_{name}"] = list(column)
    await session.execute(_STATEMENT, parameters)


def _new_rows(changes: Changes) -> dict[str, list[Row]]:
    placed = [hold for hold in changes.holds.values() if hold.transaction_id is not None]
    return {
        "t": [
            (
                m.id,
                m.kind.value,
                m.source,
                m.reference,
                m.account_id,
                m.version,
                m.points,
                m.balance,
                m.held,
                m.hold_id,
                m.reverses,
                orjson.dumps(m.explanation).decode(),
                m.effective_at,
            )
            for _, m in changes.movements
        ],
        "e": [_entry(*entry) for entry in changes.entries],
        "l": [
            (
                lot.id,
                lot.account_id,
                lot.transaction_id,
                lot.amount,
                lot.remaining,
                lot.earned_at,
                lot.expires_at,
                lot.idle_days,
                lot.policy_version,
                lot.parted_from,
            )
            for lot in changes.lots.values()
            if lot.transaction_id is not None
        ],
        "p": [(*key, points) for key, points in changes.allocations.items() if points],
        "h": [
            (
                h.id,
                h.customer_id,
                h.origin_customer_id,
                h.transaction_id,
                h.points,
                h.state.value,
                h.purpose,
                h.expires_at,
            )
            for h in placed
        ],
        "q": [(h.id, account_id, part) for h in placed for account_id, part in h.parts.items()],
        "r": [
            (movement.id, movement.account_id, posting.reason)
            for posting, movement in changes.movements
            if isinstance(posting, Spend | Adjust | Reverse | Transfer) and posting.reason is not None
        ],
        "o": [
            (movement.id, movement.account_id, posting.order.source, posting.order.external_id)
            for posting, movement in changes.movements
            if isinstance(posting, Spend | PlaceHold) and posting.order is not None
        ],
        "b": [
            (movement.id, line.line, line.amount, line.quantity, line.points)
            for posting, movement in changes.movements
            if isinstance(posting, Earn)
            for line in posting.lines
        ],
    }


def _changed_rows(changes: Changes) -> dict[str, list[Row]]:
    return {
        "c": [(lot.id, lot.remaining) for lot in changes.lots.values() if lot.transaction_id is None],
        "d": [
            (hold.id, hold.state.value)
            for hold in changes.holds.values()
            if hold.transaction_id is None and hold.state is not HoldState.OPEN
        ],
        "a": [(a.id, a.version, a.balance, a.held, a.owed, a.active_at) for a in changes.accounts.values()],
    }


def _entry(transaction_id: UUID, account: UUID | ProgrammeAccount, amount: int) -> Row:
    if isinstance(account, ProgrammeAccount):
        return (row_id(), transaction_id, None, account.value, amount)
    return (row_id(), transaction_id, account, None, amount)
