"""pgbench as the ceiling: the same SQL, prepared, without anything above the database."""

import asyncio
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.bench.measuring import Measure, percentile

from crm_local.leash import leashed
from crm_local.postgres import binaries

_THREADS = 2
_SAMPLED = 0.1
_PATIENCE = 20.0
_RATE = re.compile(r"^tps = ([0-9.]+) \(without", re.MULTILINE)
_DONE = re.compile(r"^number of transactions actually processed: ([0-9]+)", re.MULTILINE)
_FAILED = re.compile(r"^number of failed transactions: ([0-9]+)", re.MULTILINE)


@dataclass(frozen=True)
class Ran:
    """What a run came to, and how many transactions it committed."""

    measure: Measure
    done: int


async def pgbench(url: str, script: str, *, clients: int, seconds: float) -> Ran:
    """Run the script's statements for so many whole seconds; latencies are of one transaction in ten."""
    with tempfile.TemporaryDirectory(prefix="crm-pgbench-") as folder:
        code, output = await _run(url, script, Path(folder), clients, seconds)
        microseconds = _latencies(Path(folder))
    rate, done, failed = (pattern.search(output) for pattern in (_RATE, _DONE, _FAILED))
    if code == 0 and done is not None and done[1] == "0" and seconds < _PATIENCE:
        # Its time begins before its clients are connected: on a busy machine all of it may go into that.
        return await pgbench(url, script, clients=clients, seconds=2 * seconds)
    if code or rate is None or done is None or (failed and failed[1] != "0"):
        return Ran(Measure.failed(f"pgbench failed: {output[-500:]}"), 0)
    p50, p99 = (percentile(microseconds, share) for share in (0.50, 0.99))
    measure = Measure(rate=float(rate[1]), p50=p50 and p50 / 1000, p99=p99 and p99 / 1000)
    return Ran(measure, int(done[1]))


async def _run(url: str, script: str, folder: Path, clients: int, seconds: float) -> tuple[int, str]:
    parts = urlsplit(url)
    command = [
        *(
            str(binaries() / "pgbench"),
            "--no-vacuum",
            "--protocol=prepared",
            f"--file={_file(folder, script)}",
        ),
        *(f"--client={clients}", f"--jobs={_THREADS}", f"--time={max(1, round(seconds))}"),
        *("--log", f"--log-prefix={folder}/log", f"--sampling-rate={_SAMPLED}"),
        *("--host", parts.hostname or "", "--port", str(parts.port), "--username", parts.username or ""),
        parts.path.lstrip("/"),
    ]
    process = await asyncio.create_subprocess_exec(
        *leashed(command),
        env={"PATH": os.environ["PATH"], "PGPASSWORD": unquote(parts.password or "")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


def _file(folder: Path, script: str) -> Path:
    file = folder / "script.sql"
    file.write_text(script)
    return file


def _latencies(folder: Path) -> list[float]:
    """Microseconds, from the third column of each line of the log."""
    lines = (line for log in folder.glob("log.*") for line in log.read_text().splitlines())
    return [float(line.split()[2]) for line in lines]
