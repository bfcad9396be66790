"""Search: who is found by what, in which order, and who may look for what."""

from collections.abc import Sequence
from typing import Any

import httpx2
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert
from tests.chance import examples
from tests.conftest import ClientFactory
from tests.profiles import plain_search

from crm_profiles.customers.search import SearchFilters, search
from crm_profiles.models.customers import BirthCalendar, Channel, Customer
from crm_shared.callers import Role
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock

Json = dict[str, Any]

LETTERS = {
    "Latin": "abenoszéÑüßøŁı",
    "Cyrillic": "абенойёІ",
    "Greek": "αβενοςΣή",
    "Arabic": "ابتمأىة\u200c",
    "Chinese": "王李小明伟",
    "Japanese": "がカー山ﾀ",
    "Korean": "김민준",
    "wide": "ＡｂＮ",
}
WORDS = st.sampled_from(list(LETTERS.values())).flatmap(lambda some: st.text(some, min_size=1, max_size=6))
NAMES = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)


async def create(profiles: httpx2.AsyncClient, name: str, **members: object) -> str:
    answer = await profiles.post("/v1/customers", json={"name": name} | members)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def find(profiles: httpx2.AsyncClient, q: str, **filters: str) -> Json:
    answer = await profiles.get("/v1/customers/search", params={"q": q} | filters)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def names_found(profiles: httpx2.AsyncClient, q: str, **filters: str) -> list[str]:
    return [item["customer"]["name"] for item in (await find(profiles, q, **filters))["items"]]


@pytest.mark.parametrize(
    ("name", "q", "how"),
    [
        ("Zoë Smith", "zoe smith", "exact"),
        ("Zoë Smith", "ZOE", "prefix"),
        ("Zoë Smith", "smi", "word_prefix"),
        ("Zoë Smith", "mith", "substring"),
        ("Zoë Smith", "smith zoe", "substring"),
        ("Zoë Smith", "simth", "typo"),
        ("Zoë Smith", "zoe smit", "prefix"),
        ("Zoë Smith", "zoe smoth", "typo"),
        ("王小明", "王小明", "exact"),
        ("王小明", "王", "prefix"),
        ("王小明", "明", "word_prefix"),
        ("王小明", "小明", "word_prefix"),
        ("王小明", "明 王", "substring"),
        ("Ｗａｎｇ Wei", "wang", "prefix"),
        ("Straße", "STRASSE", "exact"),
        ("Νίκος", "νικοσ", "exact"),
        ("Işıl", "isil", "exact"),
        ("Фёдор", "федор", "exact"),
        ("Ольга Иванова", "иваново", "typo"),
        ("أحمد علي", "احمد", "prefix"),
        ("김민준", "민준", "word_prefix"),
        ("Seán O’Brien", "obrien", "word_prefix"),
        ("Anne-Marie", "marie", "word_prefix"),
        ("佐々木", "々木", "word_prefix"),
        ("علی\u200cرضا", "علیرضا", "exact"),
        ("علیرضا", "علی\u200cرضا", "exact"),
        ("लक्\u200dष्मी", "लक्ष्मी", "exact"),
    ],
)
async def test_a_name_is_found_by_its_parts_whatever_their_form(
    profiles: httpx2.AsyncClient, name: str, q: str, how: str
) -> None:
    await create(profiles, "Somebody Else")
    customer_id = await create(profiles, name)
    found = await find(profiles, q)
    assert [(item["customer"]["id"], item["matched"]) for item in found["items"]] == [
        (customer_id, {"member": "name", "how": how})
    ]
    assert found["has_more"] is False


@pytest.mark.parametrize("q", ["mit", "an", "👩", "%", "_", "\\", "zoe tailor", "smtih x", "小王", "明小"])
async def test_what_no_name_has_finds_nobody(profiles: httpx2.AsyncClient, q: str) -> None:
    for name in ("Zoë Smyth", "王小明", "Dan"):
        await create(profiles, name)
    assert await names_found(profiles, q) == []


