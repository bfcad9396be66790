"""`up`: the whole system, from nothing to ready, and kept running until it is told to stop."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import asyncpg

from crm_local import kafka, ports
from crm_local.display import Display
from crm_local.home import AlreadyRunning, Home
from crm_local.kafka import Kafka, KafkaFailed
from crm_local.migrating import migrate
from crm_local.ports import HOST, PortRefused
from crm_local.postgres import Postgres, PostgresFailed
from crm_local.processes import NotReady, State, Supervisor
from crm_local.programs import Plan, broker_program, database_program
from crm_local.provisioning import Databases, provision
from crm_local.tokens import mint
from crm_shared.callers import Role

# How long what a killed run left behind may need to let go of its ports.
_LEFTOVERS = 10.0


def main(arguments: Sequence[str]) -> int:
    """Run until Ctrl-C; 1 when it could not start."""
    argparse.ArgumentParser(prog="python -m crm_local up").parse_args(arguments)
    home = Home()
    try:
        with home.held() as killed:
            return asyncio.run(Up(home, killed).run())
    except AlreadyRunning as running:
        known = home.description() or {}
        where = f", gateway at {known['address']}" if "address" in known else ""
        print(f"Already running: process {running.pid or 'unknown'}{where}.", file=sys.stderr)
        print("`make status` shows it, `make down` stops it.", file=sys.stderr)
        return 1


class Up:
    """One run of the system in the folder that the caller holds."""

    def __init__(self, home: Home, killed: int | None, environment: Mapping[str, str] = os.environ) -> None:
        self._home = home
        self._killed = killed
        self._environment = environment
        self._display = Display()
        self._supervisor = Supervisor(home.logs, tell=self._display.tell, changed=self._changed)
        self._facts: dict[str, object] = {}

    async def run(self) -> int:
        """Bring everything up, keep it, and take it down again whatever happened."""
        code = 0
        task = asyncio.current_task()
        assert task is not None
        _on_signals(task.cancel)
        try:
            await self._bring_up()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self._display.end()
            self._display.tell("stopping")
        except (NotReady, PortRefused, PostgresFailed, KafkaFailed) as failure:
            self._display.end()
            print(f"\n{failure}", file=sys.stderr)
            code = 1
        finally:
            await self._take_down()
        return code

    async def _bring_up(self) -> None:
        display = self._display
        if self._killed:
            display.tell(f"the last run (process {self._killed}) was killed: its data are taken over")
        addresses = ports.chosen(self._environment)
        await self._ports_are_free(addresses)
        display.begin()
        kept = self._home.secrets()
        server, bootstrap_servers, settings = await self._stores(addresses)
        display.step("making databases and roles")
        try:
            databases = await provision(server, passwords=kept.passwords)
        except (OSError, asyncpg.PostgresError) as error:
            raise NotReady(f"The database server cannot be used: {error}") from error
        display.step("migrating")
        plan = Plan(addresses, kept, databases, bootstrap_servers, settings)
        ours = "postgres" in self._supervisor.running
        await migrate(plan, self._home.logs, self._home.postgres / "migrated.json" if ours else None)
        address = f"http://{HOST}:{addresses['gateway']}"
        now = datetime.now(UTC)
        tokens = {str(role): mint(kept.issuer_key, role, at=now) for role in Role}
        self._home.keep_tokens(tokens)
        self._facts = _facts(address, addresses, tokens, server, databases, bootstrap_servers)
        display.step("starting services")
        await self._supervisor.start(plan.workers(), plan.apis())
        display.end()
        self._facts["state"] = "running"
        self._changed()
        display.welcome(address, tokens, self._home.folder)

    async def _ports_are_free(self, addresses: Mapping[str, int]) -> None:
        needed = dict(addresses)
        if self._environment.get("DATABASE_URL"):
            del needed["postgres"]
        if self._environment.get("KAFKA_BOOTSTRAP_SERVERS"):
            del needed["kafka"]
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (_LEFTOVERS if self._killed else 0)
        while taken := ports.taken(needed):
            if loop.time() > deadline:
                raise ports.refusal(*next(iter(taken.items())))
            await asyncio.sleep(0.1)

    async def _stores(self, addresses: Mapping[str, int]) -> tuple[str, str, dict[str, str]]:
        """Start the embedded database and broker unless others are given: addresses, the broker's limits."""
        given, brokers = (self._environment.get(name) for name in ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS"))
        postgres = Postgres(self._home.postgres, addresses["postgres"])
        broker = Kafka(addresses["kafka"])
        programs = []
        if not given:
            postgres.prepare()
            programs.append(database_program(postgres))
        if not brokers:
            programs.append(broker_program(broker))
        await self._supervisor.start(programs, within=30)
        limits = {} if brokers else dict(kafka.CLIENT_SETTINGS)
        return given or postgres.url(), brokers or broker.bootstrap_servers, limits

    def _changed(self) -> None:
        running = self._supervisor.running
        self._display.show(running)
        if self._facts:
            processes = {
                name: {
                    "pid": each.pid,
                    "state": each.state,
                    "why": each.why,
                    "restarts": each.restarts,
                    "health": each.program.health,
                    "log": str(each.log),
                }
                for name, each in running.items()
            }
            self._home.describe({**self._facts, "processes": processes})

    async def _take_down(self) -> None:
        """In order, and to the end, however often somebody presses Ctrl-C meanwhile."""
        _on_signals(lambda: None)
        self._facts |= {"state": "stopping"} if self._facts else {}
        await self._supervisor.stop()
        if self._facts:
            self._facts["state"] = "stopped"
            self._changed()
        if any(each.state is State.STOPPED for each in self._supervisor.running.values()):
            self._display.tell("everything has ended; data stay")


def _facts(
    address: str,
    addresses: Mapping[str, int],
    tokens: Mapping[str, str],
    server: str,
    databases: Mapping[str, Databases],
    bootstrap_servers: str,
) -> dict[str, object]:
    """What other programs need in order to find and use this system."""
    return {
        "state": "starting",
        "pid": os.getpid(),
        "address": address,
        "docs": f"{address}/docs",
        "ports": dict(addresses),
        "tokens": dict(tokens),
        "admin_url": server,
        "databases": {
            name: {"owner_url": each.owner_url, "app_url": each.app_url} for name, each in databases.items()
        },
        "bootstrap_servers": bootstrap_servers,
    }


def _on_signals(act: Callable[[], object]) -> None:
    """What Ctrl-C, SIGTERM and a hang-up do from now on."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(each, act)
