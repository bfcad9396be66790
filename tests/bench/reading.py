"""Reading a customer by id: the profiles API itself, and through the gateway, against pgbench."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from tests.bench.data import Dice
from tests.bench.load import Asked, closed_loop, get
from tests.bench.measuring import Measure, Options, Row
from tests.bench.pgbench import pgbench
from tests.bench.stage import Stage, stage

from crm_profiles.customers import documents

CLIENTS = (16, 64)


@asynccontextmanager
async def reading(options: Options) -> AsyncIterator[Sequence[Row]]:
    """Three rows for each number of clients; every answer must be about the customer asked for."""
    async with stage() as on:
        await on.seed("profiles", options.customers)
        await on.start_apis("profiles-api", "gateway")
        for process in ("profiles-api", "gateway"):
            await _over_http(on, options.warming(), CLIENTS[0], process)
        script = f"\\set n random(1, {options.customers})\n{_statement()};\n"
        rows: list[Row] = []
        for clients in CLIENTS:
            ceiling = f"read in pgbench, {clients} clients"
            over_http = partial(_over_http, on, options, clients)
            rows += [
                Row(f"read from profiles, {clients} clients", partial(over_http, "profiles-api"), ceiling),
                Row(f"read through the gateway, {clients} clients", partial(over_http, "gateway"), ceiling),
                Row(ceiling, partial(_in_pgbench, on, options, clients, script)),
            ]
        yield rows


async def _over_http(on: Stage, options: Options, clients: int, process: str) -> Measure:
    token = on.token() if process == "gateway" else on.internal_token()
    dice = Dice(options.customers)

    def ask() -> Asked:
        customer = str(dice.customer())
        return get(f"/v1/customers/{customer}", token, b'"id" : "%b"' % customer.encode())

    loaded = await closed_loop(
        on.port(process), ask, clients=clients, seconds=options.seconds, measured=[on.process(process)]
    )
    return loaded.measure


async def _in_pgbench(on: Stage, options: Options, clients: int, script: str) -> Measure:
    url = on.plan.databases["profiles"].app_url
    return (await pgbench(url, script, clients=clients, seconds=options.seconds)).measure


def _statement() -> str:
    """The SQL that reads a customer, as it reaches the database, with pgbench's customer for ours."""
    # pgbench would take the colons of HH24:MI:SS for variables, even inside a literal.
    literals = re.sub(
        r"'[^']*[^:]:[A-Z][^']*'",
        lambda match: "U&" + match[0].replace(":", r"\003A"),
        documents.CUSTOMER.text,
    )
    return re.sub(r"\$1(::UUID\[\])?", "ARRAY[bench_id(:n)]", literals)
