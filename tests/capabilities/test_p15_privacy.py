"""P15: all that is held about a person is shown to them, and forgotten everywhere when they want it."""

import asyncio
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any
from zipfile import ZipFile

import asyncpg
import httpx2
import pytest

from crm_gateway import openapi
from crm_local.system import System
from crm_shared.callers import Role
from crm_shared.ids import uuid7

from .conftest import Sign, Until

pytestmark = pytest.mark.capability("P15")

DOCUMENT = openapi.load()
FREE = (None, "^[^\\u0000]*$", "^[^\x00]*$", r"\S")
"""Patterns of texts in which somebody may write whatever they like."""
BOOKS = ("/v1/purchases", "/refunds")
"""What is written here stays for the books, as the receipt says."""
CHECKED = ("time_zone",)
"""Texts that only look free."""
LEFT_ALONE = ("/v1/privacy", "/merges", "/batch", "/imports", "/exports", "/duplicates")


class Canary:
    """A word that nobody else has, and somebody of whom every service knows it."""

    def __init__(self) -> None:
        self.word = f"canary{uuid7().hex}"
        self.email = f"{self.word}@example.com"
        self.ids: dict[str, str] = {"source": "shop", "external_id": self.word}

    @property
    def signs(self) -> list[str]:
        return [self.word, self.word.encode().hex()]


async def planted(agent: httpx2.AsyncClient, admin: httpx2.AsyncClient, until: Until) -> Canary:
    """A person with the word wherever the document lets one write about a person."""
    canary = Canary()
    body = {
        "name": canary.word,
        "tags": [canary.word[:60]],
        "contact_points": [
            {"kind": "email", "value": canary.email},
            {"kind": "social", "value": canary.word},
        ],
    }
    path = f"/v1/customers/by-external-id/shop/{canary.word}"
    made = await agent.put(path, json=body)
    assert made.status_code == 201, made.text
    canary.ids["customer_id"] = made.json()["id"]
    await give_points(agent, canary, until)
    opened = {"customer_id": made.json()["id"], "kind": "complaint", "title": canary.word}
    canary.ids["ticket_id"] = (await agent.post("/v1/tickets", json=opened)).json()["id"]
    written = await write_everywhere(admin, canary) | await write_everywhere(admin, canary)
    assert {"respond_to_ticket", "spend_points", "change_customer"} <= written, written
    for query in ({"name": canary.word}, {"email": canary.email}, {"q": canary.word}):
        await agent.get("/v1/customers", params=query)
    return canary


async def give_points(agent: httpx2.AsyncClient, canary: Canary, until: Until) -> None:
    order = {
        "source": "shop",
        "external_id": uuid7().hex,
        "customer_id": canary.ids["customer_id"],
        "occurred_at": "2026-01-01T12:00:00Z",
        "currency": "USD",
        "lines": [{"quantity": 1, "total": {"amount": 100_000, "currency": "USD"}}],
    }
    bought = await agent.post("/v1/purchases", json=order)
    assert bought.status_code == 201, bought.text
    canary.ids["purchase_id"] = bought.json()["id"]

    async def arrived() -> bool:
        account = await agent.get(f"/v1/accounts/{canary.ids['customer_id']}")
        return account.status_code == 200 and account.json()["balance"] >= 1000

    await until(arrived)


def writes(canary: Canary) -> Iterator[tuple[str, str, str, Any]]:
    """Each write about a person that the document has, with a body full of the word."""
    schemas = DOCUMENT["components"]["schemas"]
    for path, item in DOCUMENT["paths"].items():
        for method in ("post", "put", "patch"):
            if method not in item or any(part in path for part in (*BOOKS, *LEFT_ALONE)):
                continue
            content = item[method].get("requestBody", {}).get("content", {}).get("application/json")
            if content is None:
                continue
            schema = resolved(content["schema"], schemas)
            about_somebody = "customer_id" in schema.get("properties", {}) or "{" in path
            if about_somebody and all(name in canary.ids for name in names_in(path)):
                body = filled(schema, schema.get("examples", [{}])[0], canary, schemas)
                yield item[method]["operationId"], method, path.format_map(canary.ids), body


def names_in(path: str) -> list[str]:
    return [part.strip("{}") for part in path.split("/") if part.startswith("{")]


def resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in schema:
        return resolved(schemas[schema["$ref"].rsplit("/", 1)[1]], schemas)
    for part in schema.get("anyOf", []):
        if part.get("type") != "null":
            return resolved(part, schemas)
    return schema


