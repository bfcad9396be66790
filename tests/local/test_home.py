"""The state folder: one run at a time, secrets that stay, and a killed run that heals."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crm_local.home import AlreadyRunning, Home


def test_a_second_run_is_told_who_is_there(tmp_path: Path) -> None:
    with Home(tmp_path).held() as killed:
        assert killed is None
        assert Home(tmp_path).is_held()
        with pytest.raises(AlreadyRunning) as refused, Home(tmp_path).held():
            pass

    assert refused.value.pid is not None
    assert not Home(tmp_path).is_held()


def test_the_lock_of_a_killed_run_is_taken_over_and_named(
    tmp_path: Path, outlived_by_none: Callable[[str], None]
) -> None:
    body = f"""
import os
from crm_local.home import Home
from crm_local.leash import Child, leashed
held = Home(Path({str(tmp_path)!r})).held()
held.__enter__()
print(Child(leashed(["sleep", "60"]), Path("/dev/null")).pid)
"""
    outlived_by_none(body)

    with Home(tmp_path).held() as killed:
        assert killed is not None
    with Home(tmp_path).held() as killed:
        assert killed is None  # the run before ended in order


def test_secrets_stay_the_same_and_are_private(tmp_path: Path) -> None:
    with Home(tmp_path).held():
        first = Home(tmp_path).secrets()

        assert Home(tmp_path).secrets() == first
        assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_forgetting_is_refused_while_somebody_uses_the_data(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    with Home(folder).held(), pytest.raises(AlreadyRunning):
        Home(folder).forget()

    Home(folder).forget()

    assert not folder.exists()
    Home(folder).forget()


def test_a_reader_never_sees_half_a_description(tmp_path: Path) -> None:
    home = Home(tmp_path)
    reader = f"""
from pathlib import Path
from crm_local.home import Home
home = Home(Path({str(tmp_path)!r}))
while home.description()["round"] < 200:
    pass
"""
    home.describe({"round": 0, "filling": "x" * 10_000})
    with subprocess.Popen([sys.executable, "-c", reader]) as process:
        for number in range(1, 201):
            home.describe({"round": number, "filling": "x" * 10_000})
        assert process.wait(timeout=20) == 0
