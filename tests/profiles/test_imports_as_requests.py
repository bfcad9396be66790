"""An import is the same rows by the API: in batches, or one after the other."""

import csv
import io
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

import httpx2
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select
from tests.chance import examples

from crm_profiles.models.customers import ContactPoint, Customer, ExternalId
from crm_profiles.models.history import CustomerVersion
from crm_shared.contracts.profiles import CustomerState
from crm_shared.database import Json, Sessions
from crm_shared.outbox import Outbox
from crm_shared.testing import published

Work = Callable[[], Awaitable[None]]
Told: TypeAlias = tuple[str, str]
"""What became of a row: its status, and the code of what was wrong with it."""

HEADER = ("external id", "name", "phone", "email", "region", "birthday", "tags", "city")
PHONES = ("+8613812345678", "+86 138 1234 5679", "+12125550100", "12")
EMAILS = ("Ann@Example.com", "bob@example.com", "cid@example.com", "no address")


def row(number: str, name: str, reach: tuple[str, str] = ("", ""), *rest: str) -> tuple[str, ...]:
    return (number, name, *reach, *rest, *("",) * (4 - len(rest)))


ROWS = st.builds(
    row,
    st.sampled_from(["1", "2", "3", "=4", "客户五"]),
    st.sampled_from(["Ann", "王小明", "Zoë", "Анна", "", "  "]),
    # Both or none: a body replaces all contact points, a row those of its kinds.
    st.just(("", "")) | st.tuples(st.sampled_from(PHONES), st.sampled_from(EMAILS)),
    st.sampled_from(["", "CN", "China"]),
    st.sampled_from(["", "1988-04-12", "1988-02-30"]),
    st.sampled_from(["", "vip", "b;a;b"]),
    st.sampled_from(["", "上海"]),
)


def body_of(cells: Sequence[str]) -> Json:
    """The row as somebody who writes to the API would send it."""
    _, name, phone, email, region, birthday, tags, city = cells
    body: Json = {"channel": "import"}
    body |= {"name": name} if name.strip() else {}
    body |= {"region": region} if region else {}
    body |= {"birth_date": birthday} if birthday else {}
    body |= {"tags": tags.split(";")} if tags else {}
    body |= {"address": {"city": city}} if city else {}
    if phone:
        body["contact_points"] = [{"kind": "phone", "value": phone}, {"kind": "email", "value": email}]
    return body


async def by_import(profiles: httpx2.AsyncClient, work: Work, rows: Sequence[Sequence[str]]) -> list[Told]:
    text = io.StringIO()
    csv.writer(text).writerows([HEADER, *rows])
    made = await profiles.post(
        "/v1/imports",
        params={"name": "people.csv", "source": "shop", "start": "true"},
        content=text.getvalue().encode(),
        headers={"content-type": "text/csv"},
    )
    await work()
    answer = await profiles.get(f"{made.headers['location']}/rows", params={"limit": 200})
    verdicts = answer.json()["items"]
    assert len(verdicts) == len(rows), (await profiles.get(made.headers["location"])).json()
    return [(each["status"], each["faults"][0]["code"] if each["faults"] else "") for each in verdicts]


def runs(rows: Sequence[Sequence[str]]) -> list[list[Sequence[str]]]:
    """Rows that have nothing to do with each other, in their order: in a batch, all are written at once."""
    found: list[list[Sequence[str]]] = []
    seen: set[str] = set()
    known: set[str] = set()
    for cells in rows:
        keys = {each for each in (cells[0], cells[2].replace(" ", ""), cells[3].casefold()) if each}
        if not found or seen & keys or cells[0] in known:
            found.append([])
            seen = set()
        found[-1].append(cells)
        seen |= keys | ({*PHONES, *map(str.casefold, EMAILS)} if cells[0] in known else set())
        known.add(cells[0])
    return found


async def by_batches(profiles: httpx2.AsyncClient, rows: Sequence[Sequence[str]]) -> list[Told]:
    told: list[Told] = []
    for run in runs(rows):
        items = [{"source": "shop", "external_id": cells[0], **body_of(cells)} for cells in run]
        answer = await profiles.post("/v1/customers/batch", json={"items": items})
        for verdict in answer.json()["items"]:
            told.append((verdict["status"], code_of(verdict["problem"]) if verdict["problem"] else ""))
    return told


