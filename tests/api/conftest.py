"""The whole API on loopback: four services and the gateway before them, on databases of their own."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import count
from typing import Any
from uuid import UUID

import httpx2
import pytest
import pytest_asyncio
from joserfc.jwk import Key, OKPKey
from tests.flows.conftest import LISTENERS
from tests.gateway.conftest import AUDIENCE, ISSUER, Issuer, running

from crm_gateway import openapi
from crm_gateway.app import create_app
from crm_gateway.settings import Settings
from crm_local.postgres import temporary_postgres
from crm_local.provisioning import SERVICES, Databases, provision
from crm_shared import migrations
from crm_shared.callers import STAFF, Role, Scope
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, Signer, deliver

NEW = ("/v1/rewards/", "/v1/coupon-series/", "/v1/promotions/", "/v1/care/")
"""What is written in versions: each person's are their first."""
LADDER = {
    "basis": "orders",
    "period": {"kind": "calendar_year"},
    "tiers": [{"key": "silver", "names": {"en": "Silver"}, "threshold": 10}],
}
POLICIES: dict[str, Any] = {
    "/v1/programme/referral-policy": {
        "active": True,
        "points_referrer": 10,
        "points_friend": 10,
        "currency": "USD",
    },
    "/v1/programme/recovery-policy": {"active": True, "points": {"high": 10}},
}
"""Without them nobody is referred or compensated."""
APIS = ("profiles", "segmentation", "tickets", "loyalty")


@dataclass(frozen=True)
class Api:
    """Something that serves an OpenAPI document, and how to sign in to it."""

    name: str
    url: str
    document: Mapping[str, Any]
    signer: Signer
    issuer: Issuer
    sessions: Sessions

    def bearer(
        self,
        *roles: Role,
        customer_id: UUID | None = None,
        pii: bool = True,
        subject: str = "tester",
    ) -> dict[str, str]:
        """Headers of a caller with these roles, by default all of the staff's."""
        scopes = [Scope.PII_READ] if pii else []
        if self.name == "gateway":
            token = self.issuer.token(
                sub=subject,
                roles=[role.value for role in roles or STAFF],
                scope=" ".join(scopes),
                customer_id=str(customer_id) if customer_id else None,
            )
        else:
            token = self.signer.token(
                roles or STAFF,
                at=self.issuer.clock.now(),
                subject=subject,
                customer_id=customer_id,
                scopes=scopes,
            )
        return {"Authorization": f"Bearer {token}"}


@pytest_asyncio.fixture(scope="session")
async def own_databases() -> AsyncIterator[Mapping[str, Databases]]:
    """Not the other tests' databases: what is sent here is committed, and nobody takes it back."""
    with temporary_postgres(["fsync=off", "full_page_writes=off"]) as server:
        databases = await provision(server.url())
        for name in SERVICES:
            await migrations.upgrade(f"crm_{name}", databases[name].owner_url, app_role=f"{name}_app")
        yield databases


@pytest_asyncio.fixture(scope="session")
async def system(own_databases: Mapping[str, Databases]) -> AsyncIterator[Mapping[str, Api]]:
    """Every service and the gateway as real servers with their lifespans, at a time that stands."""
    clock = FrozenClock()
    keys: dict[str, Key] = {"Ed25519": OKPKey.generate_key("Ed25519", {"kid": "ed"})}
    issuer, signer = Issuer(clock, keys), Signer()

    def settings(name: str) -> dict[str, Any]:
        return {
            "database_url": own_databases[name].app_url,
            "kafka_bootstrap_servers": "127.0.0.1:1",
            "internal_public_key": signer.public_key,
            "cursor_secret": "cursors of the tests, thirty-two bytes and more",
            "suppression_secret": "suppression of the tests, thirty-two bytes and more",
            "unsubscribe_secret": "unsubscribing in the tests, thirty-two bytes and more",
            "internal_port": 0,
            "pool_size": 5,
            "log_level": "ERROR",
        }

    async with AsyncExitStack() as stack:
        apis: dict[str, Api] = {}
        for name in APIS:
            app = import_module(f"crm_{name}.app").create_app(
                import_module(f"crm_{name}.settings").Settings(**settings(name))
            )
            app.state.clock = clock
            url = await stack.enter_async_context(running(app))
            apis[name] = Api(name, url, app.openapi(), signer, issuer, app.state.sessions)
        gateway_settings = Settings(
            **settings("gateway"),
            issuer=ISSUER,
            audience=AUDIENCE,
            issuer_key=json.dumps(issuer.public),
            internal_private_key=json.dumps(signer.key.as_dict(private=True)),
            upstreams={name: api.url for name, api in apis.items()},
            breaker_failures=10_000,
            rate_limit_requests=1_000_000,
        )
        app = create_app(gateway_settings, clock=clock)
        url = await stack.enter_async_context(running(app))
        apis["gateway"] = Api("gateway", url, openapi.load(), signer, issuer, app.state.sessions)
        yield apis


