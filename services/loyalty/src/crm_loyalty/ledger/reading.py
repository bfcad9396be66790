"""What the book needs to know, locked and read in as many statements however many postings there are."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.ledger.journal import AccountState, LotState, Target
from crm_loyalty.ledger.pooling import LOCKED_TOGETHER
from crm_loyalty.models.ledger import HoldState, Kind
from crm_loyalty.postings import SOURCE, HoldRecord, Movement, Posting, Receive
from crm_loyalty.rules.earning import Line
from crm_shared.prepared import Prepared

_FIRST_LOTS = 64

_LOCK = Prepared(
    text(
        f"""
    SELECT id, customer_id, origin_customer_id, version, balance, held, owed, active_at,
        EXISTS (SELECT FROM erased_customers AS gone WHERE gone.customer_id = origin_customer_id) AS erased,
        pool_id
    FROM accounts WHERE customer_id IN ({LOCKED_TOGETHER})
    ORDER BY id FOR UPDATE
    """
    )
)

_HELD_IN = Prepared(
    text(
        """
    SELECT DISTINCT account.origin_customer_id
    FROM hold_parts AS part JOIN accounts AS account ON account.id = part.account_id
    WHERE part.hold_id = ANY(CAST(:ids AS uuid[]))
    """
    )
)

_MOVED_IN = Prepared(
    text(
        """
    SELECT origin_customer_id FROM accounts WHERE id IN (
        SELECT account_id FROM transactions WHERE id = ANY(CAST(:ids AS uuid[]))
        UNION ALL
        SELECT lots.account_id FROM allocations JOIN lots ON lots.id = allocations.lot_id
        WHERE allocations.transaction_id = ANY(CAST(:ids AS uuid[]))
        UNION ALL
        SELECT account_id FROM transactions
        WHERE source = :source AND reference = ANY(CAST(:receipts AS text[]))
    )
    """
    )
)

_KNOWN = Prepared(
    text(
        """
    SELECT id, kind, source, reference, account_id, version, points, balance, held, hold_id, reverses,
        explanation, effective_at, recorded_at
    FROM transactions
    JOIN unnest(CAST(:sources AS text[]), CAST(:references AS text[])) AS asked (source, reference)
        USING (source, reference)
    """
    )
)

_HOLDS = Prepared(
    text(
        """
    SELECT holds.id, holds.customer_id, holds.origin_customer_id, holds.points, state, reference, placed_at,
        expires_at, resolved_at, part.account_id, part.points AS part
    FROM holds JOIN hold_parts AS part ON part.hold_id = holds.id
    WHERE holds.id = ANY(CAST(:ids AS uuid[])) OR (holds.state = 'open' AND holds.id IN (
        SELECT hold_id FROM hold_parts WHERE account_id = ANY(CAST(:accounts AS uuid[]))
    ))
    """
    )
)

_COLUMNS = "id, account_id, amount, remaining, earned_at, expires_at, idle_days, policy_version, parted_from"

_LOTS = Prepared(
    text(
        f"""
    SELECT lot.*
    FROM unnest(CAST(:accounts AS uuid[])) AS wanted (account_id)
    CROSS JOIN LATERAL (
        SELECT {_COLUMNS} FROM lots
        WHERE lots.account_id = wanted.account_id AND remaining > 0
        ORDER BY expires_at, earned_at, id LIMIT :most
    ) AS lot
    """
    )
)

_OTHER_LOTS = Prepared(
    text(
        f"""
    SELECT {_COLUMNS} FROM lots WHERE id = ANY(CAST(:ids AS uuid[]))
    UNION
    SELECT {_COLUMNS} FROM lots WHERE account_id = ANY(CAST(:indebted AS uuid[])) AND remaining < 0
    """
    )
)

_TARGETS = Prepared(
    text(
        """
    SELECT t.id, t.kind, t.account_id, t.points, COALESCE(undone.points, 0) AS reversed, lot.id AS lot_id,
        COALESCE(ended.points, 0) + COALESCE(undone.expired, 0) AS expired,
        COALESCE(took.points, '{}') AS taken, got.id AS receipt_id, COALESCE(got.lots, '{}') AS received,
        COALESCE(took.accounts, '{}') || COALESCE(got.accounts, '{}') AS moved_in
    FROM transactions AS t
    LEFT JOIN lots AS lot ON lot.transaction_id = t.id AND lot.amount > 0
    LEFT JOIN LATERAL (
        SELECT CAST(sum(abs(r.points)) AS bigint) AS points, CAST(sum((
            SELECT sum(amount) FROM entries
            WHERE entries.transaction_id = r.id AND programme_account = 'expired'
        )) AS bigint) AS expired
        FROM transactions AS r WHERE r.reverses = t.id
    ) AS undone ON true
    LEFT JOIN LATERAL (
        SELECT CAST(sum(a.points) AS bigint) AS points
        FROM allocations AS a JOIN transactions AS x ON x.id = a.transaction_id AND x.kind = 'expire'
        WHERE a.lot_id = lot.id
    ) AS ended ON true
    LEFT JOIN LATERAL (
        SELECT jsonb_object_agg(per.lot_id, per.points) AS points,
            array_agg(DISTINCT lots.account_id) AS accounts
        FROM (
            SELECT lot_id, CAST(sum(a.points) AS bigint) AS points FROM allocations AS a
            WHERE a.transaction_id = t.id
                OR a.transaction_id IN (SELECT r.id FROM transactions AS r WHERE r.reverses = t.id)
            GROUP BY lot_id HAVING sum(a.points) > 0
        ) AS per JOIN lots ON lots.id = per.lot_id
    ) AS took ON lot.id IS NULL
    LEFT JOIN LATERAL (
        SELECT r.id, array_agg(lots.id) AS lots, array_agg(DISTINCT lots.account_id) AS accounts
        FROM transactions AS r JOIN lots ON lots.transaction_id = r.id
        WHERE t.kind = 'transfer' AND r.source = :source AND r.reference = 'receipt ' || t.id
        GROUP BY r.id
    ) AS got ON true
    WHERE t.id = ANY(CAST(:ids AS uuid[]))
    """
    )
)


async def lock(
    session: AsyncSession,
    customer_ids: Collection[UUID],
    hold_ids: Collection[UUID],
    transaction_ids: Collection[UUID],
) -> list[AccountState]:
    """Lock every account of the owners of these customers, and those that holds and transactions touch.

    With each come those of the owner's pool. Who leaves or joins one meanwhile is not taken for a member.
    """
    origins = set(customer_ids)
    if hold_ids:
        touched = await _HELD_IN.fetch(session, {"ids": sorted(hold_ids)})
        origins.update(row["origin_customer_id"] for row in touched)
    if transaction_ids:
        ids = sorted(transaction_ids)
        touched = await _MOVED_IN.fetch(
            session, {"ids": ids, "source": SOURCE, "receipts": [Receive.of(id) for id in ids]}
        )
        origins.update(row["origin_customer_id"] for row in touched)
    rows = await _LOCK.fetch(session, {"customers": sorted(origins)})
    return [AccountState(**row) for row in rows]


async def known(session: AsyncSession, postings: Iterable[Posting]) -> list[Movement]:
    """What the ledger has under these references; read under the locks, so that nobody is just adding it."""
    pairs = sorted({(posting.source, posting.reference) for posting in postings})
    rows = await _KNOWN.fetch(
        session, {"sources": [pair[0] for pair in pairs], "references": [pair[1] for pair in pairs]}
    )
    movements = []
    for row in rows:
        lines = tuple(Line(**line) for line in row["explanation"])
        movements.append(Movement(**{**row, "kind": Kind(row["kind"]), "explanation": lines}))
    return movements


async def holds(
    session: AsyncSession, ids: Collection[UUID], accounts: Collection[UUID] = ()
) -> dict[UUID, HoldRecord]:
    """The holds with their parts, and all open ones that reserve points in these accounts."""
    found: dict[UUID, HoldRecord] = {}
    if not ids and not accounts:
        return found
    for row in await _HOLDS.fetch(session, {"ids": sorted(ids), "accounts": sorted(accounts)}):
        id = row["id"]
        if id not in found:
            found[id] = HoldRecord(
                id=id,
                customer_id=row["customer_id"],
                origin_customer_id=row["origin_customer_id"],
                points=row["points"],
                parts={},
                state=HoldState(row["state"]),
                reference=row["reference"],
                placed_at=row["placed_at"],
                expires_at=row["expires_at"],
                resolved_at=row["resolved_at"],
            )
        found[id].parts[row["account_id"]] = row["part"]
    return found


async def targets(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, Target]:
    """The transactions that are to be reversed, each with what can still be."""
    if not ids:
        return {}
    rows = await _TARGETS.fetch(session, {"ids": sorted(ids), "source": SOURCE})
    return {
        row["id"]: Target(
            id=row["id"],
            kind=Kind(row["kind"]),
            account_id=row["account_id"],
            points=row["points"],
            reversed=row["reversed"],
            lot_id=row["lot_id"],
            expired=row["expired"],
            taken={UUID(lot_id): points for lot_id, points in row["taken"].items()},
            receipt_id=row["receipt_id"],
            received=list(row["received"]),
            moved_in=list(row["moved_in"]),
        )
        for row in rows
    }


async def lots(
    session: AsyncSession,
    wanted: Mapping[UUID, int],
    ids: Collection[UUID],
    indebted: Sequence[UUID],
    *,
    at: datetime,
) -> list[LotState]:
    """The lots of each account that are next to be spent, as far as its wanted points reach and a little on.

    Most need the first few; who needs more is asked again, with a larger helping each time. With them come
    the lots with these ids and what the indebted accounts owe.
    """
    found: dict[UUID, list[LotState]] = {}
    missing, most = sorted(wanted), _FIRST_LOTS
    while missing:
        found |= {account_id: [] for account_id in missing}
        for row in await _LOTS.fetch(session, {"accounts": missing, "most": most}):
            found[row["account_id"]].append(LotState(**row))
        missing = [
            id
            for id in missing
            if len(found[id]) == most and (found[id][-1].over(at) or _left(found[id], at) < wanted[id])
        ]
        most *= 16
    every = {lot.id: lot for of_account in found.values() for lot in of_account}
    if ids or indebted:
        for row in await _OTHER_LOTS.fetch(session, {"ids": sorted(ids), "indebted": sorted(indebted)}):
            every.setdefault(row["id"], LotState(**row))
    return list(every.values())


def _left(lots: Iterable[LotState], at: datetime) -> int:
    """What can be spent of them."""
    return sum(lot.remaining for lot in lots if not lot.over(at))
