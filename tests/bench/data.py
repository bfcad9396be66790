"""The customers that are measured with: numbered, so that any client can name one without asking."""

from pathlib import Path
from random import Random
from uuid import UUID

import asyncpg

_SQL = Path(__file__).parent / "sql"

# The number's decimal digits are the id's last: made alike here and, by pgbench and seeds, in SQL.
_BENCH_ID = """
    CREATE OR REPLACE FUNCTION bench_id(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid
"""


def customer_id(n: int) -> UUID:
    return UUID(f"00000000-0000-7000-8000-{n:012d}")


class Dice:
    """Draws customers, the same ones in each run."""

    def __init__(self, customers: int) -> None:
        self._random = Random(20260227)
        self._customers = customers

    def customer(self) -> UUID:
        return customer_id(self._random.randint(1, self._customers))


def script(name: str) -> str:
    return (_SQL / f"{name}.sql").read_text()


async def seed(owner_url: str, name: str, customers: int) -> None:
    """Fill a service's tables by a few large statements, as its owner, and let the planner know."""
    connection = await asyncpg.connect(owner_url)
    try:
        await connection.execute(_BENCH_ID)
        await connection.execute(script(f"seed_{name}").replace(":customers", str(customers)))
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
