"""Imports: a file is inspected, mapped, tried, imported row by row, and taken back."""

import csv
import io
from collections.abc import Awaitable, Callable
from typing import Any
from zipfile import ZipFile

import httpx2
import pytest
from sqlalchemy import event, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_profiles.imports.sheets import MAX_ROW
from crm_profiles.models.customers import Customer
from crm_profiles.models.files import File
from crm_profiles.models.history import CustomerVersion
from crm_profiles.models.imports import ImportRow
from crm_shared.database import Sessions
from crm_shared.testing import published

Work = Callable[[], Awaitable[None]]
CSV = {"content-type": "text/csv"}
CUSTOMER = "profiles.customer."

GOOD = "客户编号,姓名,手机,邮箱,生日,标签\nc-1,王小明,138 1234 5678,Wang@Example.com,1988-04-12,vip;news\n"


async def upload(
    profiles: httpx2.AsyncClient, content: str | bytes, *, source: str = "shop", **query: str
) -> dict[str, Any]:
    data = content.encode() if isinstance(content, str) else content
    params = {"name": "customers.csv", "source": source, **query}
    answer = await profiles.post("/v1/imports", params=params, content=data, headers=CSV)
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/imports/{body['id']}"
    return body


async def read(profiles: httpx2.AsyncClient, import_id: str) -> dict[str, Any]:
    body: dict[str, Any] = (await profiles.get(f"/v1/imports/{import_id}")).json()
    return body


async def imported(
    profiles: httpx2.AsyncClient, work: Work, content: str | bytes, *, region: str | None = "CN", **query: str
) -> dict[str, Any]:
    """The import once all is done, by the guessed mapping."""
    made = await upload(profiles, content, **query)
    await work()
    inspected = await read(profiles, made["id"])
    assert inspected["state"] == "ready", inspected
    mapping = inspected["mapping"] | {"region": region}
    mapped = await profiles.put(f"/v1/imports/{made['id']}/mapping", json=mapping)
    assert mapped.status_code == 200, mapped.text
    started = await profiles.post(f"/v1/imports/{made['id']}/start", json={})
    assert started.status_code == 202, started.text
    await work()
    return await read(profiles, made["id"])


async def rows(profiles: httpx2.AsyncClient, import_id: str, **query: str) -> list[dict[str, Any]]:
    answer = await profiles.get(f"/v1/imports/{import_id}/rows", params={"limit": "200", **query})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_a_file_is_inspected_and_its_columns_are_recognised(
    profiles: httpx2.AsyncClient, work: Work
) -> None:
    made = await upload(profiles, GOOD)
    assert made["state"] == "inspecting"
    await work()
    found = await read(profiles, made["id"])
    assert found["state"] == "ready"
    assert found["job"]["result"]["rows"] == 1
    assert found["layout"]["header"] == ["客户编号", "姓名", "手机", "邮箱", "生日", "标签"]
    assert found["layout"]["encoding"] == "utf-8"
    assert [column["to"] for column in found["mapping"]["columns"]] == [
        "external_id",
        "name",
        "phone",
        "email",
        "birth_date",
        "tags",
    ]


async def test_rows_become_customers_with_a_verdict_each(profiles: httpx2.AsyncClient, work: Work) -> None:
    done = await imported(profiles, work, GOOD)
    assert done["state"] == "imported", done
    assert done["job"]["counts"] == {"created": 1}
    [verdict] = await rows(profiles, done["id"])
    assert (verdict["line"], verdict["status"], verdict["version"]) == (2, "created", 1)
    customer = (await profiles.get(f"/v1/customers/{verdict['customer_id']}")).json()
    assert customer["name"] == "王小明"
    assert customer["birth_date"] == "1988-04-12"
    assert customer["tags"] == ["news", "vip"]
    assert customer["channel"] == "import"
    assert customer["external_ids"] == [{"source": "shop", "external_id": "c-1"}]
    assert {point["value"] for point in customer["contact_points"]} == {
        "+8613812345678",
        "wang@example.com",
    }

    again = await imported(profiles, work, GOOD)
    assert again["job"]["counts"] == {"unchanged": 1}


