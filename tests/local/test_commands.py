"""The command line, as a person meets it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from crm_local.home import Home
from crm_local.ports import DEFAULTS, free_block


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "CRM_HOME": str(tmp_path / "home"), "CRM_PORT_BASE": str(free_block())}


def _run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "crm_local", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)


def test_a_taken_port_is_named_with_the_variable_that_changes_it(environment: dict[str, str]) -> None:
    port = int(environment["CRM_PORT_BASE"]) + list(DEFAULTS).index("tickets-worker")
    with socket.create_server(("127.0.0.1", port)):
        result = _run(environment, "up")

    assert result.returncode == 1
    assert f"Port {port} for tickets-worker is taken" in result.stderr
    assert "CRM_PORT_TICKETS_WORKER" in result.stderr


def test_a_second_up_says_who_runs_and_where(environment: dict[str, str]) -> None:
    home = Home(Path(environment["CRM_HOME"]))
    with home.held():
        home.describe({"address": "http://127.0.0.1:8080", "pid": os.getpid(), "state": "running"})
        up, reset = _run(environment, "up"), _run(environment, "reset")

    assert up.returncode == reset.returncode == 1
    assert f"Already running: process {os.getpid()}, gateway at http://127.0.0.1:8080" in up.stderr
    assert "stop it first" in reset.stderr
    assert home.folder.exists()


def test_nothing_running_is_no_error_for_down_but_is_told(environment: dict[str, str]) -> None:
    assert _run(environment, "down").stdout == "Nothing is running.\n"
    assert _run(environment, "status").returncode == 1
    assert _run(environment, "reset").returncode == 0


def test_a_token_is_printed_alone(environment: dict[str, str]) -> None:
    result = _run(environment, "token", "--role", "agent")

    assert len(result.stdout.strip().split(".")) == 3
    assert _run(environment, "token", "--role", "emperor").returncode == 2
