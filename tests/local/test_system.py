"""A system as other programs see it: whose it is, and whether it has begun."""

import os
import threading
from pathlib import Path

import pytest

from crm_local.home import Home
from crm_local.system import System, SystemFailed


def test_who_comes_while_a_system_starts_waits_until_it_runs(tmp_path: Path) -> None:
    system = System(tmp_path)
    with system.home.held():
        system.home.describe({"state": "starting", "pid": os.getpid()})
        ready = threading.Timer(0.3, system.home.describe, [{"state": "running", "pid": os.getpid()}])
        ready.start()

        assert system.await_start(within=10)


def test_nobody_waits_where_nothing_was_begun(tmp_path: Path) -> None:
    assert not System(tmp_path).await_start(within=10)


def test_who_cannot_start_a_system_leaves_that_of_somebody_else_alone(tmp_path: Path) -> None:
    with Home(tmp_path).held():  # by us, whom a stop would have ended
        with pytest.raises(SystemFailed, match="did not start"):
            System(tmp_path).start(within=60)

        assert Home(tmp_path).owner() == os.getpid()
