"""What the system consists of: every process with its command, its settings and its place in the order."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from crm_local.home import Secrets
from crm_local.kafka import Kafka
from crm_local.leash import leashed
from crm_local.ports import HOST
from crm_local.postgres import Postgres
from crm_local.processes import Program, Stage, answers
from crm_local.provisioning import SERVICES, Databases
from crm_local.tokens import AUDIENCE, ISSUER, public_part

_UVICORN = (
    *("--loop", "uvloop", "--http", "httptools"),
    *("--no-access-log", "--no-proxy-headers", "--no-server-header"),
    *("--timeout-graceful-shutdown", "5", "--timeout-keep-alive", "75"),
)


@dataclass(frozen=True)
class Plan:
    """Everything the processes have to be told; their entry points are those that the containers use."""

    ports: Mapping[str, int]
    secrets: Secrets
    databases: Mapping[str, Databases]
    bootstrap_servers: str
    kafka_settings: Mapping[str, str]

    def migrations(self) -> dict[str, tuple[list[str], dict[str, str]]]:
        """For each service, the command that brings its database up to date, and its settings."""
        return {
            name: (
                [sys.executable, "-m", "crm_shared.migrations", "upgrade", f"crm_{name}"],
                {"DATABASE_URL": self.databases[name].owner_url, "APP_ROLE": f"{name}_app"},
            )
            for name in SERVICES
        }

    def workers(self) -> list[Program]:
        return [self._worker(name) for name in SERVICES]

    def apis(self) -> list[Program]:
        return [self._api(name) for name in SERVICES]

    def _api(self, name: str) -> Program:
        where = ["--host", HOST, "--port", str(self.ports[name])]
        application = ["--factory", f"crm_{name}.app:create_app"]
        return self._program(
            name if name == "gateway" else f"{name}-api",
            ["uvicorn", *application, *where, *_UVICORN],
            self._settings(name, self.ports[f"{name}-internal"]),
            Stage.GATEWAY if name == "gateway" else Stage.API,
        )

    def _worker(self, name: str) -> Program:
        settings = self._settings(name, self.ports[f"{name}-worker"])
        return self._program(f"{name}-worker", [f"crm_{name}.worker"], settings, Stage.WORKER)

    def _program(self, name: str, module: list[str], settings: dict[str, str], stage: Stage) -> Program:
        command = leashed([sys.executable, "-m", *module])
        port = int(settings["INTERNAL_PORT"])
        health = f"http://{HOST}:{port}"
        return Program(name, lambda: command, answers(port), stage, settings, health=health)

    def _settings(self, name: str, internal_port: int) -> dict[str, str]:
        settings = {
            "DATABASE_URL": self.databases[name].app_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "INTERNAL_PUBLIC_KEY": json.dumps(public_part(self.secrets.internal_key)),
            "CURSOR_SECRET": self.secrets.cursor_secret,
            "INTERNAL_HOST": HOST,
            "INTERNAL_PORT": str(internal_port),
            "PYTHONUNBUFFERED": "1",
            **self.kafka_settings,
        }
        if name == "profiles":
            settings["SUPPRESSION_SECRET"] = self.secrets.suppression_secret
        if name in ("profiles", "loyalty"):
            settings["UNSUBSCRIBE_SECRET"] = self.secrets.unsubscribe_secret
        if name == "loyalty":
            settings["PUBLIC_URL"] = f"http://{HOST}:{self.ports['gateway']}"
        if name == "gateway":
            upstreams = {each: f"http://{HOST}:{self.ports[each]}" for each in SERVICES if each != "gateway"}
            settings |= {
                "ISSUER": ISSUER,
                "AUDIENCE": AUDIENCE,
                "ISSUER_KEY": json.dumps(public_part(self.secrets.issuer_key)),
                "INTERNAL_PRIVATE_KEY": json.dumps(self.secrets.internal_key),
                "UPSTREAMS": json.dumps(upstreams),
            }
        return settings


def database_program(server: Postgres) -> Program:
    return Program(
        server.name, server.command, server.missing, Stage.DATABASE, stop_signal=server.stop_signal
    )


def broker_program(broker: Kafka) -> Program:
    return Program(broker.name, broker.command, broker.missing, Stage.BROKER, {"RUST_LOG": "warn"})
