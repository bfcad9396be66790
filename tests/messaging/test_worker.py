"""The worker's process: ready when all is in place, alive whatever happens to others, gone when told."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import asyncpg
import httpx2

from crm_local.ports import free_port
from crm_local.provisioning import Databases
from crm_shared.testing import Signer

from .conftest import APACHE, Broker, until


@asynccontextmanager
async def worker(
    service: str, addresses: Mapping[str, Databases], broker: Broker, signer: Signer
) -> AsyncIterator[tuple[asyncio.subprocess.Process, httpx2.AsyncClient]]:
    """The worker as containers start it, and its internal port."""
    port = free_port()
    environment = {
        **os.environ,
        "DATABASE_URL": addresses[service].app_url,
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "KAFKA_IDEMPOTENCE": str(APACHE),
        "INTERNAL_PUBLIC_KEY": signer.public_key,
        "CURSOR_SECRET": "cursors of the tests, thirty-two bytes and more",
        "UNSUBSCRIBE_SECRET": "unsubscribing in the tests, thirty-two bytes and more",
        "INTERNAL_PORT": str(port),
        "LOG_LEVEL": "WARNING",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"crm_{service}.worker", env=environment
    )
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            yield process, client
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def answers(client: httpx2.AsyncClient, path: str, status: int, *, saying: str = "") -> bool:
    try:
        answer = await client.get(path)
    except httpx2.TransportError:
        return False
    return answer.status_code == status and saying in answer.text


async def test_a_worker_says_when_it_is_ready_and_what_is_missing_and_leaves_when_told(
    addresses: Mapping[str, Databases], broker: Broker, signer: Signer
) -> None:
    async with worker("loyalty", addresses, broker, signer) as (process, client):
        await until(lambda: answers(client, "/readyz", 200))

        broker.die()
        await until(lambda: answers(client, "/readyz", 503, saying="broker"))
        assert await answers(client, "/livez", 200), "a broker that is gone is no reason to start again"
        broker.come_back()
        await until(lambda: answers(client, "/readyz", 200))

        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 25) == 0


async def test_a_database_that_drops_every_connection_ends_no_worker(
    addresses: Mapping[str, Databases], postgres_url: str, broker: Broker, signer: Signer
) -> None:
    async with worker("loyalty", addresses, broker, signer) as (process, client):
        await until(lambda: answers(client, "/readyz", 200))
        admin = await asyncpg.connect(postgres_url)
        for _ in range(5):
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'crm_loyalty'"
            )
            await asyncio.sleep(0.2)
        await admin.close()
        await until(lambda: answers(client, "/readyz", 200))
        assert process.returncode is None
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 25) == 0
