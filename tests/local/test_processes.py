"""The supervisor: what dies comes back, what does not come up is named, what is stopped is gone."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from crm_local.leash import leashed
from crm_local.ports import free_port
from crm_local.processes import NotReady, Program, Stage, State, Supervisor, answers, run_once

_SERVER = """
import http.server, pathlib, signal, sys

port, status, ended = int(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])

class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b'{"status": "not ready", "missing": {"broker": "not connected"}}')

    def log_message(self, *_):
        pass

def end(*_):
    with ended.open("a") as file:
        file.write(f"{port}\\n")
    sys.exit()

signal.signal(signal.SIGTERM, end)
print("listening on", port, flush=True)
http.server.HTTPServer(("127.0.0.1", port), Health).serve_forever()
"""


class Dummies:
    """Programs with a health endpoint that do nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ended = folder / "ended"
        self.ports: dict[str, int] = {}

    def program(self, name: str, stage: Stage = Stage.API, status: int = 200) -> Program:
        port = self.ports[name] = free_port()
        arguments = [str(port), str(status), str(self.ended)]
        command = leashed([sys.executable, "-S", "-c", _SERVER, *arguments])
        return Program(name, lambda: command, answers(port), stage)


@pytest.fixture
def dummies(tmp_path: Path) -> Dummies:
    return Dummies(tmp_path)


@pytest.fixture
def lines() -> list[str]:
    """What the supervisor had to tell."""
    return []


@pytest.fixture
async def supervisor(tmp_path: Path, lines: list[str]) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(tmp_path, tell=lines.append)
    yield supervisor
    await supervisor.stop()


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  (what is awaited is another process)
            await asyncio.sleep(0.01)


async def test_a_killed_process_is_started_again_and_that_is_told(
    supervisor: Supervisor, dummies: Dummies, lines: list[str]
) -> None:
    await supervisor.start([dummies.program("loyalty-worker")])
    running = supervisor.running["loyalty-worker"]
    assert running.pid is not None

    os.kill(running.pid, signal.SIGKILL)
    await _until(lambda: running.state is not State.READY)
    await _until(lambda: running.state is State.READY)

    assert running.restarts == 1
    assert lines == [
        "loyalty-worker was ended by SIGKILL; starting it again",
        "loyalty-worker is ready again",
    ]


async def test_who_is_not_ready_is_named_with_the_reason_and_the_last_log_lines(
    supervisor: Supervisor, dummies: Dummies
) -> None:
    programs = [dummies.program("tickets-api"), dummies.program("loyalty-api", status=503)]

    with pytest.raises(NotReady) as failure:
        await supervisor.start(programs, within=2)

    assert "loyalty-api is not ready after 2 s: broker: not connected" in str(failure.value)
    assert f"listening on {dummies.ports['loyalty-api']}" in str(failure.value)


async def test_a_process_that_cannot_start_is_given_up_with_its_last_words(supervisor: Supervisor) -> None:
    command = ["sh", "-c", "echo no such setting: COLOUR; exit 3"]
    program = Program("profiles-api", lambda: command, lambda: "does not listen yet", Stage.API)

    with pytest.raises(NotReady, match=r"(?s)profiles-api cannot start: it ended with exit code 3.*COLOUR"):
        await supervisor.start([program])


async def test_stopping_ends_the_gateway_first_and_the_workers_last(tmp_path: Path, dummies: Dummies) -> None:
    supervisor = Supervisor(tmp_path)
    stages = [Stage.WORKER, Stage.GATEWAY, Stage.API]
    await supervisor.start([dummies.program(stage.name, stage) for stage in stages])
    pids = [running.pid for running in supervisor.running.values()]

    await supervisor.stop()

    ended = [int(port) for port in dummies.ended.read_text().split()]
    assert ended == [dummies.ports[name] for name in ("GATEWAY", "API", "WORKER")]
    assert not any(_exists(pid) for pid in pids if pid)
    assert {running.state for running in supervisor.running.values()} == {State.STOPPED}


async def test_stopping_while_something_still_starts_leaves_nothing(tmp_path: Path, dummies: Dummies) -> None:
    supervisor = Supervisor(tmp_path)
    starting = asyncio.create_task(supervisor.start([dummies.program("late", status=503)]))
    await _until(lambda: "late" in supervisor.running and supervisor.running["late"].pid is not None)
    pid = supervisor.running["late"].pid

    starting.cancel()
    await supervisor.stop()

    assert pid is not None
    assert not _exists(pid)


async def test_the_log_of_the_run_before_is_kept_beside_the_new_one(tmp_path: Path, dummies: Dummies) -> None:
    (tmp_path / "api.log").write_text("long ago\n")
    supervisor = Supervisor(tmp_path)

    await supervisor.start([dummies.program("api")])
    await supervisor.stop()

    assert (tmp_path / "api.log").read_text() == f"listening on {dummies.ports['api']}\n"
    assert (tmp_path / "api.log.1").read_text() == "long ago\n"


async def test_a_migration_that_fails_shows_its_last_lines(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match=r"(?s)loyalty-migrate ended with exit code 1.*no such table"):
        await run_once("loyalty-migrate", ["sh", "-c", "echo no such table; exit 1"], {}, tmp_path)


@pytest.mark.parametrize("path", ["", "without setpriv"])
def test_processes_end_with_a_runner_that_is_killed(
    tmp_path: Path, outlived_by_none: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    if path:
        for name in ("sh", "sleep"):
            (tmp_path / name).symlink_to(f"/bin/{name}")
        monkeypatch.setenv("PATH", str(tmp_path))
    outlived_by_none(f"""
import asyncio
from crm_local.leash import leashed
from crm_local.processes import Program, Stage, Supervisor

async def main():
    supervisor = Supervisor(Path({str(tmp_path)!r}))
    names = ("a", "b")
    command = leashed(["sleep", "60"])
    await supervisor.start([Program(name, lambda: command, lambda: None, Stage.API) for name in names])
    print(*(supervisor.running[name].pid for name in names), flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
""")