def filled(schema: Mapping[str, Any], example: Any, canary: Canary, schemas: Mapping[str, Any]) -> Any:
    """The example with the word in every free text, those that it leaves out included."""
    match example:
        case {"kind": _, "value": _}:
            return {"kind": "social", "value": canary.word}
        case dict():
            parts = {name: resolved(part, schemas) for name, part in schema.get("properties", {}).items()}
            absent = {name: "" for name, part in parts.items() if name not in example and free(part)}
            if "customer_id" in parts:  # an example may name them in another way
                example = {name: value for name, value in example.items() if name != "customer"}
            body = {
                name: value if name in CHECKED else filled(parts.get(name, {}), value, canary, schemas)
                for name, value in {**example, **absent}.items()
                if value or name not in CHECKED
            }
            return body | ({"customer_id": canary.ids["customer_id"]} if "customer_id" in parts else {})
        case list():
            items = resolved(schema.get("items", {}), schemas)
            return [filled(items, each, canary, schemas) for each in example]
        case str() if free(schema):
            return canary.word[: schema.get("maxLength", len(canary.word))]
    return example


def free(schema: Mapping[str, Any]) -> bool:
    closed = {"format", "enum", "const"} & schema.keys()
    return schema.get("type") == "string" and not closed and schema.get("pattern") in FREE


async def write_everywhere(admin: httpx2.AsyncClient, canary: Canary) -> set[str]:
    """Which operations took the word; refused ones may have left it in a log."""
    written = set()
    for operation, method, path, body in writes(canary):
        answer = await admin.request(method, path, json=body)
        assert answer.status_code < 500, (operation, answer.text)
        if answer.is_success:
            written.add(operation)
    return written


async def traces(system: System, canary: Canary) -> dict[str, int]:
    """How many rows of which tables, and lines of which logs, hold the word, as text or as bytes."""
    found: dict[str, int] = {}
    for service, addresses in system.databases.items():
        connection = await asyncpg.connect(addresses.owner_url)
        tables = await connection.fetch(
            "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'"
        )
        for (table,) in tables:
            statement = f"SELECT count(*) FROM {table} AS t WHERE t::text ILIKE ANY($1)"
            if count := await connection.fetchval(statement, [f"%{sign}%" for sign in canary.signs]):
                found[f"{service}.{table}"] = count
        await connection.close()
    for log in system.home.logs.rglob("*"):
        if log.is_file() and (
            count := sum(log.read_text(errors="replace").count(sign) for sign in canary.signs)
        ):
            found[log.name] = count
    return found


async def test_a_person_gets_everything_that_is_held_about_them_in_one_archive(
    agent: httpx2.AsyncClient, admin: httpx2.AsyncClient, sign_in: Sign, until: Until
) -> None:
    canary = await planted(agent, admin, until)
    herself = sign_in(Role.CUSTOMER, canary.ids["customer_id"])
    asked = await herself.post("/v1/privacy/exports", json={"customer_id": canary.ids["customer_id"]})
    assert asked.status_code == 202, asked.text
    path = asked.headers["Location"]

    async def complete() -> bool:
        return bool((await herself.get(path)).json()["complete"])

    await until(complete)
    fetched = await herself.get(f"{path}/archive")
    with ZipFile(io.BytesIO(fetched.content)) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    assert json.loads(files["manifest.json"])["complete"] is True
    for name in ("profiles.json", "tickets.json", "loyalty.json", "index.html"):
        assert canary.word in files[name], name
    assert "purchases" in json.loads(files["segmentation.json"])["tables"]


async def test_an_erased_person_is_found_in_no_database_and_no_log(
    system: System, agent: httpx2.AsyncClient, admin: httpx2.AsyncClient, until: Until
) -> None:
    canary = await planted(agent, admin, until)
    before = await traces(system, canary)
    assert {"profiles.customers", "tickets.tickets", "loyalty.reasons"} <= before.keys()

    body = {"customer_id": canary.ids["customer_id"]}
    erased = await admin.post("/v1/privacy/erasures", json=body)
    assert erased.status_code == 202, erased.text

    async def complete() -> bool:
        receipt = (await admin.get(erased.headers["Location"])).json()
        return bool(receipt["complete"])

    await until(complete)
    await asyncio.sleep(1)  # what was on its way has arrived
    assert await traces(system, canary) == {}
