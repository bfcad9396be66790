"""In which language a page is answered: the best that the reader asks for and we have."""

from collections.abc import Collection


def negotiate(accept_language: str | None, available: Collection[str], default: str) -> str:
    """One of the available languages (`zh`), by an Accept-Language header (RFC 9110, 12.5.4).

    A region is no reason to answer in another language: `es-MX` gets `es`.
    """
    wanted: list[tuple[float, int, str]] = []
    for position, part in enumerate((accept_language or "").split(",")[:50]):
        tag, _, weight = part.partition(";")
        primary = tag.strip().lower().split("-", 1)[0]
        quality = _quality(weight)
        if quality > 0:
            wanted.append((-quality, position, default if primary == "*" else primary))
    return next((language for *_, language in sorted(wanted) if language in available), default)


def _quality(weight: str) -> float:
    """`q=0.8`; without one it is 1, and what is no number counts for nothing."""
    name, _, value = weight.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        return min(1.0, max(0.0, float(value)))
    except ValueError:
        return 0.0
