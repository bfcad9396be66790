"""Which port each process listens on, and what to say when somebody else is there."""

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

HOST = "127.0.0.1"

# Below the range from which the system takes ports for outgoing connections: a client that keeps trying to
# reach a server which is just restarting could otherwise be given that server's own port.
DEFAULTS: Mapping[str, int] = {
    "gateway": 8080,
    "gateway-internal": 9080,
    "gateway-worker": 9081,
    "profiles": 8101,
    "profiles-internal": 9101,
    "profiles-worker": 9111,
    "segmentation": 8102,
    "segmentation-internal": 9102,
    "segmentation-worker": 9112,
    "tickets": 8103,
    "tickets-internal": 9103,
    "tickets-worker": 9113,
    "loyalty": 8104,
    "loyalty-internal": 9104,
    "loyalty-worker": 9114,
    "postgres": 15432,
    "kafka": 19092,
}
BASE = "CRM_PORT_BASE"

_STRIDE = 32
"""Ports are claimed by so many at once."""


class PortRefused(Exception):
    """A port is taken or is none; the text says which, and the variable that changes it."""


def variable(name: str) -> str:
    return f"CRM_PORT_{name.upper().replace('-', '_')}"


def chosen(environment: Mapping[str, str] = os.environ) -> dict[str, int]:
    """The ports by name: `CRM_PORT_<NAME>` for one, `CRM_PORT_BASE` for a block, else the defaults."""
    base = _number(BASE, environment[BASE]) if environment.get(BASE) else None
    ports = {}
    for offset, (name, default) in enumerate(DEFAULTS.items()):
        given = environment.get(variable(name))
        if given:
            ports[name] = _number(variable(name), given)
        else:
            ports[name] = default if base is None else base + offset
    named: dict[int, str] = {}
    for name, port in ports.items():
        if port in named:
            both = f"{name} and {named[port]} would both listen on port {port}"
            raise PortRefused(f"{both}: change {variable(name)}.")
        named[port] = name
    return ports


def is_free(port: int) -> bool:
    """Whether a server could listen there now; connections that are only fading away do not matter."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError:
            return False
        return True


def taken(ports: Mapping[str, int]) -> dict[str, int]:
    """Those of the ports on which somebody listens already."""
    return {name: port for name, port in ports.items() if not is_free(port)}


def refusal(name: str, port: int) -> PortRefused:
    return PortRefused(
        f"Port {port} for {name} is taken by another program. Free it, or choose another one with"
        f" {variable(name)}={port + 1} (or all of them at once: {BASE}=20000)."
    )


def free_port() -> int:
    """Some port that nobody listens on and that is given to no outgoing connection."""
    return free_block(1)


def free_block(size: int = len(DEFAULTS)) -> int:
    """The first of `size` free ports in a row, for `CRM_PORT_BASE`.

    Nobody else is given them as long as this process lives: between looking and listening there is time for
    another process to look as well.
    """
    assert size <= _STRIDE
    dice = random.SystemRandom()
    while True:
        base = dice.randrange(20_000, 32_000, _STRIDE)
        if all(is_free(base + offset) for offset in range(size)) and _claim(base):
            return base


def _claim(base: int) -> bool:
    """Whether the block is ours now and was nobody's."""
    folder = Path(tempfile.gettempdir()) / f"crm-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    # Held until this process ends, however it ends: nobody closes it.
    lock = os.open(folder / str(base), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    return True


def _number(name: str, text: str) -> int:
    if not text.isdecimal() or not 1024 <= int(text) <= 65_500:
        raise PortRefused(f"{name} is {text!r}, which is no port number between 1024 and 65500.")
    return int(text)
