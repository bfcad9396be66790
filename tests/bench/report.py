"""The results as a table for people and as JSON for programs."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table
from tests.bench.measuring import Options, Result

_COLUMNS = ("per second", "of ceiling", "worst", "CPU ms", "p50 ms", "p99 ms", "generator", "load", "work")


def show(console: Console, title: str, results: Sequence[Result]) -> None:
    """Medians over the rounds; beside the ratios the worst of them."""
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("", overflow="fold")
    for column in _COLUMNS:
        table.add_column(column, justify="right", overflow="fold")
    for result in results:
        table.add_row(*_cells(result))
    console.print(table)


def _cells(result: Result) -> list[str]:
    generator = result.median_of(lambda measure: measure.generator)
    loads = [measure.load for measure in result.measures]
    rate = result.median_of(lambda measure: measure.rate)
    return [
        "\n".join([result.name, *(f"  {note}" for note in _notes(result))]),
        f"{rate:,.0f} {result.unit}" if rate else "",
        f"{median(result.ratios):.3f}" if result.ratios else "",
        f"{min(result.ratios):.3f}" if result.ratios else "",
        _short(result.median_of(lambda measure: measure.cpu)),
        _short(result.median_of(lambda measure: measure.p50)),
        _short(result.median_of(lambda measure: measure.p99)),
        "" if generator is None else f"{generator:.0%}",
        f"{min(loads):.1f}-{max(loads):.1f}",
        f"WRONG: {result.wrong[:60]}" if result.wrong else "right",
    ]


def _notes(result: Result) -> list[str]:
    names = {name: None for measure in result.measures for name in measure.notes}
    medians = {name: median([m.notes[name] for m in result.measures if name in m.notes]) for name in names}
    return [f"{name}: {value:,.1f}" for name, value in medians.items()]


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def machine() -> str:
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return f"{os.cpu_count()} cores, {system}, Python {platform.python_version()}"


def save(path: Path, options: Options, results: dict[str, Sequence[Result]]) -> None:
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "options": asdict(options),
        "suites": {suite: [asdict(result) for result in of_suite] for suite, of_suite in results.items()},
    }
    path.write_text(json.dumps(document, indent=2) + "\n")
