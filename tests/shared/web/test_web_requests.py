"""What every request leaves behind, and what every answer carries."""

import asyncio
import logging
from time import perf_counter
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from opentelemetry.trace import SpanKind
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crm_shared import tracing
from crm_shared.logs import JsonFormatter
from crm_shared.metrics import Metrics
from crm_shared.settings import ServiceSettings
from crm_shared.tracing import Tracer
from crm_shared.web.middleware import RequestMiddleware

NOTES = "/v1/notes"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_decent_request_id_is_kept_and_any_other_replaced(agent: httpx2.AsyncClient) -> None:
    kept = await agent.get(NOTES, headers={"x-request-id": "order-4711_a.b"})
    assert kept.headers["x-request-id"] == "order-4711_a.b"
    for bad in ("short", "has spaces in it", "a" * 129, 'quote"quote'):
        answer = await agent.get(NOTES, headers={"x-request-id": bad})
        assert answer.headers["x-request-id"] != bad


async def test_of_several_headers_of_one_name_the_first_counts_wherever_it_is_read(
    agent: httpx2.AsyncClient,
) -> None:
    note = (await agent.post(NOTES, json={"text": "a"})).json()
    path, key, etag = f"{NOTES}/{note['id']}", ("idempotency-key", "k"), '"1"'
    conditions = [("if-match", etag), ("if-match", '"9"')]
    changed = await agent.patch(path, json={"text": "b"}, headers=[key, *conditions])
    repeated = await agent.patch(path, json={"text": "b"}, headers=[key, conditions[0]])
    types = [("content-type", "text/plain"), ("content-type", "application/json")]
    refused = await agent.post(NOTES, content=b'{"text": "a"}', headers=types)
    ids = [("x-request-id", "the-first-one"), ("x-request-id", "another-one")]

    assert (changed.status_code, repeated.status_code) == (200, 200)
    assert repeated.headers["idempotency-replayed"] == "true"
    assert refused.status_code == 415
    assert (await agent.get(NOTES, headers=ids)).headers["x-request-id"] == "the-first-one"


async def test_answers_are_not_sniffed_stored_or_framed(agent: httpx2.AsyncClient) -> None:
    answer = await agent.get(NOTES)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


async def test_what_has_not_changed_is_not_sent_again(agent: httpx2.AsyncClient) -> None:
    note = (await agent.post(NOTES, json={"text": "a"})).json()
    path = f"{NOTES}/{note['id']}"
    etag = (await agent.get(path)).headers["etag"]
    same = await agent.get(path, headers={"if-none-match": f'W/{etag}, "9"'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    await agent.patch(path, json={"text": "b"}, headers={"if-match": etag})
    assert (await agent.get(path, headers={"if-none-match": etag})).json()["version"] == 2


async def test_a_request_is_logged_once_with_its_ids_and_its_template(
    agent: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "crm_shared.web")
    await agent.get(
        f"{NOTES}/by-name/secret", headers={"x-request-id": "a-request", "traceparent": TRACEPARENT}
    )
    (record,) = (record for record in caplog.records if record.getMessage() == "request answered")
    line = vars(record)
    assert (line["method"], line["route"], line["status"]) == ("GET", "/v1/notes/by-name/{name}", 200)
    assert line["principal"] == "alice"
    assert "secret" not in str(line["route"])


def test_a_line_carries_the_trace_and_what_was_given_beside_the_message() -> None:
    record = logging.makeLogRecord({"msg": "it happened", "levelname": "INFO", "points": 3, "name": "x"})
    token = tracing._current.set(tracing.parse(TRACEPARENT))
    try:
        line = JsonFormatter({"service": "notes"}).format(record)
    finally:
        tracing._current.reset(token)
    for part in (
        '"event":"it happened"',
        '"points":3',
        '"service":"notes"',
        "0af7651916cd43dd8448eb211c80319c",
    ):
        assert part in line


async def test_requests_are_counted_by_template_and_never_by_what_was_typed(
    app: FastAPI, agent: httpx2.AsyncClient
) -> None:
    await agent.get(f"{NOTES}/by-name/a")
    await agent.get(f"{NOTES}/by-name/b")
    await agent.get("/v1/nonsense")
    await agent.request("BREW", NOTES)
    text = app.state.metrics.render().decode()
    labels = 'method="GET",route="/v1/notes/by-name/{name}",status="200"'
    assert f"http_server_requests_total{{{labels}}} 2.0" in text
    assert 'http_server_requests_total{method="GET",route="unmatched",status="404"} 1.0' in text
    assert 'http_server_requests_total{method="OTHER",route="unmatched",status="405"} 1.0' in text
    assert "nonsense" not in text
    assert "BREW" not in text


def framed(settings: ServiceSettings, inner: Any, *, deadline: float = 0.05) -> RequestMiddleware:
    return RequestMiddleware(
        inner, settings=settings, metrics=Metrics("notes", "1"), tracer=Tracer(settings), deadline=deadline
    )


async def call(app: ASGIApp, **headers: str) -> httpx2.Response:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://notes") as client:
        return await client.get("/", headers=headers)


def test_spans_go_to_a_collector_and_one_that_is_gone_slows_nothing(
    web_settings: ServiceSettings, caplog: pytest.LogCaptureFixture
) -> None:
    tracer = Tracer(web_settings.model_copy(update={"otlp_endpoint": "http://127.0.0.1:1"}))
    began = perf_counter()
    for _ in range(1000):
        with tracer.continued(TRACEPARENT, "GET", SpanKind.SERVER, links=[TRACEPARENT]) as span:
            assert span is not None
            assert (tracing.current() or "").startswith(TRACEPARENT[:35])
            assert tracing.current() != TRACEPARENT
    assert perf_counter() - began < 5
    tracer.close()


async def test_an_answer_that_takes_too_long_is_a_problem_at_its_deadline(
    web_settings: ServiceSettings,
) -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(10)

    answer = await call(framed(web_settings, slow))
    assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")


async def test_a_fault_after_the_answer_began_breaks_it_off(web_settings: ServiceSettings) -> None:
    async def half(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        await call(framed(web_settings, half))


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (TRACEPARENT, True),
        (TRACEPARENT.replace("00-", "01-", 1) + "-more", True),
        (None, False),
        ("nonsense", False),
        ("00-" + "0" * 32 + "-b7ad6b7169203331-01", False),
        ("ff" + TRACEPARENT[2:], False),
        (TRACEPARENT + "-more", False),
    ],
)
async def test_a_trace_goes_on_and_a_broken_one_begins_anew(
    web_settings: ServiceSettings, sent: str | None, kept: bool
) -> None:
    seen: list[str | None] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(tracing.current())
        await send({"type": "http.response.start", "status": 204, "headers": []})
        message: Message = {"type": "http.response.body"}
        await send(message)

    await call(framed(web_settings, inner), **({"traceparent": sent} if sent else {}))
    trace = tracing.parse(seen[0])
    assert trace is not None
    assert (trace.trace_id == "0af7651916cd43dd8448eb211c80319c") is kept
    assert trace.span_id != "b7ad6b7169203331"
    assert tracing.current() is None
