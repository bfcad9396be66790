"""The demo's last word: what the services say against what the files say, figure by figure."""

import asyncio
import time
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from crm_local import cdnow, club
from crm_local.cdnow import Figures
from crm_local.client import Client
from crm_local.club import Club

_PATIENCE = 90.0
_LEVELS = ("vip", "important", "ordinary", "potential")


class Differs(Exception):
    """A figure of the services is not the files'."""


@dataclass(frozen=True)
class Files:
    """All that the demo sends."""

    lines: list[cdnow.Line]
    club: Club


async def reported(client: Client) -> Figures:
    """The figures as each owning service states them."""
    customers, purchases, programme, levels = await asyncio.gather(
        client.get("/v1/customers/totals"),
        client.get("/v1/purchases/totals"),
        client.get("/v1/programme"),
        client.get("/v1/levels"),
    )
    bought, returned = (
        {money["currency"]: money["amount"] for money in purchases[sums]} for sums in ("totals", "refunded")
    )
    return Figures(
        customers=customers["count"],
        purchases=purchases["count"],
        cents=bought.get(cdnow.CURRENCY, 0),
        points=programme["issued"]["value"],
        levels={item["level"]: item["customers"] for item in levels["items"] if item["customers"]},
        returned=returned.get(cdnow.CURRENCY, 0),
    )


async def from_files(client: Client, files: Files, *, refunded: bool) -> Figures:
    """The figures computed straight from the files, by the thresholds in force."""
    thresholds = await client.get("/v1/levels/thresholds")
    return cdnow.expected(files.lines, thresholds) + club.expected(files.club, thresholds, refunded=refunded)


async def settled(client: Client, console: Console, files: Files) -> bool:
    """Wait until the events have had their effect, and say whether refunds are among it.

    What has had none in time shows in the table.
    """
    before, after = [await from_files(client, files, refunded=refunded) for refunded in (False, True)]
    started = time.monotonic()
    with console.status("Waiting for the events to arrive …") as status:
        while (found := await reported(client)) not in (before, after):
            if time.monotonic() - started > _PATIENCE:
                break
            points = f"{found.points:,} of {before.points:,} points"
            status.update(f"Waiting for the events to arrive: {points}, levels {found.levels} …")
            await asyncio.sleep(0.25)
    console.print(
        f"Events have arrived everywhere {time.monotonic() - started:.1f} s after the last request."
    )
    return found == after


async def reconcile(client: Client, console: Console, files: Files, *, refunded: bool) -> None:
    """Print both sides; raises Differs when they are not equal."""
    services, theirs = await reported(client), await from_files(client, files, refunded=refunded)
    table = Table(title="Reconciliation", title_justify="left")
    table.add_column("figure")
    table.add_column("services", justify="right")
    table.add_column("files", justify="right")
    table.add_column("")
    wrong = []
    for name, ours, wanted in _rows(services, theirs):
        if ours != wanted:
            wrong.append(name)
        table.add_row(name, ours, wanted, "[green]equal[/green]" if ours == wanted else "[red]DIFFERS[/red]")
    console.print(table)
    if wrong:
        raise Differs(f"The services and the files differ in: {', '.join(wrong)}.")


def _rows(services: Figures, files: Figures) -> list[tuple[str, str, str]]:
    rows = [
        ("customers", f"{services.customers:,}", f"{files.customers:,}"),
        ("purchases", f"{services.purchases:,}", f"{files.purchases:,}"),
        (f"sum of amounts ({cdnow.CURRENCY})", _dollars(services.cents), _dollars(files.cents)),
        (f"given back ({cdnow.CURRENCY})", _dollars(services.returned), _dollars(files.returned)),
        ("sum of points", f"{services.points:,}", f"{files.points:,}"),
    ]
    return rows + [
        (f"level {level}", f"{services.levels.get(level, 0):,}", f"{files.levels.get(level, 0):,}")
        for level in _LEVELS
    ]


def _dollars(cents: int) -> str:
    return f"{cents // 100:,}.{cents % 100:02d}"
