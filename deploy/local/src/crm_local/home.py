"""The state folder: its lock, its secrets, and what the running system tells other programs about itself."""

import fcntl
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from joserfc.jwk import OKPKey

from crm_local.provisioning import passwords_for

# deploy/local/src/crm_local/home.py: the checkout is four folders up.
_PROJECT = Path(__file__).resolve().parents[4]


class AlreadyRunning(Exception):
    """Another run holds the folder's lock; `pid` is its process, when it has said so."""

    def __init__(self, pid: int | None) -> None:
        super().__init__(pid)
        self.pid = pid


@dataclass(frozen=True)
class Secrets:
    """What is made at the first start and kept: passwords by role, and the private keys as JWKs."""

    passwords: dict[str, str]
    cursor_secret: str
    suppression_secret: str
    unsubscribe_secret: str
    internal_key: dict[str, str]
    issuer_key: dict[str, str]

    @classmethod
    def fresh(cls) -> "Secrets":
        return cls(
            passwords=passwords_for(),
            cursor_secret=secrets.token_urlsafe(32),
            suppression_secret=secrets.token_urlsafe(32),
            unsubscribe_secret=secrets.token_urlsafe(32),
            internal_key=_new_key(),
            issuer_key=_new_key(),
        )


class Home:
    """A folder that holds everything a system leaves behind; forgetting it is deleting it."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = (folder or Path(os.environ.get("CRM_HOME") or _PROJECT / ".local")).resolve()
        self.logs = self.folder / "logs"
        self.tokens = self.folder / "tokens"
        self.postgres = self.folder / "postgres"
        self._lock = self.folder / "lock"
        self._secrets = self.folder / "secrets.json"
        self._system = self.folder / "system.json"

    @contextmanager
    def held(self) -> Iterator[int | None]:
        """Own the folder; yields the process of an earlier run that did not end in order, if any did not.

        The lock is the kernel's and ends with its process; what is written in the file only names the owner.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        with self._lock.open("a+") as file:
            if not _locked(file.fileno()):
                raise AlreadyRunning(self.owner())
            killed = self.owner()
            _write(file.fileno(), str(os.getpid()))
            try:
                yield killed
            finally:
                _write(file.fileno(), "")

    def is_held(self) -> bool:
        """Whether a run owns the folder at this moment."""
        if not self._lock.exists():
            return False
        with self._lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def owner(self) -> int | None:
        """The process that wrote its number into the lock and has not ended in order."""
        text = self._lock.read_text().strip() if self._lock.exists() else ""
        return int(text) if text.isdecimal() else None

    def secrets(self) -> Secrets:
        """The kept secrets, made at the first look; what a newer release needs besides is added."""
        kept = json.loads(self._secrets.read_text()) if self._secrets.exists() else {}
        if missing := {field.name for field in fields(Secrets)} - kept.keys():
            fresh = asdict(Secrets.fresh())
            kept |= {name: fresh[name] for name in missing}
            write_private(self._secrets, json.dumps(kept, indent=2))
        return Secrets(**kept)

    def describe(self, system: Mapping[str, object]) -> None:
        write_private(self._system, json.dumps(system, indent=2))

    def description(self) -> dict[str, Any] | None:
        """What the latest run wrote about itself; None before the first."""
        return json.loads(self._system.read_text()) if self._system.exists() else None

    def keep_tokens(self, tokens: Mapping[str, str]) -> None:
        """One file for each role, for the shell."""
        self.tokens.mkdir(mode=0o700, exist_ok=True)
        for role, token in tokens.items():
            write_private(self.tokens / role, token)

    def forget(self) -> None:
        """Delete all state; AlreadyRunning while somebody uses it."""
        if self.folder.exists():
            with self.held():
                shutil.rmtree(self.folder)


def write_private(path: Path, text: str) -> None:
    """Replace the file as a whole, for its owner only: readers see the old or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    Path(name).replace(path)


def _locked(descriptor: int) -> bool:
    """Take the lock; somebody who is only looking whether it is held lets go of it at once."""
    for _ in range(10):
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.02)
    return False


def _write(descriptor: int, text: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)


def _new_key() -> dict[str, str]:
    key = OKPKey.generate_key("Ed25519", {"use": "sig"}, auto_kid=True)
    return {name: str(value) for name, value in key.as_dict(private=True).items()}
