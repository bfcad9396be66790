"""What schemathesis cannot know of the documents."""

from typing import Any
from uuid import uuid4

import schemathesis

KEY = "Idempotency-Key"


@schemathesis.hook
def before_call(
    context: schemathesis.HookContext, case: "schemathesis.Case[Any]", kwargs: dict[str, object]
) -> None:
    """A good key is one that nobody has used: an old one with another request is refused, as it must be."""
    if case.headers and KEY in case.headers and str(case.headers[KEY]).isascii():
        case.headers[KEY] = uuid4().hex
