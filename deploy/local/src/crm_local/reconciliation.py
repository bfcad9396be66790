"""The demo's last word: what the services say against what the file says, figure by figure."""

import asyncio
import time

from rich.console import Console
from rich.table import Table

from crm_local import cdnow
from crm_local.cdnow import Figures
from crm_local.client import Client

_PATIENCE = 90.0
_LEVELS = ("vip", "important", "ordinary", "potential")


class Differs(Exception):
    """A figure of the services is not the file's."""


async def reported(client: Client) -> Figures:
    """The figures as each owning service states them."""
    customers, purchases, programme, levels = await asyncio.gather(
        client.get("/v1/customers/totals"),
        client.get("/v1/purchases/totals"),
        client.get("/v1/programme"),
        client.get("/v1/levels"),
    )
    sums = {money["currency"]: money["amount"] for money in purchases["totals"]}
    return Figures(
        customers=customers["count"],
        purchases=purchases["count"],
        cents=sums.get(cdnow.CURRENCY, 0),
        points=programme["issued"]["value"],
        levels={item["level"]: item["customers"] for item in levels["items"]},
    )


async def from_file(client: Client, lines: list[cdnow.Line]) -> Figures:
    """The figures computed straight from the file, by the thresholds in force."""
    return cdnow.expected(lines, await client.get("/v1/levels/thresholds"))


async def settled(client: Client, console: Console, lines: list[cdnow.Line]) -> None:
    """Wait until the events have had their effect; what has not in time shows in the table."""
    wanted = await from_file(client, lines)
    started = time.monotonic()
    with console.status("Waiting for the events to arrive …") as status:
        while (found := await reported(client)) != wanted and time.monotonic() - started < _PATIENCE:
            points = f"{found.points:,} of {wanted.points:,} points"
            status.update(f"Waiting for the events to arrive: {points}, levels {found.levels} …")
            await asyncio.sleep(0.25)
    console.print(
        f"Events have arrived everywhere {time.monotonic() - started:.1f} s after the last request."
    )


async def reconcile(client: Client, console: Console, lines: list[cdnow.Line]) -> None:
    """Print both sides; raises Differs when they are not equal."""
    services, file = await reported(client), await from_file(client, lines)
    table = Table(title="Reconciliation", title_justify="left")
    table.add_column("figure")
    table.add_column("services", justify="right")
    table.add_column("file", justify="right")
    table.add_column("")
    wrong = []
    for name, ours, theirs in _rows(services, file):
        if ours != theirs:
            wrong.append(name)
        table.add_row(name, ours, theirs, "[green]equal[/green]" if ours == theirs else "[red]DIFFERS[/red]")
    console.print(table)
    if wrong:
        raise Differs(f"The services and the file differ in: {', '.join(wrong)}.")


def _rows(services: Figures, file: Figures) -> list[tuple[str, str, str]]:
    rows = [
        ("customers", f"{services.customers:,}", f"{file.customers:,}"),
        ("purchases", f"{services.purchases:,}", f"{file.purchases:,}"),
        (f"sum of amounts ({cdnow.CURRENCY})", _dollars(services.cents), _dollars(file.cents)),
        ("sum of points", f"{services.points:,}", f"{file.points:,}"),
    ]
    return rows + [
        (f"level {level}", f"{services.levels.get(level, 0):,}", f"{file.levels.get(level, 0):,}")
        for level in _LEVELS
    ]


def _dollars(cents: int) -> str:
    return f"{cents // 100:,}.{cents % 100:02d}"