async def one_by_one(profiles: httpx2.AsyncClient, rows: Sequence[Sequence[str]]) -> list[Told]:
    told: list[Told] = []
    versions: dict[str, int] = {}
    for cells in rows:
        url = f"/v1/customers/by-external-id/shop/{cells[0]}"
        answer = await profiles.put(url, json=body_of(cells))
        if answer.is_success:
            version = answer.json()["version"]
            same = version == versions.get(cells[0])
            told.append(("created" if version == 1 and not same else "unchanged" if same else "updated", ""))
            versions[cells[0]] = version
        else:
            told.append(("failed", code_of(answer.json())))
    return told


def code_of(problem: Mapping[str, Any]) -> str:
    faults = problem.get("errors")
    return str(faults[0]["code"] if faults else problem["code"])


async def archive(sessions: Sessions) -> dict[str, Any]:
    """All that is on file and was told, by external id, without what must differ: ids and instants."""
    async with sessions() as session:
        names = {each.customer_id: each.external_id for each in await session.scalars(select(ExternalId))}
        points = sorted(
            (names[p.customer_id], p.kind, p.value) for p in await session.scalars(select(ContactPoint))
        )
        versions = [
            (names[v.customer_id], v.version, v.source, v.channel, v.change, plain(v.state))
            for v in await session.scalars(
                select(CustomerVersion).order_by(CustomerVersion.customer_id, CustomerVersion.version)
            )
        ]
        columns = [column.key for column in Customer.__table__.columns if not column.key.endswith("_at")]
        customers = [
            (names[row.customer_id], [row._mapping[key] for key in columns if key != "customer_id"])
            for row in await session.execute(select(*(Customer.__table__.c[key] for key in columns)))
        ]
    events = [
        (names[state.customer_id], each.version, each.type, plain(state.model_dump(mode="json")))
        for each in await published(sessions)
        if each.type.startswith("profiles.customer.")
        for state in [CustomerState.model_validate_json(each.data)]
    ]
    return {
        "points": points,
        "versions": sorted(versions, key=lambda each: each[:2]),
        "customers": sorted(customers, key=lambda each: each[0]),
        "events": sorted(events, key=lambda each: each[:2]),
    }


def plain(state: Mapping[str, Any]) -> Json:
    return {name: value for name, value in state.items() if name not in ("customer_id", "created_at")}


async def clear(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        for model in (ContactPoint, ExternalId, CustomerVersion, Customer, Outbox):
            await session.execute(delete(model))


ANN, BOB = ("+8613812345678", "ann@example.com"), ("+12125550100", "bob@example.com")


@given(rows=st.lists(ROWS, min_size=1, max_size=9))
@example(rows=[row("1", "Ann", ANN), row("1", "Ann", BOB), row("2", "Bob", ANN), row("3", "Cid", BOB)])
@example(rows=[row("1", "Ann"), row("1", "Ann", ANN), row("2", "Bob", ANN), row("2", "Bob", BOB)])
@settings(
    max_examples=examples(25),
    phases=[Phase.explicit, Phase.generate],  # each example takes long: none is made simpler
)
async def test_an_import_does_what_the_same_rows_do_by_the_api(
    profiles: httpx2.AsyncClient, work: Work, databases: dict[str, Sessions], rows: list[tuple[str, ...]]
) -> None:
    sessions = databases["profiles"]
    seen: dict[str, tuple[list[Told], dict[str, Any]]] = {}
    seen["import"] = await by_import(profiles, work, rows), await archive(sessions)
    await clear(sessions)
    seen["batches"] = await by_batches(profiles, rows), await archive(sessions)
    await clear(sessions)
    seen["puts"] = await one_by_one(profiles, rows), await archive(sessions)
    await clear(sessions)
    assert seen["import"] == seen["puts"]
    assert seen["batches"] == seen["puts"]
