"""The customer's card: one page, for programs and for people."""

from html.parser import HTMLParser

import httpx2
import pytest
from tests.conftest import ClientFactory

from crm_shared.callers import Role
from crm_shared.ids import uuid7

EVIL = "<script>alert('x')</script> & Söhne"
HTML = {"Accept": "text/html"}


async def customer(profiles: httpx2.AsyncClient, name: str = EVIL) -> str:
    body = {
        "name": name,
        "gender": "female",
        "birth_date": "1988-04-12",
        "birth_calendar": "lunar",
        "time_zone": "Asia/Shanghai",
        "address": {"lines": ["人民路 1 号"], "city": "上海", "country": "CN"},
        "contact_points": [{"kind": "email", "value": "ann@example.com"}],
    }
    created = await profiles.post("/v1/customers", json=body)
    assert created.status_code == 201, created.text
    return str(created.json()["id"])


class Elements(HTMLParser):
    """Which elements a page has, and whether all that were opened are closed."""

    VOID = ("meta", "br")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_the_card_gathers_what_the_archive_knows(profiles: httpx2.AsyncClient) -> None:
    ann = await customer(profiles, "Ann")
    await profiles.post(f"/v1/customers/{ann}/notes", json={"kind": "need", "text": "A turntable"})
    await profiles.put(f"/v1/customers/{ann}/preferences/music", json={"value": "jazz", "source": "call"})
    order = {
        "source": "shop",
        "external_id": str(uuid7()),
        "customer_id": ann,
        "occurred_at": "2026-02-01T12:00:00Z",
        "currency": "USD",
        "lines": [{"quantity": 1, "total": {"amount": 2933, "currency": "USD"}}],
    }
    await profiles.post("/v1/purchases", json=order)
    card = (await profiles.get(f"/v1/customers/{ann}/card")).json()
    assert card["customer"]["name"] == "Ann"
    assert card["needs"]["first"][0]["text"] == "A turntable"
    assert card["preferences"][0]["value"] == "jazz"
    assert card["purchases"]["net"] == [{"amount": 2933, "currency": "USD"}]
    page = await profiles.get(f"/v1/customers/{ann}/card", headers=HTML)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "$29.33" in page.text
    assert "A turntable" in page.text


async def test_whatever_customers_are_called_the_page_only_shows_it(profiles: httpx2.AsyncClient) -> None:
    ann = await customer(profiles)
    page = await profiles.get(f"/v1/customers/{ann}/card", headers=HTML)
    elements = Elements(page.text)
    assert not elements.open
    assert "script" not in elements.seen
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http" not in page.text.replace("<!doctype html>", "").replace("html", "")


@pytest.mark.parametrize(
    ("asked", "language", "says"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh", "联系方式"),
        ("es-MX", "es", "Cómo contactar"),
        ("fr, de;q=0.7", "en", "How to reach them"),
        ("en;q=0.2, es;q=0.9", "es", "Cómo contactar"),
        ("es;q=0, *", "en", "How to reach them"),
        ("es;q=many", "en", "How to reach them"),
    ],
)
async def test_the_page_speaks_the_readers_language(
    profiles: httpx2.AsyncClient, asked: str, language: str, says: str
) -> None:
    ann = await customer(profiles)
    page = await profiles.get(f"/v1/customers/{ann}/card", headers={**HTML, "Accept-Language": asked})
    assert page.headers["content-language"] == language
    assert f'<html lang="{language}">' in page.text
    assert says in page.text


async def test_who_may_not_see_contact_points_gets_them_masked(client: ClientFactory) -> None:
    ann = await customer(client("profiles"))
    blind = client("profiles", Role.AGENT, pii=False)
    for headers in (HTML, {}):
        text = (await blind.get(f"/v1/customers/{ann}/card", headers=headers)).text
        assert "ann@example.com" not in text
        assert "a***@example.com" in text


async def test_partners_and_strangers_get_no_card(client: ClientFactory) -> None:
    ann = await customer(client("profiles"))
    assert (await client("profiles", Role.PARTNER).get(f"/v1/customers/{ann}/card")).status_code == 403
    assert (await client("profiles").get(f"/v1/customers/{uuid7()}/card", headers=HTML)).status_code == 404


async def test_the_card_says_how_good_the_data_are(profiles: httpx2.AsyncClient) -> None:
    ann = await customer(profiles, "Ann")
    card = (await profiles.get(f"/v1/customers/{ann}/card")).json()
    judged = (await profiles.get(f"/v1/customers/{ann}/quality")).json()
    assert card["quality"] == {name: judged[name] for name in ("score", "definition", "next_step")}
    for language, word in (("en", "Data quality"), ("zh", "资料质量")):
        page = await profiles.get(f"/v1/customers/{ann}/card", headers=HTML | {"Accept-Language": language})
        assert word in page.text
        assert f"{judged['score']} / 100" in page.text
