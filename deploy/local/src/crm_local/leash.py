"""Ties a child process to this one: when the runner dies, however it dies, what it started dies too."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

# Who asks for the signal after the parent's death never gets it: then there is somebody else in its place.
_STILL_OURS = '[ "$PPID" = "$0" ] && exec "$@"'

# The guard's input ends when its only writer, the runner, is gone; it then does what the kernel would do.
_GUARD = 'read -r _; kill -s "$1" "$2"'


@cache
def kernel_leash() -> str | None:
    """Linux's `setpriv`, which asks the kernel for a signal at the death of the parent; None elsewhere."""
    return shutil.which("setpriv")


def leashed(command: Sequence[str], at_death: signal.Signals = signal.SIGKILL) -> list[str]:
    """The command, run so that the kernel sends it `at_death` when the *thread* that started it ends.

    Start it from the main thread. The command replaces `setpriv` and the shell: the process id is its own.
    """
    setpriv = kernel_leash()
    if setpriv is None:
        return list(command)
    still_ours = ["sh", "-c", _STILL_OURS, str(os.getpid())]
    return [setpriv, "--pdeathsig", at_death.name[3:], *still_ours, *command]


def guard(pid: int, at_death: signal.Signals = signal.SIGKILL) -> subprocess.Popen[bytes] | None:
    """Where the kernel offers no leash, a shell that watches us; `release` it once the process has ended."""
    if kernel_leash():
        return None
    return subprocess.Popen(
        ["sh", "-c", _GUARD, "guard", at_death.name[3:], str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def release(guard: subprocess.Popen[bytes] | None) -> None:
    """Let the guard go without its doing anything: the process id may soon be somebody else's."""
    if guard is None:
        return
    guard.kill()
    guard.wait()
    if guard.stdin:
        guard.stdin.close()


class Child:
    """A process of ours, in a session of its own: a Ctrl-C meant for us does not reach it."""

    def __init__(self, command: Sequence[str], log: Path, at_death: signal.Signals = signal.SIGKILL) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        self._guard = guard(self._process.pid, at_death)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self, how: signal.Signals) -> None:
        """Send the signal and wait for the end."""
        self._process.send_signal(how)
        self._process.wait()
        release(self._guard)
