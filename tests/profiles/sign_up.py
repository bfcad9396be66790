"""A form with a question of each kind, and how tests define it and fill it in."""

from typing import Any

import httpx2

SIGN_UP: dict[str, Any] = {
    "title": {"en": "Join us", "zh": "加入我们"},
    "channel": "registration",
    "region": "CN",
    "difficulty": 0,
    "thanks": {"en": "Thank you.", "zh": "谢谢！"},
    "fields": [
        {
            "key": "name",
            "type": "text",
            "label": {"en": "Name", "zh": "姓名"},
            "required": True,
            "target": {"kind": "member", "member": "name"},
        },
        {
            "key": "phone",
            "type": "phone",
            "label": {"en": "Phone"},
            "target": {"kind": "contact_point", "contact": "phone"},
        },
        {
            "key": "email",
            "type": "email",
            "label": {"en": "E-mail"},
            "target": {"kind": "contact_point", "contact": "email"},
        },
        {
            "key": "city",
            "type": "text",
            "label": {"en": "City"},
            "target": {"kind": "member", "member": "address.city"},
        },
        {
            "key": "born",
            "type": "date",
            "label": {"en": "Birthday"},
            "target": {"kind": "member", "member": "birth_date"},
        },
        {
            "key": "music",
            "type": "choice",
            "label": {"en": "Music"},
            "choices": [
                {"value": "jazz", "label": {"en": "Jazz"}},
                {"value": "rock", "label": {"en": "Rock"}},
            ],
            "target": {"kind": "preference", "topic": "music"},
        },
        {
            "key": "news",
            "type": "boolean",
            "label": {"en": "Send me news"},
            "target": {"kind": "consent", "purpose": "marketing", "channel": "email"},
        },
        {"key": "why", "type": "long_text", "label": {"en": "Why?"}},
    ],
}
ANSWERS = {
    "name": "Zoë Quinn",
    "phone": "138 1234 5678",
    "email": "Zoe@Example.com",
    "city": "上海",
    "born": "1990-05-01",
    "music": "jazz",
    "news": True,
    "why": "I like the tea",
}


async def define(profiles: httpx2.AsyncClient, key: str = "sign-up", **changes: Any) -> None:
    answer = await profiles.put(f"/v1/forms/{key}", json=SIGN_UP | changes)
    assert answer.status_code == 201, answer.text


async def submit(
    everybody: httpx2.AsyncClient, answers: dict[str, Any], key: str = "sign-up", **more: Any
) -> httpx2.Response:
    return await everybody.post(f"/v1/forms/{key}/submissions", json={"answers": answers} | more)


async def submissions(profiles: httpx2.AsyncClient, key: str = "sign-up") -> list[dict[str, Any]]:
    answer = await profiles.get(f"/v1/forms/{key}/submissions")
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items
