"""The running system for other programs: the demo, the system tests, the benchmarks."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol
from uuid import UUID

from crm_local.home import Home
from crm_local.leash import leashed
from crm_local.ports import BASE, free_block
from crm_local.processes import tail
from crm_local.provisioning import Databases
from crm_local.tokens import mint
from crm_shared.callers import Role


class Broker(Protocol):
    """A Kafka from outside that tests may mistreat."""

    bootstrap_servers: str

    def restart(self) -> None:
        """Kill it and start it again on its data."""

    def wipe(self) -> None:
        """Kill it and start it again empty, as another cluster."""


class SystemFailed(Exception):
    """The system is not running or did not do what was asked in time; the text says more."""


class System:
    """One system, by its folder: `start()` runs `up` there; all else works with any that is running."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        broker: Broker | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.home = Home(folder)
        self._broker = broker
        self._environment = dict(environment or {})
        self._runner: subprocess.Popen[bytes] | None = None

    @classmethod
    def throwaway(
        cls, folder: Path, *, broker: Broker | None = None, environment: Mapping[str, str] | None = None
    ) -> "System":
        """One in a folder of its own, on ports that nobody uses."""
        return cls(folder, broker=broker, environment={**(environment or {}), BASE: str(free_block())})

    def start(self, within: float = 120) -> "System":
        """Run `up` as a process that ends with this one, and wait until everything is ready."""
        environment = {**os.environ, **self._environment, "CRM_HOME": str(self.home.folder)}
        if self._broker:
            environment["KAFKA_BOOTSTRAP_SERVERS"] = self._broker.bootstrap_servers
        self.home.logs.mkdir(parents=True, exist_ok=True)
        with self.output.open("wb") as output:
            # SIGTERM: an orphaned runner still takes everything down in order.
            command = leashed([sys.executable, "-m", "crm_local", "up"], signal.SIGTERM)
            self._runner = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
            )
        deadline = time.monotonic() + within
        while not (self.is_running and self.facts["pid"] == self._runner.pid):
            if self._runner.poll() is not None or time.monotonic() > deadline:
                self._give_up(self._runner)
                raise SystemFailed(f"The system did not start.{tail(self.output)}")
            time.sleep(0.1)
        return self

    def _give_up(self, runner: subprocess.Popen[bytes]) -> None:
        """End what we began; a run that somebody else has in the folder is theirs."""
        self._runner = None
        if runner.poll() is None:
            runner.terminate()
            runner.wait()

    def await_start(self, within: float = 300) -> bool:
        """Wait for a run that somebody else has just begun in the folder; whether there is one."""
        deadline = time.monotonic() + within
        while self.home.is_held():
            if self.is_running:
                return True
            if time.monotonic() > deadline:
                raise SystemFailed(f"The system did not become ready within {within:.0f} s.")
            time.sleep(0.1)
        return False

    @property
    def output(self) -> Path:
        """What `up` printed, when `start` ran it."""
        return self.home.logs / "up.log"

    @property
    def is_running(self) -> bool:
        """Whether it is up, everything having been ready once."""
        known = self.home.description() or {}
        return known.get("state") == "running" and known["pid"] == self.home.owner() and self.home.is_held()

    @property
    def facts(self) -> dict[str, Any]:
        """What `up` wrote about itself: `system.json`."""
        known = self.home.description()
        if known is None:
            raise SystemFailed("There is no running system: start it with `make up`.")
        return known

    @property
    def address(self) -> str:
        """The gateway's address."""
        return str(self.facts["address"])

    @property
    def bootstrap_servers(self) -> str:
        return str(self.facts["bootstrap_servers"])

    @property
    def databases(self) -> dict[str, Databases]:
        return {name: Databases(**urls) for name, urls in self.facts["databases"].items()}

    @property
    def processes(self) -> list[str]:
        """The names that `kill` knows: postgres, kafka, gateway, gateway-worker, profiles-api, …"""
        return list(self.facts["processes"])

    def token(self, role: Role | str, customer_id: UUID | None = None) -> str:
        """A fresh token of the role; for role customer, of that customer."""
        return mint(self.home.secrets().issuer_key, Role(role), at=datetime.now(UTC), customer_id=customer_id)

    def kill(self, process: str) -> int:
        """kill -9; the runner starts it again. The number of the process that died."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            pid = self.facts["processes"][process]["pid"]
            if pid is not None:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass  # it has just died, and the runner has not written so yet
                else:
                    return int(pid)
            time.sleep(0.05)
        log = Path(self.facts["processes"][process]["log"])
        raise SystemFailed(f"{process} did not come up to be killed.{tail(log)}")

    def restart_broker(self) -> None:
        """Kill the broker; an embedded one comes back empty, one from outside with its data."""
        if self._broker:
            self._broker.restart()
        else:
            self.kill("kafka")

    def wipe_broker(self) -> None:
        """Let the broker lose everything."""
        if self._broker:
            self._broker.wipe()
        else:
            self.kill("kafka")

    def wait_until_ready(self, within: float = 60) -> None:
        """Until every process is running and ready."""
        deadline = time.monotonic() + within
        while late := [item for item in self.facts["processes"].items() if item[1]["state"] != "ready"]:
            if time.monotonic() > deadline:
                name, facts = late[0]
                raise SystemFailed(f"{name} is {facts['state']}.{tail(Path(facts['log']))}")
            time.sleep(0.1)

    def stop(self, within: float = 60) -> None:
        """End everything in order and wait for it; data stay."""
        owner = self.home.owner() if self.home.is_held() else None
        if owner is None:
            return
        os.kill(owner, signal.SIGTERM)
        deadline = time.monotonic() + within
        while self.home.is_held():
            if time.monotonic() > deadline:
                raise SystemFailed(f"Process {owner} did not end within {within:.0f} s.")
            time.sleep(0.05)
        if self._runner:
            self._runner.wait()
            self._runner = None

    def __enter__(self) -> "System":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
