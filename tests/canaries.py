"""Somebody of whom every service knows a word that nobody else has, and the search for what is left of it."""

import asyncio
import csv
import io
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from itertools import count
from typing import Any

import asyncpg
import httpx2
from aiokafka import AIOKafkaConsumer, TopicPartition
from tests.capabilities.conftest import insist

from crm_gateway import openapi
from crm_local.system import System
from crm_profiles.forms.challenges import zero_bits
from crm_shared.ids import uuid7
from crm_shared.messaging.kafka import PARTITIONS

DOCUMENT = openapi.load()
SCHEMAS = DOCUMENT["components"]["schemas"]
ANYTHING = "Whatever I like, 随便!"
"""Where this may be written, the word may."""
BOOKS = ("/v1/purchases",)
"""What is written here stays for the books, as the receipt says; refunds are told apart below."""
CHECKED = ("time_zone",)
"""Texts that only look free."""
LEFT_ALONE = ("/v1/privacy", "/merges", "/batch", "/imports", "/exports", "/duplicates", "/v1/forms")
"""These take more than a body full of the word: they are told apart below."""


class Canary:
    """A word that nobody else has, and somebody of whom every service knows it."""

    def __init__(self) -> None:
        self.word = f"canary{uuid7().hex}"
        self.email = f"{self.word}@example.com"
        self.ids: dict[str, str] = {
            **{"source": "shop", "external_id": self.word},
            **{"purpose": "marketing", "channel": "email", "topic": "music"},
        }

    @property
    def signs(self) -> list[str]:
        return [self.word, self.word.encode().hex()]


async def planted(agent: httpx2.AsyncClient, admin: httpx2.AsyncClient) -> Canary:
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
    await give_points(agent, canary)
    opened = {"customer_id": made.json()["id"], "kind": "complaint", "title": canary.word}
    canary.ids["ticket_id"] = (await agent.post("/v1/tickets", json=opened)).json()["id"]
    written = await write_everywhere(admin, canary) | await write_everywhere(admin, canary)
    assert {"respond_to_ticket", "spend_points", "change_customer"} <= written, written
    for query in ({"name": canary.word}, {"email": canary.email}, {"q": canary.word}):
        await agent.get("/v1/customers", params=query)
    address = {"lines": [canary.word], "city": canary.word, "district": canary.word}
    lived = await admin.patch(f"/v1/customers/{canary.ids['customer_id']}", json={"address": address})
    assert lived.status_code == 200, lived.text
    await refund(admin, canary)
    await merge(admin, canary)
    await send_files(admin, canary)
    await fill_in_form(admin, canary)  # by the address that the file has brought
    await export(admin, canary)
    return canary


async def fill_in_form(admin: httpx2.AsyncClient, canary: Canary) -> None:
    """The person answers a form in public, which is kept as a suggestion, and is asked by us."""
    canary.ids["form_key"] = f"f-{uuid7()}"
    path = f"/v1/forms/{canary.ids['form_key']}"
    targets = {
        "name": {"kind": "member", "member": "name"},
        "email": {"kind": "contact_point", "contact": "email"},
    }
    fields = [
        {"key": "name", "type": "text", "target": targets["name"], "label": {"en": "Name"}},
        {"key": "email", "type": "email", "target": targets["email"], "label": {"en": "E-mail"}},
        {"key": "why", "type": "long_text", "label": {"en": "Why"}},
    ]
    form = {"title": {"en": "Join us"}, "thanks": {"en": "Thanks."}, "channel": "form", "difficulty": 8}
    made = await admin.put(path, json=form | {"fields": fields})
    assert made.status_code == 201, made.text
    challenge = (await admin.get(path)).json()["challenge"]
    proofs = (str(number) for number in count())
    proof = next(n for n in proofs if zero_bits(f"{challenge['token']}.{n}") >= challenge["difficulty"])
    answers = {"name": f"{canary.word} Lovelace", "email": canary.email, "why": canary.word}
    solved = {"challenge": challenge["token"], "proof": proof}
    await accepted(admin, f"{path}/submissions", {"answers": answers, **solved})
    interview = {"answers": {"why": canary.word}, "customer_id": canary.ids["customer_id"]}
    await accepted(admin, f"{path}/interviews", interview)

    async def suggested() -> bool:
        found = await admin.get(f"{path}/submissions", params={"state": "suggested"})
        return bool(found.json()["items"])

    await until(suggested)


