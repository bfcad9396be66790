"""The system under measurement: database, APIs and gateway as the runner starts them, nothing else busy."""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import Request, urlopen
from uuid import UUID

import psutil
from tests.bench.data import seed

from crm_local import tokens
from crm_local.home import Secrets
from crm_local.kafka import CLIENT_SETTINGS
from crm_local.leash import leashed
from crm_local.migrating import migrate
from crm_local.ports import DEFAULTS, HOST, free_block, free_port
from crm_local.postgres import Postgres
from crm_local.processes import Program, Supervisor
from crm_local.programs import Plan
from crm_local.provisioning import provision
from crm_shared.callers import Caller, Role, Scope, import_key, mint

_NO_BROKER = f"{HOST}:1"
"""APIs need none; without workers nothing runs beside what is measured."""


@dataclass(frozen=True)
class Stage:
    """A durable PostgreSQL with every service's migrated database, and what to start beside it."""

    folder: Path
    plan: Plan
    postgres: Postgres
    supervisor: Supervisor

    def process(self, name: str) -> psutil.Process:
        return psutil.Process(self.supervisor.running[name].pid)

    def internal_token(self) -> str:
        """As the gateway makes them: good for a minute, so one for each cell."""
        caller = Caller("bench", frozenset({Role.AGENT}), frozenset({Scope.PII_READ}))
        return mint(caller, import_key(json.dumps(self.plan.secrets.internal_key)), at=datetime.now(UTC))

    def token(self) -> str:
        return tokens.mint(self.plan.secrets.issuer_key, Role.AGENT, at=datetime.now(UTC))

    async def seed(self, service: str, customers: int, name: str | None = None) -> None:
        """Fill the service's database, and have it all written before anything is measured."""
        await seed(self.plan.databases[service].owner_url, name or service, customers)
        await asyncio.to_thread(self.postgres.psql, "CHECKPOINT")

    async def summary(self, service: str, customer: UUID) -> str:
        """What a service says of a customer at a glance."""
        url = f"http://{HOST}:{self.plan.ports[service]}/v1/customers/{customer}/summary/{service}"
        asked = Request(url, headers={"Authorization": f"Bearer {self.internal_token()}"})
        with await asyncio.to_thread(urlopen, asked, timeout=10) as answer:
            return str(answer.read().decode())

    def gateway(self, name: str, port: int, upstreams: dict[str, str]) -> Program:
        """Another gateway, in front of other services."""
        ports = {**self.plan.ports, "gateway": port, "gateway-internal": free_port()}
        [program] = [each for each in replace(self.plan, ports=ports).apis() if each.name == "gateway"]
        return replace(
            unlimited(program),
            name=name,
            environment={**unlimited(program).environment, "UPSTREAMS": json.dumps(upstreams)},
        )

    def port(self, process: str) -> int:
        return self.plan.ports[process.removesuffix("-api")]

    async def start_apis(self, *names: str) -> None:
        await self.start(unlimited(each) for each in self.plan.apis() if each.name in names)

    def worker(self, service: str, module: str, environment: Mapping[str, str]) -> Program:
        """The service's worker, with all it is told, but running another module."""
        [program] = [each for each in self.plan.workers() if each.name == f"{service}-worker"]
        return replace(
            program,
            command=self.python(module),
            environment={**program.environment, **environment},
        )

    def environment(self, worker: str) -> dict[str, str]:
        """What the worker is told, as its settings read it."""
        [program] = [each for each in self.plan.workers() if each.name == worker]
        return {name.lower(): value for name, value in program.environment.items()}

    def python(self, module: str) -> Callable[[], Sequence[str]]:
        command = leashed([sys.executable, "-m", module])
        return lambda: command

    async def start(self, programs: Iterable[Program]) -> None:
        await self.supervisor.start(list(programs))


@asynccontextmanager
async def stage(
    bootstrap_servers: str = _NO_BROKER, kafka_settings: Mapping[str, str] = CLIENT_SETTINGS
) -> AsyncIterator[Stage]:
    """A stage in a folder that goes with it; whatever is started on it ends with it."""
    with tempfile.TemporaryDirectory(prefix="crm-bench-") as folder:
        base = free_block()
        ports = {name: base + offset for offset, name in enumerate(DEFAULTS)}
        postgres = Postgres(Path(folder, "postgres"), ports["postgres"])
        supervisor = Supervisor(Path(folder))
        postgres.start()
        try:
            kept = Secrets.fresh()
            databases = await provision(postgres.url(), passwords=kept.passwords)
            plan = Plan(ports, kept, databases, bootstrap_servers, kafka_settings)
            await migrate(plan, Path(folder), None)
            yield Stage(Path(folder), plan, postgres, supervisor)
        finally:
            await asyncio.shield(supervisor.stop())
            postgres.stop()


def unlimited(program: Program) -> Program:
    """The gateway without the limits that a benchmark, one caller, would reach at once."""
    limits = {"RATE_LIMIT_REQUESTS": "1000000000", "CALLER_CONCURRENCY": "1000000"}
    return replace(program, environment={**program.environment, **limits})
