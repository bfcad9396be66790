"""How long chance may look for the unthought-of: by day shortly, `CRM_TEST_TIMES=20` as long at night."""

import os

TIMES = int(os.environ.get("CRM_TEST_TIMES", "1"))


def examples(usual: int) -> int:
    """As many examples as are usual, or a multiple of them."""
    return usual * TIMES
