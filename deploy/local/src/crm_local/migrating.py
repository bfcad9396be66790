"""Brings every database up to date, and remembers it beside the data: the next start need not look again."""

import asyncio
import hashlib
import json
from importlib.util import find_spec
from pathlib import Path

from crm_local.home import write_private
from crm_local.processes import NotReady, run_once
from crm_local.programs import Plan

_OLD_DATA = "If the local data are of an older checkout and may go, `make reset` forgets them."


async def migrate(plan: Plan, logs: Path, memory: Path | None) -> None:
    """Run the migrations of all services at once, except where `memory` says that this very code has done so.

    The memory must live and die with the databases; None when they are not ours to know about.
    """
    steps = plan.migrations()
    now = {name: _fingerprint(f"crm_{name}") for name in steps}
    done = _remembered(memory)
    needed = [name for name in steps if done.get(name) != now[name]]
    try:
        await asyncio.gather(*(run_once(f"{name}-migrate", *steps[name], logs) for name in needed))
    except NotReady as failure:
        if memory:
            raise NotReady(f"{failure}\n\n{_OLD_DATA}") from failure
        raise
    if memory and needed:
        write_private(memory, json.dumps(now))


def _remembered(memory: Path | None) -> dict[str, str]:
    return dict(json.loads(memory.read_text())) if memory and memory.exists() else {}


def _fingerprint(package: str) -> str:
    """Of all code that can say what the schema is and who may do what: the package and the shared one."""
    digest = hashlib.sha256()
    for each in ("crm_shared", package):
        spec = find_spec(each)
        for folder in (spec and spec.submodule_search_locations) or ():
            for path in sorted(Path(folder).rglob("*.py")):
                digest.update(str(path).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
