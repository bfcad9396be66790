"""The one way in which points move: many postings at once, each answered, none disturbed by its neighbours.

The accounts are locked in the order of their ids, what the postings need is read, the book applies them one
after the other in memory, and what changed is written by one statement.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Text, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.ledger import accounts, writing
from crm_loyalty.ledger.announcements import announce
from crm_loyalty.ledger.book import AccountState, Book, HoldRecord, LotState, needed
from crm_loyalty.models.ledger import HoldState, Kind
from crm_loyalty.postings import Earn, Movement, Posting, Resolution, Verdict, Wish
from crm_loyalty.rules.earning import Line
from crm_shared import customers, due
from crm_shared.outbox import News, publish_many

HOLD = "hold"
"""The kind of due work by which holds run out."""

_FIRST_LOTS = 64

_LOCK = text(
    """
    SELECT id, customer_id, origin_customer_id, version, balance, held FROM accounts
    WHERE customer_id IN (
        SELECT customer_id FROM accounts WHERE origin_customer_id = ANY(CAST(:customers AS uuid[]))
    )
    ORDER BY id FOR UPDATE
    """
).bindparams(bindparam("customers", type_=ARRAY(Uuid)))

_KNOWN = text(
    """
    SELECT id, kind, source, reference, account_id, version, points, balance, held, hold_id, explanation,
        effective_at, recorded_at
    FROM transactions
    JOIN unnest(CAST(:sources AS text[]), CAST(:references AS text[])) AS asked (source, reference)
        USING (source, reference)
    """
).bindparams(bindparam("sources", type_=ARRAY(Text)), bindparam("references", type_=ARRAY(Text)))

_HOLDS = text(
    """
    SELECT holds.id, holds.customer_id, holds.origin_customer_id, holds.points, state, expires_at, placed_at,
        part.account_id, part.points AS part, account.origin_customer_id AS part_origin
    FROM holds
    JOIN hold_parts AS part ON part.hold_id = holds.id
    JOIN accounts AS account ON account.id = part.account_id
    WHERE holds.id = ANY(CAST(:ids AS uuid[]))
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid)))

_LOTS = text(
    """
    SELECT lot.*
    FROM unnest(CAST(:accounts AS uuid[])) AS wanted (account_id)
    CROSS JOIN LATERAL (
        SELECT id, account_id, amount, remaining, earned_at, expires_at FROM lots
        WHERE lots.account_id = wanted.account_id AND remaining > 0
        ORDER BY expires_at, earned_at, id LIMIT :most
    ) AS lot
    """
).bindparams(bindparam("accounts", type_=ARRAY(Uuid)), bindparam("most", type_=BigInteger))


async def post(session: AsyncSession, postings: Sequence[Posting], *, at: datetime) -> list[Verdict]:
    """Do each posting in its turn, in the caller's transaction, and answer each; `at` is now.

    The number of statements does not depend on the number of postings.
    """
    # While we work nobody changes hands, so that the accounts we lock stay those of their owners.
    await customers.stop_merges(session)
    opening = [posting.customer_id for posting in postings if isinstance(posting, Earn)]
    if opening:
        await accounts.open_(session, opening, at=at)
    hold_ids = sorted({posting.hold_id for posting in postings if isinstance(posting, Resolution)})
    locked = await _lock(session, {p.customer_id for p in postings}, hold_ids)
    known = await _known(session, postings)
    holds, _ = await _holds(session, hold_ids)
    lots = await _lots(session, needed(postings, locked, holds))
    book = Book(locked, lots, holds.values(), known, at=at)
    forgotten = await customers.erased(session, {p.customer_id for p in postings if isinstance(p, Wish)})
    verdicts = [
        Verdict(posting, refusal=customers.CustomerWasErased(customer_id=str(posting.customer_id)))
        if isinstance(posting, Wish) and posting.customer_id in forgotten
        else book.apply(posting)
        for posting in postings
    ]
    if book.changes.movements:
        await writing.write(session, book.changes, at=at)
        placed = {id: hold.expires_at for id, hold in book.changes.holds.items() if _is_new_and_open(hold)}
        # A hold that is resolved keeps its due row, which then finds nothing to do: to remove it would be to
        # wait for the worker that waits for our accounts.
        await due.schedule(session, HOLD, placed)
        origins = {account.id: account.origin_customer_id for account in locked}
        told = [News(event, posting.cause) for posting, event in announce(book.changes, origins)]
        await publish_many(session, told, at=at)
    return verdicts


def _is_new_and_open(hold: HoldRecord) -> bool:
    return hold.transaction_id is not None and hold.state is HoldState.OPEN


async def _lock(
    session: AsyncSession, customer_ids: Collection[UUID], hold_ids: Sequence[UUID]
) -> list[AccountState]:
    """Lock every account of the owners of these customers, and those in which the holds reserve points."""
    _, origins = await _holds(session, hold_ids)
    rows = await session.execute(_LOCK, {"customers": sorted({*customer_ids, *origins})})
    return [AccountState(*row) for row in rows]


async def _known(session: AsyncSession, postings: Iterable[Posting]) -> list[Movement]:
    """What the ledger has under these references; read under the locks, so that nobody is just adding it."""
    pairs = sorted({(posting.source, posting.reference) for posting in postings})
    rows = await session.execute(
        _KNOWN, {"sources": [pair[0] for pair in pairs], "references": [pair[1] for pair in pairs]}
    )
    movements = []
    for row in rows.mappings():
        lines = tuple(Line(**line) for line in row["explanation"])
        movements.append(Movement(**{**row, "kind": Kind(row["kind"]), "explanation": lines}))
    return movements


async def _holds(session: AsyncSession, ids: Sequence[UUID]) -> tuple[dict[UUID, HoldRecord], set[UUID]]:
    """The holds with their parts, and the customers under whose ids those parts' accounts were opened."""
    holds: dict[UUID, HoldRecord] = {}
    origins: set[UUID] = set()
    if not ids:
        return holds, origins
    for row in await session.execute(_HOLDS, {"ids": ids}):
        if row.id not in holds:
            holds[row.id] = HoldRecord(
                id=row.id,
                customer_id=row.customer_id,
                origin_customer_id=row.origin_customer_id,
                points=row.points,
                parts={},
                state=HoldState(row.state),
                expires_at=row.expires_at,
                placed_at=row.placed_at,
            )
        holds[row.id].parts[row.account_id] = row.part
        origins.add(row.part_origin)
    return holds, origins


async def _lots(session: AsyncSession, wanted: Mapping[UUID, int]) -> list[LotState]:
    """The lots of each account that are next to be spent, as far as its wanted points reach and a little on.

    Most need the first few; who needs more is asked again, with a larger helping each time.
    """
    lots: dict[UUID, list[LotState]] = {}
    missing, most = sorted(wanted), _FIRST_LOTS
    while missing:
        lots |= {account_id: [] for account_id in missing}
        for row in await session.execute(_LOTS, {"accounts": missing, "most": most}):
            lots[row.account_id].append(LotState(*row))
        missing = [
            id
            for id in missing
            if len(lots[id]) == most and sum(lot.remaining for lot in lots[id]) < wanted[id]
        ]
        most *= 16
    return [lot for of_account in lots.values() for lot in of_account]
