"""Tables as people keep them: a text with columns, or a workbook, read row by row."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TextIO

from crm_profiles.errors import EmptyFile, UnreadableFile
from crm_profiles.imports import encodings, workbooks
from crm_profiles.models.files import Encoding, Format
from crm_shared.database import Json

MAX_COLUMNS = 256
MAX_HEADING = 200
MAX_ROW = 1024 * 1024
SAMPLES = 5

_DELIMITERS = ",;\t|"
_LOOKED_AT = 64 * 1024
_PACKED = b"PK\x03\x04"
_OLD_WORKBOOK = b"\xd0\xcf\x11\xe0"


@dataclass(frozen=True)
class Layout:
    """How a file is to be read, as inspection found it."""

    format: Format
    header: list[str]
    samples: list[list[str]]
    encoding: Encoding | None = None
    because: str | None = None
    """Why that encoding."""
    delimiter: str | None = None
    sheet: str | None = None
    rows: int | None = None

    @classmethod
    def of(cls, stored: Json) -> "Layout":
        encoding = Encoding(stored["encoding"]) if stored["encoding"] else None
        return cls(**stored | {"format": Format(stored["format"]), "encoding": encoding})

    def stored(self) -> Json:
        return asdict(self)


class Row(NamedTuple):
    """A row, where it begins, and what makes it unreadable."""

    line: int
    cells: list[str]
    fault: str | None = None


def inspect(
    path: Path, *, encoding: Encoding | None = None, delimiter: str | None = None, sheet: str | None = None
) -> Layout:
    """Find out how to read the file.

    Raises EmptyFile, UnreadableFile, UndecodableFile, OversizedSheet.
    """
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT)
    if start.startswith(_PACKED):
        sheet = workbooks.check(path, sheet)
        rows = _workbook_rows(path, sheet)
        layout = Layout(Format.XLSX, [], [], sheet=sheet)
    elif start.startswith(_OLD_WORKBOOK):
        raise UnreadableFile("This is a workbook of the old kind (.xls): save it as .xlsx or .csv.")
    else:
        if b"\0" in start and not start.startswith((b"\xff\xfe", b"\xfe\xff")) and encoding is None:
            raise UnreadableFile("The file is neither text nor a workbook.")
        decision = encodings.decide(path, encoding)
        delimiter = delimiter or _delimiter(path, decision.encoding)
        layout = Layout(Format.CSV, [], [], decision.encoding, decision.because, delimiter)
        rows = _text_rows(path, decision.encoding, delimiter)
    header = next(rows, None)
    if header is None:
        raise EmptyFile("The file has no header: its first row names the columns.")
    if header.fault or len(header.cells) > MAX_COLUMNS:
        raise UnreadableFile(header.fault or f"A file may have {MAX_COLUMNS} columns.")
    names = [_heading(cell) for cell in header.cells]
    samples = [[cell[:100] for cell in row.cells[: len(names)]] for row in islice(rows, SAMPLES)]
    return Layout(**layout.stored() | {"header": names, "samples": samples})


def rows(path: Path, layout: Layout) -> Iterator[Row]:
    """All rows below the header that hold anything; one that cannot be read says why."""
    if layout.format is Format.XLSX:
        found = _workbook_rows(path, layout.sheet or "")
    else:
        found = _text_rows(path, layout.encoding or Encoding.UTF_8, layout.delimiter or ",")
    next(found, None)
    return found


def _heading(cell: str) -> str:
    return " ".join(cell.replace("\0", "").split())[:MAX_HEADING]


def _text_rows(path: Path, encoding: Encoding, delimiter: str) -> Iterator[Row]:
    """A quote that nobody closes costs the rows up to the limit of a field, and no more."""
    with path.open(encoding=encodings.codec(encoding), newline="") as file:
        lines = _Lines(file)
        reader = csv.reader(lines, delimiter=delimiter)
        while True:
            line = reader.line_num + 1
            lines.left = MAX_ROW
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Row(line, [], f"The row cannot be read: {error}.")
                continue
            if any(cells):
                yield Row(line, cells)


class _Lines(Iterator[str]):
    """The lines of a text; `left` is how many characters the row that they make up may still have."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.left = MAX_ROW

    def __next__(self) -> str:
        line = self._file.readline(self.left + 1)
        self.left -= len(line)
        if self.left < 0:
            raise UnreadableFile(f"A row has more than {MAX_ROW:,} characters.")
        if not line:
            raise StopIteration
        return line


def _workbook_rows(path: Path, sheet: str) -> Iterator[Row]:
    for line, cells in workbooks.rows(path, sheet):
        texts = [_text(cell) for cell in cells]
        if any(texts):
            yield Row(line, texts)


def _text(cell: workbooks.Cell) -> str:
    """What the cell shows; numbers without the fraction that is none."""
    match cell:
        case str():
            return cell
        case bool():
            return "true" if cell else "false"
        case float() if cell.is_integer():
            return str(int(cell))
        case datetime() if cell.time() == time():
            return cell.date().isoformat()
        case datetime() | date() | time():
            return cell.isoformat()
        case int() | float() | timedelta():
            return str(cell)


def _delimiter(path: Path, encoding: Encoding) -> str:
    """The one that cuts most rows into as many columns as the header, and that into most."""
    with path.open(encoding=encodings.codec(encoding), newline="") as file:
        text = file.read(_LOOKED_AT)
    lines = text.splitlines(keepends=True)

    def fits(delimiter: str) -> tuple[int, int]:
        try:
            widths = [len(row) for row in csv.reader(lines[:50], delimiter=delimiter) if row]
        except csv.Error:
            return 0, 0
        if not widths or widths[0] < 2:
            return 0, 0
        return _like_the_first(widths), widths[0]

    return max(_DELIMITERS, key=fits)


def _like_the_first(widths: Sequence[int]) -> int:
    return sum(width == widths[0] for width in widths)
