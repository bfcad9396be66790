"""L11: a birthday greeting with a gift reaches a real mail server, in the customer's language, once."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import pytest
from tests.capabilities.conftest import MailServer

from crm_shared.ids import uuid7

Until = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]

pytestmark = pytest.mark.capability("L11")


def where_it_is_noon() -> str:
    """A zone in which no quiet hours are now."""
    hours = 12 - datetime.now(UTC).hour
    return f"Etc/GMT{-hours:+d}" if hours else "Etc/GMT"


async def test_a_birthday_mail_arrives_in_the_customers_language_with_a_gift(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, until: Until, mail_server: MailServer
) -> None:
    mark, zone = uuid7().hex, where_it_is_noon()
    today = datetime.now(ZoneInfo(zone)).date()
    address = f"{mark}@shop.example"

    async def make(name: str, born: str, contact: str) -> str:
        body = {
            "name": name,
            "language": "zh",
            "time_zone": zone,
            "birth_date": born,
            "tags": [mark],
            "contact_points": [{"kind": "email", "value": contact}],
        }
        made = await agent.post("/v1/customers", json=body)
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    who = await make("王小明", f"1992-{today:%m-%d}", address)
    other = await make("李雷", f"1992-{today + timedelta(days=40):%m-%d}", f"other-{address}")

    async def known() -> bool:
        return all([(await agent.get(f"/v1/accounts/{each}")).status_code == 200 for each in (who, other)])

    await until(known)
    texts = [
        {"language": "en", "channel": "email", "subject": "Happy birthday", "text": "Hello {{ name }}"},
        {
            "language": "zh",
            "channel": "email",
            "subject": "{{ name }},生日快乐",
            "text": "送您{{ points }}积分",
        },
    ]
    new = {"If-None-Match": "*"}
    template = {"default_language": "en", "texts": texts}
    answer = await manager.put(f"/v1/care/templates/t{mark}", json=template, headers=new)
    assert answer.status_code == 200, answer.text
    plan = {
        "names": {"en": "Birthday", "zh": "生日"},
        "trigger": {"kind": "birthday"},
        "audience": {"tags": [mark]},
        "action": {"message": {"template": f"t{mark}", "channel": "email"}, "points": 77},
    }
    answer = await manager.put(f"/v1/care/plans/p{mark}", json=plan, headers=new)
    assert answer.status_code == 200, answer.text

    async def arrived() -> Any:
        return mail_server.to(address)

    [mail] = await until(arrived)
    assert mail["Subject"] == "王小明,生日快乐"
    body = mail.get_body(("plain",))
    assert "送您77积分" in body.get_content()
    assert "/v1/unsubscribe/" in mail["List-Unsubscribe"]
    assert (await agent.get(f"/v1/accounts/{who}")).json()["balance"] == 77
    assert mail_server.to(f"other-{address}") == []
