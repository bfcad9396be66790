"""Asking again while a service has no room for the request, as any client does."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx2


async def patiently(send: Callable[[], Awaitable[httpx2.Response]]) -> httpx2.Response:
    """The first answer that is not 503."""
    while True:
        answer = await send()
        if answer.status_code != 503:
            return answer
        await asyncio.sleep(0.05)
