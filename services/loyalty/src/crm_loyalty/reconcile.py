"""The books, recomputed: `DATABASE_URL=… python -m crm_loyalty.reconcile` names every difference.

All is read in one snapshot, so it may run while the service works. It exits with 0 when there is no
difference, with 1 when there is one, and with 2 when the database could not be asked.
"""

import asyncio
import os
import sys

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from crm_shared.database import async_url

# Each finds the rows that contradict its name, and says what is and what should be.
CHECKS = {
    "the entries of all accounts add up to zero": """
        SELECT 'all entries' AS subject, sum(amount) AS found, 0 AS expected
        FROM entries HAVING sum(amount) <> 0
    """,
    "all that was transferred was received": """
        SELECT 'all transfers' AS subject, sum(amount) AS found, 0 AS expected
        FROM entries WHERE programme_account = 'transferred' HAVING sum(amount) <> 0
    """,
    "the entries of each transaction add up to zero": """
        SELECT transaction_id AS subject, sum(amount) AS found, 0 AS expected
        FROM entries GROUP BY transaction_id HAVING sum(amount) <> 0
    """,
    "a transaction that moves points has entries for just so many": """
        SELECT subject, found, expected FROM (
            SELECT t.id AS subject, COALESCE(e.amount, 0) AS found,
                CASE WHEN t.kind IN ('spend', 'capture', 'expire', 'transfer') THEN -t.points
                    ELSE t.points END AS expected
            FROM transactions AS t
            LEFT JOIN (
                SELECT transaction_id, sum(amount) AS amount FROM entries WHERE account_id IS NOT NULL
                GROUP BY transaction_id
            ) AS e ON e.transaction_id = t.id
            WHERE t.kind IN ('earn', 'spend', 'adjust', 'capture', 'expire', 'transfer', 'receive')
        ) AS moved WHERE found <> expected
    """,
    "a balance is the sum of the account's entries": """
        SELECT a.id AS subject, a.balance AS found, COALESCE(e.amount, 0) AS expected
        FROM accounts AS a
        LEFT JOIN (
            SELECT account_id, sum(amount) AS amount FROM entries WHERE account_id IS NOT NULL
            GROUP BY account_id
        ) AS e ON e.account_id = a.id
        WHERE a.balance <> COALESCE(e.amount, 0)
    """,
    "a balance is what the account's lots have left": """
        SELECT a.id AS subject, a.balance AS found, COALESCE(l.remaining, 0) AS expected
        FROM accounts AS a
        LEFT JOIN (SELECT account_id, sum(remaining) AS remaining FROM lots GROUP BY account_id) AS l
            ON l.account_id = a.id
        WHERE a.balance <> COALESCE(l.remaining, 0)
    """,
    "a lot has left what was not taken from it": """
        SELECT l.id AS subject, l.remaining AS found, l.amount - COALESCE(p.points, 0) AS expected
        FROM lots AS l
        LEFT JOIN (SELECT lot_id, sum(points) AS points FROM allocations GROUP BY lot_id) AS p
            ON p.lot_id = l.id
        WHERE l.remaining <> l.amount - COALESCE(p.points, 0)
    """,
    "what a transaction changed in an account is what it changed in its lots": """
        SELECT transaction_id AS subject, COALESCE(sum(entered), 0) AS found,
            COALESCE(sum(in_lots), 0) AS expected
        FROM (
            SELECT transaction_id, account_id, amount AS entered, 0 AS in_lots FROM entries
            WHERE account_id IS NOT NULL
            UNION ALL SELECT transaction_id, account_id, 0, amount FROM lots
            UNION ALL SELECT a.transaction_id, lots.account_id, 0, -a.points
            FROM allocations AS a JOIN lots ON lots.id = a.lot_id
        ) AS moved GROUP BY transaction_id, account_id HAVING sum(entered) <> sum(in_lots)
    """,
    "what an account owes is what its debts have left": """
        SELECT a.id AS subject, a.owed AS found, COALESCE(l.owed, 0) AS expected
        FROM accounts AS a
        LEFT JOIN (
            SELECT account_id, -sum(remaining) AS owed FROM lots WHERE remaining < 0 GROUP BY account_id
        ) AS l ON l.account_id = a.id
        WHERE a.owed <> COALESCE(l.owed, 0)
    """,
    "a reversal enters what it undoes, whatever of it was not there any more": """
        SELECT t.id AS subject, COALESCE(e.amount, 0) AS found, -t.points AS expected
        FROM transactions AS t
        LEFT JOIN (
            SELECT transaction_id, sum(amount) AS amount FROM entries WHERE programme_account = 'reversed'
            GROUP BY transaction_id
        ) AS e ON e.transaction_id = t.id
        WHERE t.kind = 'reverse' AND COALESCE(e.amount, 0) <> -t.points
    """,
    "no more of a transaction is undone than it moved": """
        SELECT t.id AS subject, sum(abs(r.points)) AS found, abs(t.points) AS expected
        FROM transactions AS r JOIN transactions AS t ON t.id = r.reverses
        GROUP BY t.id HAVING sum(abs(r.points)) > abs(t.points)
    """,
    "what the lines of a purchase earned adds up to what it earned, and to more if some came back before": """
        SELECT t.id AS subject, sum(l.points) AS found, t.points AS expected
        FROM earned_lines AS l JOIN transactions AS t ON t.id = l.transaction_id
        GROUP BY t.id HAVING sum(l.points) < t.points OR (sum(l.points) > t.points AND NOT EXISTS (
            SELECT FROM returned_lines AS r WHERE r.transaction_id = t.id
        ))
    """,
    "the points held in an account are those of its open holds": """
        SELECT a.id AS subject, a.held AS found, COALESCE(h.points, 0) AS expected
        FROM accounts AS a
        LEFT JOIN (
            SELECT part.account_id, sum(part.points) AS points
            FROM hold_parts AS part JOIN holds ON holds.id = part.hold_id
            WHERE holds.state = 'open' GROUP BY part.account_id
        ) AS h ON h.account_id = a.id
        WHERE a.held <> COALESCE(h.points, 0)
    """,
    "the parts of a hold add up to it": """
        SELECT h.id AS subject, COALESCE(sum(part.points), 0) AS found, h.points AS expected
        FROM holds AS h LEFT JOIN hold_parts AS part ON part.hold_id = h.id
        GROUP BY h.id HAVING COALESCE(sum(part.points), 0) <> h.points
    """,
    "a hold ends in one transaction, an open one in none": """
        SELECT h.id AS subject, COALESCE(t.ends, 0) AS found, CAST(h.state <> 'open' AS int) AS expected
        FROM holds AS h
        LEFT JOIN (
            SELECT hold_id, count(*) AS ends FROM transactions
            WHERE kind IN ('capture', 'release', 'run_out') GROUP BY hold_id
        ) AS t ON t.hold_id = h.id
        WHERE COALESCE(t.ends, 0) <> CAST(h.state <> 'open' AS int)
    """,
    "an account is in the pool of which its owner is a member": """
        SELECT a.id AS subject, a.pool_id AS found, m.pool_id AS expected
        FROM accounts AS a
        LEFT JOIN pool_members AS m ON m.customer_id = a.customer_id AND m.state = 'active'
        WHERE a.pool_id IS DISTINCT FROM m.pool_id
    """,
    "a pool has a head, and one that was dissolved nobody": """
        SELECT p.id AS subject, COALESCE(m.heads, 0) AS found,
            CAST(p.dissolved_at IS NULL AS int) AS expected
        FROM pools AS p
        LEFT JOIN (
            SELECT pool_id, count(*) AS heads FROM pool_members
            WHERE head AND state = 'active' GROUP BY pool_id
        ) AS m ON m.pool_id = p.id
        WHERE COALESCE(m.heads, 0) <> CAST(p.dissolved_at IS NULL AS int)
    """,
    "no budget has given more than was awarded": """
        SELECT b.rule AS subject, b.used AS found, CAST(coalesce(sum(a.points), 0) AS bigint) AS expected
        FROM earning_budgets AS b LEFT JOIN awards AS a ON a.rule = b.rule
        GROUP BY b.rule HAVING b.used > coalesce(sum(a.points), 0)
    """,
    "an event has earned what rules gave for it": """
        SELECT e.id AS subject, e.points AS found, CAST(coalesce(sum(a.points), 0) AS bigint) AS expected
        FROM earning_events AS e LEFT JOIN awards AS a ON a.cause_id = e.id
        GROUP BY e.id HAVING e.points <> coalesce(sum(a.points), 0)
    """,
    "as many coupons of a series are counted as used as have a live use": """
        SELECT c.series_key AS subject, c.used AS found, COALESCE(u.live, 0) AS expected
        FROM coupon_counts AS c
        LEFT JOIN (
            SELECT series_key, count(*) AS live FROM coupon_uses
            WHERE state IN ('reserved', 'redeemed') GROUP BY series_key
        ) AS u USING (series_key)
        WHERE c.used <> COALESCE(u.live, 0)
    """,
    "as much is counted as taken off by a promotion as it took off orders of which something is left": """
        SELECT concat_ws(' ', promotion, currency) AS subject, COALESCE(c.used, 0) AS found,
            CAST(COALESCE(u.amount, 0) AS bigint) AS expected
        FROM promotion_counts AS c
        FULL JOIN (
            SELECT promotion, currency, sum(amount) AS amount FROM promotion_uses
            WHERE restored_at IS NULL GROUP BY promotion, currency
        ) AS u USING (promotion, currency)
        WHERE COALESCE(c.used, 0) <> COALESCE(u.amount, 0)
    """,
    "as many of a reward are counted as ordered as its orders say": """
        SELECT s.reward_key AS subject, s.ordered AS found, COALESCE(o.quantity, 0) AS expected
        FROM reward_stock AS s
        LEFT JOIN (
            SELECT reward_key, sum(quantity) AS quantity FROM reward_orders
            WHERE state <> 'cancelled' GROUP BY reward_key
        ) AS o USING (reward_key)
        WHERE s.ordered <> COALESCE(o.quantity, 0)
    """,
}


async def differences(connection: AsyncConnection) -> list[str]:
    """What contradicts what, a line each; empty: the books are right."""
    found = []
    for name, statement in CHECKS.items():
        for row in await connection.execute(text(statement)):
            found.append(f"{name}: {row.subject} has {row.found}, not {row.expected}")
    return found


async def reconcile(url: str) -> list[str]:
    engine = create_async_engine(async_url(url), isolation_level="REPEATABLE READ")
    try:
        async with engine.connect() as connection:
            return await differences(connection)
    finally:
        await engine.dispose()


def main() -> int:
    url = os.environ.get("DATABASE_URL")
    if not url:
        sys.stderr.write("set DATABASE_URL to the address of loyalty's database\n")
        return 2
    try:
        found = asyncio.run(reconcile(url))
    except (SQLAlchemyError, OSError) as error:
        # Nothing is said of the books: not what a difference would answer.
        sys.stderr.write(f"loyalty's database could not be asked: {str(error).partition(chr(10))[0]}\n")
        return 2
    sys.stdout.write("\n".join(found or [f"{len(CHECKS)} checks, no difference"]) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