async def test_a_bad_row_says_why_and_stops_nobody(profiles: httpx2.AsyncClient, work: Work) -> None:
    content = (
        "id,name,email,birthday,country\n"
        "1,Ann,ann@example.com,1990-01-01,US\n"
        "2,,bob@example.com,,\n"
        "3,Cid,not an address,,\n"
        "4,Dan,dan@example.com,1990-02-31,\n"
        "5,Eve,ann@example.com,,\n"
        "6,Fay,fay@example.com,,,too,many\n"
        ',"Guy",guy@example.com,,\n'
        "8,Hal,,,\n"
    )
    done = await imported(profiles, work, content, region=None)
    assert done["job"]["counts"] == {"created": 2, "failed": 6}
    failed = {row["line"]: row["faults"] for row in await rows(profiles, done["id"], status="failed")}
    assert {line: (fault["column"], fault["code"]) for line, [fault] in failed.items()} == {
        3: ("name", "missing"),
        4: ("email", "invalid_email"),
        5: ("birthday", "date_from_datetime_parsing"),
        6: ("email", "contact_point_taken"),
        7: (None, "unreadable_row"),
        8: ("id", "missing"),
    }

    answer = await profiles.get(f"/v1/imports/{done['id']}/rows.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    table = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
    assert table[0] == ["line", "problems", "id", "name", "email", "birthday", "country"]
    assert [row[0] for row in table[1:]] == ["3", "4", "5", "6", "7", "8"]
    assert table[2][2:5] == ["3", "Cid", "not an address"]
    assert "invalid_email" in table[2][1]


async def test_rows_about_one_customer_are_written_one_after_the_other(
    profiles: httpx2.AsyncClient, work: Work, databases: dict[str, Sessions]
) -> None:
    content = "id,name,email\n1,Ann,a@example.com\n1,Anna,a@example.com\n2,Bob,\n1,Anna,\n"
    done = await imported(profiles, work, content, region=None)
    found = [(row["line"], row["status"], row["version"]) for row in await rows(profiles, done["id"])]
    assert found == [(2, "created", 1), (3, "updated", 2), (4, "created", 1), (5, "unchanged", 2)]
    told = [row for row in await published(databases["profiles"]) if row.type.startswith(CUSTOMER)]
    assert [row.version for row in told] == [1, 1, 2]


async def test_contact_points_replace_those_of_their_kind_only(
    profiles: httpx2.AsyncClient, work: Work
) -> None:
    await imported(profiles, work, "id,name,phone,email\n1,Ann,+8613812345678,a@example.com\n")
    done = await imported(profiles, work, "id,name,email\n1,Ann,b@example.com\n")
    [row] = await rows(profiles, done["id"])
    points = (await profiles.get(f"/v1/customers/{row['customer_id']}")).json()["contact_points"]
    assert {point["value"] for point in points} == {"+8613812345678", "b@example.com"}


async def test_a_dry_run_gives_the_verdicts_and_writes_nothing(
    profiles: httpx2.AsyncClient, work: Work, databases: dict[str, Sessions]
) -> None:
    content = "id,name,email\n1,Ann,a@example.com\n2,Bob,a@example.com\n1,Anna,\n3,,\n"
    made = await upload(profiles, content, start="true", dry_run="true")
    await work()
    tried = await read(profiles, made["id"])
    assert (tried["state"], tried["dry_run"]) == ("ready", True)
    verdicts = [(row["line"], row["status"], row["faults"]) for row in await rows(profiles, made["id"])]
    async with databases["profiles"]() as session:
        assert await session.scalar(select(func.count()).select_from(Customer)) == 0
    assert await published(databases["profiles"]) == []

    await profiles.post(f"/v1/imports/{made['id']}/start", json={"dry_run": False})
    await work()
    done = await read(profiles, made["id"])
    assert done["state"] == "imported"
    assert [(r["line"], r["status"], r["faults"]) for r in await rows(profiles, made["id"])] == verdicts


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0", "unreadable_file"),
        (b"PK\x03\x04 not a workbook", "unreadable_file"),
        (b"\xd0\xcf\x11\xe0 an old one", "unreadable_file"),
        (b"name,id\n\x81\x8d\n", "undecodable_file"),
        (b"\n\n", "empty_file"),
    ],
)
async def test_a_broken_file_says_what_is_wrong_with_it(
    profiles: httpx2.AsyncClient, work: Work, content: bytes, code: str
) -> None:
    made = await upload(profiles, content)
    await work()
    found = await read(profiles, made["id"])
    assert found["state"] == "unreadable"
    assert found["job"]["problem"]["code"] == code
    refused = await profiles.post(f"/v1/imports/{made['id']}/start", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "import_not_ready")


