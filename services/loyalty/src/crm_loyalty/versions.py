"""Versions of what is written as a whole: which one comes next, and whether the writer has seen the last."""

from crm_shared import etags
from crm_shared.etags import IfMatchMissing, StaleVersion


def following(current: int | None, *, if_match: str | None, if_none_match: str | None) -> int:
    """The number of the version to write over the one that the caller has seen, or 1 with `If-None-Match: *`.

    Raises IfMatchMissing, StaleVersion.
    """
    if current is None:
        if if_match is not None:
            raise StaleVersion("There is nothing under this key.")
        if if_none_match != "*":
            raise IfMatchMissing("There is nothing under this key: send If-None-Match: * to make it.")
        return 1
    if if_none_match is not None:
        raise StaleVersion(f"The current version is {current}.", current_version=current)
    etags.require(if_match, current)
    return current + 1
