"""Memory of long-lived processes."""

import gc


def collect_seldom() -> None:
    """Look for garbage in circles every tens of thousands of objects, and never again among those there are.

    By default it is every 700: a set of a thousand rows would be gone through over and over while it is made,
    which costs a quarter of the time that making it takes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
