"""A body is judged the same by a route's own plan and by the framework, whatever is sent."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx2
import orjson
import pytest
import pytest_asyncio
from fastapi import FastAPI, Response
from fastapi.routing import iter_route_contexts
from hypothesis import event, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject, SearchStrategy
from pydantic import BaseModel
from tests.api.api import APIS
from tests.chance import examples

from crm_shared.settings import ServiceSettings
from crm_shared.testing import Signer
from crm_shared.web.app import service_app
from crm_shared.web.router import Router
from crm_shared.web.routing import Route
from crm_shared.web.session import get_clock, public

EDGES = [0, 1.0, -1, 2**31, 2**53, 1e300, True, "", " ", "\0", "1", "2026-02-30", None, [], {}]
JUNK = st.sampled_from(EDGES) | st.recursive(
    st.text(max_size=5) | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
BROKEN = st.sampled_from([b"", b"null", b"{", b'{"a": NaN}', b"\xff", b"[]", b'""', b'{"name": "a",}'])
TYPES = st.sampled_from(["application/json"] * 4 + ["application/merge-patch+json", "text/plain", ""])

Models = Mapping[str, type[BaseModel]]


def echoing(model: type[BaseModel]) -> Callable[..., Any]:
    """An endpoint that answers what it understood."""

    async def echo(body: BaseModel) -> Response:
        return Response(body.model_dump_json(exclude_unset=True), media_type="application/json")

    echo.__annotations__["body"] = model
    return echo


@pytest.fixture(scope="session")
def models(apps: Callable[[str], FastAPI]) -> Models:
    """The bodies of all routes that have a plan."""
    found: dict[str, type[BaseModel]] = {}
    for service in APIS:
        for context in iter_route_contexts(apps(service).routes):
            route = context.original_route
            if isinstance(route, Route) and route.direct is not None and route.body_field is not None:
                model = route.body_field.field_info.annotation
                assert isinstance(model, type)
                assert issubclass(model, BaseModel)
                found[route.name] = model
    return found


@pytest.fixture(scope="session")
def echoes(models: Models, signer: Signer) -> FastAPI:
    router = Router(tags=["echoes"])
    for name, model in models.items():
        router.add_api_route(
            f"/v1/echoes/{name}", echoing(model), methods=["POST"], name=name, dependencies=[public()]
        )
    return service_app(
        ServiceSettings(
            service="echoes",
            database_url="postgresql://nobody@127.0.0.1:1/nothing",
            kafka_bootstrap_servers="127.0.0.1:1",
            internal_public_key=signer.public_key,
            cursor_secret="cursors of the tests, thirty-two bytes and more",
        ),
        router,
    )


@pytest_asyncio.fixture(scope="session")
async def echo(echoes: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(echoes, raise_app_exceptions=False)
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://echoes", headers={"X-Request-ID": "the-same-one"}
    ) as client:
        yield client


@st.composite
def bodies(draw: st.DrawFn, model: type[BaseModel]) -> bytes:
    """One of the model's examples with a few of its parts replaced, left out or added."""
    shown: list[dict[str, Any]] = model.model_json_schema()["examples"]
    body = orjson.loads(orjson.dumps(draw(st.sampled_from(shown))))
    for _ in range(draw(st.integers(0, 3))):
        _spoil(draw, model, body)
    return orjson.dumps(body, option=orjson.OPT_PASSTHROUGH_SUBCLASS)


def _spoil(draw: Callable[[SearchStrategy[Any]], Any], model: type[BaseModel], body: dict[str, Any]) -> None:
    part: Any = body
    while True:
        keys = list(part) if isinstance(part, dict) else list(range(len(part)))
        if not keys:
            return
        key = draw(st.sampled_from(keys))
        if not isinstance(part[key], dict | list) or draw(st.booleans()):
            break
        part = part[key]
    if draw(st.booleans()):
        part[key] = draw(JUNK)
    elif draw(st.booleans()):
        del part[key]
    else:
        body[draw(st.sampled_from([*model.model_fields, "unheard_of"]))] = draw(JUNK)


def test_every_planned_route_that_takes_a_body_is_here(models: Models) -> None:
    assert {"create_customer", "change_customer", "upsert_customer", "spend_points", "place_hold"} <= set(
        models
    )


@given(data=st.data())
@settings(max_examples=examples(150))
async def test_a_plan_understands_and_refuses_what_the_framework_does(
    echoes: FastAPI, echo: httpx2.AsyncClient, models: Models, data: DataObject
) -> None:
    name, model = data.draw(st.sampled_from(sorted(models.items())))
    content = data.draw(bodies(model) | BROKEN)
    headers = {"Content-Type": data.draw(TYPES)}
    told = []
    for replaced in ({}, {get_clock: get_clock}):  # while something is replaced, the framework answers
        echoes.dependency_overrides = dict(replaced)
        answer = await echo.post(f"/v1/echoes/{name}", content=content, headers=headers)
        told.append((answer.status_code, sorted(answer.headers.multi_items()), answer.content))
    event(f"answered {told[0][0]}")
    assert told[0] == told[1]
    assert told[0][0] in (200, 400, 415, 422)
