"""What all chapters are told with: a step that is done once, a table of facts, and patience."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import httpx2
from rich.console import Console
from rich.table import Table
from rich.text import Text

from crm_local.client import Client, Refused
from crm_shared.database import Json

REPLAYED = "Idempotency-Replayed"
_PATIENCE = 30.0


class StoryFailed(Exception):
    """Something did not happen as the story has it."""


async def do(client: Client, path: str, body: Json, key: str, *, method: str = "POST") -> httpx2.Response:
    """One step, with a key by which it has its effect once."""
    return await client.send(method, path, json=body, headers={"Idempotency-Key": key})


async def settle_on(client: Client, path: str, terms: Json) -> Json:
    """What is written in versions says this from now on; a version is written only if it did not."""
    while True:
        found = await _find(client, path)
        if found is not None and _says(found, terms):
            return found
        seen = {"If-None-Match": "*"} if found is None else {"If-Match": f'"{found["version"]}"'}
        try:
            await client.send("PUT", path, json=terms, headers=seen)
        except Refused as refused:
            # It was written though no answer came, and the client has repeated it: look again.
            if refused.status != 412:
                raise


async def _find(client: Client, path: str) -> Json | None:
    try:
        return await client.get(path)
    except Refused as refused:
        if refused.status != 404:
            raise
        return None


def _says(found: object, terms: object) -> bool:
    """Whether all that the terms name is as they have it; what they leave out may be anything."""
    if isinstance(found, dict) and isinstance(terms, dict):
        return all(_says(found.get(name), term) for name, term in terms.items())
    if isinstance(found, list) and isinstance(terms, list):
        return len(found) == len(terms) and all(map(_says, found, terms))
    return found == terms


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
