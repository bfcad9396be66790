"""The worker of a service: sends its events, handles the others', does what is due and what takes long."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from types import MappingProxyType
from typing import Any

import uvloop

from crm_shared import logs
from crm_shared.clock import Clock, SystemClock
from crm_shared.contracts.base import Event
from crm_shared.contracts.catalogue import published_by
from crm_shared.database import Sessions, create_engine, create_sessions, in_words, unavailable
from crm_shared.due import DueWork
from crm_shared.due import run as run_due
from crm_shared.health import Check, Health, NotReady, database_answers, migrations_at_head
from crm_shared.jobs import Jobs
from crm_shared.jobs import run as run_job
from crm_shared.memory import collect_seldom
from crm_shared.messaging import housekeeping
from crm_shared.messaging.consumer import Consumer
from crm_shared.messaging.handling import Handling
from crm_shared.messaging.housekeeping import Figure
from crm_shared.messaging.relay import Relay
from crm_shared.messaging.tasks import Backoff
from crm_shared.metrics import Metrics
from crm_shared.settings import ServiceSettings
from crm_shared.subscriptions import Subscriptions
from crm_shared.tracing import Tracer

log = logging.getLogger(__name__)

_DUE_EVERY = 0.5
_JOBS_EVERY = 1.0
_TURNS_EVERY = 0.5
_REDRIVE_EVERY = 1.0
_MEASURE_EVERY = 5.0
_CLEAN_EVERY = 3600.0
_SCHEMA_EVERY = 0.5
_UNEVENTFUL = 30.0

Loop = Callable[[], Awaitable[None]]
Turn = Callable[[Sessions, Clock], Awaitable[bool]]
"""Repeated work of a service's own, such as sending what is queued; whether there was something to do."""


def run(
    settings: ServiceSettings,
    *,
    subscriptions: Subscriptions | None = None,
    due: DueWork | None = None,
    jobs: Jobs | None = None,
    figures: Sequence[Figure] = (),
    turns: Mapping[str, Turn] = MappingProxyType({}),
) -> None:
    """Be the worker until SIGTERM or SIGINT; a second signal does not wait for what is running."""
    logs.configure(settings)
    collect_seldom()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(
            _until_told(
                serve(settings, subscriptions=subscriptions, due=due, jobs=jobs, figures=figures, turns=turns)
            )
        )


