"""Unsubscribing by the link in a message: one click, no sign-in, and nothing told of anybody."""

import logging
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from tests.conftest import ClientFactory

from crm_shared import unsubscribing
from crm_shared.callers import Role
from crm_shared.ids import uuid7
from crm_shared.permissions import ContactChannel
from crm_shared.testing import FrozenClock
from crm_shared.unsubscribing import Subscription

HTML = {"Accept": "text/html"}
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
async def ada(profiles: httpx2.AsyncClient) -> str:
    identity: str = (await profiles.post("/v1/customers", json={"name": "Ada Lovelace"})).json()["id"]
    consent = f"/v1/customers/{identity}/consents/marketing/email"
    granted = await profiles.put(consent, json={"state": "granted"})
    assert granted.status_code == 200, granted.text
    return identity


@pytest.fixture
def stranger(apps: Callable[[str], FastAPI], profiles: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """Somebody without a sign-in, who follows a link."""
    transport = httpx2.ASGITransport(apps("profiles"), raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://profiles")


async def link(profiles: httpx2.AsyncClient, customer: str) -> str:
    asked = {"purpose": "marketing", "channel": "email"}
    answer = await profiles.get(f"/v1/customers/{customer}/unsubscribe-link", params=asked)
    assert answer.status_code == 200, answer.text
    assert answer.json()["list_unsubscribe_post"] == "List-Unsubscribe=One-Click"
    path: str = answer.json()["path"]
    return path


async def said(profiles: httpx2.AsyncClient, customer: str) -> list[tuple[str, str | None]]:
    found = (await profiles.get(f"/v1/customers/{customer}/consents/history")).json()["items"]
    return [(each["state"], each["source"]) for each in found]


async def test_one_click_withdraws_and_a_second_one_changes_nothing(
    profiles: httpx2.AsyncClient, stranger: httpx2.AsyncClient, clock: FrozenClock, ada: str
) -> None:
    path = await link(profiles, ada)
    clock.advance(timedelta(days=1))
    for _ in range(2):
        answer = await stranger.post(path, data=ONE_CLICK)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"purpose": "marketing", "channel": "email", "withdrawn": True}
    assert await said(profiles, ada) == [("denied", "unsubscribe"), ("granted", None)]
    decision = await profiles.get(
        f"/v1/customers/{ada}/contact-decision", params={"purpose": "marketing", "channel": "email"}
    )
    assert decision.json()["allowed"] is False


async def test_the_page_speaks_the_readers_language_and_changes_nothing(
    profiles: httpx2.AsyncClient, stranger: httpx2.AsyncClient, ada: str
) -> None:
    path = await link(profiles, ada)
    for language, word in (("en", "Unsubscribe"), ("es-MX", "Darse de baja"), ("zh-CN", "退订")):
        page = await stranger.get(path, headers=HTML | {"Accept-Language": language})
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert word in page.text
        assert '<form method="post">' in page.text
        assert "Ada" not in page.text
        assert ada not in page.text
    assert await said(profiles, ada) == [("granted", None)]
    done = await stranger.post(path, data=ONE_CLICK, headers=HTML)
    assert "You are unsubscribed" in done.text
    assert "form-action 'self'" in done.headers["content-security-policy"]


async def test_a_sender_with_the_secret_makes_the_same_link(
    profiles: httpx2.AsyncClient, apps: Callable[[str], FastAPI], ada: str
) -> None:
    subscription = Subscription(UUID(ada), "marketing", ContactChannel.EMAIL)
    key = apps("profiles").state.settings.unsubscribe_key
    assert unsubscribing.path(subscription, key) == await link(profiles, ada)


async def test_a_link_tells_nothing_of_who_is_on_file(
    stranger: httpx2.AsyncClient, apps: Callable[[str], FastAPI], profiles: httpx2.AsyncClient, ada: str
) -> None:
    key = apps("profiles").state.settings.unsubscribe_key
    nobodys = unsubscribing.path(Subscription(uuid7(), "marketing", ContactChannel.EMAIL), key)
    unused = unsubscribing.path(Subscription(UUID(ada), "unused", ContactChannel.EMAIL), key)
    answers = [await stranger.post(path) for path in (await link(profiles, ada), nobodys)]
    assert answers[0].json() == answers[1].json()
    assert (await stranger.post(unused)).status_code == 200
    for method in ("GET", "POST"):
        for path in (f"{nobodys}x", nobodys[:-1], "/v1/unsubscribe/x"):
            refused = await stranger.request(method, path)
            assert (refused.status_code, refused.json()["code"]) == (404, "unsubscribe_link_invalid")


async def test_links_are_for_senders_and_purposes_that_there_are(
    client: ClientFactory, profiles: httpx2.AsyncClient, ada: str
) -> None:
    path, asked = f"/v1/customers/{ada}/unsubscribe-link", {"purpose": "marketing", "channel": "email"}
    assert (await client("profiles", Role.PARTNER).get(path, params=asked)).status_code == 200
    own = client("profiles", Role.CUSTOMER, customer_id=UUID(ada))
    assert (await own.get(path, params=asked)).status_code == 403
    unknown = await profiles.get(path, params=asked | {"purpose": "unused"})
    assert unknown.json()["code"] == "purpose_not_found"
    nobodys = await profiles.get(f"/v1/customers/{uuid7()}/unsubscribe-link", params=asked)
    assert nobodys.json()["code"] == "customer_not_found"


async def test_no_token_comes_into_the_logs(
    profiles: httpx2.AsyncClient, stranger: httpx2.AsyncClient, ada: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = await link(profiles, ada)
    token = path.removeprefix(unsubscribing.PATH)
    with caplog.at_level(logging.DEBUG):
        await stranger.get(path)
        await stranger.post(path, data=ONE_CLICK)
        await stranger.post(f"{path}x")
    assert any("/v1/unsubscribe/{token}" in str(vars(record)) for record in caplog.records)
    logged = [record for record in caplog.records if record.name.startswith("crm")]
    assert not [record for record in logged if token in str(vars(record))]
