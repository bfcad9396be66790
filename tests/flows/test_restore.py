"""A database restored from before an erasure: whom the backup brings back is forgotten anew."""

import os
import subprocess
import sys
from collections.abc import Mapping

import asyncpg
import httpx2
import pytest
from tests.flows.canaries import WORDS, Purchase, erase, planted, traces
from tests.flows.conftest import Settle

from crm_local.postgres import binaries
from crm_local.provisioning import Databases
from crm_shared.database import Sessions
from crm_shared.testing import FrozenClock, Signer

SECRET = "suppression of the tests, thirty-two bytes and more"
TABLES = """
    SELECT quote_ident(tablename) FROM pg_tables
    WHERE schemaname = 'public' AND tablename <> 'alembic_version'
"""


def run(*command: str, given: str | None = None, **environment: str) -> str:
    done = subprocess.run(
        command, input=given, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def operate(service: str, address: str, signer: Signer, command: str, given: str | None = None) -> str:
    """What an operator types, with the service's own environment."""
    return run(
        *(sys.executable, "-m", "crm_shared.operate", f"crm_{service}", command),
        given=given,
        DATABASE_URL=address,
        KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1",
        INTERNAL_PUBLIC_KEY=signer.public_key,
        CURSOR_SECRET=SECRET,
        SUPPRESSION_SECRET=SECRET,
        UNSUBSCRIBE_SECRET=SECRET,
    )


def backup_of(address: str) -> str:
    tables = ("--data-only", "--disable-triggers", "--exclude-table=alembic_version")
    return run(str(binaries() / "pg_dump"), *tables, address)


async def restore(address: str, backup: str) -> None:
    connection = await asyncpg.connect(address)
    names = [row[0] for row in await connection.fetch(TABLES)]
    await connection.execute(f"TRUNCATE {', '.join(names)} CASCADE")
    await connection.close()
    run(str(binaries() / "psql"), "--quiet", "--set=ON_ERROR_STOP=1", address, given=backup)


@pytest.mark.parametrize(("restored", "witness"), [("profiles", "tickets"), ("tickets", "profiles")])
async def test_whom_a_backup_brings_back_is_forgotten_anew(
    restored: str,
    witness: str,
    profiles: httpx2.AsyncClient,
    tickets: httpx2.AsyncClient,
    loyalty: httpx2.AsyncClient,
    purchase: Purchase,
    settle: Settle,
    clock: FrozenClock,
    committed: dict[str, Sessions],
    addresses: Mapping[str, Databases],
    postgres_url: str,
    signer: Signer,
) -> None:
    ada = await planted(profiles, tickets, loyalty, purchase, settle, clock)
    superuser = postgres_url.rsplit("/", 1)[0] + f"/crm_{restored}"
    backup = backup_of(superuser)
    erasure = await erase(profiles, ada.id)
    await settle()
    assert await traces(committed) == {}

    await restore(superuser, backup)
    assert {table.split(".")[0] for table in await traces(committed)} == {restored}
    lines = operate(witness, addresses[witness].app_url, signer, "erasures")
    operate(restored, addresses[restored].app_url, signer, "re-erase", lines)
    operate(restored, addresses[restored].app_url, signer, "re-erase", lines)
    await settle()

    assert await traces(committed) == {}
    receipt = (await profiles.get(f"/v1/privacy/erasures/{erasure['id']}")).json()
    assert receipt["services"][0]["confirmed_at"] is not None
    item = {"source": "shop", "external_id": WORDS, "name": "A"}
    batch = (await profiles.post("/v1/customers/batch", json={"items": [item]})).json()
    assert batch["items"][0]["status"] == "failed"