async def test_the_best_match_comes_first_and_of_equals_the_newest(profiles: httpx2.AsyncClient) -> None:
    for name in ("Mara", "Marianna", "Ana Maria", "Anamaria", "Maria Bell"):
        await create(profiles, name)
    older, newer = await create(profiles, "Maria"), await create(profiles, "María")
    found = (await find(profiles, "maria"))["items"]
    assert [item["customer"]["id"] for item in found[:2]] == [newer, older]
    assert [item["customer"]["name"] for item in found[2:]] == [
        "Maria Bell", "Marianna", "Ana Maria", "Anamaria", "Mara",
    ]  # fmt: skip


async def test_who_is_renamed_is_found_by_the_new_name_only(profiles: httpx2.AsyncClient) -> None:
    customer_id = await create(profiles, "Ada King")
    await profiles.patch(f"/v1/customers/{customer_id}", json={"name": "Ada Lovelace"})
    assert await names_found(profiles, "king") == []
    assert await names_found(profiles, "lovelace") == ["Ada Lovelace"]


async def test_it_says_whether_others_match(profiles: httpx2.AsyncClient) -> None:
    for _ in range(3):
        await create(profiles, "王伟")
    assert (await find(profiles, "王", limit="3"))["has_more"] is False
    found = await find(profiles, "王", limit="2")
    assert (len(found["items"]), found["has_more"]) == (2, True)


@pytest.mark.parametrize(
    ("q", "member", "how"),
    [
        ("5678", "phone", "suffix"),
        ("138 1234 5678", "phone", "suffix"),
        ("0138 1234 5678", "phone", "suffix"),
        ("0086 138 1234 5678", "phone", "exact"),
        ("+86 138-1234-5678", "phone", "exact"),
        ("xiaoming", "email", "prefix"),
        ("XiaoMing@example.com", "email", "exact"),
        ("wxm_88", "social", "exact"),
        ("c-4711", "external_id", "exact"),
    ],
)
async def test_a_customer_is_found_by_number_address_account_and_external_id(
    profiles: httpx2.AsyncClient, q: str, member: str, how: str
) -> None:
    body = {
        "name": "王小明",
        "region": "CN",
        "contact_points": [
            {"kind": "phone", "value": "138 1234 5678"},
            {"kind": "email", "value": "xiaoming@example.com"},
            {"kind": "social", "value": "WXM_88"},
        ],
    }
    answer = await profiles.put("/v1/customers/by-external-id/shop/c-4711", json=body)
    [item] = (await find(profiles, q))["items"]
    assert item["customer"]["id"] == answer.json()["id"]
    assert item["matched"] == {"member": member, "how": how}


async def test_the_last_digits_of_a_number_may_begin_with_zeros(profiles: httpx2.AsyncClient) -> None:
    await create(profiles, "Ada", contact_points=[{"kind": "phone", "value": "+8613812340078"}])
    await create(profiles, "Bob", contact_points=[{"kind": "phone", "value": "+8613812341078"}])
    assert await names_found(profiles, "0078") == ["Ada"]
    assert await names_found(profiles, "00780") == []


async def test_who_may_not_see_contact_points_cannot_find_by_them(
    profiles: httpx2.AsyncClient, client: ClientFactory
) -> None:
    point = {"kind": "email", "value": "ada@example.com"}
    await create(profiles, "Ada", contact_points=[point, {"kind": "phone", "value": "+447911123456"}])
    masked = client("profiles", Role.PARTNER, pii=False)
    for q in ("ada@example.com", "ada@ex", "3456", "+447911123456"):
        assert (await find(profiles, q))["items"], q
        assert (await find(masked, q))["items"] == [], q
    [item] = (await find(masked, "ada"))["items"]
    assert item["matched"] == {"member": "name", "how": "exact"}
    assert [p["value"] for p in item["customer"]["contact_points"]] == ["a***@example.com", "+4479****3456"]


async def test_filters_hold_together_with_what_is_searched(profiles: httpx2.AsyncClient) -> None:
    await create(profiles, "Anna Ek", tags=["vip"], region="SE", source="shop", gender="female")
    await create(profiles, "Anna", tags=["vip"], region="FI", channel="form")
    await create(profiles, "Joanna", tags=["new"], region="SE")
    await create(profiles, "Ana", tags=["vip"], region="SE")
    assert await names_found(profiles, "anna", tag="vip") == ["Anna", "Anna Ek", "Ana"]
    assert await names_found(profiles, "anna", region="SE") == ["Anna Ek", "Joanna", "Ana"]
    assert await names_found(profiles, "anna", tag="vip", region="SE") == ["Anna Ek", "Ana"]
    assert await names_found(profiles, "ek", source="shop") == ["Anna Ek"]
    assert await names_found(profiles, "anna", channel="form") == ["Anna"]
    assert await names_found(profiles, "anna", gender="female") == ["Anna Ek"]


