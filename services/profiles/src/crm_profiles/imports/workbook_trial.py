"""Opens a sheet as an import will, in a process of its own, which may die of it.

A sheet takes as much memory as the corners of what it says to span, and the library that reads it ends its
process when there is not so much. That must not be the worker, which would be started again to read the
same file.
"""

import resource
import sys

from python_calamine import CalamineError, CalamineWorkbook

MAX_MEMORY = 2 * 1024**3
MAX_SECONDS = 120


def main(path: str, sheet: str | None = None) -> None:
    """What the library says is wrong it will say again; everything else ends the process in disorder."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
    try:
        with open(path, "rb") as file:
            workbook = CalamineWorkbook.from_filelike(file)
            for _ in workbook.get_sheet_by_name(sheet or workbook.sheet_names[0]).iter_rows():
                pass
    except (CalamineError, IndexError):
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
