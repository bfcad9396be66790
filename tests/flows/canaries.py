"""Somebody of whom every service knows something, and the search for what is left of them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2
from sqlalchemy import text
from tests.flows.conftest import Settle

from crm_shared.database import Sessions
from crm_shared.testing import FrozenClock, fresh_key

Purchase = Callable[..., Awaitable[None]]

CANARIES = ("canarius", "金丝雀", "5550199", "canary-words")
NAME, EMAIL, PHONE, WORDS = "Ada Canarius 金丝雀", "ada@canarius.example", "+12125550199", "canary-words"


@dataclass
class Person:
    """Somebody of whom every service knows something that nobody else has."""

    id: UUID
    ticket: str


async def planted(
    profiles: httpx2.AsyncClient,
    tickets: httpx2.AsyncClient,
    loyalty: httpx2.AsyncClient,
    purchase: Purchase,
    settle: Settle,
    clock: FrozenClock,
) -> Person:
    body = {
        "name": NAME,
        "tags": [WORDS],
        "contact_points": [{"kind": "email", "value": EMAIL}, {"kind": "phone", "value": PHONE}],
    }
    path = f"/v1/customers/by-external-id/shop/{WORDS}"
    made = await profiles.put(path, json=body, headers=fresh_key())
    assert made.status_code == 201, made.text
    who = UUID(made.json()["id"])
    await purchase(who, 10_000, clock.now())
    await settle()
    opened = await tickets.post(
        "/v1/tickets",
        json={"customer_id": str(who), "kind": "complaint", "title": WORDS, "description": WORDS},
        headers=fresh_key(),
    )
    ticket = opened.json()["id"]
    for verb, words in {"respond": {"message": WORDS}, "resolve": {"resolution": WORDS}}.items():
        answer = await tickets.post(f"/v1/tickets/{ticket}/{verb}", json=words, headers=fresh_key())
        assert answer.status_code == 200, answer.text
    account = f"/v1/accounts/{who}"
    spent = await loyalty.post(f"{account}/spend", json={"points": 1, "reason": WORDS}, headers=fresh_key())
    assert spent.status_code == 201, spent.text
    held = await loyalty.post(
        f"{account}/holds", json={"points": 1, "expires_in": 600, "reference": WORDS}, headers=fresh_key()
    )
    assert held.status_code == 201, held.text
    await settle()
    return Person(who, ticket)


async def traces(databases: Mapping[str, Sessions]) -> dict[str, int]:
    """How many rows of which tables still hold a canary, as text or as bytes."""
    signs = [sign for canary in CANARIES for sign in (canary, canary.encode().hex())]
    found: dict[str, int] = {}
    for service, sessions in databases.items():
        async with sessions() as session:
            tables = await session.scalars(
                text("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
            )
            for table in tables.all():
                statement = f"SELECT count(*) FROM {table} AS t WHERE t::text ILIKE ANY(:signs)"
                count = await session.scalar(text(statement), {"signs": [f"%{sign}%" for sign in signs]})
                if count:
                    found[f"{service}.{table}"] = count
    return found


async def erase(profiles: httpx2.AsyncClient, who: UUID, **options: Any) -> dict[str, Any]:
    answer = await profiles.post("/v1/privacy/erasures", json={"customer_id": str(who)} | options)
    assert answer.status_code == 202, answer.text
    receipt: dict[str, Any] = answer.json()
    return receipt