async def refund(admin: httpx2.AsyncClient, canary: Canary) -> None:
    body = {
        "source": "shop",
        "external_id": uuid7().hex,
        "occurred_at": "2026-01-02T12:00:00Z",
        "lines": [{"line": 1, "quantity": 0, "amount": {"amount": 1, "currency": "USD"}}],
        "reason": canary.word,
    }
    await accepted(admin, f"/v1/purchases/{canary.ids['purchase_id']}/refunds", body)


async def merge(admin: httpx2.AsyncClient, canary: Canary) -> None:
    """Somebody else with the word becomes the same person, by mistake and then for good."""
    points = [{"kind": "social", "value": f"{canary.word} too"}]
    other = await accepted(admin, "/v1/customers", {"name": canary.word, "contact_points": points})
    both = {"survivor_id": canary.ids["customer_id"], "absorbed_id": other["id"], "reason": canary.word}
    made = await accepted(admin, "/v1/merges", both)
    await accepted(admin, f"/v1/merges/{made['id']}/undo", {"reason": canary.word})
    await accepted(admin, "/v1/merges", both)


async def send_files(admin: httpx2.AsyncClient, canary: Canary) -> None:
    """A batch, and a file in which one row is the person's and one wants what is theirs."""
    item = {"source": "shop", "external_id": canary.word, "name": canary.word, "occupation": canary.word}
    await accepted(admin, "/v1/customers/batch", {"items": [item]})
    text = io.StringIO()
    csv.writer(text).writerows(
        [
            ("external id", "name", "email"),
            (canary.word, f"{canary.word} of a file", canary.email),
            (uuid7().hex, canary.word, canary.email),
        ]
    )
    made = await admin.post(
        "/v1/imports",
        params={"name": "customers.csv", "source": "shop", "start": "true"},
        content=text.getvalue().encode(),
        headers={"content-type": "text/csv"},
    )
    assert made.status_code == 202, made.text
    path = f"/v1/imports/{made.json()['id']}"

    async def imported() -> bool:
        found = (await admin.get(path)).json()
        assert found["state"] in ("inspecting", "importing", "imported"), found
        return bool(found["state"] == "imported")

    await until(imported)
    assert (await admin.get(path)).json()["job"]["counts"] == {"updated": 1, "failed": 1}


async def export(admin: httpx2.AsyncClient, canary: Canary) -> None:
    """Files with the person in them, asked for in words and by how they are reached; and all about them."""
    for filters in ({"tag": canary.word[:60]}, {"email": canary.email}):
        made = await accepted(admin, "/v1/exports", {"format": "csv", "filters": filters})

        async def ended(path: str = f"/v1/exports/{made['id']}") -> bool:
            return bool((await admin.get(path)).json()["job"]["state"] == "succeeded")

        await until(ended)
    await accepted(admin, "/v1/privacy/exports", {"customer_id": canary.ids["customer_id"]})


