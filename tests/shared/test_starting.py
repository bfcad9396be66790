"""A process that is told too little, or something wrong, says which settings in a line each, and ends."""

import json
import os
import subprocess
import sys

import pytest

from crm_shared.testing import Signer

SECRET = "this must never be shown"
SERVICES = ("profiles", "segmentation", "tickets", "loyalty", "gateway")


def api(name: str) -> list[str]:
    return ["uvicorn", "--factory", f"crm_{name}.app:create_app", "--port", "0"]


def worker(name: str) -> list[str]:
    return [f"crm_{name}.worker"]


def start(command: list[str], told: dict[str, str]) -> tuple[int, list[str]]:
    """Its exit code and what it said, with nothing in its environment but this."""
    environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env=environment | told,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()


def enough() -> dict[str, str]:
    return {
        "DATABASE_URL": "postgresql://nobody@nowhere/nothing",
        "KAFKA_BOOTSTRAP_SERVERS": "nowhere:1",
        "INTERNAL_PUBLIC_KEY": Signer().public_key,
        "CURSOR_SECRET": "x" * 32,
        "UNSUBSCRIBE_SECRET": "x" * 32,
    }


@pytest.mark.parametrize("name", SERVICES)
def test_an_api_names_each_setting_that_is_missing(name: str) -> None:
    code, lines = start(api(name), {})

    assert code not in (0, None)
    assert "DATABASE_URL: is missing" in lines
    assert "CURSOR_SECRET: is missing" in lines
    assert all(line.endswith(": is missing") for line in lines), lines


@pytest.mark.parametrize("name", ["tickets", "gateway"])
def test_a_worker_does_so_too(name: str) -> None:
    code, lines = start(worker(name), {})

    assert code != 0
    assert "DATABASE_URL: is missing" in lines
    assert all(line.endswith(": is missing") for line in lines), lines


def test_a_command_of_operators_does_so_too() -> None:
    code, lines = start(["crm_shared.operate", "crm_tickets", "erasures"], {})

    assert code != 0
    assert "DATABASE_URL: is missing" in lines


def test_what_is_wrong_is_said_without_what_was_given() -> None:
    wrong = {
        "DATABASE_URL": f"mysql://me:{SECRET}@nowhere/nothing",
        "POOL_SIZE": "many",
        "LOG_LEVEL": "LOUD",
        "SMTP_URL": f"http://me:{SECRET}@nowhere",
        "INTERNAL_PUBLIC_KEY": json.dumps({"kty": "OKP", "crv": "Ed25519", "d": SECRET}),
        "CURSOR_SECRET": SECRET,
        "UNSUBSCRIBE_SECRET": SECRET,
    }

    code, lines = start(worker("loyalty"), enough() | wrong)

    assert code != 0
    assert {line.partition(": ")[0] for line in lines} == set(wrong)
    assert len(lines) == len(wrong)
    assert "INTERNAL_PUBLIC_KEY: is no Ed25519 key, JWK in JSON or PEM" in lines
    assert SECRET not in "".join(lines)
    assert "many" not in "".join(lines)


def test_what_contradicts_itself_names_its_settings() -> None:
    code, lines = start(api("tickets"), enough() | {"INBOX_RETENTION_DAYS": "1"})

    assert code != 0
    [line] = lines
    assert line.startswith("INBOX_RETENTION_DAYS: ")
    assert "OUTBOX_RETENTION_DAYS" in line


def test_what_is_no_json_is_said_in_a_line() -> None:
    code, lines = start(api("gateway"), enough() | {"UPSTREAMS": SECRET})

    assert (code != 0, lines) == (True, ["UPSTREAMS: is not JSON"])