async def test_names_of_many_scripts_are_read_in_gb18030(profiles: httpx2.AsyncClient, work: Work) -> None:
    names = ["欧阳明月", "Ελευθερία", "Владимир", "ليلى", "नेहा", "강다은", "José", "Małgorzata"]
    lines = [f"{number},{name}\n" for number, name in enumerate(names)]
    made = await upload(profiles, f"编号,姓名\n{''.join(lines)}".encode("gb18030"))
    await work()
    layout = (await read(profiles, made["id"]))["layout"]
    assert layout["encoding"] == "gb18030"
    assert [sample[1] for sample in layout["samples"]] == names[: len(layout["samples"])]


async def test_accented_letters_are_not_taken_for_gb18030(profiles: httpx2.AsyncClient, work: Work) -> None:
    made = await upload(profiles, "código,nombre\n1,José Ibáñez Núñez\n2,Íñigo Peña\n".encode("latin-1"))
    await work()
    assert (await read(profiles, made["id"]))["layout"]["encoding"] == "latin-1"


def workbook_of(rows: str, sheet: str) -> bytes:
    """With its one sheet at that place below xl/."""
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    relation = (
        '<Relationships xmlns="{}/relationships">'
        '<Relationship Id="r" Type="{}/{}" Target="{}"/></Relationships>'
    )
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"/>',
        "_rels/.rels": relation.format(package, office, "officeDocument", "xl/workbook.xml"),
        "xl/_rels/workbook.xml.rels": relation.format(package, office, "worksheet", sheet),
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        '<sheet name="S" sheetId="1" r:id="r"/></sheets></workbook>',
        f"xl/{sheet}": f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>',
    }
    packed = io.BytesIO()
    with ZipFile(packed, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return packed.getvalue()


FAR = '<c r="{}" t="inlineStr"><is><t>name</t></is></c>'


@pytest.mark.parametrize(
    ("last", "sheet"),
    [
        (FAR.format("XFD1048576"), "worksheets/sheet1.xml"),
        (FAR.format("XFD1048576"), "elsewhere/sheet1.xml"),
        (FAR.format("XFD" + "0" * 20 + "1048576"), "worksheets/sheet1.xml"),
    ],
    ids=["as usual", "where no sheet is looked for", "in unusual digits"],
)
async def test_a_sheet_that_says_to_be_huge_ends_the_import_and_not_the_worker(
    profiles: httpx2.AsyncClient, work: Work, last: str, sheet: str
) -> None:
    data = workbook_of(f"<row>{FAR.format('A1')}</row><row>{last}</row>", sheet)
    made = await upload(profiles, data)
    await work()
    found = await read(profiles, made["id"])
    assert found["state"] == "unreadable"
    assert found["job"]["problem"]["code"] == "oversized_sheet"


@pytest.mark.parametrize("row", ["," * (MAX_ROW + 1), '"\n",' * (MAX_ROW // 4 + 1)], ids=["line", "quoted"])
async def test_no_row_is_read_that_is_longer_than_memory_is_for(
    profiles: httpx2.AsyncClient, work: Work, row: str
) -> None:
    made = await upload(profiles, f"name,phone\n王小明,\n{row}\n")
    await work()
    found = await read(profiles, made["id"])
    assert found["job"]["problem"]["code"] == "unreadable_file"
    made = await upload(profiles, "name,note\n" + f"王小明,{'x' * 1000}\n" * (MAX_ROW // 900))
    await work()
    assert (await read(profiles, made["id"]))["job"]["result"]["rows"] == MAX_ROW // 900


async def test_an_empty_upload_is_refused(profiles: httpx2.AsyncClient) -> None:
    answer = await profiles.post(
        "/v1/imports", params={"name": "x.csv", "source": "shop"}, content=b"", headers=CSV
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "empty_file")


async def test_a_mapping_that_does_not_fit_is_refused_with_the_place(
    profiles: httpx2.AsyncClient, work: Work
) -> None:
    made = await upload(profiles, "a,b\n1,2\n")
    await work()
    assert (await read(profiles, made["id"]))["state"] == "mapping_needed"
    columns = [{"column": 5, "to": "name"}, {"column": 0, "to": "language"}, {"column": 0, "to": "language"}]
    answer = await profiles.put(f"/v1/imports/{made['id']}/mapping", json={"columns": columns})
    assert answer.status_code == 422
    assert [(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]] == [
        ("/columns/0/column", "no_such_column"),
        ("/columns/2/column", "repeated_column"),
        ("/columns/2/to", "repeated_target"),
        ("/columns", "no_id"),
    ]


async def test_a_revert_removes_whom_the_import_created_and_restores_whom_it_changed(
    profiles: httpx2.AsyncClient, work: Work, databases: dict[str, Sessions]
) -> None:
    before = "id,name,email,tags\n1,Ann,a@example.com,old\n2,Bob,b@example.com,\n"
    await imported(profiles, work, before)
    done = await imported(
        profiles,
        work,
        "id,name,email,tags\n1,Anna,a2@example.com,new\n2,Rob,,x\n3,Cid,c@example.com,\n4,Dan,,\n",
    )
    ids = {row["line"]: row["customer_id"] for row in await rows(profiles, done["id"])}
    await profiles.patch(f"/v1/customers/{ids[3]}", json={"name": "Robert"})
    await profiles.patch(f"/v1/customers/{ids[5]}", json={"language": "en"})

    answer = await profiles.post(f"/v1/imports/{done['id']}/revert")
    assert answer.status_code == 202, answer.text
    await work()

    reverted = await read(profiles, done["id"])
    assert reverted["state"] == "reverted", reverted
    assert reverted["job"]["result"]["counts"] == {"restored": 1, "changed_since": 2, "removed": 1}
    assert [(row["line"], row["revert"]) for row in await rows(profiles, done["id"])] == [
        (2, "restored"),
        (3, "changed_since"),
        (4, "removed"),
        (5, "changed_since"),
    ]
    ann = (await profiles.get(f"/v1/customers/{ids[2]}")).json()
    assert (ann["name"], ann["tags"], ann["version"]) == ("Ann", ["old"], 3)
    assert [point["value"] for point in ann["contact_points"]] == ["a@example.com"]
    bob = (await profiles.get(f"/v1/customers/{ids[3]}")).json()
    assert (bob["name"], bob["tags"]) == ("Robert", [])
    assert (await profiles.get(f"/v1/customers/{ids[4]}")).status_code == 404
    assert [row.type for row in await published(databases["profiles"])].count(
        "profiles.customer.erased.v1"
    ) == 1
    again = await imported(profiles, work, "id,name,email\n3,Cid,c@example.com\n")
    assert again["job"]["counts"] == {"created": 1}
    refused = await profiles.post(f"/v1/imports/{done['id']}/revert")
    assert (refused.status_code, refused.json()["code"]) == (409, "nothing_to_revert")


async def test_files_are_deleted_when_their_time_is_up(
    profiles: httpx2.AsyncClient, work: Work, databases: dict[str, Sessions], clock: Any
) -> None:
    done = await imported(profiles, work, GOOD)
    clock.at = clock.at.replace(day=clock.at.day + 8)
    await work()
    found = await read(profiles, done["id"])
    assert found["file_expires_at"] is None
    assert found["layout"]["samples"] == []
    async with databases["profiles"]() as session:
        assert await session.scalar(select(func.count()).select_from(File)) == 0
        assert await session.scalar(select(func.count()).select_from(CustomerVersion)) == 1
    gone = await profiles.get(f"/v1/imports/{done['id']}/rows.csv")
    assert (gone.status_code, gone.json()["code"]) == (410, "file_gone")
    assert await rows(profiles, done["id"]) == []
    assert found["job"]["counts"] == {"created": 1}
    refused = await profiles.post(f"/v1/imports/{done['id']}/revert")
    assert (refused.status_code, refused.json()["code"]) == (409, "nothing_to_revert")


async def test_a_new_run_replaces_what_the_one_before_said(
    profiles: httpx2.AsyncClient, work: Work, databases: dict[str, Sessions]
) -> None:
    made = await upload(profiles, GOOD, start="true", dry_run="true")
    await work()
    for dry_run in (True, False):
        await profiles.post(f"/v1/imports/{made['id']}/start", json={"dry_run": dry_run})
        await work()
    async with databases["profiles"]() as session:
        assert await session.scalar(select(func.count()).select_from(ImportRow)) == 1


@pytest.mark.parametrize("kind", ["imports", "exports"])
async def test_a_list_takes_the_same_statements_however_many_are_listed(
    profiles: httpx2.AsyncClient, work: Work, engines: dict[str, AsyncEngine], kind: str
) -> None:
    async def make() -> None:
        if kind == "imports":
            await upload(profiles, GOOD)
        else:
            await profiles.post("/v1/exports", json={})
        await work()

    async def statements() -> int:
        seen: list[str] = []

        def note(_: object, __: object, statement: str, *___: object) -> None:
            seen.append(statement)

        event.listen(engines["profiles"].sync_engine, "before_cursor_execute", note)
        try:
            assert (await profiles.get(f"/v1/{kind}")).status_code == 200
        finally:
            event.remove(engines["profiles"].sync_engine, "before_cursor_execute", note)
        return len(seen)

    await make()
    of_one = await statements()
    for _ in range(3):
        await make()
    assert await statements() == of_one


async def test_what_is_under_way_can_be_watched_and_cancelled(
    profiles: httpx2.AsyncClient, work: Work
) -> None:
    made = await upload(profiles, GOOD)
    cancelled = await profiles.post(f"/v1/imports/{made['id']}/cancel")
    assert cancelled.json()["job"]["state"] == "cancelled"
    await work()
    watched = await profiles.get(f"/v1/imports/{made['id']}/events", headers={"accept": "text/event-stream"})
    assert watched.headers["content-type"].startswith("text/event-stream")
    assert "event: end" in watched.text
    again = await profiles.post(f"/v1/imports/{made['id']}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "job_ended")


async def test_an_erasure_takes_the_files_that_name_the_person_and_they_do_not_come_back(
    profiles: httpx2.AsyncClient, work: Work
) -> None:
    done = await imported(profiles, work, GOOD)
    [row] = await rows(profiles, done["id"])
    erased = await profiles.post("/v1/privacy/erasures", json={"customer_id": row["customer_id"]})
    assert erased.status_code == 202, erased.text
    await work()

    found = await read(profiles, done["id"])
    assert (found["file_expires_at"], found["layout"]["samples"]) == (None, [])
    [row] = await rows(profiles, done["id"])
    assert row["customer_id"] is None
    again = await imported(profiles, work, GOOD)
    assert again["job"]["counts"] == {"suppressed": 1}
