"""Workbooks (.xlsx): their size is measured before a library is let loose on them."""

import re
import subprocess
import sys
from collections.abc import Iterator
from copy import copy
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TypeAlias
from zipfile import BadZipFile, ZipFile, ZipInfo
from zlib import error as ZlibError

from python_calamine import CalamineError, CalamineWorkbook

from crm_profiles.errors import OversizedSheet, UnreadableFile
from crm_profiles.imports import workbook_trial

Cell: TypeAlias = int | float | str | bool | time | date | datetime | timedelta

MAX_UNPACKED = 512 * 1024 * 1024
MAX_CELLS = 5_000_000
MAX_PARTS = 1000

_AT_ONCE = 1024 * 1024
_OVERLAP = 64
# As the library reads references: letters of either case, whatever the quotes.
_REFERENCE = re.compile(rb"""\br\s*=\s*["']([A-Za-z]{1,7})([0-9]{1,10})["']""")
_ROW = re.compile(rb"""<(?:\w+:)?row\b[^>]*?\br\s*=\s*["']([0-9]{1,10})["']""")


def check(path: Path, sheet: str | None) -> str:
    """The sheet that is asked for, or the first one, of a workbook that can be opened without harm.

    Raises UnreadableFile, OversizedSheet.
    """
    try:
        _measure(path)
        _try(path, sheet)
        with path.open("rb") as file:
            names = CalamineWorkbook.from_filelike(file).sheet_names
    except (BadZipFile, ZlibError, CalamineError, NotImplementedError, RuntimeError, EOFError) as error:
        raise UnreadableFile("The file is packed like a workbook, but cannot be read as one.") from error
    if not names:
        raise UnreadableFile("The workbook has no sheet.")
    if sheet is not None and sheet not in names:
        raise UnreadableFile(f"The workbook has no sheet of this name, but: {', '.join(names)[:500]}.")
    return sheet or names[0]


def rows(path: Path, sheet: str) -> Iterator[tuple[int, list[Cell]]]:
    """The rows of a sheet that `check` has let pass, each with its number; raises UnreadableFile."""
    try:
        with path.open("rb") as file:
            found = CalamineWorkbook.from_filelike(file).get_sheet_by_name(sheet)
        for number, cells in enumerate(found.iter_rows(), start=1):
            yield number, list(cells)
    except CalamineError as error:
        raise UnreadableFile(f"The sheet cannot be read: {error}") from error


def _try(path: Path, sheet: str | None) -> None:
    """Measuring believes what a sheet says of itself in the usual way; this believes nothing."""
    command = [sys.executable, "-m", workbook_trial.__name__, str(path), *([] if sheet is None else [sheet])]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if ended.returncode != 0:
        raise OversizedSheet("The sheet cannot be opened with the memory and in the time that one may take.")


def _measure(path: Path) -> None:
    """Unpack each part for once, counting: what a packed file says of its size is anybody's invention."""
    with ZipFile(path) as packed:
        parts = packed.infolist()
        if len(parts) > MAX_PARTS:
            raise OversizedSheet(f"A workbook may have {MAX_PARTS} parts.")
        left = MAX_UNPACKED
        for part in parts:
            left -= _unpacked(packed, part, left)


def _unpacked(packed: ZipFile, part: ZipInfo, limit: int) -> int:
    """How long the part is; raises OversizedSheet as soon as it is too long or spans too many cells."""
    if part.file_size > limit:
        raise OversizedSheet(f"Unpacked, a workbook may have {MAX_UNPACKED // 2**20} MiB.")
    unlimited = copy(part)
    unlimited.file_size = limit + 1  # read what is there, not what is said to be there
    columns = height = size = 0
    tail = b""
    is_sheet = "worksheets/" in part.filename
    with packed.open(unlimited) as file:
        while data := file.read(_AT_ONCE):
            size += len(data)
            if size > part.file_size:
                raise OversizedSheet("The workbook is longer than it says.")
            if is_sheet:
                text = tail + data
                for letters, digits in set(_REFERENCE.findall(text)):
                    columns, height = max(columns, _column(letters)), max(height, int(digits))
                height = max([height, *map(int, _ROW.findall(text))])
                if columns * height > MAX_CELLS:
                    raise OversizedSheet(f"A sheet may span {MAX_CELLS:,} cells.")
                tail = text[-_OVERLAP:]
    return size


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + letter - 64
    return number
