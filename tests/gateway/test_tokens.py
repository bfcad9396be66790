"""Only tokens of the issuer, for us, valid now, and signed as we allow are accepted."""

import base64
import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey, RSAKey

from crm_shared.callers import Caller, Role, mint

from .conftest import Gateway, Issuer, Service, Standing

Forge = Callable[[Issuer], str]
Services = dict[str, Service]


@pytest.fixture
def gateway(standing: Standing) -> Gateway:
    return standing[0]


@pytest.fixture
def services(standing: Standing) -> Services:
    return standing[1]


def encoded(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def signed_by(key: Any, alg: str = "Ed25519", **header: object) -> Forge:
    def forge(issuer: Issuer) -> str:
        described = {"alg": alg, "typ": "JWT", "kid": "ed", **header}
        return jwt.encode(described, issuer.claims(), key, algorithms=[alg])

    return forge


def unsigned(header: dict[str, object], signature: str = "") -> Forge:
    return lambda issuer: f"{encoded(header)}.{encoded(issuer.claims())}.{signature}"


def public_key_as_secret(issuer: Issuer) -> str:
    """The classic: HS256 with the issuer's public key for a secret."""
    body = f"{encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': 'rsa'})}.{encoded(issuer.claims())}"
    secret: bytes = issuer.keys["RS256"].as_pem(private=False)  # type: ignore[union-attr]
    signature = hmac.digest(secret, body.encode(), "sha256")
    return f"{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def changed_afterwards(issuer: Issuer) -> str:
    header, _, signature = issuer.token().split(".")
    return f"{header}.{encoded(issuer.claims(roles=['admin']))}.{signature}"


def claims(**changes: Any) -> Forge:
    return lambda issuer: issuer.token(**changes)


def header(**changes: object) -> Forge:
    return lambda issuer: issuer.token(header=changes)


def seconds(claim: str, offset: float) -> Forge:
    return lambda issuer: claims(**{claim: issuer.clock.now().timestamp() + offset})(issuer)


def internal_token(issuer: Issuer) -> str:
    caller = Caller("mallory", frozenset({Role.ADMIN}))
    key = issuer.keys["Ed25519"]
    assert isinstance(key, OKPKey)
    return mint(caller, key, at=issuer.clock.now())


FORGERIES: dict[str, Forge] = {
    "nonsense": lambda issuer: "nonsense",
    "two parts": lambda issuer: issuer.token().rsplit(".", 1)[0],
    "five parts": lambda issuer: f"{issuer.token()}.a.b",
    "header that is no base64": lambda issuer: "***." + issuer.token().split(".", 1)[1],
    "header that is a list": unsigned([]),  # type: ignore[arg-type]
    "header that is not JSON": lambda issuer: "e30x." + issuer.token().split(".", 1)[1],
    "longer than 8 KiB": claims(padding="x" * 8192),
    "alg none": unsigned({"alg": "none", "typ": "JWT"}),
    "alg nOnE": unsigned({"alg": "nOnE", "typ": "JWT"}),
    "no alg": unsigned({"typ": "JWT", "kid": "ed"}, "c2ln"),
    "alg that is a list": unsigned({"alg": ["Ed25519"], "typ": "JWT", "kid": "ed"}, "c2ln"),
    "HS256 with the public key": public_key_as_secret,
    "HS256 with a secret": signed_by(OctKey.import_key("a secret of thirty-two bytes, or more"), "HS256"),
    "PS256": signed_by(RSAKey.generate_key(2048), "PS256", kid="rsa"),
    "algorithm of another key": header(kid="rsa"),
    "another's key under a known id": signed_by(OKPKey.generate_key("Ed25519")),
    "unknown key id": header(kid="nobody"),
    "no key id among several keys": header(kid=None),
    "key id that is a number": signed_by(OKPKey.generate_key("Ed25519"), kid="1"),
    "key in the header": signed_by(
        (own := OKPKey.generate_key("Ed25519")), jwk=own.as_dict(private=False), kid="own"
    ),
    "empty signature": lambda issuer: issuer.token().rsplit(".", 1)[0] + ".",
    "signature of other claims": changed_afterwards,
    "claims changed to a list": lambda issuer: issuer.token().split(".")[0] + ".W10.c2ln",
    "critical extension": unsigned(
        {"alg": "Ed25519", "typ": "JWT", "kid": "ed", "crit": ["x"], "x": 1}, "c2ln"
    ),
    "detached payload": unsigned({"alg": "Ed25519", "typ": "JWT", "kid": "ed", "b64": False}, "c2ln"),
    "no type": header(typ=None),
    "type of a logout token": header(typ="logout+jwt"),
    "internal token": internal_token,
    "another issuer": claims(iss="https://issuer.example.evil"),
    "no issuer": claims(iss=None),
    "another audience": claims(aud="shop"),
    "other audiences": claims(aud=["shop", "crm-internal"]),
    "no audience": claims(aud=None),
    "expired": seconds("exp", -61),
    "no expiry": claims(exp=None),
    "expiry that is a text": claims(exp="tomorrow"),
    "expiry that is true": claims(exp=True),
    "expiry beyond all calendars": claims(exp=1e300),
    "not valid yet": seconds("nbf", 61),
    "issued in the future": seconds("iat", 61),
    "no subject": claims(sub=None),
    "empty subject": claims(sub=""),
    "subject of two lines": claims(sub="a\nb"),
    "subject of an API key": claims(sub="partner:acme"),
    "roles that are a number": claims(roles=7),
    "roles that are no texts": claims(roles=[["admin"]]),
    "customer without an id": claims(roles=["customer"]),
    "customer with half an id": claims(roles=["customer"], customer_id="42"),
}


@pytest.mark.capability("G1")
@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
async def test_a_forged_foreign_or_expired_token_opens_nothing(
    gateway: Gateway, services: Services, forge: Forge
) -> None:
    token = forge(gateway.issuer)
    response = await gateway.client.get("/v1/customers", headers={"authorization": f"Bearer {token}"})

    assert response.status_code == 401
    assert response.json()["code"] == "invalid_credentials"
    assert response.headers["content-type"] == "application/problem+json"
    assert 'error="invalid_token"' in response.headers["www-authenticate"]
    assert token not in response.text
    assert not services["profiles"].seen


@pytest.mark.capability("G1")
@pytest.mark.parametrize("authorization", ["Basic YTpi", "Bearer", "Digest x", ""])
async def test_other_ways_to_sign_in_open_nothing(
    gateway: Gateway, services: Services, authorization: str
) -> None:
    response = await gateway.client.get("/v1/customers", headers={"authorization": authorization})

    assert (response.status_code, response.json()["code"]) == (401, "invalid_credentials")
    assert not services["profiles"].seen


async def test_without_credentials_the_answer_says_how_to_sign_in(gateway: Gateway) -> None:
    response = await gateway.client.get("/v1/customers")

    assert (response.status_code, response.json()["code"]) == (401, "credentials_missing")
    assert response.headers["www-authenticate"] == 'Bearer realm="crm"'


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize(
    "make",
    [
        claims(),
        lambda issuer: issuer.token("RS256"),
        lambda issuer: issuer.token("ES256"),
        lambda issuer: signed_by(issuer.keys["Ed25519"], "EdDSA")(issuer),
        header(typ="application/at+JWT"),
        claims(aud=["shop", "crm"]),
        seconds("exp", -59),
        seconds("nbf", 59),
        claims(iat=None),
    ],
)
async def test_a_good_token_of_each_kind_opens(gateway: Gateway, make: Forge) -> None:
    token = make(gateway.issuer)
    response = await gateway.client.get("/v1/customers", headers={"authorization": f"Bearer {token}"})

    assert response.status_code == 200


async def test_an_accepted_token_is_refused_from_the_moment_it_expires(gateway: Gateway) -> None:
    headers = gateway.bearer(exp=gateway.clock.now().timestamp() + 100)

    assert (await gateway.client.get("/v1/customers", headers=headers)).status_code == 200
    gateway.clock.advance(timedelta(seconds=159))
    assert (await gateway.client.get("/v1/customers", headers=headers)).status_code == 200
    gateway.clock.advance(timedelta(seconds=2))
    assert (await gateway.client.get("/v1/customers", headers=headers)).status_code == 401


async def test_internal_tokens_are_renewed_before_they_expire(gateway: Gateway, services: Services) -> None:
    headers = gateway.bearer(sub="dora")
    for _ in range(4):
        await gateway.client.get("/v1/customers", headers=headers)
        gateway.caller(services["profiles"].seen[-1])
        gateway.clock.advance(timedelta(seconds=29))

    tokens = [seen.headers["Authorization"] for seen in services["profiles"].seen]
    assert len(set(tokens)) == 2


async def test_a_customers_token_carries_the_customer(
    gateway: Gateway, services: Services, customer: UUID
) -> None:
    headers = gateway.bearer(Role.CUSTOMER, customer_id=str(customer))
    await gateway.client.get("/v1/customers", headers=headers)

    assert gateway.caller(services["profiles"].seen[0]).customer_id == customer
