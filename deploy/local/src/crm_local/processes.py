"""Keeps processes running: started, awaited until ready, started again when they die, ended in order."""

import asyncio
import contextlib
import http.client
import json
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path

from crm_local.leash import guard, leashed, release
from crm_local.ports import HOST

SILENT = "does not listen yet"

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
_STEADY_AFTER = 30.0
_DEATHS_AT_START = 3
_GRACE = 15.0
_PROBE_EVERY = 0.1
_TAIL_LINES = 15


class Stage(IntEnum):
    """What stands on what: higher stages are ended first."""

    DATABASE = 0
    BROKER = 1
    WORKER = 2
    API = 3
    GATEWAY = 4


class State(StrEnum):
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Program:
    """What to run, and how to tell that it is ready: `missing` says what it waits for, None when nothing."""

    name: str
    command: Callable[[], Sequence[str]]
    missing: Callable[[], str | None]
    stage: Stage
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    health: str | None = None
    """The address of its health and metrics, if it has one."""


@dataclass
class Running:
    """A program under supervision, as it is now."""

    program: Program
    log: Path
    state: State = State.STARTING
    why: str = "not started yet"
    pid: int | None = None
    restarts: int = 0
    deaths_before_ready: int = 0
    alive: asyncio.Event = field(default_factory=asyncio.Event)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class NotReady(Exception):
    """Something did not come up; the text names it and shows its last log lines."""


class Supervisor:
    """Runs programs; calls `changed` after each change of state, `tell` for what is worth a line."""

    def __init__(
        self,
        logs: Path,
        *,
        tell: Callable[[str], None] = lambda _: None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.running: dict[str, Running] = {}
        self._logs = logs
        self._tell = tell
        self._changed = changed

    async def start(self, *waves: Iterable[Program], within: float = 90) -> None:
        """Start the programs and wait until every one is ready; NotReady tells of the first that is not.

        A wave begins when all of the one before have given a sign of life: while these wait for others, as
        for a group to be joined, the processors are free for the next.
        """
        started: list[Running] = []
        try:
            async with asyncio.timeout(within):
                for wave in waves:
                    begun = [self._add(program) for program in wave]
                    started += begun
                    await asyncio.gather(*(_reached(running, running.alive) for running in begun))
                await asyncio.gather(*(_reached(running, running.ready) for running in started))
        except TimeoutError:
            late = next(running for running in started if not running.ready.is_set())
            raise NotReady(_report(late, f"is not ready after {within:.0f} s: {late.why}")) from None

    async def stop(self) -> None:
        """End all, stage by stage from the highest; who does not end in time is killed."""
        for stage in sorted(Stage, reverse=True):
            of_stage = [running for running in self.running.values() if running.program.stage is stage]
            await asyncio.gather(*(self._end(running) for running in of_stage))

    def _add(self, program: Program) -> Running:
        log = self._logs / f"{program.name}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        running = self.running[program.name] = Running(program, log)
        running.task = asyncio.create_task(self._keep(running), name=program.name)
        return running

    async def _keep(self, running: Running) -> None:
        """Start the program again and again, more slowly when it keeps dying, until it is told to stop."""
        pause = _FIRST_PAUSE
        while True:
            began = time.monotonic()
            code = await self._run(running)
            if running.state is State.STOPPING:
                return
            if not running.ready.is_set():
                running.deaths_before_ready += 1
                if running.deaths_before_ready == _DEATHS_AT_START:
                    raise NotReady(_report(running, f"cannot start: it {_ending(code)}"))
            if time.monotonic() - began > _STEADY_AFTER:
                pause = _FIRST_PAUSE
            self._set(running, State.RESTARTING, f"it {_ending(code)}")
            self._tell(f"{running.program.name} {_ending(code)}; starting it again")
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            running.restarts += 1

    async def _run(self, running: Running) -> int:
        """Run the program once, from its start to its end, and say how it ended."""
        program = running.program
        with running.log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *program.command(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **program.environment},
                start_new_session=True,
            )
        running.pid = process.pid
        self._set(running, State.STARTING, "just started")
        watch = guard(process.pid, program.stop_signal)
        probing = asyncio.create_task(self._probe(running))
        try:
            return await process.wait()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        finally:
            probing.cancel()
            release(watch)
            running.pid = None

    async def _probe(self, running: Running) -> None:
        while why := await asyncio.to_thread(running.program.missing):
            if why != SILENT:
                running.alive.set()
            if why != running.why:
                self._set(running, running.state, why)
            await asyncio.sleep(_PROBE_EVERY)
        if running.state is not State.STARTING:
            return
        running.alive.set()
        self._set(running, State.READY, "")
        if running.ready.is_set():
            self._tell(f"{running.program.name} is ready again")
        running.ready.set()

    async def _end(self, running: Running) -> None:
        assert running.task is not None
        self._set(running, State.STOPPING, "")
        if running.pid is None:
            running.task.cancel()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(running.pid, running.program.stop_signal)
        await asyncio.wait({running.task}, timeout=_GRACE)
        if running.task.cancel():
            self._tell(f"{running.program.name} did not end within {_GRACE:.0f} s: killed")
        with contextlib.suppress(asyncio.CancelledError, NotReady):
            await running.task
        self._set(running, State.STOPPED, "")

    def _set(self, running: Running, state: State, why: str) -> None:
        if running.state is State.STOPPING and state is not State.STOPPED:
            return
        running.state, running.why = state, why
        self._changed()


async def _reached(running: Running, event: asyncio.Event) -> None:
    """Wait for the event, or for the end of the attempts to reach it, which is a NotReady."""
    assert running.task is not None
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({waiting, running.task}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    if not event.is_set():
        await running.task


def answers(port: int) -> Callable[[], str | None]:
    """A `missing` for a process with health endpoints: what its `/readyz` says."""

    def missing() -> str | None:
        connection = http.client.HTTPConnection(HOST, port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            response = connection.getresponse()
            return None if response.status == 200 else _reason(response.read())
        except ConnectionRefusedError:
            return SILENT
        except (OSError, http.client.HTTPException) as error:
            return f"does not answer: {error!r}"
        finally:
            connection.close()

    return missing


async def run_once(name: str, command: Sequence[str], environment: Mapping[str, str], logs: Path) -> None:
    """Run a command to its end; NotReady shows its last lines if it failed."""
    log = logs / f"{name}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *leashed(command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    watch = guard(process.pid)
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    finally:
        release(watch)
    if code:
        raise NotReady(f"{name} {_ending(code)}.{tail(log)}")


def tail(log: Path) -> str:
    """The last lines of a log, indented, with where to read the rest."""
    with contextlib.suppress(FileNotFoundError), log.open(errors="replace") as lines:
        last = deque((line.rstrip() for line in lines), maxlen=_TAIL_LINES)
        if last:
            return "\n".join([f" The last lines of {log}:", *(f"    {line}" for line in last)])
    return f" Its log {log} is empty."


def _reason(body: bytes) -> str:
    """What a process says it is missing, on one line."""
    try:
        missing: dict[str, str] = json.loads(body)["missing"]
    except (ValueError, KeyError, TypeError):
        return "is not ready"
    return ", ".join(f"{name}: {what}" for name, what in missing.items())


def _report(running: Running, what: str) -> str:
    return f"{running.program.name} {what}.{tail(running.log)}"


def _ending(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