@pytest.fixture(scope="session")
def gateway(system: Mapping[str, Api]) -> Api:
    return system["gateway"]


@pytest_asyncio.fixture(scope="session")
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=20) as client:
        yield client


@dataclass(frozen=True)
class Person:
    """A customer with something in every service: the values of the parameters that lead to it."""

    id: UUID
    ids: Mapping[str, str]
    email: str
    phone: str


Populate = Callable[[str], Awaitable[Person]]


@pytest.fixture(scope="session")
def populate(system: Mapping[str, Api], gateway: Api, http: httpx2.AsyncClient) -> Populate:
    """Makes customers of whom every service knows something: `await populate("ann")`."""

    numbers = count(12_345_678)

    async def send(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        # Not the tester: who has tried many wrong codes is kept from right ones for a while.
        headers = gateway.bearer(subject="teller") | {"Idempotency-Key": str(uuid7())}
        if method == "PUT" and path.startswith(NEW):
            headers["If-None-Match"] = "*"
        response = await http.request(method, gateway.url + path, json=body, headers=headers)
        assert response.is_success, response.text
        return response.json()

    post, put = partial(send, "POST"), partial(send, "PUT")

    async def tell(source: str, target: str) -> None:
        await deliver(
            system[source].sessions,
            system[target].sessions,
            LISTENERS[target],
            consumer=target,
            at=gateway.issuer.clock.now(),
        )

    async def tell_everybody() -> None:
        for target in ("segmentation", "tickets", "loyalty"):
            await tell("profiles", target)

    async def make(name: str) -> Person:
        number = next(numbers)
        email, phone = f"{name}-{number}@canary.example", f"+86138{number:08}"
        await put(f"/v1/customer-attributes/size_{number}", {"type": "string", "label": "Shirt size"})
        contacts = [{"kind": "email", "value": email}, {"kind": "phone", "value": phone}]
        customer = await post("/v1/customers", {"name": name, "contact_points": contacts})
        total = {"amount": 100_000, "currency": "USD"}
        purchase = await post(
            "/v1/purchases",
            {
                "source": "shop",
                "external_id": customer["id"],
                "customer_id": customer["id"],
                "occurred_at": "2026-02-27T12:00:00Z",
                "currency": "USD",
                "lines": [{"quantity": 1, "total": total}],
            },
        )
        call = {"channel": "call", "direction": "inbound", "occurred_at": "2026-02-27T12:00:00Z"}
        interaction = await post("/v1/interactions", call | {"customer_id": customer["id"]})
        note = await post(f"/v1/customers/{customer['id']}/notes", {"text": "Likes jazz"})
        await tell_everybody()
        ticket = await post(
            "/v1/tickets", {"customer_id": customer["id"], "kind": "complaint", "title": "Where is it?"}
        )
        tiers = await http.put(
            gateway.url + "/v1/tiers", json=LADDER, headers=gateway.bearer() | {"If-None-Match": "*"}
        )
        assert tiers.status_code in (200, 412), "there is one ladder, for everybody"
        given = await post(f"/v1/accounts/{customer['id']}/adjust", {"points": 1, "reason": "Welcome"})
        adjustment = await post(
            "/v1/adjustments", {"customer_id": customer["id"], "points": 1, "reason": "Welcome"}
        )
        hold = await post(f"/v1/accounts/{customer['id']}/holds", {"points": 10, "expires_in": 900})
        gift = {"kind": "gift", "names": {"en": "A bag"}, "points": 5, "limited": False}
        reward = f"bag-{number}"
        await put(f"/v1/rewards/{reward}", gift)
        order = await post(f"/v1/accounts/{customer['id']}/reward-orders", {"reward": reward})
        series = f"tenth-{number}"
        terms = {"names": {"en": "A tenth"}, "value": "percent", "basis_points": 1000}
        await put(f"/v1/coupon-series/{series}", terms)
        to = {"customer_ids": [customer["id"]]}
        [coupon] = (await post(f"/v1/coupon-series/{series}/coupons", to))["items"]
        listed = await send("GET", f"/v1/accounts/{customer['id']}/coupons")
        batch = await post(f"/v1/coupon-series/{series}/batches", {"count": 1})
        basket = {"currency": "USD", "lines": [{"price": 1000}]}
        use = {"customer_id": customer["id"], "code": listed["items"][0]["code"], "basket": basket}
        shop = {"order": {"source": "shop", "external_id": customer["id"]}}
        reserved = await post("/v1/coupons/reserve", use | shop)
        quote = await post("/v1/quotes", {"customer_id": customer["id"], "basket": basket})
        promotion = f"day-{number}"
        await put(f"/v1/promotions/{promotion}", terms)
        for path, policy in POLICIES.items():
            seen = (await http.get(gateway.url + path, headers=gateway.bearer())).headers["ETag"]
            answer = await http.put(
                gateway.url + path, json=policy, headers=gateway.bearer() | {"If-Match": seen}
            )
            assert answer.status_code in (200, 412), "there is one of each, for everybody"
        friend = await post("/v1/customers", {"name": f"A friend of {name}"})
        await tell_everybody()
        code = await send("PUT", f"/v1/accounts/{customer['id']}/referral-code")
        referral = await post("/v1/referrals", {"code": code["code"], "customer_id": friend["id"]})
        wrong = {"kind": "complaint", "severity": "high", "title": "It is broken"}
        complaint = await post("/v1/tickets", wrong | {"customer_id": customer["id"]})
        right = {"verdict": "upheld", "cause": "Packed badly"}
        await post(f"/v1/tickets/{complaint['id']}/judge", right)
        await tell("tickets", "loyalty")
        recoveries = await send("GET", f"/v1/recoveries?customer_id={customer['id']}")
        evening = {"starts_at": "2026-05-01T17:00:00Z", "ends_at": "2026-05-01T20:00:00Z"}
        activity = await post(
            "/v1/activities", evening | {"names": {"en": "An evening"}, "place": "5 Rue du Jazz"}
        )
        await post(f"/v1/activities/{activity['id']}/invitations", to)
        greeting = {"language": "en", "channel": "sms", "text": "Hello, {{ name }}!"}
        template = f"hello-{number}"
        await put(f"/v1/care/templates/{template}", {"default_language": "en", "texts": [greeting]})
        says = {"message": {"template": template, "channel": "sms"}}
        birthday = {"names": {"en": "Birthday"}, "trigger": {"kind": "birthday"}, "action": says}
        await put(f"/v1/care/plans/birthday-{number}", birthday)
        message = await post(
            "/v1/messages",
            {
                "source": "mailer",
                "external_id": customer["id"],
                "customer_id": customer["id"],
                "purpose": "greeting",
                "channel": "email",
                "sent_at": "2026-02-27T12:00:00Z",
            },
        )
        asked = {"key": "email", "type": "email", "label": {"en": "E-mail"}}
        target = {"target": {"kind": "contact_point", "contact": "email"}}
        day = {"since": "2026-02-01T00:00:00Z", "until": "2026-02-02T00:00:00Z"}
        backtest = await post("/v1/earning-rules/backtests", day)
        said = {"title": {"en": "Ask us"}, "thanks": {"en": "Thank you"}}
        form = f"ask-{number}"  # of each person's own: people are made at once
        fields = [asked | target]
        await put(f"/v1/forms/{form}", said | {"channel": "form", "difficulty": 0, "fields": fields})
        submission = await post(f"/v1/forms/{form}/submissions", {"answers": {"email": email}})
        asked_for = f"/v1/customers/{customer['id']}/unsubscribe-link?purpose=greeting&channel=email"
        link = await send("GET", asked_for, None)
        return Person(
            UUID(customer["id"]),
            {
                "customer_id": customer["id"],
                "token": link["path"].rpartition("/")[2],
                "purchase_id": purchase["id"],
                "interaction_id": interaction["id"],
                "note_id": note["id"],
                "ticket_id": ticket["id"],
                "hold_id": hold["id"],
                "quote_id": quote["id"],
                "promotion_key": promotion,
                "care_template_key": template,
                "care_plan_key": f"birthday-{number}",
                "series_key": series,
                "coupon_id": coupon["id"],
                "batch_id": batch["id"],
                "use_id": reserved["id"],
                "adjustment_id": adjustment["id"],
                "transaction_id": given["transaction_id"],
                "reward_key": reward,
                "order_id": order["id"],
                "referral_id": referral["id"],
                "activity_id": activity["id"],
                "recovery_id": recoveries["items"][0]["id"],
                "source": "shop",
                "external_id": customer["id"],
                "key": "base",
                "calendar_code": "US",
                "backtest_id": backtest["id"],
                "topic": "music",
                "attribute_key": f"size_{number}",
                "kind": "email",
                "value": "nobody@canary.example",
                "tag": "newsletter",
                "purpose": "marketing",
                "channel": "email",
                "message_id": message["id"],
                "form_key": form,
                "submission_id": submission["submission_id"],
            },
            email,
            phone,
        )

    return make
