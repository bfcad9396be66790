"""What the runner's tests share: a database server, and a way to see a process end."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crm_local.postgres import Postgres, temporary_postgres

# Runs the body as a program that then waits to be killed; what it prints are process ids.
_STARTER = """
import sys, time
from pathlib import Path
{body}
sys.stdout.flush()
time.sleep(60)
"""


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    with temporary_postgres(["fsync=off"]) as postgres:
        yield postgres


def is_alive(pid: int) -> bool:
    """Whether the process is there and is not merely waiting to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@pytest.fixture
def outlived_by_none() -> Callable[[str], None]:
    """Kill -9 a program that has started others, and see that they end too."""

    def check(body: str) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", _STARTER.format(body=body)], stdout=subprocess.PIPE, text=True
        ) as starter:
            assert starter.stdout is not None
            pids = [int(pid) for pid in starter.stdout.readline().split()]
            assert pids
            assert all(is_alive(pid) for pid in pids)
            starter.kill()
        deadline = time.monotonic() + 5
        while left := [pid for pid in pids if is_alive(pid)]:
            assert time.monotonic() < deadline, f"orphans: {left}"
            time.sleep(0.02)

    return check
