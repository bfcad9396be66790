"""What a book changed, written as one statement whatever its size."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from functools import cache
from uuid import UUID

from sqlalchemy import DateTime, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.ledger.journal import Changes
from crm_loyalty.models.ledger import HoldState, ProgrammeAccount
from crm_loyalty.postings import Adjust, Earn, HoldRecord, Movement, PlaceHold, Reverse, Spend, Transfer
from crm_shared import due, outbox
from crm_shared.due import Planned
from crm_shared.ids import row_id
from crm_shared.outbox import News
from crm_shared.prepared import Prepared, as_rows, rows_from

# What is given rows of what, which columns these have, and what becomes of them.
_PARTS = {
    name: part.format(rows_from(name, columns))
    for name, columns, part in (
        (
            "transactions",
            """id uuid, kind text, source text, reference text, account_id uuid, version bigint,
            points bigint, balance bigint, held bigint, hold_id uuid, reverses uuid, explanation jsonb,
            effective_at timestamptz""",
            """INSERT INTO transactions (id, kind, source, reference, account_id, version, points, balance,
                held, hold_id, reverses, explanation, effective_at, recorded_at)
            SELECT given.*, :at FROM {}""",
        ),
        (
            "entries",
            "id uuid, transaction_id uuid, account_id uuid, programme_account text, amount bigint",
            """INSERT INTO entries (id, transaction_id, account_id, programme_account, amount, recorded_at)
            SELECT given.*, :at FROM {}""",
        ),
        (
            "lots",
            """id uuid, account_id uuid, transaction_id uuid, amount bigint, remaining bigint,
            earned_at timestamptz, expires_at timestamptz, idle_days bigint, policy_version bigint,
            parted_from uuid""",
            """INSERT INTO lots (id, account_id, transaction_id, amount, remaining, earned_at, expires_at,
                idle_days, policy_version, parted_from)
            SELECT given.* FROM {}""",
        ),
        (
            "allocations",
            "transaction_id uuid, lot_id uuid, points bigint",
            "INSERT INTO allocations (transaction_id, lot_id, points) SELECT given.* FROM {}",
        ),
        (
            "holds",
            """id uuid, customer_id uuid, origin_customer_id uuid, transaction_id uuid, points bigint,
            state text, reference text, placed_at timestamptz, expires_at timestamptz,
            resolved_at timestamptz""",
            """INSERT INTO holds (id, customer_id, origin_customer_id, transaction_id, points, state,
                reference, placed_at, expires_at, resolved_at)
            SELECT given.* FROM {}""",
        ),
        (
            "hold_parts",
            "hold_id uuid, account_id uuid, points bigint",
            "INSERT INTO hold_parts (hold_id, account_id, points) SELECT given.* FROM {}",
        ),
        (
            "reasons",
            "transaction_id uuid, account_id uuid, text text",
            """INSERT INTO reasons (transaction_id, customer_id, origin_customer_id, text)
            SELECT transaction_id, customer_id, origin_customer_id, text
            FROM {} JOIN accounts ON accounts.id = account_id""",
        ),
        (
            "order_payments",
            "transaction_id uuid, account_id uuid, source text, external_id text",
            """INSERT INTO order_payments (transaction_id, customer_id, origin_customer_id, source,
                external_id)
            SELECT transaction_id, customer_id, origin_customer_id, source, external_id
            FROM {} JOIN accounts ON accounts.id = account_id""",
        ),
        (
            "earned_lines",
            "transaction_id uuid, line bigint, amount bigint, quantity bigint, points bigint",
            """INSERT INTO earned_lines (transaction_id, line, amount, quantity, points)
            SELECT given.* FROM {}""",
        ),
        (
            "changed_lots",
            "id uuid, remaining bigint",
            "UPDATE lots SET remaining = given.remaining FROM {} WHERE lots.id = given.id",
        ),
        (
            "changed_holds",
            "id uuid, state text, resolved_at timestamptz",
            """UPDATE holds SET state = given.state, resolved_at = given.resolved_at
            FROM {} WHERE holds.id = given.id""",
        ),
        (
            "changed_accounts",
            "id uuid, version bigint, balance bigint, held bigint, owed bigint, active_at timestamptz",
            """UPDATE accounts SET version = given.version, balance = given.balance, held = given.held,
                owed = given.owed, active_at = given.active_at, changed_at = :at
            FROM {} WHERE accounts.id = given.id""",
        ),
    )
} | {"due": due.SCHEDULE, "events": outbox.INSERT}


@cache
def _statement(*names: str) -> Prepared:
    """Does these parts together: to have those along that are given nothing takes as long as the rest."""
    parts = ", ".join(f"written_{name} AS ({_PARTS[name]})" for name in names)
    whole = text(f"WITH {parts} SELECT")
    return Prepared(whole.bindparams(bindparam("at", type_=DateTime(timezone=True))))


_HOLD = [field.name for field in fields(HoldRecord) if field.name != "parts"]


async def write(
    session: AsyncSession, changes: Changes, told: Sequence[News], planned: Sequence[Planned], *, at: datetime
) -> None:
    """Write everything that changed, tell of it and plan what is to come of it.

    The database's own checks have the last word.
    """
    await session.flush()  # what was published before goes before
    rows = _new_rows(changes) | _rows_beside(changes) | _changed_rows(changes) | {"due": planned}
    values = {name: as_rows(each) for name, each in rows.items() if each}
    values["events"] = outbox.rows(session, told, at=at)
    await _statement(*values).fetch(session, {**values, "at": at})


def _new_rows(changes: Changes) -> dict[str, Sequence[object]]:
    placed = [hold for hold in changes.holds.values() if hold.transaction_id is not None]
    return {
        "transactions": [movement for _, movement in changes.movements],
        "entries": [_entry(*entry) for entry in changes.entries],
        "lots": [lot for lot in changes.lots.values() if lot.transaction_id is not None],
        "allocations": [
            {"transaction_id": transaction_id, "lot_id": lot_id, "points": points}
            for (transaction_id, lot_id), points in changes.allocations.items()
            if points
        ],
        "holds": [_hold(hold) for hold in placed],
        "hold_parts": [
            {"hold_id": hold.id, "account_id": account_id, "points": part}
            for hold in placed
            for account_id, part in hold.parts.items()
        ],
    }


def _rows_beside(changes: Changes) -> dict[str, Sequence[object]]:
    """What is kept of postings apart from the books: reasons, orders, and lines that refunds will ask for."""
    return {
        "reasons": [
            {**_of(movement), "text": posting.reason}
            for posting, movement in changes.movements
            if isinstance(posting, Spend | Adjust | Reverse | Transfer) and posting.reason is not None
        ],
        "order_payments": [
            {**_of(movement), "source": posting.order.source, "external_id": posting.order.external_id}
            for posting, movement in changes.movements
            if isinstance(posting, Spend | PlaceHold) and posting.order is not None
        ],
        "earned_lines": [
            {
                "transaction_id": movement.id,
                "line": line.line,
                "amount": line.amount,
                "quantity": line.quantity,
                "points": line.points,
            }
            for posting, movement in changes.movements
            if isinstance(posting, Earn)
            for line in posting.lines
        ],
    }


def _changed_rows(changes: Changes) -> dict[str, Sequence[object]]:
    return {
        "changed_lots": [lot for lot in changes.lots.values() if lot.transaction_id is None],
        "changed_holds": [
            _hold(hold)
            for hold in changes.holds.values()
            if hold.transaction_id is None and hold.state is not HoldState.OPEN
        ],
        "changed_accounts": list(changes.accounts.values()),
    }


def _of(movement: Movement) -> dict[str, UUID]:
    return {"transaction_id": movement.id, "account_id": movement.account_id}


def _hold(hold: HoldRecord) -> dict[str, object]:
    """Without its parts."""
    return {name: getattr(hold, name) for name in _HOLD}


def _entry(transaction_id: UUID, account: UUID | ProgrammeAccount, amount: int) -> dict[str, object]:
    side = "programme_account" if isinstance(account, ProgrammeAccount) else "account_id"
    return {"id": row_id(), "transaction_id": transaction_id, side: account, "amount": amount}
