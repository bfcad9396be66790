"""The small commands beside `up`: `down`, `reset`, `status` and `token`."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import UUID

from rich.console import Console
from rich.table import Table

from crm_local.home import AlreadyRunning, Home
from crm_local.processes import State, answers
from crm_local.system import System, SystemFailed
from crm_local.tokens import mint
from crm_shared.callers import Role


def down(arguments: Sequence[str]) -> int:
    """Stop a system that runs in another terminal and wait until everything has ended."""
    argparse.ArgumentParser(prog="python -m crm_local down").parse_args(arguments)
    system = System()
    if not system.home.is_held():
        print("Nothing is running.")
        return 0
    try:
        system.stop()
    except SystemFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    print("Everything has ended; data stay.")
    return 0


def reset(arguments: Sequence[str]) -> int:
    """Forget all data and secrets; refuses while a system runs on them."""
    argparse.ArgumentParser(prog="python -m crm_local reset").parse_args(arguments)
    home = Home()
    try:
        home.forget()
    except AlreadyRunning as running:
        print(f"Process {running.pid or 'unknown'} runs on these data: stop it first.", file=sys.stderr)
        return 1
    print(f"Forgotten: {home.folder}")
    return 0


def status(arguments: Sequence[str]) -> int:
    """Print what runs and in which state; 1 when nothing does."""
    argparse.ArgumentParser(prog="python -m crm_local status").parse_args(arguments)
    home = Home()
    if not home.is_held():
        print("Nothing is running; `make up` starts it.")
        return 1
    known = home.description()
    if known is None or known["pid"] != home.owner():
        print(f"Process {home.owner()} is just starting the system.")
        return 0
    table = Table("process", "state", "pid", "restarts", box=None, pad_edge=False)
    for name, each in known["processes"].items():
        port = urlsplit(each["health"]).port if each["health"] and each["state"] == State.READY else None
        why = answers(port)() if port else each["why"]
        table.add_row(name, why or each["state"], str(each["pid"] or ""), str(each["restarts"]))
    console = Console(highlight=False)
    console.print(f"Process {known['pid']} is {known['state']}, gateway at {known['address']}\n")
    console.print(table)
    return 0


def token(arguments: Sequence[str]) -> int:
    """Print a fresh token, and nothing else."""
    parser = argparse.ArgumentParser(prog="python -m crm_local token")
    parser.add_argument("--role", required=True, type=Role, choices=list(Role))
    parser.add_argument("--customer-id", type=UUID, help="whose token it is, for role customer")
    chosen = parser.parse_args(arguments)
    key = Home().secrets().issuer_key
    print(mint(key, chosen.role, at=datetime.now(UTC), customer_id=chosen.customer_id))
    return 0
