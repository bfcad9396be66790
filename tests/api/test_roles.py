"""Who may call what: every role at every route that the documents have, and whose data a customer gets."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from tests.api.api import Api
from tests.api.population.teller import Person

from crm_gateway import openapi
from crm_shared.callers import Role
from crm_shared.ids import uuid7
from crm_shared.testing import fresh_key

from .conftest import Populate

METHODS = ("get", "put", "post", "patch", "delete")
ABSENT = str(uuid7())
DOCUMENT = openapi.load()


def operations() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Those that ask for a sign-in."""
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in item and item[method]["security"]:
                yield path, method, item[method]


Operation = tuple[str, str, Mapping[str, Any]]


def cases(found: Iterable[Operation]) -> pytest.MarkDecorator:
    """The test for each of these operations."""
    params = [pytest.param(*each, id=each[2]["operationId"]) for each in found]
    return pytest.mark.parametrize(("path", "method", "operation"), params)


ALL = cases(operations())
OWN = cases(
    found for found in operations() if "{customer_id}" in found[0] and Role.CUSTOMER in found[2]["x-roles"]
)
READ = cases(found for found in operations() if found[1] == "get")


@pytest_asyncio.fixture(scope="session")
async def ann(populate: Populate) -> Person:
    return await populate("ann")


@pytest_asyncio.fixture(scope="session")
async def bea(populate: Populate) -> Person:
    return await populate("bea")


def filled(path: str, ids: Mapping[str, str]) -> str:
    """The path with these values; what has none leads to nobody."""
    for part in path.split("/"):
        if part.startswith("{"):
            path = path.replace(part, ids.get(part.strip("{}"), ABSENT))
    return path


def open_to_all() -> Iterator[str]:
    """The operations that ask for no sign-in."""
    for item in DOCUMENT["paths"].values():
        yield from (each["operationId"] for each in item.values() if each.get("security") == [])


@pytest.mark.capability("G6")
def test_only_forms_and_links_in_messages_ask_for_no_sign_in() -> None:
    assert sorted(open_to_all()) == [
        *("get_form", "get_form_page", "show_unsubscription", "submit_form", "unsubscribe")
    ]


async def ask(
    http: httpx2.AsyncClient, api: Api, method: str, path: str, headers: Mapping[str, str]
) -> httpx2.Response:
    """A request that leaves no trace: without a body, where one is needed, it is refused in the end."""
    return await http.request(method, api.url + path, headers=headers)


def apis(system: Mapping[str, Api], operation: Mapping[str, Any]) -> list[Api]:
    """Where the operation is offered: at the gateway and, without it, at the service itself."""
    return [system["gateway"]] + [system[name] for name in {operation["x-service"]} - {"gateway"}]


@pytest.mark.capability("G6")
@ALL
async def test_without_a_token_nobody_gets_in(
    path: str, method: str, operation: Mapping[str, Any], system: Mapping[str, Api], http: httpx2.AsyncClient
) -> None:
    for api in apis(system, operation):
        response = await ask(http, api, method, filled(path, {}), {})
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.capability("G6")
@ALL
async def test_only_the_roles_that_are_named_get_in(
    path: str, method: str, operation: Mapping[str, Any], system: Mapping[str, Api], http: httpx2.AsyncClient
) -> None:
    for api in apis(system, operation):
        for role in Role:
            # A customer asks for the own id, of whom nobody knows: 404 is about that and not about rights.
            customer = uuid7() if role is Role.CUSTOMER else None
            ids = {"customer_id": str(customer)} if customer else {}
            headers = api.bearer(role, customer_id=customer)
            response = await ask(http, api, method, filled(path, ids), headers)
            refused = response.status_code in (401, 403)
            assert refused == (role not in operation["x-roles"]), (api.name, role, response.text)
            if refused:
                assert response.json()["code"] == "role_missing"


@pytest.mark.capability("G6")
@OWN
async def test_a_customer_has_the_own_data_and_anybody_elses_look_absent(
    path: str,
    method: str,
    operation: Mapping[str, Any],
    system: Mapping[str, Api],
    http: httpx2.AsyncClient,
    ann: Person,
    bea: Person,
) -> None:
    for api in apis(system, operation):
        headers = api.bearer(Role.CUSTOMER, customer_id=ann.id) | fresh_key()

        absent = {**bea.ids, "customer_id": ABSENT}
        own, others, nobodys = [
            await ask(http, api, method, filled(path, ids), headers) for ids in (ann.ids, bea.ids, absent)
        ]
        assert own.status_code == (422 if incomplete(operation) else 200), own.text
        assert others.status_code == nobodys.status_code == 404
        assert told(others, bea.ids["customer_id"]) == told(nobodys, ABSENT)


def incomplete(operation: Mapping[str, Any]) -> bool:
    """Whether `ask` leaves out what is needed: a body, or a parameter of the query."""
    parameters = operation.get("parameters", [])
    return "requestBody" in operation or any(
        each["in"] == "query" and each.get("required") for each in parameters
    )


def told(response: httpx2.Response, asked: str) -> tuple[int, str]:
    """What an answer gives away, apart from what was asked."""
    body = response.json()
    body.pop("request_id")
    return response.status_code, str(body).replace(asked, "…")


@pytest.mark.capability("G6")
@pytest.mark.parametrize("role", [Role.AGENT, Role.SUPERVISOR, Role.MANAGER, Role.PARTNER, Role.ADMIN])
@READ
async def test_who_may_not_read_personal_data_gets_no_address(
    path: str,
    method: str,
    operation: Mapping[str, Any],
    role: Role,
    gateway: Api,
    http: httpx2.AsyncClient,
    ann: Person,
) -> None:
    headers = gateway.bearer(role, pii=False)
    response = await ask(http, gateway, method, filled(path, ann.ids), headers)
    assert ann.email not in response.text
    assert ann.phone not in response.text


async def test_who_may_read_personal_data_gets_it(
    gateway: Api, http: httpx2.AsyncClient, ann: Person
) -> None:
    for path in ("/v1/customers", "/v1/customers/{customer_id}", "/v1/customers/{customer_id}/360"):
        response = await ask(http, gateway, "get", filled(path, ann.ids), gateway.bearer(Role.AGENT))
        assert ann.email in response.text
        assert ann.phone in response.text
