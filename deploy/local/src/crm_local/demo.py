"""`demo`: the CDNOW sample and a club's file through the public API, a story, and the books compared."""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from itertools import islice
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from crm_local import cdnow, club, reconciliation
from crm_local.client import Client, Refused
from crm_local.club import Club
from crm_local.others import Others
from crm_local.reconciliation import Differs, Files
from crm_local.story import joining, member_day, merging, telling
from crm_local.story.steps import StoryFailed
from crm_local.story.telling import Cast
from crm_local.system import System, SystemFailed
from crm_shared.callers import Role
from crm_shared.database import Json

T = TypeVar("T")

_BATCH = 500
_IN_FLIGHT = 4
_LANGUAGES = ("zh-CN", "es", "en-US", "ja", "pl")
"""Of those whose birthday it is: there are texts in three of them."""


class Rejected(Exception):
    """Items of the file were refused; there is nothing wrong with the file."""


def main(arguments: Sequence[str]) -> int:
    """Bring the system up if need be, load, tell, reconcile; 1 when the figures differ."""
    parser = argparse.ArgumentParser(prog="python -m crm_local demo", description=__doc__)
    parser.add_argument("--only-load", action="store_true", help="load and reconcile, without the story")
    options = parser.parse_args(arguments)
    console = Console()
    try:
        with _running(System(), console) as system:
            asyncio.run(_demo(system, console, tell=not options.only_load))
    except (Differs, Refused, Rejected, StoryFailed, SystemFailed) as failure:
        Console(stderr=True).print(f"\n[red]{failure}[/red]", highlight=False)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


@contextmanager
def _running(system: System, console: Console) -> Iterator[System]:
    """The system; if it was not up, it is started, and kept until Ctrl-C where somebody sits and looks."""
    if system.home.is_held() and not system.is_running:
        console.print("The system is starting: waiting for it.")
    if system.await_start():
        yield system
        return
    console.print("The system is not running: starting it.")
    with system.start():
        yield system
        if sys.stdin.isatty():
            console.print(
                f"\nThe system goes on at {system.address}, its documents at {system.address}/docs."
            )
            console.print("Ctrl-C stops it; data stay.")
            with _until_interrupted():
                while system.is_running:
                    time.sleep(0.5)


@contextmanager
def _until_interrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        print()


async def _demo(system: System, console: Console, *, tell: bool) -> None:
    files = Files(cdnow.read(), club.read())
    signed_in = partial(_client, system, console)
    kept = Others(system.home)
    async with signed_in(Role.ADMIN) as client, signed_in(Role.MANAGER) as second:
        others = kept.of(await reconciliation.reported(client), *await reconciliation.both(client, files))
        ids = await load(client, console, files.lines)
        members = await join(client, console, files.club)
        await set_business_day(client, console)
        refunded = await reconciliation.settled(client, console, files, others)
        if tell:
            cast = await _cast(client, files.lines, ids, members)
            await telling.tell(client, second, console, cast, files.club)
        refunded = tell or refunded
        await reconciliation.reconcile(client, console, files, others, refunded=refunded)
    kept.ended(others, refunded=refunded)


@asynccontextmanager
async def _client(system: System, console: Console, role: Role) -> AsyncIterator[Client]:
    def interrupted(what: str) -> None:
        console.print(f"[yellow]{what}[/yellow]")

    async with Client(system.address, system.token(role), interrupted) as client:
        yield client


async def load(client: Client, console: Console, lines: list[cdnow.Line]) -> dict[int, str]:
    """Send all customers, then all purchases: the customers' ids; raises Rejected when one is refused."""
    customers = cdnow.customers(lines)
    with _progress(console) as progress:
        known = await _send(client, progress, "customers", "/v1/customers/batch", customers, len(customers))
        purchases = cdnow.purchases(lines)
        await _send(client, progress, "purchases", "/v1/purchases/batch", purchases, len(lines))
    return {int(item["external_id"]): verdict["customer_id"] for item, verdict in known}


async def join(client: Client, console: Console, members: Club) -> dict[str, str]:
    """Import the club's file and send its orders: its members' ids by number."""
    console.rule("Import: a club's file, some rows of it bad", align="left")
    await merging.undo_what_was_interrupted(client)
    ids = await joining.tell(client, console)
    await member_day.announce(client)
    answer = await client.write("POST", "/v1/purchases/batch", {"items": members.purchases})
    if answer["counts"].get("failed"):
        raise Rejected(f"Orders of the club were refused: {answer['items']}")
    return ids


async def _cast(
    client: Client, lines: list[cdnow.Line], ids: dict[int, str], members: dict[str, str]
) -> Cast:
    """The first VIP and ordinary customer of the file, the last who speak some languages, and the club."""
    levels = cdnow.levels(lines, await client.get("/v1/levels/thresholds"))
    first = {level: ids[customer] for customer, level in sorted(levels.items(), reverse=True)}
    last = {item["language"]: ids[int(item["external_id"])] for item in cdnow.customers(lines)}
    born_today = [last[language] for language in _LANGUAGES]
    return Cast(first["vip"], first["ordinary"], born_today, members)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TextColumn("{task.fields[counts]}"), console=console)


async def _send(
    client: Client, progress: Progress, name: str, path: str, items: Iterable[Json], total: int
) -> list[tuple[Json, Json]]:
    """Send items in batches, a few at a time: each item with what the platform says became of it."""
    answered: list[tuple[Json, Json]] = []
    task = progress.add_task(name, total=total, counts="")
    counts: Counter[str] = Counter()
    limit = asyncio.Semaphore(_IN_FLIGHT)

    async def one(batch: list[Json]) -> None:
        async with limit:
            answer = await client.write("POST", path, {"items": batch})
        answered.extend(zip(batch, answer["items"], strict=True))
        counts.update(answer["counts"])
        said = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()) if count)
        progress.update(task, advance=len(batch), counts=said)
        if answer["counts"].get("failed"):
            first = next(item for item in answer["items"] if item["status"] == "failed")
            raise Rejected(f"{path} refused item {batch[first['index']]}: {first['problem']}")

    await asyncio.gather(*(one(batch) for batch in _batches(items, _BATCH)))
    return answered


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


async def set_business_day(client: Client, console: Console) -> None:
    """Look at everybody as of the day on which the sample ends."""
    current = await client.get("/v1/levels/business-day")
    if current["business_day"] != str(cdnow.LAST_DAY):
        job = await client.write("PUT", "/v1/levels/business-day", {"business_day": str(cdnow.LAST_DAY)})
        while job["state"] in ("queued", "running"):
            await asyncio.sleep(0.2)
            job = await client.get(f"/v1/levels/jobs/{job['id']}")
        if job["state"] != "succeeded":
            raise Rejected(f"levelling everybody anew {job['state']}: {job['problem']}")
    in_force = (await client.get("/v1/levels/business-day"))["in_force"]
    console.print(f"Levels are as of the business day {in_force}.")
