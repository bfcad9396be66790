"""The archive of a person's data: one ZIP with a file of JSON per service, a page to read and a manifest."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from html import escape
from tempfile import SpooledTemporaryFile
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import orjson

from crm_shared.database import Json

FORMAT = 1
"""Of the archive; a change that readers must know of is a new number."""

Tables = Mapping[str, Sequence[Json]]

_IN_MEMORY = 1024 * 1024
_PRETTY = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>What is held about you</title>
<style>body{{font:16px/1.5 system-ui;margin:2rem}}table{{border-collapse:collapse;margin:0 0 2rem}}
td,th{{border:1px solid #999;padding:.2rem .5rem;text-align:left;vertical-align:top}}</style>
<h1>What is held about you</h1>
<p>Customer {customer_id}, as of {assembled_at}. {complete}</p>
<p>The same is in the files *.json for programs to read; manifest.json lists them with their SHA-256.</p>
{services}</html>
"""


@dataclass(frozen=True)
class Part:
    """What one service answered, as lines of JSON; `text` is None while it has not."""

    service: str
    state: str
    answered_at: datetime | None
    text: str | None


def pack(about: Json, parts: Sequence[Part]) -> SpooledTemporaryFile[bytes]:
    """The archive, to be read from its start; a small one stays in memory."""
    files = _files(about, parts)
    with ExitStack() as stack:
        file = stack.enter_context(SpooledTemporaryFile(_IN_MEMORY))
        with ZipFile(file, "w", ZIP_DEFLATED) as archive:
            for name, body in files.items():
                archive.writestr(name, body)
        file.seek(0)
        stack.pop_all()
    return file


def _files(about: Json, parts: Sequence[Part]) -> dict[str, bytes]:
    tables = {part.service: tables_of(part.text) for part in parts if part.text is not None}
    missing = [part.service for part in parts if part.text is None]
    files = {
        f"{service}.json": orjson.dumps({"service": service, "tables": found}, option=_PRETTY)
        for service, found in tables.items()
    }
    files["index.html"] = _page(about, tables, missing).encode()
    manifest = about | {
        "format": FORMAT,
        "complete": not missing,
        "services": [_described(part, tables.get(part.service)) for part in parts],
        "files": {
            name: {"bytes": len(body), "sha256": sha256(body).hexdigest()} for name, body in files.items()
        },
    }
    return {"manifest.json": orjson.dumps(manifest, option=_PRETTY)} | files


def tables_of(text: str) -> Tables:
    """The rows by table, in the order in which they came."""
    tables: dict[str, list[Json]] = {}
    for line in text.split("\n"):
        if line:
            entry = orjson.loads(line)
            tables.setdefault(entry["table"], []).append(entry["row"])
    return tables


def _described(part: Part, tables: Tables | None) -> Json:
    rows = {name: len(found) for name, found in (tables or {}).items()}
    return {
        "service": part.service,
        "state": part.state,
        "answered_at": part.answered_at,
        "file": f"{part.service}.json" if tables is not None else None,
        "rows": rows,
    }


def _page(about: Json, tables: Mapping[str, Tables], missing: Sequence[str]) -> str:
    complete = "Every service has answered." if not missing else f"Still missing: {', '.join(missing)}."
    services = "".join(
        f"<h2>{escape(service)}</h2>" + "".join(_table(name, rows) for name, rows in found.items())
        for service, found in tables.items()
    )
    facts = {name: escape(str(value)) for name, value in about.items()}
    return _PAGE.format(**facts, complete=escape(complete), services=services)


def _table(name: str, rows: Sequence[Json]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_shown(row.get(column)))}</td>" for column in columns) + "</tr>"
        for row in rows
    )
    return f"<h3>{escape(name)}</h3><table><tr>{head}</tr>{body}</table>"


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
