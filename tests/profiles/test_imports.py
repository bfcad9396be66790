"""Imports: a file is inspected, mapped, tried, and imported row by row."""

import csv
import io
from zipfile import ZipFile

import httpx2
import pytest
from sqlalchemy import event, func, select
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.profiles.uploads import CSV, GOOD, Work, imported, read, rows, upload

from crm_profiles.imports.sheets import MAX_ROW
from crm_profiles.models.customers import Customer
from crm_shared.database import Sessions
from crm_shared.testing import published

CUSTOMER = "profiles.customer."


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