async def _until_told(serving: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(serving)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task


async def serve(
    settings: ServiceSettings,
    *,
    subscriptions: Subscriptions | None = None,
    due: DueWork | None = None,
    jobs: Jobs | None = None,
    figures: Sequence[Figure] = (),
    turns: Mapping[str, Turn] = MappingProxyType({}),
    clock: Clock | None = None,
) -> None:
    """Be the worker until cancelled; then the running batch is finished and the group left.

    It sends what the catalogue says that this service publishes, and handles what `subscriptions` listen to.
    A database that restarts or a broker that vanishes never ends it.
    """
    worker = _Worker(settings, clock or SystemClock())
    if events := published_by(settings.service):
        worker.send(events)
    if subscriptions is not None and subscriptions.topics:
        worker.listen(subscriptions)
    if due is not None and due.kinds:
        worker.do_due(due)
    if jobs is not None and jobs.kinds:
        worker.do_jobs(jobs)
    for name, turn in turns.items():
        worker.repeat(name, turn)
    worker.keep_house(figures)
    await worker.run()


class _Worker:
    """The loops of one process and what they share."""

    def __init__(self, settings: ServiceSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._metrics = Metrics(settings.service, settings.release)
        self._tracer = Tracer(settings)
        self._engine = create_engine(settings)
        # Readiness has a connection of its own: a busy pool is not a database that is gone.
        self._probe = create_engine(settings.model_copy(update={"pool_size": 1}))
        self._sessions = create_sessions(self._engine)
        self._loops: dict[str, Loop] = {}
        self._schema = migrations_at_head(self._probe, f"crm_{settings.service}")
        self._ready: dict[str, Check] = {
            "database": database_answers(self._probe),
            "migrations": self._schema,
        }
        self._alive: dict[str, Check] = {}

    def send(self, events: Collection[type[Event]]) -> None:
        relay = Relay(self._settings, events, self._clock, self._metrics)
        self._loops["relay"] = relay.run
        self._ready["relay"] = _untroubled(lambda: relay.trouble)

    def listen(self, subscriptions: Subscriptions) -> None:
        handling = Handling(
            self._settings.service, subscriptions, self._sessions, self._clock, self._metrics, self._tracer
        )
        consumer = Consumer(self._settings, subscriptions.topics, handling, self._metrics)
        self._loops["consumer"] = consumer.run
        self._loops["redrive"] = _repeated(handling.redrive, _REDRIVE_EVERY)
        self._ready["consumer"] = _untroubled(lambda: consumer.trouble)
        self._alive["consumer"] = _untroubled(
            lambda: None if consumer.alive else "new clients make no progress either"
        )

    def do_due(self, work: DueWork) -> None:
        async def turn() -> bool:
            return await run_due(self._sessions, work, self._clock) > 0

        self._loops["due work"] = _repeated(turn, _DUE_EVERY)

    def do_jobs(self, jobs: Jobs) -> None:
        async def turn() -> bool:
            return await run_job(self._sessions, jobs, self._clock)

        self._loops["jobs"] = _repeated(turn, _JOBS_EVERY)

    def repeat(self, name: str, turn: Turn) -> None:
        self._loops[name] = _repeated(lambda: turn(self._sessions, self._clock), _TURNS_EVERY)

    def keep_house(self, figures: Sequence[Figure]) -> None:
        values = dict.fromkeys((figure.name for figure in figures), 0.0)
        for figure in figures:
            self._metrics.gauge(figure.name, figure.help, partial(values.__getitem__, figure.name))

        async def clean() -> bool:
            await housekeeping.delete_old(self._sessions, self._settings, at=self._clock.now())
            return False

        async def measure() -> bool:
            await housekeeping.measure(self._sessions, self._metrics, self._clock)
            values.update(await housekeeping.read(self._sessions, figures, at=self._clock.now()))
            return False

        self._loops["housekeeping"] = _repeated(clean, _CLEAN_EVERY)
        self._loops["figures"] = _repeated(measure, _MEASURE_EVERY)

    async def run(self) -> None:
        self._metrics.watch_pools(self._engine)
        health = Health(self._settings, self._metrics, ready=self._ready, alive=self._alive)
        async with AsyncExitStack() as stack:
            stack.callback(self._tracer.close)
            stack.push_async_callback(self._engine.dispose)
            stack.push_async_callback(self._probe.dispose)
            await stack.enter_async_context(health.serving())
            await _until(self._schema)
            log.info("worker runs", extra={"loops": sorted(self._loops)})
            async with asyncio.TaskGroup() as tasks:
                for name, loop in self._loops.items():
                    tasks.create_task(_for_ever(name, loop), name=name)


def _repeated(turn: Callable[[], Awaitable[bool]], every: float) -> Loop:
    """Turn after turn: at once while there was something to do, after a pause when there was not."""

    async def loop() -> None:
        while True:
            if not await turn():
                await asyncio.sleep(every)

    return loop


async def _for_ever(name: str, loop: Loop) -> None:
    """Start the loop again whatever ends it: trouble of the database, or a fault of ours."""
    clock = asyncio.get_running_loop()
    backoff = Backoff(0.5, 5.0)
    while True:
        started = clock.time()
        try:
            await loop()
        except Exception as error:
            if clock.time() - started > _UNEVENTFUL:
                backoff.reset()
            pause = backoff.next()
            waits = {"loop": name, "seconds": round(pause, 2)}
            if unavailable(error):
                log.warning("loop waits for the database", extra=waits | {"error": in_words(error)})
            else:
                log.error("loop failed and starts again", extra=waits, exc_info=error)
            await asyncio.sleep(pause)


async def _until(check: Check) -> None:
    """Wait until the check passes; before that /readyz says what is missing."""
    while True:
        (failure,) = await asyncio.gather(check(), return_exceptions=True)
        if failure is None:
            return
        await asyncio.sleep(_SCHEMA_EVERY)


def _untroubled(trouble: Callable[[], str | None]) -> Check:
    async def check() -> None:
        if text := trouble():
            raise NotReady(text)

    return check
