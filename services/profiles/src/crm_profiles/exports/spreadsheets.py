"""Text that is safe in a spreadsheet: a cell that would be taken for a formula gets an apostrophe before it.

What begins with `=`, `+`, `-`, `@`, a tab or a carriage return, after any number of apostrophes, gets one
more; reading takes one away from what begins so. So every text comes back as it was, `+8613812345678` too.
"""

import re

_FORMULA = re.compile("'*[=+\\-@\t\r]")
_GUARDED = re.compile("'+[=+\\-@\t\r]")


def guarded(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def told_apart(text: str) -> str:
    """For cells that are text by their type, and no formula: only what reading would take for guarded."""
    return f"'{text}" if _GUARDED.match(text) else text


def unguarded(text: str) -> str:
    return text[1:] if _GUARDED.match(text) else text
