"""The internal port tells the truth about the process, also while it goes down."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from crm_shared.health import Check, Health, NotReady
from crm_shared.metrics import Metrics
from crm_shared.settings import ServiceSettings
from crm_shared.testing import Signer


async def well() -> None: ...


async def ill() -> None:
    raise NotReady("it is Monday")


async def broken() -> None:
    raise ConnectionRefusedError("host and port that nobody should see")


async def silent() -> None:
    await asyncio.sleep(30)


def health(
    settings: ServiceSettings, ready: Mapping[str, Check], alive: Mapping[str, Check] | None = None
) -> Health:
    return Health(settings, Metrics("notes", "1"), ready=ready, alive=alive)


@pytest.mark.parametrize(
    ("check", "said"),
    [(ill, "it is Monday"), (broken, "ConnectionRefusedError"), (silent, "no answer within 1 s")],
)
async def test_readiness_names_what_is_missing(web_settings: ServiceSettings, check: Any, said: str) -> None:
    status, _, body = await health(web_settings, {"a": well, "b": check}).answer("/readyz")
    assert status == 503
    assert json.loads(body) == {"status": "not ready", "missing": {"b": said}}


async def test_verbose_tells_of_every_check(web_settings: ServiceSettings) -> None:
    status, _, body = await health(web_settings, {"a": well, "b": well}).answer("/readyz?verbose")
    assert status == 200
    assert json.loads(body)["checks"] == {"a": "ok", "b": "ok"}


async def test_a_process_that_is_not_ready_is_alive_all_the_same(web_settings: ServiceSettings) -> None:
    assert (await health(web_settings, {"a": ill}).answer("/livez"))[0] == 200
    assert (await health(web_settings, {}, {"consumer": ill}).answer("/livez"))[0] == 503


async def test_who_is_stopping_is_not_ready(web_settings: ServiceSettings) -> None:
    stopping = health(web_settings, {"a": well})
    stopping.stop()
    status, _, body = await stopping.answer("/readyz")
    assert (status, json.loads(body)["missing"]) == (503, {"process": "shutting down"})
    assert (await stopping.answer("/livez"))[0] == 200


@asynccontextmanager
async def opened(settings: ServiceSettings, port: int) -> AsyncIterator[Health]:
    served = health(settings.model_copy(update={"internal_port": port}), {"a": well})
    async with served.serving():
        yield served


async def ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


async def test_it_answers_probes_and_scrapes_and_survives_nonsense(
    web_settings: ServiceSettings, unused_tcp_port: int
) -> None:
    async with opened(web_settings, unused_tcp_port):
        for nonsense in (b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01 x y\r\n\r\n"):
            await ask(unused_tcp_port, nonsense)
        answer = await ask(unused_tcp_port, b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["service"] == "notes"
        metrics = await ask(unused_tcp_port, b"GET /metrics HTTP/1.1\r\n\r\n")
        assert b'crm_build_info{release="1",service="notes"} 1.0' in metrics
        head = await ask(unused_tcp_port, b"HEAD /livez HTTP/1.1\r\n\r\n")
        assert head.split(b"\r\n\r\n", 1)[1] == b""
        missing = await ask(unused_tcp_port, b"GET /etc/passwd HTTP/1.1\r\n\r\n")
        assert missing.startswith(b"HTTP/1.1 404 ")


MODELS = """
from sqlalchemy.orm import DeclarativeBase
from crm_shared.database import new_metadata

class Base(DeclarativeBase):
    metadata = new_metadata()
"""
APP = """
import asyncio
from crm_shared.settings import ServiceSettings
from crm_shared.web.app import service_app
from crm_shared.web.router import Router
from crm_shared.web.session import public

router = Router()

@router.get("/v1/slow", dependencies=[public()])
async def wait_a_moment() -> int:
    await asyncio.sleep(1)
    return 1

def create_app():
    return service_app(ServiceSettings(), router)
"""


def write_package(folder: Path) -> None:
    """A service in miniature, without any migrations yet."""
    versions = folder / "crm_notes" / "migrations" / "versions"
    versions.mkdir(parents=True)
    for package in (versions, versions.parent, versions.parent.parent):
        (package / "__init__.py").touch()
    (folder / "crm_notes" / "models.py").write_text(MODELS)
    (folder / "crm_notes" / "app.py").write_text(APP)


async def status_of(port: int, path: str) -> int:
    answer = await ask(port, f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    return int(answer.split(b" ", 2)[1])


async def wait_until_up(port: int, path: str) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                if await status_of(port, path) == 200:
                    return
            except OSError:
                pass
            await asyncio.sleep(0.05)


async def test_sigterm_makes_it_not_ready_at_once_while_it_finishes_what_it_has(
    web_settings: ServiceSettings,
    web_signer: Signer,
    unused_tcp_port_factory: Callable[[], int],
    tmp_path: Path,
) -> None:
    write_package(tmp_path)
    port, internal = unused_tcp_port_factory(), unused_tcp_port_factory()
    environment = {
        **os.environ,
        "SERVICE": "notes",
        "DATABASE_URL": str(web_settings.database_url),
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "INTERNAL_PUBLIC_KEY": web_signer.public_key,
        "CURSOR_SECRET": "x" * 32,
        "INTERNAL_PORT": str(internal),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", "--factory", "crm_notes.app:create_app", "--port", str(port)),
        cwd=tmp_path,
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        await wait_until_up(internal, "/readyz")
        slow = asyncio.create_task(status_of(port, "/v1/slow"))
        await asyncio.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        assert await status_of(internal, "/readyz") == 503
        assert await slow == 200
        assert process.stderr is not None
        lines = (await asyncio.wait_for(process.stderr.read(), 20)).splitlines()
        assert await process.wait() in (0, -signal.SIGTERM)
    finally:
        if process.returncode is None:
            process.kill()
    logged = [json.loads(line) for line in lines]
    assert {line["service"] for line in logged} == {"notes"}
    assert [line["route"] for line in logged if line["event"] == "request answered"] == ["/v1/slow"]
