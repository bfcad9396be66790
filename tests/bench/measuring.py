"""Cells and rows: what is measured in turns, so that whatever disturbs the machine disturbs all alike."""

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from statistics import median

import psutil


@dataclass(frozen=True)
class Options:
    """How long and how often; the same for all suites."""

    rounds: int
    seconds: float
    customers: int
    messages: int

    def warming(self) -> "Options":
        """For a first load that counts for nothing: connections are opened, statements prepared."""
        return replace(self, seconds=2.0)


@dataclass(frozen=True)
class Measure:
    """What one cell came to; `wrong` says how its work failed the check, and then its rate is zero."""

    rate: float
    p50: float | None = None
    """Milliseconds, as `p99`."""
    p99: float | None = None
    cpu: float | None = None
    """Milliseconds of processor time per unit of work, of the process that is measured."""
    generator: float | None = None
    """Share of one core that the load generator took."""
    wrong: str = ""
    notes: Mapping[str, float] = field(default_factory=dict)
    load: float = field(default_factory=lambda: os.getloadavg()[0])

    @classmethod
    def failed(cls, why: str) -> "Measure":
        return cls(0.0, wrong=why)


@dataclass(frozen=True)
class Row:
    """One thing that is measured, and the name of the row that is its ceiling."""

    name: str
    run: Callable[[], Awaitable[Measure]]
    ceiling: str | None = None
    unit: str = "req/s"


@dataclass(frozen=True)
class Result:
    """A row with what its rounds came to, and the ratios to the ceiling of the same round."""

    name: str
    unit: str
    ceiling: str | None
    measures: Sequence[Measure]
    ratios: Sequence[float]

    @property
    def wrong(self) -> str:
        return next((measure.wrong for measure in self.measures if measure.wrong), "")

    def median_of(self, pick: Callable[[Measure], float | None]) -> float | None:
        known = [value for measure in self.measures if (value := pick(measure)) is not None]
        return median(known) if known else None


Suite = Callable[[Options], AbstractAsyncContextManager[Sequence[Row]]]


async def interleave(rows: Sequence[Row], rounds: int, tell: Callable[[str], None]) -> list[Result]:
    """Run all rows once, then all again: A B C, A B C, A B C."""
    measured: dict[str, list[Measure]] = {row.name: [] for row in rows}
    for number in range(1, rounds + 1):
        for row in rows:
            tell(f"round {number} of {rounds}: {row.name}")
            measured[row.name].append(await row.run())
    return [_result(row, measured) for row in rows]


def _result(row: Row, measured: Mapping[str, Sequence[Measure]]) -> Result:
    own = measured[row.name]
    ratios = []
    if row.ceiling is not None:
        pairs = zip(own, measured[row.ceiling], strict=True)
        ratios = [one.rate / other.rate if other.rate else 0.0 for one, other in pairs]
    return Result(row.name, row.unit, row.ceiling, own, ratios)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that `share` of all do not exceed; None of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


def processor_seconds(processes: Iterable[psutil.Process]) -> float:
    """What the processes and their living children have used so far."""
    family = {each for process in processes for each in (process, *process.children(recursive=True))}
    return float(sum(times.user + times.system for times in (each.cpu_times() for each in family)))
