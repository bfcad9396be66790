"""The embedded PostgreSQL: it keeps its promises through crashes and leaves nothing behind."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from crm_local.ports import free_port
from crm_local.postgres import Postgres, PostgresFailed

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")


@pytest.fixture
def without_namespaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has no `unshare`."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "setpriv"):
        (programs / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(programs))


async def test_chinese_names_have_trigrams(server: Postgres) -> None:
    connection = await asyncpg.connect(server.url())
    try:
        assert await connection.fetchval("SELECT cardinality(show_trgm('王小明'))") > 0
    finally:
        await connection.close()


def test_it_is_durable_unless_a_test_says_otherwise(server: Postgres) -> None:
    assert server.psql("SHOW fsync").stdout.strip() == "off"
    assert server.psql("SHOW synchronous_commit").stdout.strip() == "on"


def test_what_was_committed_survives_a_crash(tmp_path: Path) -> None:
    postgres = Postgres(tmp_path / "postgres", free_port())
    postgres.start()
    assert postgres.psql("CREATE TABLE kept AS SELECT 42 AS answer").returncode == 0

    postgres.kill()
    postgres.start()

    assert postgres.psql("SELECT answer FROM kept").stdout.strip() == "42"
    postgres.stop()


def test_a_half_made_data_folder_is_made_again(tmp_path: Path) -> None:
    for name in ("data", "data.new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "PG_VERSION.part").touch()
    postgres = Postgres(tmp_path, free_port(), ["fsync=off"])

    postgres.start()

    assert postgres.missing() is None
    postgres.stop()


def test_the_password_is_random_and_private(server: Postgres) -> None:
    password = server.folder / "password"
    assert password.stat().st_mode & 0o777 == 0o600
    assert len(server.password) >= 32


def test_a_server_that_cannot_start_says_why(server: Postgres, tmp_path: Path) -> None:
    with pytest.raises(PostgresFailed, match=r"(?s)did not start.*Address already in use"):
        Postgres(tmp_path, server.port).start()


def test_it_ends_with_the_program_that_started_it(
    tmp_path: Path, outlived_by_none: Callable[[str], None]
) -> None:
    outlived_by_none(_starting(tmp_path))


@as_root
@pytest.mark.usefixtures("without_namespaces")
def test_without_namespaces_it_runs_as_nobody_and_still_ends_with_its_starter(
    tmp_path: Path, outlived_by_none: Callable[[str], None]
) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)

    outlived_by_none(_starting(folder))

    assert (folder / "data").stat().st_uid == 65534


def _starting(folder: Path) -> str:
    return f"""
from crm_local.postgres import Postgres
postgres = Postgres(Path({str(folder)!r}), {free_port()}, ["fsync=off"])
postgres.start()
print(*(postgres.data / "postmaster.pid").read_text().split()[:1])
"""
