"""What all chapters are told with: a step that is done once, a table of facts, and patience."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import httpx2
from rich.console import Console
from rich.table import Table
from rich.text import Text

from crm_local.client import Client
from crm_shared.database import Json

REPLAYED = "Idempotency-Replayed"
_PATIENCE = 30.0


class StoryFailed(Exception):
    """Something did not happen as the story has it."""


async def do(client: Client, path: str, body: Json, key: str, *, method: str = "POST") -> httpx2.Response:
    """One step, with a key by which it has its effect once."""
    return await client.send(method, path, json=body, headers={"Idempotency-Key": key})


def again(response: httpx2.Response) -> str:
    return " (told before)" if REPLAYED in response.headers else ""


async def until(condition: Callable[[], Awaitable[bool]], otherwise: str) -> None:
    """Wait for what events bring about; raises StoryFailed."""
    deadline = time.monotonic() + _PATIENCE
    while not await condition():
        if time.monotonic() > deadline:
            raise StoryFailed(otherwise)
        await asyncio.sleep(0.1)


def facts(console: Console, *rows: tuple[str, str]) -> None:
    """Rows of a name and what is to be said of it, aligned."""
    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, text in rows:
        table.add_row(name, Text(text))
    console.print(table)


def dollars(money: Json) -> str:
    return f"{money['amount'] / 100:,.2f} {money['currency']}"