async def accepted(admin: httpx2.AsyncClient, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    answer = await insist(admin, path, body)
    assert answer.is_success, (path, answer.text)
    given: dict[str, Any] = answer.json()
    return given


async def give_points(agent: httpx2.AsyncClient, canary: Canary) -> None:
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
    for path, item in DOCUMENT["paths"].items():
        for method in ("post", "put", "patch"):
            if any(part in path for part in (*BOOKS, *LEFT_ALONE)):
                continue
            if method not in item:
                continue
            content = item[method].get("requestBody", {}).get("content", {}).get("application/json")
            if content is None:
                continue
            schema = resolved(content["schema"])
            about_somebody = "customer_id" in schema.get("properties", {}) or "{" in path
            if about_somebody and all(name in canary.ids for name in names_in(path)):
                body = filled(schema, schema.get("examples", [{}])[0], canary)
                yield item[method]["operationId"], method, path.format_map(canary.ids), body


def names_in(path: str) -> list[str]:
    return [part.strip("{}") for part in path.split("/") if part.startswith("{")]


def resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in schema:
        return resolved(SCHEMAS[schema["$ref"].rsplit("/", 1)[1]])
    for part in (*schema.get("anyOf", []), *schema.get("oneOf", [])):
        if part.get("type") != "null":
            return resolved(part)
    return schema


def filled(schema: Mapping[str, Any], example: Any, canary: Canary) -> Any:
    """The example with the word in every free text, those that it leaves out included."""
    match example:
        case {"kind": _, "value": _}:
            return {"kind": "social", "value": canary.word}
        case dict():
            parts = {name: resolved(part) for name, part in schema.get("properties", {}).items()}
            absent = {name: "" for name, part in parts.items() if name not in example and free(part)}
            if "customer_id" in parts:  # an example may name them in another way
                example = {name: value for name, value in example.items() if name != "customer"}
            body = {
                name: value if name in CHECKED else filled(parts.get(name, {}), value, canary)
                for name, value in {**example, **absent}.items()
                if value or name not in CHECKED
            }
            return body | ({"customer_id": canary.ids["customer_id"]} if "customer_id" in parts else {})
        case list():
            items = resolved(schema.get("items", {}))
            return [filled(items, each, canary) for each in example]
        case str() if free(schema):
            return canary.word[: schema.get("maxLength", len(canary.word))]
    return example


def free(schema: Mapping[str, Any]) -> bool:
    closed = {"format", "enum", "const"} & schema.keys()
    return (
        schema.get("type") == "string" and not closed and bool(re.search(schema.get("pattern", ""), ANYTHING))
    )


async def write_everywhere(admin: httpx2.AsyncClient, canary: Canary) -> set[str]:
    """Which operations took the word; refused ones may have left it in a log."""
    written = set()
    for operation, method, path, body in writes(canary):
        answer = await admin.request(method, path, json=body)
        assert answer.status_code < 500, (operation, answer.text)
        if answer.is_success:
            written.add(operation)
    return written


async def places(system: System, canary: Canary) -> dict[str, int]:
    """Each column of each table that holds texts or bytes, with how many of its rows hold the word."""
    found: dict[str, int] = {}
    for service, addresses in system.databases.items():
        connection = await asyncpg.connect(addresses.owner_url)
        tables: dict[str, list[str]] = {}
        for table, column in await connection.fetch(_COLUMNS):
            tables.setdefault(table, []).append(column)
        for table, columns in tables.items():
            counts = ", ".join(f'count(*) FILTER (WHERE "{name}"::text ILIKE ANY($1))' for name in columns)
            row = await connection.fetchrow(
                f'SELECT {counts} FROM "{table}"', [f"%{sign}%" for sign in canary.signs]
            )
            found |= {f"{service}.{table}.{name}": n for name, n in zip(columns, row, strict=True)}
        await connection.close()
    return found


_COLUMNS = """
    SELECT table_name, column_name
    FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
    WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
      AND data_type IN ('text', 'character varying', 'character', 'jsonb', 'json', 'bytea', 'ARRAY')
    ORDER BY table_name, ordinal_position
"""


async def traces(system: System, canary: Canary) -> dict[str, int]:
    """How many rows of which columns, and lines of which logs, hold the word, as text or as bytes."""
    found = {place: count for place, count in (await places(system, canary)).items() if count}
    for log in system.home.logs.rglob("*"):
        if log.is_file() and (
            count := sum(log.read_text(errors="replace").count(sign) for sign in canary.signs)
        ):
            found[log.name] = count
    return found


async def left_over(system: System, canary: Canary) -> dict[str, int]:
    """The traces that are still there when what was on its way has arrived, and files had time to go."""
    for _ in range(30):
        await asyncio.sleep(1)
        if not (found := await traces(system, canary)):
            break
    return found


async def on_topics(system: System, canary: Canary) -> dict[str, int]:
    """How many records of which topics hold the word, be it in value, key or headers."""
    sign = canary.word.encode()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=system.bootstrap_servers, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    found: dict[str, int] = {}
    try:
        partitions = [
            TopicPartition(topic, number)
            for topic in await consumer.topics()
            if not topic.startswith("__")  # the broker's own
            for number in range(PARTITIONS)
        ]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        async with asyncio.timeout(60):
            while [each for each in partitions if await consumer.position(each) < ends[each]]:
                for partition, records in (await consumer.getmany(timeout_ms=500)).items():
                    texts = [(r.key, r.value, *(value for _, value in r.headers)) for r in records]
                    if count := sum(any(sign in (part or b"") for part in parts) for parts in texts):
                        found[partition.topic] = found.get(partition.topic, 0) + count
        return found
    finally:
        await consumer.stop()


async def until(look: Callable[[], Awaitable[Any]], within: float = 30) -> Any:
    """Wait for what events bring about: the first true answer of `look`."""
    deadline = time.monotonic() + within
    while not (answer := await look()):
        assert time.monotonic() < deadline, "what was waited for did not come about"
        await asyncio.sleep(0.1)
    return answer
