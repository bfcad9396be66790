"""`python -m tests.bench`: run the suites one after the other and print what came of them."""

import argparse
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import uvloop
from rich.console import Console
from rich.status import Status
from tests.bench import report
from tests.bench.caring import caring
from tests.bench.creating import creating
from tests.bench.figuring import figuring
from tests.bench.glance import glance
from tests.bench.importing import importing
from tests.bench.matching import matching
from tests.bench.measuring import Options, Result, Suite, interleave
from tests.bench.messages import messages
from tests.bench.posting import posting
from tests.bench.reading import reading
from tests.bench.searching import searching

SUITES: dict[str, tuple[str, Suite]] = {
    "read": ("Read a customer by id", reading),
    "create": ("Make a customer known", creating),
    "search": ("Search customers", searching),
    "post": ("Post to the ledger", posting),
    "360": ("A customer at a glance", glance),
    "import": ("Import a file of customers", importing),
    "duplicates": ("Find who may be one person", matching),
    "care": ("Care for customers", caring),
    "report": ("The programme's report", figuring),
    "events": ("Outbox to broker to inbox", messages),
}


async def main(names: Sequence[str], options: Options, json: Path | None) -> int:
    """1 when any work was found wrong."""
    console = Console(width=max(150, Console().width))
    console.print(
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {report.machine()}, load average {os.getloadavg()[0]:.1f}"
    )
    console.print(f"{options}\n")
    results: dict[str, Sequence[Result]] = {}
    for name in names:
        title, suite = SUITES[name]
        with console.status(f"{title}: setting up") as status:
            async with suite(options) as rows:
                results[name] = await interleave(rows, options.rounds, partial(_update, status, title))
        report.show(console, title, results[name])
        if json is not None:
            report.save(json, options, results)
    return int(any(result.wrong for of_suite in results.values() for result in of_suite))


def _update(status: Status, title: str, text: str) -> None:
    status.update(f"{title}: {text}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(SUITES), metavar="A,B")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each cell")
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--messages", type=int, default=50_000, help="of the backlog that is drained")
    parser.add_argument("--json", type=Path, help="where to write the figures for programs")
    found = parser.parse_args()
    if unknown := set(found.only) - set(SUITES):
        parser.error(f"no such suite: {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    return found


if __name__ == "__main__":
    arguments = _arguments()
    chosen = Options(arguments.rounds, arguments.seconds, arguments.customers, arguments.messages)
    raise SystemExit(uvloop.run(main(arguments.only, chosen, arguments.json)))
