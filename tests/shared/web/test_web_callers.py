"""Nobody gets in without a token of the gateway, and nobody further than the roles in it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import APIRouter
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey

from crm_shared.callers import AUDIENCE, ISSUER, Role
from crm_shared.customers import CustomerAlias
from crm_shared.database import Sessions
from crm_shared.settings import ServiceSettings
from crm_shared.testing import FrozenClock, Signer
from crm_shared.web.app import service_app
from crm_shared.web.router import Router
from crm_shared.web.session import allow, public

NOTES = "/v1/notes"
NOW = FrozenClock().at
ANN = UUID("00000000-0000-7000-8000-00000000000a")
BOB = UUID("00000000-0000-7000-8000-00000000000b")


def claims(**changes: object) -> dict[str, object]:
    made = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "roles": ["agent"],
        "scopes": [],
        "iat": int(NOW.timestamp()),
        "exp": int((NOW + timedelta(seconds=60)).timestamp()),
    }
    return {name: value for name, value in (made | changes).items() if value is not None}


def signed(
    key: Any, algorithm: str = "Ed25519", typ: str | None = "crm-internal+jwt", **changes: object
) -> str:
    header = {"alg": algorithm} | ({"typ": typ} if typ else {})
    return jwt.encode(header, claims(**changes), key, algorithms=[algorithm])


def unsigned(token: str) -> str:
    head, body, _ = token.split(".")
    return f"{head}.{body}."


def tampered(token: str) -> str:
    head, _, signature = token.split(".")
    body = signed(OKPKey.generate_key("Ed25519"), roles=["admin"]).split(".")[1]
    return f"{head}.{body}.{signature}"


LATE = int((NOW - timedelta(seconds=120)).timestamp())
SOON = int((NOW + timedelta(seconds=120)).timestamp())
FORGED: dict[str, Callable[[Signer], str]] = {
    "empty": lambda s: "",
    "no token at all": lambda s: "nonsense",
    "dots only": lambda s: "..",
    "longer than any token": lambda s: "a" * 9000,
    "signed by a stranger": lambda s: signed(OKPKey.generate_key("Ed25519")),
    "unsigned": lambda s: unsigned(signed(s.key)),
    "other claims under its signature": lambda s: tampered(signed(s.key)),
    "HMAC with the public key as the secret": lambda s: signed(
        OctKey.import_key(s.public_key.replace("-----", "").encode()), "HS256"
    ),
    "expired": lambda s: signed(s.key, iat=LATE, exp=LATE + 60),
    "of tomorrow": lambda s: signed(s.key, iat=SOON, exp=SOON + 60),
    "without an expiry": lambda s: signed(s.key, exp=None),
    "expiring never": lambda s: signed(s.key, exp="never"),
    "expiring beyond time": lambda s: signed(s.key, exp=10**18),
    "without an issue date": lambda s: signed(s.key, iat=None),
    "of another issuer": lambda s: signed(s.key, iss="https://elsewhere"),
    "for another audience": lambda s: signed(s.key, aud="somebody"),
    "of another kind": lambda s: signed(s.key, typ="at+jwt"),
    "of no kind": lambda s: signed(s.key, typ=None),
    "without a subject": lambda s: signed(s.key, sub=None),
    "without roles": lambda s: signed(s.key, roles=None),
    "with an unknown role": lambda s: signed(s.key, roles=["root"]),
    "with an unknown scope": lambda s: signed(s.key, scopes=["everything"]),
    "with a customer that is none": lambda s: signed(s.key, customer_id="me"),
}


@pytest.mark.parametrize("make", FORGED.values(), ids=FORGED.keys())
async def test_a_bad_token_is_refused(
    call_as: Callable[..., httpx2.AsyncClient], web_signer: Signer, make: Callable[..., str]
) -> None:
    answer = await call_as().get(NOTES, headers={"authorization": f"Bearer {make(web_signer)}"})
    assert answer.status_code == 401
    assert answer.json()["code"] == "invalid_token"
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_a_good_token_is_taken(call_as: Callable[..., httpx2.AsyncClient], web_signer: Signer) -> None:
    answer = await call_as().get(NOTES, headers={"authorization": f"bearer {signed(web_signer.key)}"})
    assert answer.status_code == 200


async def test_a_token_that_was_good_expires(agent: httpx2.AsyncClient, notes_clock: FrozenClock) -> None:
    assert (await agent.get(NOTES)).status_code == 200
    notes_clock.advance(timedelta(seconds=70))
    assert (await agent.get(NOTES)).status_code == 401


@pytest.mark.parametrize("path", [NOTES, "/v1/open"])
async def test_two_authors_are_none(
    call_as: Callable[..., httpx2.AsyncClient], web_signer: Signer, path: str
) -> None:
    good = f"Bearer {signed(web_signer.key)}"
    for others in ([good, good], [good, "Bearer other"], ["Bearer other", good]):
        sent = httpx2.Headers([("authorization", each) for each in others])

        answer = await call_as().get(path, headers=sent)

        assert (answer.status_code, answer.json()["code"]) == (400, "credentials_ambiguous")


async def test_another_scheme_is_refused(call_as: Callable[..., httpx2.AsyncClient]) -> None:
    answer = await call_as().get(NOTES, headers={"authorization": "Basic YTpi"})
    assert answer.json()["code"] == "invalid_token"


async def test_without_a_token_nothing_is_read(call_as: Callable[..., httpx2.AsyncClient]) -> None:
    answer = await call_as().post(NOTES, content=b"{")
    assert (answer.status_code, answer.json()["code"]) == (401, "token_missing")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_the_wrong_role_is_refused_before_the_body_is_read(
    call_as: Callable[..., httpx2.AsyncClient],
) -> None:
    answer = await call_as(Role.PARTNER).post(NOTES, content=b"{")
    assert (answer.status_code, answer.json()["code"]) == (403, "role_missing")


async def test_a_public_route_asks_nobody(call_as: Callable[..., httpx2.AsyncClient]) -> None:
    assert (await call_as().get("/v1/open")).status_code == 200


@pytest.mark.parametrize(
    ("roles", "customer_id", "status"),
    [
        ([Role.AGENT], None, 200),
        ([Role.CUSTOMER], ANN, 200),
        ([Role.CUSTOMER], BOB, 404),
        ([Role.CUSTOMER], None, 404),
        ([Role.CUSTOMER, Role.AGENT], BOB, 200),
        ([Role.PARTNER], None, 403),
    ],
)
async def test_customers_see_their_own_and_no_sign_of_others(
    call_as: Callable[..., httpx2.AsyncClient], roles: list[Role], customer_id: Any, status: int
) -> None:
    answer = await call_as(*roles, customer_id=customer_id).get(f"/v1/customers/{ANN}/notes")
    assert answer.status_code == status
    if status == 404:
        assert answer.json()["code"] == "customer_not_found"


async def test_a_customer_keeps_access_through_a_merge(
    call_as: Callable[..., httpx2.AsyncClient], sessions: Sessions
) -> None:
    async with sessions.begin() as session:
        session.add(CustomerAlias(absorbed=BOB, survivor=ANN, merge_id=ANN, sequence=1))
    for own in (ANN, BOB):
        for asked in (ANN, BOB):
            client = call_as(Role.CUSTOMER, customer_id=own)
            assert (await client.get(f"/v1/customers/{asked}/notes")).status_code == 200


async def test_an_id_that_is_none_is_the_routes_to_refuse(call_as: Callable[..., httpx2.AsyncClient]) -> None:
    answer = await call_as(Role.CUSTOMER, customer_id=ANN).get("/v1/customers/me/notes")
    assert answer.json()["code"] == "invalid_request"


def test_a_route_that_names_nobody_does_not_start(web_settings: ServiceSettings) -> None:
    router = Router()

    @router.get("/v1/careless")
    async def be_careless() -> None: ...

    with pytest.raises(TypeError, match="be_careless does not say who may call it"):
        service_app(web_settings, router)


def test_a_route_of_another_kind_does_not_start(web_settings: ServiceSettings) -> None:
    router = APIRouter()

    @router.get("/v1/foreign", dependencies=[public()])
    async def be_foreign() -> None: ...

    with pytest.raises(TypeError, match="/v1/foreign is not a"):
        service_app(web_settings, router)


def test_two_operations_of_one_name_do_not_start(web_settings: ServiceSettings) -> None:
    first, second = Router(), Router()
    for path, router in (("/v1/a", first), ("/v1/b", second)):

        @router.get(path, dependencies=[allow(Role.AGENT)])
        async def same() -> None: ...

    with pytest.raises(TypeError, match="same is the name of two operations"):
        service_app(web_settings, first, second)


async def test_clients_are_told_apart_by_their_token(call_as: Callable[..., httpx2.AsyncClient]) -> None:
    for name in ("alice", "bob"):
        client: httpx2.AsyncClient = call_as(Role.AGENT, subject=name)
        assert (await client.post(NOTES, json={"text": "a"})).json()["author"] == name
