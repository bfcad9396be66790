"""What must hold in a system that has come to rest, whatever was done to it: one checker for all faults."""

import asyncio
import subprocess
import sys
import time
from importlib import import_module

import asyncpg

from crm_local.system import System
from crm_shared.subscriptions import Subscriptions

SERVICES = ("profiles", "segmentation", "tickets", "loyalty")


async def violations(system: System) -> list[str]:
    """Every invariant that does not hold now, in words; empty: all is well."""
    connections = {name: await asyncpg.connect(system.databases[name].owner_url) for name in SERVICES}
    try:
        found: list[str] = []
        for name, connection in connections.items():
            found += await _outbox(name, connection)
            found += await _nothing_left_over(name, connection)
        for consumer in SERVICES:
            for publisher in SERVICES:
                found += await _delivered(publisher, consumer, connections)
        return found
    finally:
        await asyncio.gather(*(connection.close() for connection in connections.values()))


async def _outbox(name: str, connection: asyncpg.Connection) -> list[str]:
    """Everything is sent, and of each aggregate every version was told once, without a gap.

    Only an undone merge is told twice: that the customer stands for itself again, and as whom. A complaint is
    a ticket.
    """
    found = []
    if unsent := await connection.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL"):
        found.append(f"{name}: {unsent} events are not sent")
    gaps = await connection.fetch(
        """
        SELECT subject FROM outbox WHERE type NOT LIKE '%.erasure.%'
        GROUP BY replace(split_part(type, '.', 2), 'complaint', 'ticket'), subject
        HAVING count(DISTINCT version) <> max(version) - min(version) + 1
            OR count(DISTINCT version) <> count(*) FILTER (WHERE type NOT LIKE '%.unmerged.%')
        """
    )
    if gaps:
        found.append(f"{name}: versions of {len(gaps)} aggregates are doubled or missing, as of {gaps[0][0]}")
    return found


async def _nothing_left_over(name: str, connection: asyncpg.Connection) -> list[str]:
    """No dead letters, no overdue work, no job that hangs, no transaction that was forgotten."""
    checks = {
        "dead letters": "SELECT count(*) FROM dead_letters",
        "overdue works": "SELECT count(*) FROM due WHERE at < now() - interval '5 seconds'",
        "open jobs": "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')",
        "forgotten transactions": """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND state LIKE 'idle in transaction%'
              AND state_change < now() - interval '5 seconds'
        """,
    }
    counts = {what: await connection.fetchval(statement) for what, statement in checks.items()}
    return [f"{name}: {count} {what}" for what, count in counts.items() if count]


async def _delivered(publisher: str, consumer: str, connections: dict[str, asyncpg.Connection]) -> list[str]:
    """The consumer's inbox holds exactly the publisher's events of the types it listens to."""
    subscriptions: Subscriptions = import_module(f"crm_{consumer}.handlers").subscriptions
    types = [type_ for type_ in subscriptions.types if type_.startswith(f"{publisher}.")]
    if not types:
        return []
    sent = await connections[publisher].fetch("SELECT id FROM outbox WHERE type = ANY($1)", types)
    had = await connections[consumer].fetch(
        "SELECT event_id FROM inbox WHERE source LIKE '%/' || $1", publisher
    )
    missing = {row["id"] for row in sent} - {row["event_id"] for row in had}
    return [f"{consumer}: {len(missing)} events of {publisher} have had no effect"] if missing else []


def ledger_differences(system: System) -> str:
    """What loyalty's own reconciliation finds wrong; empty: nothing."""
    url = system.databases["loyalty"].app_url
    ran = subprocess.run(
        [sys.executable, "-m", "crm_loyalty.reconcile"],
        env={"DATABASE_URL": url, "PATH": ""},
        capture_output=True,
        text=True,
    )
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


async def at_rest(system: System, within: float = 60) -> None:
    """Wait until every invariant holds; fails with those that do not."""
    deadline = time.monotonic() + within
    while found := await violations(system):
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.5)
    assert not ledger_differences(system)
