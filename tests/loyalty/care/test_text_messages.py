"""Text messages leave through a real HTTP gateway, signed, each under a key of its own."""

import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from aiohttp import web
from tests.loyalty.care.conftest import Queue, state_of

from crm_loyalty.carriers import sending
from crm_loyalty.carriers.sms import SmsCarrier
from crm_loyalty.models.messages import MessageState
from crm_shared.database import Sessions
from crm_shared.testing import FrozenClock


@asynccontextmanager
async def gateway(status: list[int]) -> AsyncIterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A gateway of text messages that answers with these, one after the other."""
    seen: list[tuple[dict[str, str], bytes]] = []

    async def take(request: web.Request) -> web.Response:
        seen.append((dict(request.headers), await request.read()))
        return web.Response(status=status.pop(0))

    app = web.Application()
    app.router.add_post("/sms", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}/sms", seen
    finally:
        await runner.cleanup()


async def test_a_text_message_is_signed_and_tried_again_under_one_key(
    sessions: Sessions, clock: FrozenClock, queue: Queue
) -> None:
    message = await queue("sms", "+34600000000")
    async with gateway([503, 202]) as (url, seen):
        carrier = SmsCarrier(url, "a secret of the two of us")
        await sending.send(sessions, "sms", carrier, clock)
        assert await state_of(sessions, message) == (MessageState.QUEUED, "gateway_503")
        clock.advance(timedelta(minutes=1))
        await sending.send(sessions, "sms", carrier, clock)
    assert (await state_of(sessions, message))[0] is MessageState.SENT
    assert {headers["Idempotency-Key"] for headers, _ in seen} == {str(message.id)}
    for headers, body in seen:
        seconds, signed = (part.split("=")[1] for part in headers["X-Signature"].split(","))
        expected = hmac.digest(b"a secret of the two of us", f"{seconds}.".encode() + body, "sha256")
        assert signed == expected.hex()
    assert b'"to":"+34600000000"' in seen[0][1]


async def test_a_number_that_the_gateway_refuses_is_not_tried_again(
    sessions: Sessions, clock: FrozenClock, queue: Queue
) -> None:
    message = await queue("sms", "+1")
    async with gateway([400]) as (url, _):
        await sending.send(sessions, "sms", SmsCarrier(url, "secret"), clock)
    assert await state_of(sessions, message) == (MessageState.FAILED, "gateway_400")
