"""What the person at the terminal sees: a living table there, plain lines in a file or a pipeline."""

import shlex
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from crm_local.processes import Running, State

_MARKS: Mapping[State, tuple[str, str]] = {
    State.STARTING: ("…", "yellow"),
    State.READY: ("✓", "green"),
    State.RESTARTING: ("↻", "red"),
    State.STOPPING: ("…", "yellow"),
    State.STOPPED: ("·", "dim"),
}


class Display:
    """Shows the progress of starting; afterwards only what is out of the ordinary."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._began = time.monotonic()
        self._seen: set[str] = set()
        self._live: Live | None = None
        self._step = ""
        self._running: Mapping[str, Running] = {}

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._began

    def tell(self, line: str) -> None:
        """One line, in plain words."""
        # That nobody reads any more, the terminal or the pipe being closed, must not disturb what runs.
        with suppress(OSError, SystemExit):
            self.console.print(Text(f"{self.elapsed:6.1f} s  {line}"), soft_wrap=True)

    def begin(self) -> None:
        """Show the table of processes from now on, where there is a terminal to redraw it on."""
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=8)
            self._live.start()

    def step(self, what: str) -> None:
        """What is being done now, beside what the processes do by themselves."""
        self._step = what
        if self._live:
            self._live.update(_table(self._running, what))
        else:
            self.tell(what)

    def show(self, running: Mapping[str, Running]) -> None:
        """The processes as they are now."""
        self._running = running
        if self._live:
            self._live.update(_table(running, self._step))
        if self.console.is_terminal:
            return
        for name, each in running.items():
            if each.state is State.READY and name not in self._seen:
                self._seen.add(name)
                self.tell(f"{name} is ready")

    def end(self) -> None:
        """Leave the table as it stands."""
        self._step = ""
        if self._live:
            self._live.update(_table(self._running))
            self._live.stop()
            self._live = None

    def welcome(self, address: str, tokens: Mapping[str, str], folder: Path) -> None:
        """Where to go, with which token, and three things to try."""
        places = Table.grid(padding=(0, 2))
        places.add_row("Gateway", Text(address, style="bold cyan"))
        places.add_row("API documentation", Text(f"{address}/docs", style="bold cyan"))
        places.add_row("Logs", str(folder / "logs"))
        self.console.print()
        ready = f"Everything is ready after {self.elapsed:.1f} s"
        self.console.print(Panel(places, title=ready, expand=False))
        self.console.print("\nOne token per role, good for twelve hours:\n", style="bold")
        for role, token in tokens.items():
            self._whole(Text.assemble((f"{role:<11}", "bold"), token))
        self.console.print("\nTo try:\n", style="bold")
        for command in _examples(address, folder / "tokens" / "agent"):
            self._whole(Text(f"{command}\n"))
        self.console.print("Ctrl-C stops everything in order; data stay until `make reset`.", style="dim")

    def _whole(self, text: Text) -> None:
        """A line that the terminal may wrap but that stays one when copied."""
        self.console.print(text, soft_wrap=True)


def _table(running: Mapping[str, Running], step: str = "") -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(width=1)
    table.add_column(min_width=20)
    table.add_column(overflow="ellipsis", no_wrap=True)
    for name, each in running.items():
        mark, style = _MARKS[each.state]
        table.add_row(Text(mark, style=style), name, Text(each.why or each.state, style="dim"))
    if step:
        table.add_row("", Text(f"{step} …", style="italic"))
    return table


def _examples(address: str, token: Path) -> list[str]:
    """Commands that work when pasted, from any folder and more than once."""
    authorized = f'curl -sSw "\\n" -H "Authorization: Bearer $(cat {shlex.quote(str(token))})"'
    contact = '{"kind": "email", "value": "ming@example.com"}'
    customer = f'{{"name": "王小明", "language": "zh", "contact_points": [{contact}]}}'
    return [
        f"{authorized} -X PUT {address}/v1/customers/by-external-id/hello/1"
        f" -H 'Content-Type: application/json' -d '{customer}'",
        f"{authorized} '{address}/v1/customers?limit=3'",
        f"{authorized} {address}/v1/levels",
    ]
