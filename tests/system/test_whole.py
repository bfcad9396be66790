"""The system as a whole: the demo can be repeated, a stopped service is named, a trace can be followed."""

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx2
import pytest
import pytest_asyncio
from tests.system.demo import run_demo
from tests.system.invariants import at_rest

from crm_local.system import System
from crm_shared.callers import Role

SECTION_OF = {"profiles": "profile", "segmentation": "segments", "tickets": "tickets", "loyalty": "loyalty"}


@pytest_asyncio.fixture
async def caller(system: System) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(
        base_url=system.address, headers={"Authorization": f"Bearer {system.token(Role.AGENT)}"}, timeout=15
    ) as client:
        yield client


async def a_customer(system: System) -> UUID:
    connection = await asyncpg.connect(system.databases["profiles"].owner_url)
    customer: UUID = await connection.fetchval("SELECT customer_id FROM purchases ORDER BY id LIMIT 1")
    await connection.close()
    return customer


@contextmanager
def standing_still(system: System, process: str) -> Iterator[None]:
    """The process accepts connections and answers nothing."""
    pid = system.facts["processes"][process]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_telling_the_demo_again_changes_nothing(system: System) -> None:
    await at_rest(system)
    before = await row_counts(system)
    output = await asyncio.to_thread(run_demo, system)
    assert "2357 unchanged" in output
    assert "6919 unchanged" in output
    assert "40 rows: 5 failed, 35 unchanged" in output
    assert "DIFFERS" not in output
    assert await row_counts(system) == before


async def row_counts(system: System) -> dict[str, int]:
    """How many rows tell of customers and of all that happens with them, and how many events there are."""
    tables = {
        "profiles": (
            *("customers", "customer_versions", "purchases", "refunds", "timeline_entries", "outbox"),
            *("consent_statements", "messages", "merges", "stage_spells"),
        ),
        "segmentation": ("outbox",),
        "tickets": ("tickets", "ticket_events", "outbox"),
        "loyalty": ("transactions", "entries", "lots", "outbox"),
    }
    counts: dict[str, int] = {}
    for service, names in tables.items():
        connection = await asyncpg.connect(system.databases[service].owner_url)
        for name in names:
            counts[f"{service}.{name}"] = await connection.fetchval(f"SELECT count(*) FROM {name}")
        await connection.close()
    return counts


@pytest.mark.capability("G2")
@pytest.mark.parametrize("service", SECTION_OF)
async def test_a_service_that_stands_still_is_named_and_the_rest_is_there(
    system: System, caller: httpx2.AsyncClient, service: str
) -> None:
    customer = await a_customer(system)
    whole = await caller.get(f"/v1/customers/{customer}/360")
    assert {part["status"] for part in whole.json()["sections"].values()} == {"ok"}
    with standing_still(system, f"{service}-api"):
        began = time.monotonic()
        answer = await caller.get(f"/v1/customers/{customer}/360")
        took = time.monotonic() - began
    assert answer.status_code == 200
    sections = answer.json()["sections"]
    missing = {name for name, part in sections.items() if part["status"] == "unavailable"}
    assert missing == {SECTION_OF[service]}
    assert service in json.dumps(sections[SECTION_OF[service]]["problem"])
    # The deadline of a section is 0.8 s; the rest is what a crowded machine may add.
    assert took < 5
    await until_whole(caller, customer)


async def until_whole(caller: httpx2.AsyncClient, customer: UUID) -> None:
    """The gateway leaves a service alone for a moment after it did not answer."""
    deadline = time.monotonic() + 30
    while True:
        sections = (await caller.get(f"/v1/customers/{customer}/360")).json()["sections"]
        if {part["status"] for part in sections.values()} == {"ok"}:
            return
        assert time.monotonic() < deadline, sections
        await asyncio.sleep(0.2)


@pytest.mark.capability("G1")
async def test_one_trace_id_leads_from_the_gateway_through_the_services_to_the_consumer(
    system: System, caller: httpx2.AsyncClient
) -> None:
    trace_id = os.urandom(16).hex()
    customer = await a_customer(system)
    caller.headers["traceparent"] = f"00-{trace_id}-00f067aa0ba902b7-01"
    spent = await caller.post(
        f"/v1/accounts/{customer}/spend",
        json={"points": 1, "reason": "trace"},
        headers={"Idempotency-Key": trace_id},
    )
    assert spent.status_code == 201, spent.text
    logs = ("gateway", "loyalty-api", "profiles-worker")
    deadline = time.monotonic() + 30
    while missing := [name for name in logs if not tells_of(system.home.logs / f"{name}.log", trace_id)]:
        assert time.monotonic() < deadline, missing
        await asyncio.sleep(0.2)


def tells_of(log: Path, trace_id: str) -> bool:
    """Whether a line of JSON in the log carries the trace id."""
    lines = re.findall(rf"^\{{.*{trace_id}.*\}}$", log.read_text(), flags=re.MULTILINE)
    return any(json.loads(line) for line in lines)