async def test_a_search_can_be_among_those_who_have_a_custom_attribute(profiles: httpx2.AsyncClient) -> None:
    for key, declared in (
        ("size", {"type": "choice", "choices": ["S", "M"]}),
        ("visits", {"type": "number"}),
        ("hobbies", {"type": "choices", "choices": ["chess", "jazz"]}),
    ):
        answer = await profiles.put(f"/v1/customer-attributes/{key}", json=declared | {"label": key})
        assert answer.status_code == 201, answer.text
    await create(profiles, "Anna Ek", attributes={"size": "M", "visits": 3, "hobbies": ["chess", "jazz"]})
    await create(profiles, "Anna", attributes={"size": "S", "visits": 3})
    await create(profiles, "Joanna", attributes={"size": "M"}, tags=["vip"])

    async def names(q: str, *asked: str, **filters: str) -> list[str]:
        params = httpx2.QueryParams([("q", q), *filters.items(), *(("attribute", each) for each in asked)])
        found = await profiles.get("/v1/customers/search", params=params)
        assert found.status_code == 200, found.text
        return [item["customer"]["name"] for item in found.json()["items"]]

    assert await names("anna", "size:M") == ["Anna Ek", "Joanna"]
    assert await names("anna", "visits:3") == ["Anna", "Anna Ek"]
    assert await names("anna", "visits:3", "size:M") == ["Anna Ek"]
    assert await names("anna", "hobbies:jazz") == ["Anna Ek"]
    assert await names("anna", "size:M", tag="vip") == ["Joanna"]
    assert await names("anna", "size:L") == await names("anna", "nothing:1") == []
    assert (await profiles.get("/v1/customers/search?q=a&attribute=Size")).status_code == 422


@given(names=st.lists(NAMES, min_size=1, max_size=8), data=st.data())
@settings(max_examples=examples(60))
@pytest.mark.capability("P8")
async def test_search_finds_what_reading_all_names_finds(
    databases: dict[str, Sessions], clock: FrozenClock, names: list[str], data: st.DataObject
) -> None:
    question = data.draw(st.one_of(NAMES, st.sampled_from(names).flatmap(asked_for)))
    assert await searched(databases["profiles"], clock, names, question) == plain_search.find(question, names)


def asked_for(name: str) -> st.SearchStrategy[str]:
    """A part of the name, its words in another order, or the name with one slip."""
    return st.one_of(
        st.integers(0, len(name) - 1).flatmap(
            lambda begin: st.integers(begin + 1, len(name)).map(lambda end: name[begin:end])
        ),
        st.permutations(name.split()).map(" ".join),
        slips(name),
    )


def slips(name: str) -> st.SearchStrategy[str]:
    at = st.integers(0, len(name) - 1)
    return st.one_of(
        at.map(lambda i: name[:i] + name[i + 1 :] or name),
        st.tuples(at, st.sampled_from("aнσ")).map(
            lambda drawn: name[: drawn[0]] + drawn[1] + name[drawn[0] + 1 :]
        ),
        at.map(lambda i: name[:i] + name[i + 1 : i + 2] + name[i] + name[i + 2 :]),
    )


async def searched(
    sessions: Sessions, clock: FrozenClock, names: Sequence[str], question: str
) -> list[tuple[int, str]]:
    """Indexes of the names that are found and how; nothing of it stays."""
    rows = [
        {
            "id": uuid7(),
            "name": name,
            "tags": [],
            "attributes": {},
            "birth_calendar": BirthCalendar.SOLAR,
            "channel": Channel.API,
            "version": 1,
            "created_at": clock.now(),
            "updated_at": clock.now(),
        }
        for name in names
    ]
    order = {str(row["id"]): index for index, row in enumerate(rows)}
    async with sessions() as session:
        await session.execute(insert(Customer), rows)
        found = await search(session, question, SearchFilters(), contact_points=True, limit=25)
        await session.rollback()
    return [(order[hit["customer"]["id"]], hit["matched"]["how"]) for hit in orjson.loads(found)["items"]]
