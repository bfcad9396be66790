"""Customers: what is kept of them, how they are changed, and who may see what."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import httpx2
import pytest
from tests.conftest import ClientFactory
from tests.patience import patiently

from crm_profiles.schemas.customers import CustomerOut
from crm_shared.callers import Role
from crm_shared.contracts.profiles import CustomerChanged, CustomerCreated
from crm_shared.database import Sessions
from crm_shared.testing import published

Send = Callable[[], Awaitable[httpx2.Response]]

WANG = {
    "name": "王小明",
    "language": "zh-CN",
    "time_zone": "Asia/Shanghai",
    "region": "CN",
    "birth_date": "1988-04-12",
    "tags": ["vip-club", "newsletter", "newsletter"],
    "contact_points": [
        {"kind": "phone", "value": "138 1234 5678"},
        {"kind": "email", "value": "Xiaoming.Wang@Example.com"},
    ],
}


async def create(profiles: httpx2.AsyncClient, **members: object) -> dict[str, object]:
    answer = await profiles.post("/v1/customers", json={"name": "Ada Lovelace"} | members)
    assert answer.status_code == 201, answer.text
    customer: dict[str, object] = answer.json()
    return customer


async def test_a_customer_is_read_as_written_and_normalised(profiles: httpx2.AsyncClient) -> None:
    created = await profiles.post("/v1/customers", json=WANG)
    assert created.status_code == 201
    read = await profiles.get(created.headers["Location"])

    assert read.json() == created.json()
    assert read.headers["ETag"] == '"1"'
    customer = CustomerOut.model_validate(read.json())
    assert customer.name == "王小明"
    assert customer.tags == ["newsletter", "vip-club"]
    assert [point.value for point in customer.contact_points] == [
        "xiaoming.wang@example.com",
        "+8613812345678",
    ]


async def test_creating_tells_the_state(profiles: httpx2.AsyncClient, databases: dict[str, Sessions]) -> None:
    created = await create(profiles, **WANG)

    [row] = await published(databases["profiles"])
    event = CustomerCreated.model_validate_json(row.data)
    assert (row.type, row.key, event.version) == (CustomerCreated.type, created["id"], 1)
    assert event.name == "王小明"
    assert [point.value for point in event.contact_points] == ["xiaoming.wang@example.com", "+8613812345678"]


@pytest.mark.parametrize("name", ["王小明", "Łukasz Żółć", "محمد علي", "Ольга", "أ", "👩‍👩‍👧", "x" * 200])
async def test_names_of_any_script_are_kept(profiles: httpx2.AsyncClient, name: str) -> None:
    assert (await create(profiles, name=name))["name"] == name


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"nickname": "Bob"}, "/nickname"),
        ({"name": None}, "/name"),
        ({"name": "  "}, "/name"),
        ({"name": "x" * 201}, "/name"),
        ({"region": "cn"}, "/region"),
        ({"language": "zh_CN!"}, "/language"),
        ({"time_zone": "Mars/Olympus"}, "/time_zone"),
        ({"time_zone": "localtime"}, "/time_zone"),
        ({"birth_date": "1988-02-30"}, "/birth_date"),
        ({"birth_date": 19880412}, "/birth_date"),
        ({"birth_date": "0001-01-01"}, "/birth_date"),
        ({"birth_date": "1899-12-31"}, "/birth_date"),
        ({"birth_date": "9999-12-31"}, "/birth_date"),
        ({"tags": "vip"}, "/tags"),
        ({"tags": [1]}, "/tags/0"),
        ({"contact_points": [{"kind": "fax", "value": "1"}]}, "/contact_points/0/kind"),
        ({"contact_points": [{"kind": "phone", "value": "12"}]}, "/contact_points/0/value"),
        ({"contact_points": [{"kind": "social", "value": " \u3000 "}]}, "/contact_points/0/value"),
        ({"contact_points": [{"kind": "social", "value": "\ufdfa" * 20}]}, "/contact_points/0/value"),
        (
            {
                "contact_points": [
                    {"kind": "email", "value": "a@example.com"},
                    {"kind": "email", "value": "nobody"},
                ]
            },
            "/contact_points/1/value",
        ),
    ],
)
async def test_what_does_not_fit_is_refused_with_its_pointer(
    profiles: httpx2.AsyncClient, members: dict[str, object], pointer: str
) -> None:
    answer = await profiles.post("/v1/customers", json={"name": "Ada"} | members)

    assert answer.status_code == 422, answer.text
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


async def test_a_patch_changes_what_it_names_and_null_clears(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions]
) -> None:
    customer = await create(profiles, **WANG)

    changed = await profiles.patch(
        f"/v1/customers/{customer['id']}", json={"birth_date": None, "tags": None, "name": "王大明"}
    )

    expected = customer | {"birth_date": None, "tags": [], "name": "王大明", "version": 2}
    assert changed.json() | {"updated_at": ""} == expected | {"updated_at": ""}
    assert changed.headers["ETag"] == '"2"'
    assert [row.type for row in await published(databases["profiles"])] == [
        CustomerCreated.type,
        CustomerChanged.type,
    ]


async def test_a_patch_that_changes_nothing_makes_no_version_and_no_event(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions]
) -> None:
    customer = await create(profiles, **WANG)

    again = await profiles.patch(f"/v1/customers/{customer['id']}", json=WANG)

    assert again.json() == customer
    assert len(await published(databases["profiles"])) == 1


async def test_a_patch_replaces_the_contact_points_and_frees_the_old_ones(
    profiles: httpx2.AsyncClient,
) -> None:
    ada = await create(profiles, contact_points=[{"kind": "email", "value": "ada@example.com"}])
    points = [{"kind": "email", "value": "countess@example.com"}, {"kind": "social", "value": "X:Ada"}]

    changed = await profiles.patch(f"/v1/customers/{ada['id']}", json={"contact_points": points})

    assert [point["value"] for point in changed.json()["contact_points"]] == ["countess@example.com", "x:ada"]
    await create(profiles, contact_points=[{"kind": "email", "value": "ADA@example.com"}])


async def test_a_phone_number_without_country_is_read_as_of_the_region_on_file(
    profiles: httpx2.AsyncClient,
) -> None:
    customer = await create(profiles, region="CN")

    changed = await profiles.patch(
        f"/v1/customers/{customer['id']}",
        json={"contact_points": [{"kind": "phone", "value": "13812345678"}]},
    )

    assert changed.json()["contact_points"] == [{"kind": "phone", "value": "+8613812345678"}]


async def test_a_stale_etag_is_refused_and_the_current_one_accepted(profiles: httpx2.AsyncClient) -> None:
    customer = await create(profiles)
    path = f"/v1/customers/{customer['id']}"

    first = await profiles.patch(path, json={"name": "Ada"}, headers={"If-Match": '"1"'})
    second = await profiles.patch(path, json={"name": "Augusta"}, headers={"If-Match": '"1"'})

    assert first.status_code == 200
    assert (second.status_code, second.json()["current_version"]) == (412, 2)
    assert (await profiles.get(path)).json()["name"] == "Ada"


async def test_a_taken_contact_point_is_a_conflict_that_names_the_holder(
    profiles: httpx2.AsyncClient,
) -> None:
    ada = await create(profiles, contact_points=[{"kind": "email", "value": "ada@example.com"}])
    eve = await create(profiles, name="Eve")
    body = {"contact_points": [{"kind": "email", "value": "ADA@EXAMPLE.COM"}]}

    for answer in (
        await profiles.post("/v1/customers", json={"name": "Mallory"} | body),
        await profiles.patch(f"/v1/customers/{eve['id']}", json=body),
        await profiles.put("/v1/customers/by-external-id/shop/9", json={"name": "Mallory"} | body),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "contact_point_taken")
        assert answer.json()["customer_id"] == ada["id"]
    assert (await profiles.get("/v1/customers/totals")).json() == {"count": 2}


@pytest.mark.capability("P2")
async def test_two_hundred_creates_with_one_phone_make_one_customer(
    committed: dict[str, Sessions], profiles: httpx2.AsyncClient
) -> None:
    body = {"name": "王小明", "region": "CN"}
    spellings = ["138 1234 5678", "+86 13812345678", "0086 138-1234-5678", "13812345678"]

    def attempt(spelling: str) -> Send:
        points = [{"kind": "phone", "value": spelling}]
        return lambda: profiles.post("/v1/customers", json=body | {"contact_points": points})

    answers = await asyncio.gather(*(patiently(attempt(spellings[n % 4])) for n in range(200)))

    [created] = [answer.json() for answer in answers if answer.status_code == 201]
    refused = [answer.json() for answer in answers if answer.status_code == 409]
    assert len(refused) == 199, {answer.status_code for answer in answers}
    assert {problem["customer_id"] for problem in refused} == {created["id"]}
    assert (await profiles.get("/v1/customers/totals")).json() == {"count": 1}


@pytest.mark.capability("P3")
async def test_an_upsert_is_repeatable(profiles: httpx2.AsyncClient, databases: dict[str, Sessions]) -> None:
    path = "/v1/customers/by-external-id/shop/c-1"

    first = await profiles.put(path, json=WANG)
    again = await profiles.put(path, json=WANG)
    changed = await profiles.put(path, json={"name": "王大明"})

    assert [answer.status_code for answer in (first, again, changed)] == [201, 200, 200]
    assert again.json() == first.json()
    assert first.json()["external_ids"] == [{"source": "shop", "external_id": "c-1"}]
    assert first.json()["source"] == "shop"
    assert changed.json()["version"] == 2
    assert changed.json()["contact_points"] == first.json()["contact_points"]
    assert len(await published(databases["profiles"])) == 2


@pytest.mark.capability("P3")
async def test_fifty_upserts_of_one_external_id_make_one_customer(
    committed: dict[str, Sessions], profiles: httpx2.AsyncClient
) -> None:
    path = "/v1/customers/by-external-id/shop/c-1"

    def attempt(name: str) -> Send:
        return lambda: profiles.put(path, json={"name": name})

    answers = await asyncio.gather(*(patiently(attempt(f"Ada {n % 3}")) for n in range(50)))

    assert sorted({answer.status_code for answer in answers}) == [200, 201]
    assert sum(answer.status_code == 201 for answer in answers) == 1
    assert len({answer.json()["id"] for answer in answers}) == 1
    events = await published(committed["profiles"])
    assert [event.version for event in events] == list(range(1, len(events) + 1))


async def test_an_upsert_with_a_stale_etag_changes_nothing(profiles: httpx2.AsyncClient) -> None:
    path = "/v1/customers/by-external-id/shop/c-1"
    await profiles.put(path, json={"name": "Ada"})
    await profiles.put(path, json={"name": "Augusta"})

    stale = await profiles.put(path, json={"name": "Countess"}, headers={"If-Match": '"1"'})

    assert stale.status_code == 412
    assert (await profiles.put(path, json={"name": "Augusta"})).json()["version"] == 2


async def test_a_retried_create_is_answered_with_the_first_reply(profiles: httpx2.AsyncClient) -> None:
    headers = {"Idempotency-Key": "create-ada"}

    first = await profiles.post("/v1/customers", json=WANG, headers=headers)
    again = await profiles.post("/v1/customers", json=WANG, headers=headers)
    other = await profiles.post("/v1/customers", json={"name": "Eve"}, headers=headers)

    assert again.headers["Idempotency-Replayed"] == "true"
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["ETag"] == first.headers["ETag"]
    assert other.status_code == 422
    assert (await profiles.get("/v1/customers/totals")).json() == {"count": 1}


async def test_an_unknown_customer_is_not_found(profiles: httpx2.AsyncClient) -> None:
    unknown = uuid4()

    for path in ("", "/summary/profiles", "/timeline", "/purchases"):
        answer = await profiles.get(f"/v1/customers/{unknown}{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "customer_not_found")
    assert (await profiles.patch(f"/v1/customers/{unknown}", json={})).status_code == 404


async def test_a_list_is_walked_by_cursor_the_newest_first(profiles: httpx2.AsyncClient) -> None:
    created = [(await create(profiles, name=f"Customer {n}"))["id"] for n in range(7)]
    seen, cursor = [], None
    while True:
        params = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = (await profiles.get("/v1/customers", params=params)).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if not page["has_more"]:
            break

    assert seen == created[::-1]
    assert cursor is None


async def test_a_cursor_that_was_tampered_with_or_asked_otherwise_is_refused(
    profiles: httpx2.AsyncClient,
) -> None:
    for n in range(3):
        await create(profiles, name=f"Customer {n}")
    cursor = (await profiles.get("/v1/customers", params={"limit": 1})).json()["next_cursor"]

    tampered = cursor[:-3] + ("AAA" if not cursor.endswith("AAA") else "BBB")
    for params in ({"cursor": tampered}, {"cursor": "x"}, {"cursor": cursor, "tag": "new"}):
        answer = await profiles.get("/v1/customers", params=params)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


async def test_customers_are_listed_by_contact_point_and_tag(
    profiles: httpx2.AsyncClient,
) -> None:
    wang = await create(profiles, **WANG)
    await create(profiles, tags=["other"])

    for params, expected in (
        ({"phone": "+86 138 1234 5678"}, [wang["id"]]),
        ({"email": "XIAOMING.wang@example.com"}, [wang["id"]]),
        ({"email": "nobody"}, []),
        ({"phone": ""}, []),
        ({"tag": "newsletter"}, [wang["id"]]),
        ({"tag": "newsletter", "email": "nobody"}, []),
    ):
        items = (await profiles.get("/v1/customers", params=params)).json()["items"]
        assert [item["id"] for item in items] == expected, params


async def test_contact_points_are_masked_for_who_may_not_see_personal_data(
    client: ClientFactory, profiles: httpx2.AsyncClient
) -> None:
    customer = await create(
        profiles,
        **WANG | {"contact_points": [*WANG["contact_points"], {"kind": "social", "value": "wx:wang"}]},
    )
    masked = ["x***@example.com", "+86138****5678", "w***"]
    without = client("profiles", pii=False)
    path = f"/v1/customers/{customer['id']}"

    answers = [
        (await without.get(path)).json(),
        (await without.patch(path, json={})).json(),
        (await without.get("/v1/customers")).json()["items"][0],
        (await without.get(f"{path}/summary/profiles")).json()["customer"],
    ]

    assert [[point["value"] for point in answer["contact_points"]] for answer in answers] == [masked] * 4
    own = client("profiles", Role.CUSTOMER, customer_id=UUID(str(customer["id"])), pii=False)
    assert (await own.get(path)).json() == customer
    for guess in ({"phone": "+8613812345678"}, {"email": "x@example.com"}, {"social": "wx:wang"}):
        refused = await without.get("/v1/customers", params=guess)
        assert (refused.status_code, refused.json()["code"]) == (403, "personal_data_hidden")


async def test_customers_get_their_own_data_and_nobody_elses(
    client: ClientFactory, profiles: httpx2.AsyncClient
) -> None:
    ada, eve = await create(profiles), await create(profiles, name="Eve")
    own = client("profiles", Role.CUSTOMER, customer_id=UUID(str(ada["id"])))

    for path in ("", "/summary/profiles", "/timeline", "/purchases"):
        assert (await own.get(f"/v1/customers/{ada['id']}{path}")).status_code == 200
        assert (await own.get(f"/v1/customers/{eve['id']}{path}")).status_code == 404
    assert (await own.get("/v1/customers")).status_code == 403
    assert (await own.patch(f"/v1/customers/{ada['id']}", json={"name": "Queen"})).status_code == 403
