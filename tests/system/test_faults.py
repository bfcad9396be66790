"""Every process is killed at random moments under load: nothing is lost, nothing happens twice."""

import asyncio
import logging
import os
import random
from collections import Counter

import asyncpg
import pytest
from tests.system.demo import run_demo, start_demo
from tests.system.invariants import at_rest

from crm_local.client import Client, Refused
from crm_local.system import System
from crm_shared.callers import Role

log = logging.getLogger(__name__)

APACHE = os.environ.get("CRM_TEST_KAFKA") == "apache"
SEEDS = [int(seed) for seed in os.environ.get("CRM_TEST_SEEDS", "11").split()]


class Traffic:
    """Customers spend points and open tickets, repeating what got no answer, until told to stop."""

    def __init__(self, client: Client, name: str, customers: list[str]) -> None:
        self._client = client
        self._name = name
        self._customers = customers
        self._stopped = asyncio.Event()
        self.done: Counter[str] = Counter()

    async def run(self, user: int) -> None:
        dice = random.Random(f"{self._name} {user}")
        number = 0
        while not self._stopped.is_set():
            number += 1
            customer, key = dice.choice(self._customers), f"{self._name}-{user}-{number}"
            if dice.random() < 0.5:
                await self._spend(customer, key)
            else:
                await self._open_ticket(customer, key)

    def stop(self) -> None:
        self._stopped.set()

    async def _spend(self, customer: str, key: str) -> None:
        try:
            await self._client.write(
                "POST", f"/v1/accounts/{customer}/spend", {"points": 1, "reason": self._name}, key=key
            )
            self.done["spends"] += 1
        except Refused as refused:
            if refused.problem["code"] != "insufficient_points":
                raise

    async def _open_ticket(self, customer: str, key: str) -> None:
        ticket = {"customer_id": customer, "kind": "enquiry", "severity": "low", "title": self._name}
        await self._client.write("POST", "/v1/tickets", ticket, key=key)
        self.done["tickets"] += 1


async def ill_treat(system: System, dice: random.Random) -> None:
    """Kill -9 each process once, in random order and at random moments; the broker loses everything, too."""
    victims = list(system.processes)
    if APACHE:
        victims.append("kafka")
    dice.shuffle(victims)
    for victim in victims:
        await asyncio.sleep(dice.uniform(0.2, 2.5))
        log.info("kill %s", victim)
        if victim == "kafka":
            await asyncio.to_thread(system.wipe_broker if dice.random() < 0.7 else system.restart_broker)
        else:
            await asyncio.to_thread(system.kill, victim)


async def customers_of(system: System, count: int) -> list[str]:
    connection = await asyncpg.connect(system.databases["profiles"].owner_url)
    rows = await connection.fetch("SELECT customer_id FROM customers ORDER BY customer_id LIMIT $1", count)
    await connection.close()
    return [str(row["customer_id"]) for row in rows]


@pytest.mark.timeout(420)
@pytest.mark.parametrize("seed", SEEDS)
async def test_nothing_is_lost_or_doubled_whatever_is_killed(system: System, seed: int) -> None:
    """The seed is in the test's name: `make test-system SEEDS=11` does the same again."""
    dice = random.Random(seed)
    name = f"seed-{seed}"
    customers = await customers_of(system, 50)
    demo = start_demo(system)
    async with Client(system.address, system.token(Role.ADMIN)) as client:
        traffic = Traffic(client, name, customers)
        users = asyncio.gather(*(traffic.run(user) for user in range(4)))
        await ill_treat(system, dice)
        traffic.stop()
        await users
    output, _ = await asyncio.to_thread(demo.communicate, timeout=180)
    assert demo.returncode == 0, output

    await asyncio.to_thread(system.wait_until_ready)
    await at_rest(system)
    assert traffic.done["spends"] > 0
    assert await effects(system, name) == traffic.done
    await asyncio.to_thread(run_demo, system)


async def effects(system: System, name: str) -> Counter[str]:
    """What the services' tables hold of the traffic: one row for each request that was answered."""
    loyalty = await asyncpg.connect(system.databases["loyalty"].owner_url)
    tickets = await asyncpg.connect(system.databases["tickets"].owner_url)
    try:
        return Counter(
            spends=await loyalty.fetchval(
                "SELECT count(*) FROM reasons JOIN transactions ON id = transaction_id WHERE text = $1", name
            ),
            tickets=await tickets.fetchval("SELECT count(*) FROM tickets WHERE title = $1", name),
        )
    finally:
        await loyalty.close()
        await tickets.close()
