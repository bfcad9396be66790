"""Bad input through the gateway: each gets its precise problem, and nothing else is disturbed."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import httpx2
import jsonschema
import pytest
import pytest_asyncio
from tests.api.api import Api
from tests.api.population.teller import Person

from crm_gateway import openapi
from crm_shared.callers import Role
from crm_shared.ids import uuid7
from crm_shared.testing import fresh_key

from .conftest import Populate

COMPONENTS = openapi.load()["components"]
PROBLEM = {"$ref": "#/components/schemas/Problem", "components": COMPONENTS}
CUSTOMERS, CUSTOMER = "/v1/customers", "/v1/customers/{customer_id}"
SPEND = "/v1/accounts/{customer_id}/spend"
HUGE = 10 * 1024 * 1024
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Bad:
    """A request that must be refused, and how."""

    method: str
    path: str
    status: int
    code: str
    pointer: str | None = None
    body: bytes | None = None
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: int = 0
    """Send the body in so many pieces, without saying how long it will be."""


def posted(code: str, status: int, body: str | bytes, pointer: str | None = None, **headers: str) -> Bad:
    raw = body.encode() if isinstance(body, str) else body
    sent = JSON | {name.replace("_", "-"): value for name, value in headers.items()}
    return Bad("POST", CUSTOMERS, status, code, pointer, raw, headers=sent)


def got(code: str, status: int, path: str, pointer: str | None = None, **headers: str) -> Bad:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Bad("GET", path, status, code, pointer, headers=named)


def spent(code: str, status: int, key: str | None, body: object, pointer: str | None = None) -> Bad:
    headers = {} if key is None else {"Idempotency-Key": key}
    return Bad("POST", SPEND, status, code, pointer, json=body, headers=headers)


TABLE: dict[str, Bad] = {
    "half an object": posted("malformed_json", 400, '{"name": '),
    "no JSON at all": posted("malformed_json", 400, "name=ann"),
    "two values": posted("malformed_json", 400, '{"name": "a"} {}'),
    "a comma too many": posted("malformed_json", 400, '{"name": "a",}'),
    "single quotes": posted("malformed_json", 400, "{'name': 'a'}"),
    "NaN": posted("malformed_json", 400, '{"name": NaN}'),
    "bytes that are no UTF-8": posted("malformed_json", 400, b'{"name": "\xff\xfe"}'),
    "UTF-16": posted("malformed_json", 400, '{"name": "a"}'.encode("utf-16")),
    "a lone surrogate, escaped": posted("malformed_json", 400, '{"name": "\\ud800"}'),
    "a lone surrogate, encoded": posted("malformed_json", 400, b'{"name": "\xed\xa0\x80"}'),
    "U+0000, escaped": posted("nul_character", 400, '{"name": "a\\u0000b"}'),
    "U+0000, raw": posted("malformed_json", 400, b'{"name": "a\x00b"}'),
    "deep arrays": posted("nested_too_deeply", 400, "[" * 100_000 + "]" * 100_000),
    "deep objects": posted("nested_too_deeply", 400, '{"a":' * 100_000 + "1" + "}" * 100_000),
    "deep and never closed": posted("nested_too_deeply", 400, "[" * 100_000),
    "a list for an object": posted("invalid_request", 422, "[]", ""),
    "null for an object": posted("invalid_request", 422, "null", ""),
    "nothing": posted("invalid_request", 422, "", ""),
    "a member missing": posted("invalid_request", 422, "{}", "/name"),
    "a wrong type": posted("invalid_request", 422, '{"name": 1}', "/name"),
    "a wrong type, deep": posted(
        "invalid_request",
        422,
        '{"name": "a", "contact_points": [{"kind": "email", "value": 7}]}',
        "/contact_points/0/value",
    ),
    "an unknown member": posted("invalid_request", 422, '{"name": "a", "admin": true}', "/admin"),
    "a pointer to be escaped": posted("invalid_request", 422, '{"name": "a", "a/b~c": 1}', "/a~1b~0c"),
    "a text too long": posted("invalid_request", 422, f'{{"name": "{"x" * 201}"}}', "/name"),
    "a number for a date": posted("invalid_request", 422, '{"name": "a", "birth_date": 0}', "/birth_date"),
    "digits for a date": posted("invalid_request", 422, '{"name": "a", "birth_date": "0"}', "/birth_date"),
    "a day that is in no calendar": posted(
        "invalid_request", 422, '{"name": "a", "birth_date": "2026-02-30"}', "/birth_date"
    ),
    "a form": posted("wrong_content_type", 415, "name=a", content_type="application/x-www-form-urlencoded"),
    "plain text": posted("wrong_content_type", 415, '{"name": "a"}', content_type="text/plain"),
    "compressed": posted("encoded_body", 415, b"\x1f\x8b", content_encoding="gzip"),
    "too large": posted("payload_too_large", 413, b" " * HUGE),
    "too large, in pieces": Bad(
        "POST", CUSTOMERS, 413, "payload_too_large", body=b" " * HUGE, headers=JSON, chunks=160
    ),
    "an empty key": posted("invalid_idempotency_key", 400, '{"name": "a"}', idempotency_key=""),
    "a key too long": posted("invalid_idempotency_key", 400, '{"name": "a"}', idempotency_key="k" * 256),
    "a key with a tab": posted("invalid_idempotency_key", 400, '{"name": "a"}', idempotency_key="a\tb"),
    "no key where points move": spent("idempotency_key_missing", 400, None, {"points": 1}),
    "a fraction of a point": spent("invalid_request", 422, "k1", {"points": 1.5}, "/points"),
    "no point": spent("invalid_request", 422, "k2", {"points": 0}, "/points"),
    "points as text": spent("invalid_request", 422, "k3", {"points": "1"}, "/points"),
    "points that are true": spent("invalid_request", 422, "k4", {"points": True}, "/points"),
    "points beyond all numbers": spent("invalid_request", 422, "k5", {"points": 10**30}, "/points"),
    "more points than there are": spent("insufficient_points", 409, "k6", {"points": 10**9}),
    "an unknown parameter": got("invalid_request", 422, f"{CUSTOMERS}?colour=red", "colour"),
    "an unknown parameter of the 360": got("invalid_request", 422, f"{CUSTOMER}/360?x=1", ""),
    "a limit above the maximum": got("invalid_request", 422, f"{CUSTOMERS}?limit=201", "limit"),
    "a limit of zero": got("invalid_request", 422, f"{CUSTOMERS}?limit=0", "limit"),
    "a limit that is no number": got("invalid_request", 422, f"{CUSTOMERS}?limit=all", "limit"),
    "a cursor that somebody made up": got("invalid_cursor", 400, f"{CUSTOMERS}?cursor=abc"),
    "a cursor of another alphabet": got("invalid_cursor", 400, f"{CUSTOMERS}?cursor=%E7%8E%8B"),
    "NUL in a parameter": got("invalid_request", 422, f"{CUSTOMERS}?tag=a%00b", "tag"),
    "NUL in a path": got("nul_character", 400, f"{CUSTOMERS}/%00"),
    "an id that is none": got("invalid_request", 422, f"{CUSTOMERS}/42", "customer_id"),
    "an id that is none, composed": got("invalid_request", 422, f"{CUSTOMERS}/42/360", "customer_id"),
    "an instant without a zone": got(
        "invalid_request", 422, "/v1/accounts/{customer_id}?as_of=2026-01-01T00:00:00", "as_of"
    ),
    "an instant before all calendars": got(
        "invalid_request", 422, "/v1/accounts/{customer_id}?as_of=0001-01-01T00:00:00%2B14:00", "as_of"
    ),
    "nobody": got("customer_not_found", 404, f"{CUSTOMERS}/{uuid7()}"),
    "nobody, composed": got("customer_not_found", 404, f"{CUSTOMERS}/{uuid7()}/360"),
    "a path that leads nowhere": got("route_not_found", 404, "/v1/nothing"),
    "a method that is not offered": Bad("DELETE", CUSTOMERS, 405, "method_not_allowed"),
    "an answer in XML": got("not_acceptable", 406, CUSTOMERS, accept="application/xml"),
    "a stale version": Bad(
        "PATCH", CUSTOMER, 412, "stale_version", json={"name": "b"}, headers={"If-Match": '"99"'}
    ),
    "a version that is none": Bad(
        "PATCH", CUSTOMER, 412, "stale_version", json={"name": "b"}, headers={"If-Match": "1"}
    ),
    "a replacement of what was never read": Bad(
        "PUT",
        "/v1/earning-rules/base",
        428,
        "if_match_missing",
        json={"description": "a", "rate": {"kind": "fixed", "points": 1}},
    ),
}


@pytest_asyncio.fixture(scope="session")
async def ann(populate: Populate) -> Person:
    return await populate("ann")


async def pieces(body: bytes, count: int) -> AsyncIterator[bytes]:
    size = len(body) // count
    for index in range(count):
        yield body[index * size : (index + 1) * size]


async def send(http: httpx2.AsyncClient, gateway: Api, bad: Bad, ann: Person) -> httpx2.Response:
    url = gateway.url + bad.path.replace("{customer_id}", str(ann.id))
    headers = gateway.bearer() | dict(bad.headers)
    content = pieces(bad.body, bad.chunks) if bad.body is not None and bad.chunks else bad.body
    return await http.request(bad.method, url, content=content, json=bad.json, headers=headers)


def check(response: httpx2.Response, status: int, code: str, pointer: str | None = None) -> None:
    """The answer is this problem, and looks as problems do."""
    assert (response.status_code, response.json().get("code")) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    jsonschema.validate(body, PROBLEM)
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    for secret in ("Traceback", "sqlalchemy", "asyncpg", "SELECT", "127.0.0.1"):
        assert secret not in response.text
    if pointer is not None:
        assert [fault["pointer"] for fault in body["errors"]] == [pointer]


@pytest.mark.capability("G1")
@pytest.mark.parametrize("bad", TABLE.values(), ids=TABLE.keys())
async def test_bad_input_gets_its_problem_and_disturbs_nothing(
    bad: Bad, gateway: Api, http: httpx2.AsyncClient, ann: Person
) -> None:
    url = f"{gateway.url}/v1/customers/{ann.id}"
    before = await http.get(url, headers=gateway.bearer())

    check(await send(http, gateway, bad, ann), bad.status, bad.code, bad.pointer)

    after = await http.get(url, headers=gateway.bearer())
    assert (after.status_code, after.json()) == (200, before.json())


async def test_refusing_what_is_deep_or_large_takes_no_time_to_speak_of(
    gateway: Api, http: httpx2.AsyncClient, ann: Person
) -> None:
    for name in ("deep arrays", "deep objects", "deep and never closed", "too large"):
        started = perf_counter()
        await send(http, gateway, TABLE[name], ann)
        assert perf_counter() - started < 5, name


async def test_a_cursor_opens_only_the_list_that_gave_it(gateway: Api, http: httpx2.AsyncClient) -> None:
    for name in ("x", "y"):
        await http.post(gateway.url + CUSTOMERS, json={"name": name}, headers=gateway.bearer())
    page = await http.get(f"{gateway.url}{CUSTOMERS}?limit=1", headers=gateway.bearer())
    cursor = page.json()["next_cursor"]

    async def with_cursor(cursor: str, path: str = CUSTOMERS, **filters: str) -> httpx2.Response:
        params = {"cursor": cursor} | filters
        return await http.get(gateway.url + path, params=params, headers=gateway.bearer())

    assert (await with_cursor(cursor)).status_code == 200
    flipped = ("B" if cursor[0] == "A" else "A") + cursor[1:]
    for tampered in (flipped, cursor[:-4], cursor + "AAAA", cursor[::-1]):
        check(await with_cursor(tampered), 400, "invalid_cursor")
    check(await with_cursor(cursor, tag="x"), 400, "invalid_cursor")
    check(await with_cursor(cursor, "/v1/tickets"), 400, "invalid_cursor")


async def test_what_is_stale_is_refused_and_what_is_current_is_not(
    gateway: Api, http: httpx2.AsyncClient, populate: Populate
) -> None:
    url = f"{gateway.url}/v1/customers/{(await populate('bea')).id}"
    read = (await http.get(url, headers=gateway.bearer())).headers["etag"]

    async def rename(name: str) -> httpx2.Response:
        return await http.patch(url, json={"name": name}, headers=gateway.bearer() | {"If-Match": read})

    assert (await rename("first")).status_code == 200
    check(await rename("second"), 412, "stale_version")
    assert (await http.get(url, headers=gateway.bearer())).json()["name"] == "first"


async def test_one_key_is_one_request(gateway: Api, http: httpx2.AsyncClient, ann: Person) -> None:
    headers = gateway.bearer() | fresh_key()
    url = gateway.url + SPEND.format(customer_id=ann.id)
    first = await http.post(url, json={"points": 1}, headers=headers)
    again = await http.post(url, json={"points": 1}, headers=headers)
    assert (first.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    check(await http.post(url, json={"points": 2}, headers=headers), 422, "idempotency_key_reused")


async def test_another_customers_id_looks_like_nobodys(
    gateway: Api, http: httpx2.AsyncClient, ann: Person, populate: Populate
) -> None:
    headers = gateway.bearer(Role.CUSTOMER, customer_id=ann.id)
    for customer in ((await populate("bea")).id, uuid7()):
        for path in (CUSTOMER, CUSTOMER + "/360", CUSTOMER + "/timeline", "/v1/accounts/{customer_id}"):
            response = await http.get(gateway.url + path.format(customer_id=customer), headers=headers)
            check(response, 404, "customer_not_found")
