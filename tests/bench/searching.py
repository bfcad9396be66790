"""Searching customers by name and number among few and many, against pgbench with the same statement."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import count
from urllib.parse import quote
from urllib.request import Request, urlopen

import asyncpg
import orjson
from tests.bench.data import customer_id
from tests.bench.load import Asked, closed_loop, get
from tests.bench.measuring import Measure, Options, Row
from tests.bench.names import names
from tests.bench.pgbench import pgbench
from tests.bench.stage import Stage, stage
from tests.profiles import plain_search

from crm_local.ports import HOST
from crm_profiles.customers.search import parameters, statement

CLIENTS = (16, 64)
_LIMIT = 10

QUESTIONS: Mapping[str, Sequence[str]] = {
    "a beginning": ("zof", "Anna Ba", "karam", "fran", "иван", "محمد", "garc", "lope", "Smi"),
    "a part inside a word": ("chmid", "arti", "owal", "знец", "amake", "ernan", "orvat", "ükl"),
    "one Chinese character": ("王", "明", "李", "娜", "波", "国", "罗"),
    "two Chinese characters": ("小明", "王丽", "建国", "志华", "李明", "海波"),
    "a typo": ("schmitd", "gracia", "ivanvo", "kowalsky", "ферров", "fernandes", "sanchz", "horvath"),
    "the end of a number": ("0000070", "77777", "1234", "30049"),
}
_ALL = [question for of_class in QUESTIONS.values() for question in of_class]


class WrongAnswer(Exception):
    """The service found other customers than reading all names finds."""


@asynccontextmanager
async def searching(options: Options) -> AsyncIterator[Sequence[Row]]:
    """Each kind of question among a tenth and ten times the customers; all kinds at once among the many."""
    async with AsyncExitStack() as stack:
        few, many = options.customers // 10, options.customers * 10
        stages = {}
        for customers in (few, many):
            on = stages[customers] = await stack.enter_async_context(stage())
            await _fill(on, customers)
            await on.start_apis("profiles-api")
            await _over_http(on, options.warming(), 4, _ALL)
        await asyncio.to_thread(_check, stages[few], list(names(few)))
        rows = [
            Row(f"{kind}, among {customers:,}", partial(_over_http, on, options, 1, questions))
            for kind, questions in QUESTIONS.items()
            for customers, on in stages.items()
        ]
        for clients in CLIENTS:
            ceiling = f"search in pgbench, {clients} clients"
            rows += [
                Row(
                    f"search among {many:,}, {clients} clients",
                    partial(_over_http, stages[many], options, clients, _ALL),
                    ceiling,
                ),
                Row(ceiling, partial(_in_pgbench, stages[many], options, clients)),
            ]
        yield rows


async def _fill(on: Stage, customers: int) -> None:
    """By COPY straight into the tables, as an import would at its fastest."""
    connection = await asyncpg.connect(on.plan.databases["profiles"].owner_url)
    now = datetime.now(UTC)
    tags = ["newsletter"]
    try:
        await connection.copy_records_to_table(
            "customers",
            columns=(
                *("customer_id", "name", "tags", "channel", "birth_calendar", "attributes"),
                *("version", "created_at", "updated_at"),
            ),
            records=(
                (customer_id(n), name, tags, "api", "solar", "{}", 1, now, now)
                for n, name in enumerate(names(customers), 1)
            ),
        )
        await connection.copy_records_to_table(
            "contact_points",
            columns=("kind", "value", "customer_id", "origin_customer_id"),
            records=(
                ("phone", f"+86{13_000_000_000 + n * 7}", customer_id(n), customer_id(n))
                for n in range(1, customers + 1)
            ),
        )
        await connection.execute("VACUUM ANALYZE customers, contact_points, name_tails")
    finally:
        await connection.close()
    await asyncio.to_thread(on.postgres.psql, "CHECKPOINT")


def _path(question: str) -> str:
    return f"/v1/customers/search?q={quote(question)}&limit={_LIMIT}"


async def _over_http(on: Stage, options: Options, clients: int, questions: Sequence[str]) -> Measure:
    token, turn = on.internal_token(), count()

    def ask() -> Asked:
        return get(_path(questions[next(turn) % len(questions)]), token, b'"has_more"')

    loaded = await closed_loop(
        on.port("profiles-api"),
        ask,
        clients=clients,
        seconds=options.seconds,
        measured=[on.process("profiles-api")],
    )
    return loaded.measure


def _check(on: Stage, everybody: Sequence[str]) -> None:
    """Each question by name is answered by those, and by as many, as reading all names finds."""
    for question in (q for kind, of_kind in QUESTIONS.items() if "number" not in kind for q in of_kind):
        address = f"http://{HOST}:{on.port('profiles-api')}{_path(question)}"
        asked = Request(address, headers={"Authorization": f"Bearer {on.internal_token()}"})
        with urlopen(asked, timeout=10) as answer:
            found = orjson.loads(answer.read())
        expected = plain_search.find(question, everybody)
        ways = [hit["matched"]["how"] for hit in found["items"]]
        if (ways, found["has_more"]) != ([how for _, how in expected[:_LIMIT]], len(expected) > _LIMIT):
            raise WrongAnswer(f"{question}: {ways} and not {expected[:_LIMIT]}")
        for hit in found["items"]:
            name, how = hit["customer"]["name"], hit["matched"]["how"]
            if plain_search.how(question, name) != how:
                raise WrongAnswer(f"{question}: {name} does not match by {how}")


async def _in_pgbench(on: Stage, options: Options, clients: int) -> Measure:
    url = on.plan.databases["profiles"].app_url
    return (await pgbench(url, _script(), clients=clients, seconds=options.seconds)).measure


def _script() -> str:
    """The statement that the service sends, with a question drawn by pgbench."""
    values = [parameters(question, {}, contact_points=True, limit=_LIMIT) for question in _ALL]

    def drawn(match: re.Match[str]) -> str:
        if match[1] == "limit":
            return str(_LIMIT)
        literals = ", ".join("NULL" if v[match[1]] is None else f"'{v[match[1]]}'" for v in values)
        return f"(CAST(ARRAY[{literals}] AS text[]))[:n]"

    return (
        f"\\set n random(1, {len(_ALL)})\n"
        + re.sub(r"(?<![:\w]):([a-z]+)", drawn, statement((), contact_points=True).text)
        + ";\n"
    )
