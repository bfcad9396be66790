"""How long chance may look for the unthought-of: by day the same examples each time, `CRM_TEST_TIMES=20`
as many new ones at night."""

import os

TIMES = int(os.environ.get("CRM_TEST_TIMES", "1"))


def examples(usual: int) -> int:
    """As many examples as are usual, or a multiple of them."""
    return usual * TIMES
