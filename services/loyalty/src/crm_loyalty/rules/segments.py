"""Who belongs to segments: a condition of rules and of audiences alike."""

from collections.abc import Iterator
from dataclasses import dataclass

Names = frozenset[str]
_NONE: Names = frozenset()


@dataclass(frozen=True, slots=True)
class Segments:
    """In one of these segments at least, if any are named, and in none of those."""

    any_of: Names = _NONE
    none_of: Names = _NONE

    def against(self, found: Names) -> Iterator[str]:
        """Why a customer in the segments that were found is not meant, in words."""
        if self.any_of and not self.any_of & found:
            yield f"the customer is not in segment {_listed(self.any_of)}"
        if unwanted := self.none_of & found:
            yield f"the customer is in segment {_listed(unwanted)}"

    def hold(self, found: Names) -> bool:
        return not any(self.against(found))

    @property
    def can_hold(self) -> bool:
        return not self.any_of or not self.any_of <= self.none_of

    def in_words(self) -> Iterator[str]:
        if self.any_of:
            yield f"for customers in segment {_listed(self.any_of)}"
        if self.none_of:
            yield f"not for customers in segment {_listed(self.none_of)}"


EVERYBODY = Segments()


def _listed(names: Names) -> str:
    return " or ".join(sorted(names))
