"""Routes that are called by their own plan answer as the framework would, whatever is asked."""

from collections.abc import Callable
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from tests.conftest import ClientFactory

from crm_profiles.routes import customers, search
from crm_shared.callers import Role
from crm_shared.ids import uuid7
from crm_shared.web.routing import Route
from crm_shared.web.session import get_clock

NOBODY = UUID("00000000-0000-7000-8000-000000000000")
READ = [
    "/v1/customers/{id}",
    "/v1/customers/{id}/summary/profiles",
    "/v1/customers/{id}?as_of=2026-03-01T00:00:00Z",
    "/v1/customers/{id}?as_of=2999-01-01T00:00:00Z",
    f"/v1/customers/{NOBODY}",
    f"/v1/customers/{NOBODY}/summary/profiles",
    "/v1/customers/search?q=ada",
    "/v1/customers/search?q=ada&limit=1&region=GB&gender=female",
]
UNFIT = [
    "/v1/customers/nobody",
    "/v1/customers/nobody?as_of=never",
    "/v1/customers/%00",
    "/v1/customers/%ff",
    "/v1/customers/{id}?as_of=",
    "/v1/customers/{id}?as_of=2026-13-01T00:00:00Z&as_of=x",
    "/v1/customers/{id}?colour=red",
    "/v1/customers/{id}?as_of=%00",
    "/v1/customers/search",
    "/v1/customers/search?q=",
    "/v1/customers/search?q=a&limit=0",
    "/v1/customers/search?q=a&limit=many&gender=none",
    "/v1/customers/{id}/summary/nothing",
]
HEADERS: list[dict[str, str]] = [
    {},
    {"Accept": "text/html"},
    {"Accept": "application/json;q=0.5, text/html"},
    {"If-None-Match": '"1"'},
    {"If-None-Match": 'W/"1", "7"'},
    {"If-None-Match": '"2"'},
    {"Authorization": "Bearer nonsense"},
    {"Authorization": ""},
    {"Content-Encoding": "gzip"},
]


@pytest.fixture
async def ada(profiles: httpx2.AsyncClient) -> UUID:
    body = {"name": "Ada Lovelace", "contact_points": [{"kind": "email", "value": "ada@example.com"}]}
    return UUID((await profiles.post("/v1/customers", json=body)).json()["id"])


@pytest.fixture
def app(apps: Callable[[str], FastAPI]) -> FastAPI:
    return apps("profiles")


async def both(
    app: FastAPI, client: httpx2.AsyncClient, method: str, path: str, headers: dict[str, str]
) -> None:
    """Ask twice: while something is replaced, though by itself, everything goes through the framework."""
    told = []
    for replaced in ({}, {get_clock: get_clock}):
        app.dependency_overrides = dict(replaced)
        answer = await client.request(method, path, headers={"X-Request-ID": "the-same-one", **headers})
        told.append((answer.status_code, sorted(answer.headers.multi_items()), answer.content))
    app.dependency_overrides = {}
    assert told[0] == told[1]


def test_what_is_read_most_has_a_plan() -> None:
    planned = {
        route.name
        for router in (customers.router, search.router)
        for route in router.routes
        if isinstance(route, Route) and route.direct is not None
    }
    assert planned == {
        *("get_customer", "summarize_profile", "search_customers"),
        *("create_customer", "change_customer", "upsert_customer"),
    }


@pytest.mark.parametrize("path", READ + UNFIT)
async def test_whatever_is_asked_for_is_answered_alike(
    app: FastAPI, profiles: httpx2.AsyncClient, ada: UUID, path: str
) -> None:
    for headers in HEADERS:
        await both(app, profiles, "GET", path.format(id=ada), headers)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "BREW"])
async def test_other_methods_are_answered_alike(
    app: FastAPI, profiles: httpx2.AsyncClient, ada: UUID, method: str
) -> None:
    for path in ("/v1/customers/{id}", "/v1/customers/{id}/summary/profiles", "/v1/customers/search"):
        await both(app, profiles, method, path.format(id=ada), {})


@pytest.mark.parametrize("role", list(Role))
async def test_each_role_is_answered_alike(
    app: FastAPI, client: ClientFactory, ada: UUID, role: Role
) -> None:
    for customer_id in (ada, uuid7(), None):
        for pii in (True, False):
            caller = client("profiles", role, customer_id=customer_id, pii=pii)
            for path in (*READ, "/v1/customers/nobody"):
                await both(app, caller, "GET", path.format(id=ada), {})
