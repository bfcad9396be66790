"""What schemathesis cannot know of the documents."""

from datetime import date
from typing import Any
from uuid import uuid4

import schemathesis
from hypothesis import strategies

KEY = "Idempotency-Key"

# Of its own it writes years from 1 to 9999, most of which do not fit the pattern beside the format.
_days = strategies.dates(date(1900, 1, 1), date(2999, 12, 31)).map(date.isoformat)
_instants = strategies.builds("{}T{}Z".format, _days, strategies.times())
schemathesis.openapi.format("date", _days)
schemathesis.openapi.format("date-time", _instants)


@schemathesis.hook
def before_call(
    context: schemathesis.HookContext, case: "schemathesis.Case[Any]", kwargs: dict[str, object]
) -> None:
    """A good key is one that nobody has used: an old one with another request is refused, as it must be."""
    if case.headers and KEY in case.headers and str(case.headers[KEY]).isascii():
        case.headers[KEY] = uuid4().hex
