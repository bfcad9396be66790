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
from crm_local.others import beside

_PATIENCE = 90.0
_LEVELS = ("vip", "important", "ordinary", "potential")
_NOTHING = Figures(customers=0, purchases=0, cents=0, points=0, levels={})


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


async def both(client: Client, files: Files) -> tuple[Figures, Figures]:
    """The files' figures before and after the refunds."""
    return (
        await from_files(client, files, refunded=False),
        await from_files(client, files, refunded=True),
    )


async def settled(client: Client, console: Console, files: Files, others: Figures) -> bool:
    """Wait until the events have had their effect, and say whether refunds are among it.

    What has had none in time shows in the table.
    """
    before, after = await both(client, files)
    started = time.monotonic()
    with console.status("Waiting for the events to arrive …") as status:
        found = await reported(client)
        while not (_agree(found, before, others) or _agree(found, after, others)):
            if time.monotonic() - started > _PATIENCE:
                console.print(f"After {_PATIENCE:.0f} s some events have not had their effect yet.")
                break
            points = f"{found.points:,} of {(before + others).points:,} points"
            status.update(f"Waiting for the events to arrive: {points}, levels {found.levels} …")
            await asyncio.sleep(0.25)
            found = await reported(client)
        else:
            waited = time.monotonic() - started
            console.print(f"Events have arrived everywhere {waited:.1f} s after the last request.")
    return _agree(found, after, others)


def _agree(services: Figures, files: Figures, others: Figures) -> bool:
    return services == beside(files, others, services)


async def reconcile(
    client: Client, console: Console, files: Files, others: Figures, *, refunded: bool
) -> None:
    """Print both sides; raises Differs when they are not equal.

    What is not the demo's is shown apart, if there is anything.
    """
    services, theirs = await reported(client), await from_files(client, files, refunded=refunded)
    wanted = beside(theirs, others, services)
    table = Table(title="Reconciliation", title_justify="left")
    table.add_column("figure")
    table.add_column("services", justify="right")
    table.add_column("files", justify="right")
    if others != _NOTHING:
        table.add_column("others", justify="right")
    table.add_column("")
    wrong = []
    for (name, ours), (_, file), (_, other), (_, sum_) in zip(
        _rows(services), _rows(theirs), _rows(wanted - theirs), _rows(wanted), strict=True
    ):
        if ours != sum_:
            wrong.append(name)
        verdict = "[green]equal[/green]" if ours == sum_ else "[red]DIFFERS[/red]"
        table.add_row(name, ours, file, *([] if others == _NOTHING else [other]), verdict)
    console.print(table)
    if wrong:
        raise Differs(f"The services and the files differ in: {', '.join(wrong)}.")


def _rows(figures: Figures) -> list[tuple[str, str]]:
    return [
        ("customers", f"{figures.customers:,}"),
        ("purchases", f"{figures.purchases:,}"),
        (f"sum of amounts ({cdnow.CURRENCY})", _dollars(figures.cents)),
        (f"given back ({cdnow.CURRENCY})", _dollars(figures.returned)),
        ("sum of points", f"{figures.points:,}"),
        *((f"level {level}", f"{figures.levels.get(level, 0):,}") for level in _LEVELS),
    ]


def _dollars(cents: int) -> str:
    return f"{cents // 100:,}.{cents % 100:02d}"
